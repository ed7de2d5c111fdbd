//! `TENURE`, the one environment variable: what it sets, what it says of what it cannot read, and when it is not read.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use tenure::{HugePages, Mode, Tenure};
use tenure_alloc_tests::child::{Outcome, Scenario};

// With a builder whose every choice is not the default.
#[global_allocator]
static ALLOC: Tenure = Tenure::new()
    .mode(Mode::Sampled { mean: 1 << 20 })
    .stack_depth(40)
    .max_sites(5000)
    .max_tags(50)
    .helper_thread(false)
    .huge_pages(HugePages::Never);

/// The lines of ours that a child has written.
fn lines(outcome: &Outcome) -> Vec<&str> {
    outcome.stderr.lines().filter_map(|line| line.strip_prefix("tenure: ")).collect()
}

/// Runs this test with a value of the variable; the child prints its mode and depth.
fn with(test: &'static str, value: &str) -> Option<Outcome> {
    let outcome = Scenario::new(test).env("TENURE", value).outcome(report);
    if let Some(outcome) = &outcome {
        assert!(outcome.status.success() && outcome.completed, "{value:?}: {outcome:?}");
    }
    outcome
}

#[inline(never)]
fn down(n: usize) -> Box<usize> {
    let block = if n == 0 { std::hint::black_box(Box::new(n)) } else { down(n - 1) };
    std::hint::black_box(n);
    block
}

fn report() {
    let mode = tenure::mode();
    let _exact = tenure::exact_scope();
    let frames = tenure::origin(&*down(300)).expect("it is tracked").stack.len();
    println!("\n<{mode}, {frames} frames>");
}

fn seen(outcome: &Outcome) -> &str {
    outcome.stdout.lines().find(|line| line.starts_with('<')).expect("the child reports")
}

#[test]
fn good_words() {
    for (value, right) in [
        ("", "<sampled=1MiB, 40 frames>"),
        ("off", "<off, 40 frames>"),
        ("exact", "<exact, 40 frames>"),
        ("sampled", "<sampled=512KiB, 40 frames>"),
        ("sampled=64KiB,depth=7", "<sampled=64KiB, 7 frames>"),
        (" exact , depth = 12 ,, ", "<exact, 12 frames>"),
        ("depth=256,off,exact", "<exact, 256 frames>"),
        ("depth=1", "<sampled=1MiB, 1 frames>"),
        ("helper=on,huge_pages=auto,sites=16,tags=2", "<sampled=1MiB, 40 frames>"),
    ] {
        let Some(outcome) = with("good_words", value) else { return };
        // With sixteen sites there may be no room for the stack.
        if !value.contains("sites") {
            assert_eq!(seen(&outcome), right, "{value:?}");
        }
        assert_eq!(lines(&outcome), [""; 0], "{value:?}: nothing to say");
    }
}

#[test]
fn bad_words_are_named_and_change_nothing_else() {
    let bad = ["exakt", "EXACT", "off=1", "sampled=0", "sampled=x", "sampled=12kb", "depth", "depth=0", "depth=257"];
    let more = ["depth=1e3", "sites=15", "tags=0", "tags=99999999999", "helper=yes", "huge_pages", "=", "=5", "ünï=ö"];
    for bad in bad.into_iter().chain(more) {
        for value in [format!("depth=9,{bad},off"), format!("{bad},off,depth=9"), format!("off,depth=9,{bad}")] {
            let Some(outcome) = with("bad_words_are_named_and_change_nothing_else", &value) else { return };
            let said = lines(&outcome);
            assert_eq!(said.len(), 1, "{value:?}: {said:?}");
            assert!(
                said[0].starts_with(&format!("TENURE: `{bad}` ")) && said[0].ends_with("; it is ignored"),
                "{said:?}"
            );
            assert_eq!(seen(&outcome), "<off, 9 frames>");
        }
    }
}

#[test]
fn each_bad_word_has_its_line() {
    let Some(outcome) = with("each_bad_word_has_its_line", "a,b,exact,c,depth=,d=") else { return };
    let said = lines(&outcome);
    let words: Vec<_> = said.iter().filter_map(|line| line.split('`').nth(1)).collect();
    assert_eq!(words, ["a", "b", "c", "depth=", "d="]);
    assert_eq!(seen(&outcome), "<exact, 40 frames>");
}

/// Nothing that a word holds makes two lines of one, or tells a terminal what to do.
#[test]
fn words_that_cannot_be_printed() {
    for word in ["two\nlines", "bell\u{7}", "\u{1b}[31mred", "\r", "tab\there"] {
        let Some(outcome) = with("words_that_cannot_be_printed", &format!("{word},off")) else { return };
        let said = lines(&outcome);
        // A word of white space only is none.
        assert_eq!(said.len(), usize::from(!word.trim().is_empty()), "{word:?}: {said:?}");
        let control = |c: char| c.is_control() && c != '\n';
        assert!(!outcome.stderr.contains(control), "{word:?}: {:?}", outcome.stderr);
        assert_eq!(
            outcome.stderr.lines().filter(|line| line.contains("lines")).count(),
            usize::from(word.contains("lines"))
        );
        assert_eq!(seen(&outcome), "<off, 40 frames>");
    }
}

#[test]
fn long_values() {
    for value in ["x".repeat(100_000) + ",off", "x,".repeat(200) + "off", ",".repeat(100_000) + "off"] {
        let Some(outcome) = with("long_values", &value) else { return };
        assert_eq!(seen(&outcome), "<off, 40 frames>");
        assert!(lines(&outcome).iter().all(|line| line.len() <= 500));
        assert!(lines(&outcome).iter().all(|line| line.ends_with("; it is ignored")), "{:?}", lines(&outcome));
    }
}

#[test]
fn help_prints_what_is_effective() {
    let Some(outcome) = with("help_prints_what_is_effective", "help") else { return };
    let text = lines(&outcome).join("\n");
    println!("{text}");
    for part in ["sampled=1MiB", "depth=40", "sites=5000", "tags=50", "helper=off", "huge_pages=never", "exact"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(text.contains(if cfg!(target_arch = "x86_64") { "by the unwind rules" } else { "unwinder" }), "{text}");
    assert_eq!(seen(&outcome), "<sampled=1MiB, 40 frames>", "and the program runs");
}

#[test]
fn help_prints_what_the_variable_set() {
    let value = "depth=3,help,sampled=3MiB,nonsense,sites=77,tags=8,helper=on,huge_pages=always";
    let Some(outcome) = with("help_prints_what_the_variable_set", value) else { return };
    let said = lines(&outcome);
    let text = said.join("\n");
    for part in ["sampled=3MiB", "depth=3 ", "sites=77 ", "tags=8 ", "helper=on ", "huge_pages=always", "`nonsense`"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(said.iter().filter(|line| line.contains("depth=")).count(), 1, "once");
}

/// This test again, as a child that reports. For what a [`Scenario`] cannot set.
fn again(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("the path of this test"));
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]).env("REPORT", test).stdin(Stdio::null());
    command
}

/// Runs a child; its report and what it says of the variable. `None` in the child, after its report.
fn run(test: &str, set: impl FnOnce(&mut Command)) -> Option<(String, Vec<String>)> {
    if std::env::var("REPORT").is_ok_and(|name| name == test) {
        report();
        return None;
    }
    let mut command = again(test);
    set(&mut command);
    let output = command.output().expect("start this test again");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out} {err}");
    let seen = out.lines().find(|line| line.starts_with('<')).expect("the child reports").to_string();
    Some((seen, err.lines().filter_map(|line| line.strip_prefix("tenure: ")).map(String::from).collect()))
}

#[test]
fn a_value_that_is_not_text() {
    use std::os::unix::ffi::OsStrExt;
    let value = std::ffi::OsStr::from_bytes(b"off,\xff\xfe,exact");
    let Some((seen, said)) = run("a_value_that_is_not_text", |command| _ = command.env("TENURE", value)) else {
        return;
    };
    assert_eq!(seen, "<sampled=1MiB, 40 frames>", "all of it is ignored");
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("UTF-8") && said[0].is_ascii(), "{said:?}");
}

/// The variable is not read where the process has more rights than its caller: a copy of this program with a group's rights.
#[test]
fn not_read_with_more_rights_than_the_callers() {
    const NAME: &str = "not_read_with_more_rights_than_the_callers";
    if std::env::var("REPORT").is_ok_and(|name| name == NAME) {
        // SAFETY: reads a constant of the process.
        println!("\nsecure: {}", unsafe { libc::getauxval(libc::AT_SECURE) });
        return report();
    }
    // SAFETY: reads the process' own.
    if unsafe { libc::geteuid() } != 0 {
        return println!("skipped: {NAME}: only root can start a program with other rights");
    }
    // A program whose set-user-id bit makes root of another user.
    let copy = std::path::Path::new("/tmp").join(format!("tenure-secure-{}", std::process::id()));
    std::fs::copy(std::env::current_exe().expect("the path of this test"), &copy).expect("there is room");
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o4755)).expect("it is ours");
    let mut command = Command::new(&copy);
    command.args([NAME, "--exact", "--nocapture", "--test-threads=1"]).env("REPORT", NAME);
    command.env("TENURE", "exact,nonsense").uid(65534).gid(65534).stdin(Stdio::null()).current_dir("/");
    let output = command.output();
    let _ = std::fs::remove_file(&copy);
    let output = match output {
        Ok(output) => output,
        Err(error) => return println!("skipped: {NAME}: {error}"),
    };
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if !out.contains("secure: 1") {
        return println!("skipped: {NAME}: set-user-id has no effect here: {out} {err}");
    }
    assert!(out.contains("<sampled=1MiB, 40 frames>"), "{out}");
    assert!(!err.contains("tenure: "), "{err}");
}
