//! Every address that is no live block's ends the process, by one line that names it.

use crate::support::{MODES, Program, compile};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;

fn is_noticed(program: &Path, way: &str, size: &str, mode: &str) -> Result<(), String> {
    let output = Program::new(program).args(&[way, size]).tenure(mode).output();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let fault = |what: &str| Err(format!("{way} {size} {mode}: {what}: {}\n{out}{err}", output.status));
    let Some(address) = out.split_whitespace().nth(1).filter(|_| out.starts_with("address ")) else {
        return fault("no address");
    };
    let address = if address == "(nil)" { "0x0" } else { address };
    if output.status.signal() != Some(libc::SIGABRT) {
        return fault("no abort");
    }
    let lines: Vec<&str> = err.lines().collect();
    match lines[..] {
        [line] if line.starts_with("tenure: ") && line.contains(address) => Ok(()),
        _ => fault("not one line that names the address"),
    }
}

fn are_noticed(test: &str, ways: &[&str], sizes: &[&str]) {
    let Some(program) = compile(test, "invalid.c", &[]) else { return };
    let mut faults = Vec::new();
    for mode in MODES {
        for way in ways {
            faults.extend(sizes.iter().filter_map(|size| is_noticed(&program, way, size, mode).err()));
        }
    }
    assert!(faults.is_empty(), "{} went unnoticed:\n{}", faults.len(), faults.join("\n"));
}

const SIZES: [&str; 10] = ["1", "16", "24", "64", "1000", "5000", "20000", "65536", "1000000", "100000000"];

#[test]
fn a_second_free() {
    let ways =
        ["twice", "twice-calloc", "twice-aligned", "twice-after-writing", "twice-after-trim", "twice-by-realloc"];
    are_noticed("twice", &ways, &SIZES);
}

#[test]
fn a_second_free_later_or_elsewhere() {
    are_noticed("twice-later", &["twice-after-100"], &SIZES[..8]);
    are_noticed("twice-later", &["twice-after-1000", "twice-after-realloc"], &SIZES[..7]);
    are_noticed("twice-elsewhere", &["twice-elsewhere", "twice-after-elsewhere"], &["5000", "20000", "65536"]);
}

#[test]
fn an_address_inside_a_block() {
    let small = ["inside", "inside-by-8", "inside-by-1", "inside-at-its-end", "before"];
    are_noticed("inside", &small, &["64", "1000", "5000", "20000", "65536", "1000000", "100000000"]);
    are_noticed("inside-large", &["inside-by-a-slice"], &["1000000", "100000000"]);
    are_noticed("inside-huge", &["inside-by-32-MiB"], &["100000000"]);
}

#[test]
fn a_block_that_nobody_was_given() {
    are_noticed("never", &["never-the-next", "never-at-the-end-of-its-page"], &["24", "48", "1000", "5000"]);
    are_noticed("gone", &["a-page-that-is-gone"], &["24", "1000", "5000", "20000", "65536", "200000"]);
}

#[test]
fn an_address_of_something_else() {
    let ways = ["the-stack", "a-variable", "a-text", "code", "a-mapping", "the-break"];
    are_noticed("else", &ways, &["64"]);
    let numbers =
        ["1", "8", "16", "4096", "0x7ffffffff000", "0x800000000000", "0xffff800000000000", "0xdeadbeefdeadbee0"];
    are_noticed("numbers", &["a-number"], &numbers);
    are_noticed("own", &["our-own", "our-marks"], &["0", "16", "4096", "16384", "65000", "1000000"]);
}

#[test]
fn other_functions_than_free() {
    let ways = ["realloc-freed", "realloc-inside", "realloc-the-stack", "usable-freed"];
    are_noticed("functions", &ways, &["64", "5000", "20000", "1000000", "100000000"]);
}

/// The programs of this file do end well if nothing is wrong.
#[test]
fn nothing_is_wrong() {
    let Some(program) = compile("none", "invalid.c", &[]) else { return };
    let output = Program::new(&program).args(&["none"]).output();
    assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("unnoticed"));
}
