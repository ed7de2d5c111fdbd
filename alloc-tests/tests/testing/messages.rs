//! What failed assertions say.

use super::block;
use super::guards::message;
use std::hint::black_box;
use tenure::testing::{Limits, assert_no_alloc, assert_no_leak, measure};

#[inline(never)]
fn cart(items: usize) -> Vec<Vec<u8>> {
    let all: Vec<_> = (0..items).map(|_| block(100)).collect();
    black_box(all)
}

#[inline(never)]
fn checkout() {
    drop(block(5000));
}

#[test]
fn an_allocation() {
    let text = message(|| assert_no_alloc(checkout));
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[..3], ["more memory than allowed", "  1 block allocated, at most 0 allowed", "allocated by"]);
    assert!(lines[3].starts_with("    5000 bytes in 1 block  testing::block (tests/testing.rs:"), "{text}");
    assert!(lines[4].trim_start().starts_with("testing::messages::checkout (tests/testing/messages.rs:"), "{text}");
    assert!(lines[5].contains("(tests/testing/messages.rs:"), "{text}");
    assert!(!text.contains("tenure::testing") && !text.contains("core::") && !text.contains("test::run"), "{text}");
}

#[test]
fn a_leak() {
    let text = message(|| assert_no_leak(|| std::mem::forget(cart(2))));
    assert!(
        text.starts_with("more memory than allowed\n  3 blocks still held at the end, at most 0 allowed\n"),
        "{text}"
    );
    assert!(
        text.contains("\n  248 bytes still held at the end, at most 0 allowed\nstill held, allocated by\n"),
        "{text}"
    );
    assert!(text.contains("200 bytes in 2 blocks  testing::block"), "{text}");
    let returned = message(|| drop(assert_no_leak(|| cart(1))));
    assert!(returned.contains("still held at the end"), "what is returned is held: {returned}");
}

#[test]
fn a_peak() {
    let text = message(|| {
        Limits::new().peak_bytes(3000).blocks(30).check(|| {
            let all = cart(20);
            checkout();
            drop(all);
            drop(cart(3));
        });
    });
    let first: Vec<_> = text.lines().take(3).collect();
    assert_eq!(first[1], "  7480 bytes held at the peak, at most 3000 allowed");
    assert_eq!(first[2], "held at the peak, allocated by");
    let at = |what: &str| text.find(what).unwrap_or_else(|| panic!("{what} is not in {text}"));
    assert!(at("5000 bytes in 1 block  ") < at("2000 bytes in 20 blocks  "));
    assert!(!text.contains("300 bytes in 3 blocks"), "what came later is not shown: {text}");
}

/// Several limits at once, and more sites than are shown.
#[test]
fn many_sites() {
    // A line each, because what looks alike is one entry.
    #[rustfmt::skip]
    let run = || {
        black_box([
            block(10),
            block(20),
            block(30),
            block(40),
            block(50),
            block(60),
            block(70),
            block(80),
            block(90),
            block(100),
            block(110),
            block(120),
            block(130),
        ])
    };
    let text = message(move || drop(Limits::new().blocks(3).bytes(100).no_leak().check(run)));
    let rows = text.lines().filter(|l| l.contains(" bytes in 1 block  ")).count();
    assert_eq!(
        text.matches("allocated by\n").count(),
        2,
        "one list for what was allocated, one for what is held: {text}"
    );
    assert_eq!(rows, 20, "{text}");
    assert_eq!(text.matches("    and 3 sites more: 60 bytes in 3 blocks").count(), 2, "{text}");
    assert!(
        text.contains("  13 blocks allocated, at most 3 allowed\n  910 bytes allocated, at most 100 allowed\n"),
        "{text}"
    );
    assert!(text.find("130 bytes") < text.find("120 bytes"));
}

#[inline(never)]
fn grown(items: usize) -> Vec<usize> {
    let mut all = Vec::new();
    (0..items).for_each(|i| all.push(black_box(i)));
    all
}

/// A vector is made by one call of the allocator and grows by another: for its reader, that is one line.
#[test]
fn what_looks_alike_is_one_entry() {
    let text = message(|| drop(assert_no_alloc(|| grown(100))));
    assert_eq!(text.matches(" bytes in ").count(), 1, "{text}");
    assert_eq!(text.matches(" testing::messages::grown (").count(), 1, "{text}");
}

/// Behind the frames of a crate that cargo fetched stands the line that called it.
#[cfg(all(target_arch = "x86_64", target_env = "gnu"))]
#[test]
fn a_crate_in_between() {
    let nested = "[".repeat(20) + &"]".repeat(20);
    let text = message(move || drop(assert_no_alloc(|| serde_json::from_str::<serde_json::Value>(&nested))));
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    let first = lines[3].split_once("  ").expect("what, and where").1;
    assert!(first.contains(" (serde_json-1."), "{text}");
    assert!(lines.contains(&"...") && !text.contains("/registry/src/"), "{text}");
    let after = lines.iter().position(|&l| l == "...").expect("it is there") + 1;
    assert!(lines[after].starts_with("testing::messages::a_crate_in_between::{{closure}}"), "{text}");
}

#[test]
fn what_is_ignored() {
    let limits = Limits::new().no_leak().blocks(1).peak_bytes(5000);
    let run = || {
        std::mem::forget(cart(10));
        checkout();
    };
    let text = message(move || limits.clone().check(run));
    assert!(text.contains("12 blocks allocated") && text.contains("held at the peak"), "{text}");
    let limits =
        Limits::new().no_leak().blocks(1).peak_bytes(5000).ignore("*::nothing").ignore("testing::messages::cart");
    limits.check(run);
    let text = message(move || limits.clone().blocks(0).check(run));
    assert!(text.contains("  1 block allocated, at most 0 allowed\n") && !text.contains("cart"), "{text}");
}

#[test]
fn a_measurement_as_text() {
    let text = measure(|| cart(3)).to_string();
    assert!(text.starts_with("allocated 372 bytes in 4 blocks, freed 0 bytes in 0 blocks, live 372 bytes in 4 blocks; peak 372 bytes, 4 blocks; 0 blocks resized in place\nallocated by\n"), "{text}");
    assert!(text.contains("    300 bytes in 3 blocks  testing::block (tests/testing.rs:"), "{text}");
}

/// The panic is put down to the test's own line.
#[test]
fn the_line_of_the_assertion() {
    use std::sync::Mutex;
    static SEEN: Mutex<String> = Mutex::new(String::new());
    tenure_alloc_tests::child::Scenario::new("messages::the_line_of_the_assertion").run(|| {
        std::panic::set_hook(Box::new(|info| {
            *SEEN.lock().expect("no panic") = info.location().expect("one").to_string()
        }));
        message(|| assert_no_alloc(checkout));
        let place = SEEN.lock().expect("no panic").clone();
        assert!(place.starts_with("alloc-tests/tests/testing/messages.rs:"), "{place}");
    });
}
