//! Programs as they are.

use crate::checked::{Tally, watched};
use std::collections::{BTreeMap, HashMap};
use std::hint::black_box;
use std::thread;
use tenure::internals::tracker;

/// Rounds are fewer where the compiler does not optimise.
const ROUNDS: usize = if cfg!(debug_assertions) { 2 } else { 20 };

fn report(what: &str, tally: Tally) {
    println!("{what}: {tally:?}; guesses of all threads right and wrong: {:?}", tracker::guesses().0);
    assert!(tally.blocks > 300, "{what}: {tally:?}");
    assert_eq!(tally.early, 0, "{what}: {tally:?}");
}

#[test]
fn json() {
    let item = |i: usize| format!(r#"{{"id":{i},"name":"n{i}","tags":["a","b",{{"x":[1,2.5,null,true]}}],"at":{{}}}}"#);
    let text = format!("[{}]", (0..200).map(item).collect::<Vec<_>>().join(","));
    let tally = watched(|| {
        for _ in 0..ROUNDS {
            let value: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
            black_box(serde_json::to_string_pretty(&value).expect("so is this"));
        }
    });
    report("serde_json", tally);
}

fn maps_and_text(round: usize) {
    let mut words: Vec<String> = (0..200).map(|i| format!("{:x}-{round}", i * 7919 % 1009)).collect();
    words.sort();
    words.sort_by_key(|w| w.len());
    let mut tree = BTreeMap::new();
    let mut table: HashMap<String, Vec<u64>> = HashMap::new();
    for (i, word) in words.into_iter().enumerate() {
        table.entry(word.clone()).or_default().push(i as u64);
        tree.entry(word).or_insert_with(Vec::new).push(i.to_string());
    }
    tree.retain(|k, _| k.len() % 2 == 0);
    table.retain(|k, _| k.len() % 2 == 1);
    black_box((tree, table));
}

#[test]
fn maps_sorting_and_text() {
    report("maps", watched(|| (0..2 * ROUNDS).for_each(maps_and_text)));
}

#[test]
fn threads_at_once() {
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| report("a thread", watched(|| (0..ROUNDS).for_each(maps_and_text))));
        }
    });
}

#[test]
fn a_parser_with_deep_stacks() {
    let here = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/layering.rs");
    let source = std::fs::read_to_string(here).expect("the source of a test");
    let tally = watched(|| _ = black_box(syn::parse_file(&source).expect("it compiles").items.len()));
    report("syn", tally);
    assert!(tally.cut > 0, "some of its stacks are beyond the limit: {tally:?}");
}

/// From 1 to 200 frames: below the limit, at it, and beyond.
#[test]
fn recursion_below_and_beyond_the_limit() {
    #[inline(never)]
    fn down(n: usize) -> usize {
        let block = Box::new(n);
        let below = if n > 0 { down(n - 1) } else { 0 };
        below + *black_box(block)
    }
    let tally = watched(|| {
        for round in 0..10 * ROUNDS {
            black_box(down(round * 37 % 200));
        }
    });
    report("recursion", tally);
    assert!(tally.cut > 100 && tally.cut < tally.blocks, "{tally:?}");
}

/// Many calls in one frame.
#[test]
fn deep_inlining() {
    #[inline(always)]
    fn each(n: usize) -> impl Iterator<Item = String> {
        (0..n).map(|i| i + 1).filter(|i| i % 3 != 0).flat_map(|i| [i, i * 2]).map(|i| format!("{i}")).take(20)
    }
    let tally = watched(|| {
        for n in 0..20 * ROUNDS {
            let all: Vec<String> =
                each(n).chain(each(n / 2)).chain(std::iter::once_with(|| "x".repeat(n + 1))).collect();
            black_box(all.iter().cloned().map(Box::new).collect::<Vec<_>>());
        }
    });
    report("inlined", tally);
}
