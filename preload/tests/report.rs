//! What a programmer of C or C++ reads of a program that was never recompiled: the functions that hold the memory, with exact bytes.
//!
//! Compiles `tests/report/*` with `cc` and `c++`. Where those are missing, a line says that the test was skipped.

mod library;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

/// The library, with debug assertions.
fn library() -> PathBuf {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| library::library(library::Build::Checked)).clone()
}

/// A directory that goes with the test.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Dir {
        let dir = std::env::temp_dir().join(format!("tenure-report-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("a directory");
        Dir(dir)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("UTF-8").to_string()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.0);
    }
}

/// The program that a compiler makes of a source; `None`, and a line, without the compiler.
fn compiled(dir: &Dir, source: &str, flags: &[&str]) -> Option<String> {
    let compiler = if source.ends_with(".cc") { "c++" } else { "cc" };
    let program = dir.path("program");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/report").join(source);
    let done = Command::new(compiler).args(["-O1", "-pthread", "-o", &program]).args(flags).arg(&source).output();
    match done {
        Err(_) => {
            println!("skipped: {}, because there is no {compiler}", source.display());
            None
        }
        Ok(done) => {
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
            Some(program)
        }
    }
}

fn command(program: &str, args: &[&str], tenure: &str) -> Command {
    let mut command = Command::new(program);
    command.args(args).env("LD_PRELOAD", library()).env("TENURE", tenure);
    command
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn run(program: &str, args: &[&str], tenure: &str) -> String {
    let output = command(program, args, tenure).output().expect("it runs");
    assert!(output.status.success(), "{output:?}");
    stderr(&output)
}

/// The rows of the first table: bytes as they are shown, blocks, and name and place.
fn rows(report: &str) -> Vec<(String, u64, String)> {
    let table = report.split("\n\n").nth(1).unwrap_or_else(|| panic!("no table: {report}"));
    let row = |line: &str| {
        let (bytes, rest) = line.trim_start().split_once("  ").or_else(|| line.trim_start().split_once(" 100"))?;
        let rest = rest.trim_start().split_once("% ")?.1;
        let (blocks, name) = rest.trim_start().split_once("  ")?;
        let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
        Some((bytes.to_string(), blocks.replace(' ', "").parse().ok()?, name))
    };
    table.lines().skip(1).filter_map(row).collect()
}

/// What the functions of the first table hold, whose names and places contain `at`.
fn held(report: &str, at: &[&str]) -> Option<(String, u64)> {
    let found = rows(report).into_iter().find(|row| at.iter().all(|part| row.2.contains(part)));
    found.map(|(bytes, blocks, _)| (bytes, blocks))
}

const BOOKS: [(&[&str], &str, u64); 4] = [
    (&["shelve", "books.c:26"], "9.8 KiB", 10),
    (&["copy", "books.c:41"], "4.9 KiB", 1),
    (&["hide", "books.c:46"], "2.9 KiB", 1),
    (&["label", "books.c:34"], "303 B", 3),
];

#[test]
fn lines_of_c() {
    let dir = Dir::new("lines");
    let Some(program) = compiled(&dir, "books.c", &["-g"]) else { return };
    let report = run(&program, &[], "exact,leaks");
    let pid_and_bytes = report.lines().next().expect("a line");
    assert!(pid_and_bytes.starts_with("tenure: held at exit by program, process "), "{report}");
    assert!(report.contains("  by line\n") && report.contains("  by call stack"), "{report}");
    for (at, bytes, blocks) in BOOKS {
        assert_eq!(held(&report, at), Some((bytes.into(), blocks)), "{at:?} in {report}");
    }
    assert!(rows(&report)[0].2.starts_with("shelve"), "{report}");
    // Wrappers stand in no stack, and the caller of each function does.
    let stacks = report.split("\n\n").nth(2).expect("stacks");
    assert!(!stacks.contains("xmalloc") && !stacks.contains("strdup") && !stacks.contains("libtenure"), "{report}");
    assert!(stacks.contains("visible ") && stacks.contains("main "), "{report}");
}

#[test]
fn functions_of_a_stripped_program() {
    let dir = Dir::new("stripped");
    let Some(program) = compiled(&dir, "books.c", &["-s", "-rdynamic"]) else { return };
    let report = run(&program, &[], "exact,leaks");
    assert!(report.contains("  by function\n"), "{report}");
    assert_eq!(held(&report, &["shelve program"]), Some(("9.8 KiB".into(), 10)), "{report}");
    assert_eq!(held(&report, &["copy program"]), Some(("4.9 KiB".into(), 1)), "{report}");
    // A function without a symbol is no neighbour's: it stands under its caller, and says where.
    assert_eq!(held(&report, &["visible program+0x"]), Some(("2.9 KiB".into(), 1)), "{report}");
    assert!(!report.contains("hide"), "{report}");
    assert!(report.contains("note: no lines from ") && report.contains("-g"), "{report}");
    // Without any symbol a wrapper is not known as one: the places are right, and the bytes.
    let program = compiled(&dir, "books.c", &["-s"]).expect("as above");
    let report = run(&program, &[], "exact,leaks");
    let rows = rows(&report);
    assert!(rows[0].1 == 13 && rows[0].2.starts_with("program+0x"), "{report}");
    assert!(report.contains("note: no names from ") && report.contains("it was stripped"), "{report}");
}

#[test]
fn names_come_from_a_debug_file() {
    let dir = Dir::new("debug-file");
    let Some(program) = compiled(&dir, "books.c", &["-g"]) else { return };
    let debug = format!("{program}.debug");
    for args in [
        &["--only-keep-debug", &program, &debug][..],
        &["--strip-all", &program],
        &["--add-gnu-debuglink", &debug, &program],
    ] {
        let args: Vec<String> = match args {
            ["--add-gnu-debuglink", debug, program] => {
                vec![format!("--add-gnu-debuglink={debug}"), program.to_string()]
            }
            args => args.iter().map(|a| a.to_string()).collect(),
        };
        match Command::new("objcopy").args(&args).current_dir(&dir.0).status() {
            Err(_) => return println!("skipped: names from a debug file, because there is no objcopy"),
            Ok(status) => assert!(status.success()),
        }
    }
    let report = run(&program, &[], "exact,leaks");
    for (at, bytes, blocks) in BOOKS {
        assert_eq!(held(&report, at), Some((bytes.into(), blocks)), "{at:?} in {report}");
    }
}

#[test]
fn functions_of_cpp() {
    let dir = Dir::new("cpp");
    let Some(program) = compiled(&dir, "shop.cc", &[]) else { return };
    let report = run(&program, &[], "exact,leaks");
    // 50 keys of 41 or 42 characters, 50 vectors, 50 nodes, and the map itself.
    assert_eq!(held(&report, &["shop::(anonymous namespace)::index"]).map(|h| h.1), Some(151), "{report}");
    assert_eq!(held(&report, &["main::{lambda()#1}::operator()"]), Some(("7.6 KiB".into(), 1)), "{report}");
    for noise in ["_ZN", "operator new", "std::vector", "std::map", "_M_", "tenure_preload"] {
        assert!(!report.contains(noise), "{noise} in {report}");
    }
}

#[test]
fn a_file_has_what_the_report_has() {
    let dir = Dir::new("file");
    let Some(program) = compiled(&dir, "books.c", &["-g"]) else { return };
    let said = run(&program, &[], &format!("exact,dump=exit,dump_path={}", dir.path("held.%n.json")));
    assert!(said.contains("exit: wrote "), "{said}");
    let file = fs::read_to_string(dir.path("held.1.json")).expect("a file");
    assert!(file.contains("libtenure_preload.so") && file.contains("/program\""), "{file}");
}

#[test]
fn on_a_signal() {
    let dir = Dir::new("signal");
    let Some(program) = compiled(&dir, "books.c", &["-g"]) else { return };
    let mut child = command(&program, &["signal"], "exact,leaks,leaks=signal:USR2")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().expect("a pipe")).read_line(&mut line).expect("a line");
    assert!(Command::new("kill").args(["-USR2", &child.id().to_string()]).status().expect("kill").success());
    let report = until(&mut child, "by call stack");
    assert!(report.starts_with("tenure: held at the signal by program, process "), "{report}");
    assert_eq!(held(&report, BOOKS[0].0), Some(("9.8 KiB".into(), 10)), "{report}");
    child.stdin.take().expect("a pipe").write_all(b"end\n").expect("written");
    let rest = child.wait_with_output().expect("it ends");
    // It ends by `_exit`, which runs nothing.
    assert!(rest.status.success() && !stderr(&rest).contains("held at exit"), "{rest:?}");
}

/// What a child says up to and with a line that has these words.
fn until(child: &mut Child, words: &str) -> String {
    let mut said = String::new();
    let mut from = BufReader::new(child.stderr.take().expect("a pipe"));
    while !said.contains(words) && from.read_line(&mut said).expect("a line") > 0 {}
    assert!(said.contains(words), "{said}");
    child.stderr = Some(from.into_inner());
    said
}

#[test]
fn children_that_hold_little_are_quiet() {
    let dir = Dir::new("children");
    let Some(program) = compiled(&dir, "books.c", &["-g"]) else { return };
    let count = |report: &str| report.matches("tenure: held at exit by ").count();
    let report = run(&program, &["fork"], "exact,leaks");
    assert_eq!(count(&report), 2, "the one that was started, and the one with 2 MiB: {report}");
    assert!(report.contains("2.0 MiB"), "{report}");
    assert_eq!(count(&run(&program, &["fork"], "exact,leaks=all")), 3);
    // The shell is the one that was started, and some end by `_exit`. What it starts is a child; what takes its place is
    // not.
    let twice = format!("'{program}'; true");
    let report = run("/bin/sh", &["-c", &twice], "exact,leaks");
    assert!(!report.contains("by program"), "{report}");
    let report = run("/bin/sh", &["-c", &format!("exec '{program}'")], "exact,leaks");
    assert!(count(&report) == 1 && report.contains("by program"), "{report}");
    assert_eq!(count(&run(&program, &["_exit"], "exact,leaks=all")), 0);
}

#[test]
fn a_file_of_the_programs_own_is_not_written_to() {
    let dir = Dir::new("close");
    let Some(program) = compiled(&dir, "books.c", &[]) else { return };
    let database = dir.path("database");
    assert_eq!(run(&program, &["close", &database], "exact,leaks"), "");
    assert_eq!(fs::read_to_string(database).expect("a file"), "database\n");
    // A file that messages were sent to from the start is.
    let log = dir.path("log");
    let to = fs::OpenOptions::new().create(true).truncate(true).read(true).write(true).open(&log).expect("a file");
    assert!(command(&program, &[], "exact,leaks").stderr(to).status().expect("it runs").success());
    assert!(fs::read_to_string(log).expect("a file").contains("held at exit"));
}

#[test]
fn few_samples_say_so() {
    let dir = Dir::new("samples");
    let Some(program) = compiled(&dir, "books.c", &[]) else { return };
    let report = run(&program, &[], "leaks");
    assert!(report.contains("and shows little; TENURE=exact,leaks tracks every block"), "{report}");
    assert!(!run(&program, &[], "exact,leaks").contains("shows little"));
}
