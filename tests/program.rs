//! The program `tenure`: each command and each error line, with dumps that other processes have written.

use std::ffi::OsStr;
use std::fs::File;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tenure::{Tenure, dump, export::from_file};

#[global_allocator]
static ALLOC: Tenure = Tenure::new();

/// Where the child puts its dumps; not set in the parent.
const DUMPS: &str = "TENURE_TEST_DUMPS";

/// A directory with the dumps `1` and `2` of another process, removed at the end.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Dir {
        let dir = std::env::temp_dir().join(format!("tenure-program-{name}-{}", std::process::id()));
        _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir(&dir).expect("a directory");
        let child = Command::new(std::env::current_exe().expect("this test"))
            .args(["a_process_that_dumps", "--exact", "--test-threads=1"])
            .env("TENURE", "exact")
            .env(DUMPS, &dir)
            .output()
            .expect("started");
        assert!(child.status.success() && dir.join("2").exists(), "{child:?}");
        Dir(dir)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        _ = std::fs::remove_dir_all(&self.0);
    }
}

#[inline(never)]
fn hold_orders(n: usize) -> Vec<Vec<u8>> {
    (0..n).map(|_| black_box(vec![1; 1000])).collect()
}

/// No test: the process that the others look at.
#[test]
fn a_process_that_dumps() {
    let Some(dir) = std::env::var_os(DUMPS).map(PathBuf::from) else { return };
    let shop = tenure::scope("shop");
    let held = hold_orders(300);
    drop(shop);
    let evil = tenure::scope("red \u{1b}[31m\nand a line");
    let more = black_box(vec![1u8; 5000]);
    drop(evil);
    dump::to(dir.join("1")).expect("written");
    let _shop = tenure::scope("shop");
    let still_more = hold_orders(200);
    dump::to(dir.join("2")).expect("written");
    drop((held, more, still_more));
}

fn tenure(args: &[&dyn AsRef<OsStr>]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tenure"));
    command.args(args.iter().map(|a| a.as_ref())).stdin(Stdio::null());
    command
}

/// What it prints, when all is well.
#[track_caller]
fn printed(args: &[&dyn AsRef<OsStr>]) -> String {
    let Output { status, stdout, stderr } = tenure(args).output().expect("started");
    let stderr = String::from_utf8_lossy(&stderr);
    assert!(status.success() && stderr.is_empty(), "{status}: {stderr}");
    String::from_utf8(stdout).expect("UTF-8")
}

/// Its one line of complaint.
#[track_caller]
fn complaint(args: &[&dyn AsRef<OsStr>]) -> String {
    let Output { status, stdout, stderr } = tenure(args).output().expect("started");
    let stderr = String::from_utf8(stderr).expect("UTF-8");
    assert_eq!((status.code(), stdout), (Some(1), Vec::new()), "{stderr}");
    let line = stderr.strip_prefix("tenure: ").and_then(|s| s.strip_suffix('\n')).expect("one line, and who says it");
    assert!(!line.contains('\n'), "{line}");
    line.to_string()
}

#[test]
fn shows_what_is_held() {
    let dir = Dir::new("show");
    let one = dir.path("1");
    let text = printed(&[&"show", &one, &"--by", &"function", &"--top", &"1"]);
    let first = text.lines().next().expect("a line");
    assert!(
        first.starts_with("program-") && first.contains(", process ") && first.ends_with(" s after its start"),
        "{text}"
    );
    let row = text.lines().find(|l| l.contains("program::hold_orders")).expect("the function");
    assert!(row.contains("293.0 KiB") && row.contains(" 300 ") && row.contains("program.rs:"), "{text}");
    assert!(text.lines().last().expect("a line").ends_with(" others"), "{text}");
    let by_tag = printed(&[&"show", &one, &"--by=tag"]);
    assert!(by_tag.contains("  shop\n"), "{by_tag}");
    let filtered = printed(&[&"show", &one, &"--include", &"program::hold_orders*", &"--exclude", &"nothing::*"]);
    assert!(filtered.contains("; filtered, of "), "{filtered}");
    let blocks = printed(&[&"show", &one, &"--value", &"allocated-blocks", &"--top=3"]);
    assert!(blocks.contains("by line"), "{blocks}");
}

#[test]
fn shows_how_old_it_is() {
    let dir = Dir::new("ages");
    let one = dir.path("1");
    let text = printed(&[&"show", &one, &"--ages", &"--by", &"function", &"--top=2"]);
    for begin in ["Tenuring at epoch ", "young ", "middle ", "old ", "            0 "] {
        assert!(text.lines().any(|line| line.starts_with(begin)), "{begin} begins no line of\n{text}");
    }
    assert!(text.contains("hold_orders") && text.contains("too early to say") && text.contains(" others\n"), "{text}");
    let parsed: serde_json::Value =
        serde_json::from_str(&printed(&[&"show", &one, &"--ages", &"--json", &"--by=tag"])).expect("JSON");
    let (snapshot, _) = from_file(&one).expect("a snapshot");
    assert_eq!(parsed["all"]["young"]["live"]["bytes"].as_f64(), Some(snapshot.tenuring().young.live.bytes));
    assert_eq!(parsed["all"]["ages"][0]["come_to_it"]["value"].as_f64(), Some(1.0));
    let groups = parsed["by"]["groups"].as_array().expect("groups");
    assert!(
        groups.iter().any(|g| g["name"] == "shop" && g["tenuring"]["young"]["live"]["blocks"] == 301.0),
        "{groups:?}"
    );
    let line = complaint(&[&"show", &one, &"--ages", &"--by=size"]);
    assert!(line.contains("does not say what died by size"), "{line}");
}

/// What a file says is shown, and never obeyed.
#[test]
fn gives_the_terminal_no_orders() {
    let dir = Dir::new("terminal");
    let text = std::fs::read_to_string(dir.path("1")).expect("a dump");
    let (named, other) = (printed(&[&"convert", &dir.path("1"), &"json", &"-"]), dir.path("other"));
    // With names, which takes less time than to look them up each time.
    printed(&[&"convert", &dir.path("2"), &"json", &other]);
    for (what, text) in [
        ("path", text.replace("/program-", "/\\u001b[2Jprogram-")),
        ("function", named.replace("program::hold_orders", "program::\\u001b[2Jhold_orders")),
        ("file", named.replace("program.rs", "\\u001b[2Jprogram.rs")),
    ] {
        let file = dir.path(what);
        std::fs::write(&file, text).expect("written");
        for by in ["line", "function", "module", "file", "tag", "folded"] {
            for text in [
                printed(&[&"show", &file, &"--by", &by, &"--top", &"1000"]),
                printed(&[&"diff", &file, &other, &"--by", &by]),
            ] {
                let order = text.chars().find(|c| c.is_control() && *c != '\n');
                assert_eq!(order, None, "{what}, by {by}: {text}");
            }
        }
    }
    assert!(printed(&[&"show", &other, &"--by", &"tag"]).contains("red \\u{1b}[31m\\nand a line\n"));
}

#[test]
fn compares() {
    let dir = Dir::new("diff");
    let text = printed(&[&"diff", &dir.path("1"), &dir.path("2"), &"--by", &"tag"]);
    let shop = text.lines().find(|l| l.ends_with("  shop")).expect("the tag");
    assert!(text.starts_with("from  program-") && text.contains("\nto    program-"), "{text}");
    // The orders, and the vector that holds them.
    assert!(shop.contains("+200.1 KiB") && shop.contains("500.1 KiB"), "{text}");
}

/// All formats, to standard output and to a file; and what is written can be read.
#[test]
fn converts() {
    let dir = Dir::new("convert");
    let one = dir.path("1");
    for (format, begins) in [
        ("json", &b"{\"format\":\"tenure snapshot\""[..]),
        ("raw", b"{\"format\":\"tenure snapshot\""),
        ("pprof", &[0x1F, 0x8B]),
        ("folded", b""),
        ("flamegraph", b"<?xml"),
        ("dhat", b"{"),
        ("openmetrics", b"# "),
    ] {
        let to = dir.path(format);
        assert_eq!(printed(&[&"convert", &one, &format, &to]), "");
        let bytes = std::fs::read(&to).expect("a file");
        assert!(bytes.len() > 100 && bytes.starts_with(begins), "{format}");
        let out = tenure(&[&"convert", &one, &format, &"-"]).output().expect("started");
        assert!(out.status.success());
        assert_eq!(out.stdout.len(), bytes.len(), "{format}");
    }
    let original = from_file(&one).expect("a dump").0;
    assert_eq!(from_file(dir.path("raw")).expect("a snapshot").0, original);
    assert_eq!(from_file(dir.path("json")).expect("a snapshot").0, original);
    // Names that came along are not lost to a search elsewhere.
    std::fs::create_dir(dir.path("elsewhere")).expect("a directory");
    let named = printed(&[&"show", &dir.path("json"), &"--search", &dir.path("elsewhere")]);
    assert!(named.contains("hold_orders") && !named.contains("no names"), "{named}");
    let diff = printed(&[&"convert", &dir.path("2"), &"flamegraph", &"-", &"--since", &one]);
    assert!(diff.contains("<svg"));
}

#[test]
fn complains_in_one_line() {
    let dir = Dir::new("errors");
    let one = dir.path("1");
    let help = "; see tenure --help";
    let by = "line, function, module, crate, file, tag, size, site, folded";
    for (args, line) in [
        (&["sho", "x"][..], format!("sho is no command{help}")),
        (&["show"], format!("show takes one file, and not 0{help}")),
        (&["diff", "x"], format!("diff takes two files, and not 1{help}")),
        (&["convert", "x"], format!("convert takes a file, a format and an output, and not 1 words{help}")),
        (
            &["convert", "x", "svg", "-"],
            format!("svg: no format: json, raw, pprof, folded, flamegraph, dhat or openmetrics{help}"),
        ),
        (&["show", "x", "--by", "us"], format!("--by us: it must be one of {by}{help}")),
        (&["show", "x", "--top", "-1"], format!("--top -1: invalid digit found in string{help}")),
        (&["show", "x", "--since"], format!("missing argument for option '--since'{help}")),
        (&["show", "x", "--what"], format!("invalid option '--what'{help}")),
        (&["show", "x", "--since", "y"], format!("--since does nothing for show{help}")),
        (&["show", "x", "--ages", "--value=live-bytes"], format!("--value does nothing for show --ages{help}")),
        (&["diff", "x", "y", "--ages"], format!("--ages does nothing for diff{help}")),
        (&["show", "/no/such"], "/no/such: No such file or directory (os error 2)".into()),
        (&["show", "/tmp"], "/tmp: Is a directory (os error 21)".into()),
        (&["show", "/dev/null"], "/dev/null: not read as a snapshot of tenure: it is empty".into()),
    ] {
        let args: Vec<&dyn AsRef<OsStr>> = args.iter().map(|a| a as _).collect();
        assert_eq!(complaint(&args), line);
    }
    assert_eq!(
        complaint(&[&"convert", &one, &"raw", &"/no/such/file"]),
        "/no/such/file: No such file or directory (os error 2)"
    );
    assert_eq!(
        complaint(&[&"convert", &one, &"folded", &"-", &"--since", &one]),
        format!("--since does nothing for convert to folded{help}")
    );
    // A whole file is no snapshot, and a snapshot is no whole file.
    let text = std::fs::read_to_string(&one).expect("a dump");
    let cut = dir.path("cut");
    std::fs::write(&cut, &text[..text.len() / 2]).expect("written");
    let line = complaint(&[&"show", &cut]);
    let begin = format!("{}: not read as a snapshot of tenure: it is cut off: ", cut.display());
    assert!(line.starts_with(&begin), "{line}");
    // As long as what is wrong in it, but for what is quoted.
    let long = text.replace("\"mode\":\"exact\"", &format!("\"mode\":\"{}\\n\"", "x".repeat(100_000)));
    std::fs::write(&cut, long).expect("written");
    let line = complaint(&[&"show", &cut]);
    assert!(line.len() < 600 && line.contains("unknown variant `xxx") && line.contains(" at line 1 column "), "{line}");
}

/// Nobody reads any more; there is no room; nobody hears the complaint.
#[test]
fn outputs_that_fail() {
    let dir = Dir::new("outputs");
    let one = dir.path("1");
    let full = || File::options().write(true).open("/dev/full").expect("the device");
    for args in [&[&"show" as &dyn AsRef<OsStr>, &one][..], &[&"convert", &one, &"pprof", &"-"], &[&"--version"]] {
        let out = tenure(args).stdout(full()).output().expect("started");
        let stderr = String::from_utf8_lossy(&out.stderr);
        assert_eq!(stderr, "tenure: standard output: No space left on device (os error 28)\n");
        assert_eq!(out.status.code(), Some(1));
    }
    let status = tenure(&[&"show", &"/no/such"]).stderr(full()).status().expect("started");
    assert_eq!(status.code(), Some(1), "not that of a panic");
    let mut child = tenure(&[&"convert", &one, &"json", &"-"]).stdout(Stdio::piped()).spawn().expect("started");
    drop(child.stdout.take());
    assert_eq!(child.wait().expect("ended").code(), Some(0));
}

/// It is not itself among those that the environment is for.
#[test]
fn writes_no_dumps_of_its_own() {
    let dir = Dir::new("own");
    let env = format!("leaks,nonsense,dump=exit,dump_path={}", dir.path("own").display());
    let out = tenure(&[&"--version"]).env("TENURE", env).output().expect("started");
    assert_eq!(String::from_utf8_lossy(&out.stderr), "");
    assert_eq!(std::fs::read_dir(&dir.0).expect("a directory").count(), 2);
}

/// A program of a few lines that holds so many orders, in a directory of its own. `None` if it cannot be built here.
fn build(dir: &Path, before: &str, orders: usize) -> Option<PathBuf> {
    let deps = std::env::current_exe().ok()?.parent()?.to_path_buf();
    std::fs::create_dir(dir).expect("a directory");
    let source = format!(
        "#[global_allocator]\n\
         static ALLOC: tenure::Tenure = tenure::Tenure::new();\n\
         {before}\n\
         #[inline(never)]\n\
         fn hold_orders() -> Vec<Vec<u8>> {{ (0..{orders}).map(|_| vec![1u8; 1000]).collect() }}\n\
         fn main() {{\n\
             let held = hold_orders();\n\
             tenure::dump::to(std::env::args().nth(1).unwrap()).unwrap();\n\
             drop(held);\n\
         }}\n"
    );
    std::fs::write(dir.join("main.rs"), source).expect("written");
    let mut rlibs: Vec<_> = std::fs::read_dir(&deps).ok()?.flatten().map(|e| e.path()).collect();
    rlibs.retain(|p| p.extension() == Some(OsStr::new("rlib")));
    rlibs.retain(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with("libtenure-")));
    // Several builds of the library may lie there, and some are of other versions of the compiler or of its dependencies, or
    // older than what they are to be.
    rlibs.sort_by_key(|p| std::cmp::Reverse(p.metadata().and_then(|m| m.modified()).ok()));
    let program = dir.join("shop");
    let built = rlibs.iter().any(|rlib| {
        let mut rustc = Command::new("rustc");
        rustc.args(["--edition=2024", "--crate-name=shop", "-g", "-o"]).arg(&program).arg(dir.join("main.rs"));
        rustc.arg("--extern").arg(format!("tenure={}", rlib.display()));
        rustc.arg("-L").arg(format!("dependency={}", deps.display()));
        rustc.output().is_ok_and(|out| out.status.success())
    });
    built.then_some(program)
}

/// Names tie two builds together, though everything stands elsewhere in the second one; and what is said when the builds
/// are gone or changed.
#[test]
fn two_builds() {
    let dir = Dir::new("builds");
    let more = "#[inline(never)] pub fn more() -> String { format!(\"{:?}\", std::env::args()) }\n\n\n";
    let (Some(old), Some(new)) = (build(&dir.path("a"), "", 100), build(&dir.path("b"), more, 250)) else {
        println!("skipped: two builds, because rustc is not here, or not the one that built this test");
        return;
    };
    let (was, is) = (dir.path("was"), dir.path("is"));
    for (program, dump) in [(&old, &was), (&new, &is)] {
        let status = Command::new(program).arg(dump).env("TENURE", "exact").status().expect("started");
        assert!(status.success());
    }
    let text = printed(&[&"diff", &was, &is, &"--by", &"function"]);
    let row = text.lines().find(|l| l.contains("shop::hold_orders::{")).expect("the function");
    assert!(row.contains("+146.5 KiB") && row.contains("+150 ") && row.contains("244.1 KiB"), "{text}");
    // The program is gone; then it is elsewhere; then another one is in its place.
    let elsewhere = dir.path("elsewhere");
    std::fs::create_dir(&elsewhere).expect("a directory");
    std::fs::rename(&old, elsewhere.join("shop")).expect("moved");
    let gone = printed(&[&"show", &was]);
    let note = format!(
        "note: no names from {}: the file is not here, or was removed since; give a directory that holds it",
        old.display()
    );
    assert!(gone.contains(&note) && !gone.contains("hold_orders"), "{gone}");
    let out = tenure(&[&"convert", &was, &"folded", &"-"]).output().expect("started");
    assert!(out.status.success());
    assert!(String::from_utf8_lossy(&out.stderr).starts_with(&format!("tenure: {note}")), "{out:?}");
    assert!(printed(&[&"show", &was, &"--search", &elsewhere]).contains("shop::hold_orders"));
    std::fs::copy(&new, &old).expect("copied");
    let other = printed(&[&"show", &was]);
    assert!(other.contains(" is of another build: it has ") && !other.contains("hold_orders"), "{other}");
}
