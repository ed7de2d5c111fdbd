//! What programs do all day: parse, index, look up.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::fs;
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::hint::black_box;
use std::io::Write as _;

use super::grow::passes;
use super::{Outcome, Setting};
use crate::rng::Rng;
use crate::sources;

/// Parses 30 MB of JSON into a tree and drops it, twice: once with fresh memory, once with what the first left.
pub(super) fn json(setting: &Setting) -> Outcome {
    let text = json_text(setting.scaled(30_000_000));
    passes(2, || {
        let tree: serde_json::Value = serde_json::from_slice(&text).expect("this is JSON");
        black_box(&tree);
    })
}

/// A list of records like a web service's, written into one block: the text leaves no holes in the heap that the
/// tree is measured in.
fn json_text(bytes: usize) -> Vec<u8> {
    const WORDS: [&str; 8] = ["amber", "birch", "cobalt", "dune", "ember", "fjord", "granite", "harbour"];
    const RECORD: usize = 512;
    let mut rng = Rng::new(1);
    let mut text = Vec::with_capacity(bytes + RECORD);
    text.push(b'[');
    let mut id = 0;
    while text.len() < bytes {
        let mut word = || WORDS[rng.below(WORDS.len())];
        let written = write!(
            text,
            "{{\"id\":{id},\"name\":\"{} {}\",\"email\":\"{}.{}@example.org\",\"active\":{},\"tags\":[\"{}\",\"{}\",\"{}\"],\
             \"place\":{{\"city\":\"{}\",\"lat\":{}.{},\"lon\":-{}.5}},\"scores\":[{},{},{}],\"manager\":null}},",
            word(),
            word(),
            word(),
            word(),
            id % 3 == 0,
            word(),
            word(),
            word(),
            word(),
            id % 90,
            id % 1000,
            id % 180,
            id % 7,
            id % 11,
            id % 13,
        );
        written.expect("a Vec takes all");
        id += 1;
    }
    text.pop();
    text.push(b']');
    text
}

/// Builds a map of a million random keys to short byte strings, and drops it.
pub(super) fn btree(setting: &Setting) -> Outcome {
    passes(1, || {
        let mut rng = Rng::new(1);
        let mut map = BTreeMap::new();
        for _ in 0..setting.scaled(1_000_000) {
            let key = rng.bits();
            map.insert(key, vec![key as u8; rng.between(8, 64)].into_boxed_slice());
        }
        black_box(&map);
    })
}

/// A map of strings to strings in which each operation takes out a random entry and puts in a new one.
pub(super) fn hashmap(setting: &Setting) -> Outcome {
    // The standard hasher without its random key, so that all allocators see the same collisions.
    type Map = HashMap<String, String, BuildHasherDefault<DefaultHasher>>;
    let live = setting.scaled(150_000);
    passes(1, || {
        let mut rng = Rng::new(1);
        let mut map = Map::default();
        let mut ids: Vec<usize> = (0..live).collect();
        map.extend(ids.iter().map(|id| (key(*id), value(*id))));
        let mut looked_up = String::new();
        for id in live..live * 5 {
            let index = rng.below(live);
            looked_up.clear();
            write_key(&mut looked_up, ids[index]);
            map.remove(&looked_up);
            map.insert(key(id), value(id));
            ids[index] = id;
        }
        black_box(&map);
    })
}

fn write_key(out: &mut String, id: usize) {
    write!(out, "customer/{:x}/{}", id.wrapping_mul(0x9e37_79b9), id % 1000).expect("a String takes all");
}

fn key(id: usize) -> String {
    let mut key = String::new();
    write_key(&mut key, id);
    key
}

fn value(id: usize) -> String {
    "v".repeat(8 + id % 120)
}

/// Parses Rust files into syntax trees. A tree is dropped before the next one grows, as in a macro or a linter.
pub(super) fn syn(setting: &Setting) -> Outcome {
    let texts = sources_to_parse(setting);
    passes(1, || parse(&texts))
}

/// The same after a pass that is not counted.
pub(super) fn syn_warm(setting: &Setting) -> Outcome {
    let texts = sources_to_parse(setting);
    // One call for both passes, not to be unrolled: the second one's call stacks are the first one's.
    let mut outcome = Outcome::default();
    for _ in 0..black_box(2) {
        outcome = passes(1, black_box(|| parse(&texts)));
    }
    outcome
}

fn sources_to_parse(setting: &Setting) -> Vec<String> {
    let chosen = if setting.files.is_empty() { sources::choose() } else { setting.files.clone() };
    let few = if setting.smoke { 5 } else { chosen.len() };
    // A file that is not UTF-8 or does not parse is the same file for all allocators.
    chosen.iter().take(few).filter_map(|file| fs::read_to_string(file).ok()).collect()
}

#[inline(never)]
fn parse(texts: &[String]) {
    for text in texts {
        black_box(syn::parse_file(text).is_ok());
    }
}
