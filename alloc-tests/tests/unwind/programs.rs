//! Programs as they are: every allocation of theirs is captured.

use crate::compare::{Compared, DEPTH, Tally, compare, watched};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::thread;
use tenure::internals::unwind::{self, Ending};

/// Rounds are fewer where the compiler does not optimise.
const ROUNDS: usize = if cfg!(debug_assertions) { 3 } else { 40 };

fn report(what: &str, tally: Tally) {
    println!("{what}: {tally:?}");
    assert!(tally.captures > 500, "{what}: {tally:?}");
    assert_eq!(tally.early, 0, "{what}: {tally:?}");
}

#[test]
fn it_works_here() {
    assert!(unwind::works());
}

#[test]
fn json() {
    let item = |i: usize| format!(r#"{{"id":{i},"name":"n{i}","tags":["a","b",{{"x":[1,2.5,null,true]}}],"at":{{}}}}"#);
    let text = format!("[{}]", (0..400).map(item).collect::<Vec<_>>().join(","));
    let n = watched(|| {
        for _ in 0..2 * ROUNDS {
            let value: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
            black_box(serde_json::to_string_pretty(&value).expect("so is this"));
        }
    });
    report("serde_json", n);
}

#[test]
fn collections_and_text() {
    let n = watched(|| {
        for round in 0..10 * ROUNDS {
            let mut map = BTreeMap::new();
            let mut words: Vec<String> = (0..300).map(|i| format!("{:x}-{round}", i * 7919 % 1009)).collect();
            words.sort();
            words.sort_by_key(|w| w.len());
            for (i, word) in words.into_iter().enumerate() {
                map.entry(word).or_insert_with(Vec::new).push(i.to_string());
            }
            let all: std::collections::HashSet<_> =
                map.iter().flat_map(|(k, v)| v.iter().map(move |x| (k, x))).collect();
            black_box(all.len());
        }
    });
    report("collections", n);
}

#[test]
fn regular_expressions() {
    let patterns = [
        r"(?i)\b[a-z0-9._%+-]+@[a-z0-9.-]+\.[a-z]{2,4}\b",
        r"^(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2})$",
        r"\p{Greek}+|\p{Cyrillic}{2,3}|(?P<x>a|b|[^c])*",
    ];
    let n = watched(|| {
        for _ in 0..ROUNDS {
            for pattern in patterns {
                let regex = regex::Regex::new(pattern).expect("a pattern");
                black_box(regex.captures_iter("me@example.org 2026-11-21T10:00 αβγ").count());
            }
        }
    });
    report("regex", n);
}

#[test]
fn a_parser_of_rust() {
    let here = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/layering.rs");
    let source = std::fs::read_to_string(here).expect("the source of a test");
    let n = watched(|| {
        for _ in 0..ROUNDS.div_ceil(5) {
            black_box(syn::parse_file(&source).expect("it compiles").items.len());
        }
    });
    report("syn", n);
}

#[test]
fn panics_and_boxes_of_errors() {
    let n = watched(|| {
        for i in 0..100 * ROUNDS {
            let result = std::panic::catch_unwind(|| {
                let text = format!("{i}");
                if i % 2 == 0 {
                    std::panic::resume_unwind(Box::new(text));
                }
                text
            });
            black_box(result.is_err());
            black_box("x".parse::<u32>().map_err(Box::<dyn std::error::Error>::from).is_err());
        }
    });
    report("panics", n);
}

#[test]
fn threads() {
    let threads: Vec<_> = (0..8u64)
        .map(|t| {
            thread::spawn(move || {
                let n = watched(|| {
                    for i in 0..200 * ROUNDS as u64 {
                        black_box(vec![format!("{t}"), (i * t).to_string()]);
                        if i % 50 == 0 {
                            thread::spawn(move || _ = watched(|| drop(black_box(vec![i; 9]))))
                                .join()
                                .expect("no panic");
                        }
                    }
                });
                (n, compare())
            })
        })
        .collect();
    for thread in threads {
        let (n, last) = thread.join().expect("no panic");
        report("a thread", n);
        // clone's child has no caller.
        assert_eq!(last.ending, Ending::Complete);
    }
}

/// New addresses all the time: each capture finds some of its rules gone.
#[test]
fn rules_forgotten_meanwhile() {
    let done = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                unwind::forget();
                thread::yield_now();
            }
        });
        let n = watched(|| {
            for i in 0..300 * ROUNDS {
                black_box(format!("{i}"));
            }
        });
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        report("forgetting", n);
    });
}

#[inline(never)]
fn recurse(n: usize) -> Compared {
    let room = black_box([n; 5]);
    let compared = if n == 0 { compare() } else { recurse(n - 1) };
    black_box(room);
    compared
}

#[test]
fn recursion_up_to_the_limit_and_beyond() {
    let shallow = recurse(0).frames;
    for n in (0..40).chain(DEPTH - shallow - 3..DEPTH - shallow + 4).chain([DEPTH * 3]) {
        let compared = recurse(n);
        let (frames, ending) =
            if shallow + n <= DEPTH { (shallow + n, Ending::Complete) } else { (DEPTH, Ending::Depth) };
        assert_eq!((compared.frames, compared.ending), (frames, ending));
    }
}

macro_rules! inlined {
    ($name:ident, $next:ident) => {
        #[inline(always)]
        fn $name(n: usize) -> Vec<usize> {
            let mut all = $next(n + 1);
            all.push(all.len() ^ n);
            all
        }
    };
}
inlined!(inlined_1, inlined_2);
inlined!(inlined_2, inlined_3);
inlined!(inlined_3, inlined_4);
inlined!(inlined_4, innermost);
#[inline(always)]
fn innermost(n: usize) -> Vec<usize> {
    black_box(vec![n; 2])
}

#[test]
fn a_leaf_in_deep_inlining() {
    let n = watched(|| (0..200).for_each(|i| drop(black_box(inlined_1(i)))));
    assert!(n.captures > 200 && n.early == 0, "{n:?}");
}

#[repr(align(64))]
struct Aligned([u8; 192]);

/// Its frame is aligned by hand, so nothing but RBP leads out of it.
#[inline(never)]
fn realigned(n: usize) -> Compared {
    let mut local = Aligned([n as u8; 192]);
    black_box(&mut local.0);
    let compared = if n == 0 { compare() } else { realigned(n - 1) };
    black_box(&mut local.0);
    compared
}

#[target_feature(enable = "avx")]
#[inline(never)]
fn with_vectors(n: usize) -> Compared {
    use std::arch::x86_64::*;
    let mut values = [_mm256_set1_ps(n as f32); 4];
    black_box(&mut values);
    let compared = if n == 0 { compare() } else { with_vectors(n - 1) };
    black_box(&mut values);
    compared
}

#[test]
fn frames_that_align_themselves() {
    for n in [0, 1, 5] {
        assert_eq!(realigned(n).ending, Ending::Complete);
        if std::is_x86_feature_detected!("avx") {
            // SAFETY: the processor has it.
            assert_eq!(unsafe { with_vectors(n) }.ending, Ending::Complete);
        }
    }
}

#[test]
fn large_frames() {
    #[inline(never)]
    fn large<const N: usize>() -> Compared {
        let mut room = [0u8; N];
        black_box(&mut room);
        let compared = compare();
        black_box(&mut room);
        compared
    }
    thread::Builder::new()
        .stack_size(16 << 20)
        .spawn(|| {
            assert_eq!(large::<100_000>().switches, 0);
            assert_eq!(large::<1_000_000>().switches, 0);
            // Further than is read without a question.
            assert_eq!(large::<3_000_000>().switches, 1);
            // Further than a rule can say.
            assert_eq!(large::<9_000_000>().ending, Ending::Complex);
        })
        .expect("a thread")
        .join()
        .expect("no panic");
}
