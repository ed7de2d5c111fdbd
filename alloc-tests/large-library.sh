#!/usr/bin/env bash
# Generates a library of more than 100 MB with full debug information, for examples/symbols_cost.rs: modules of generics,
# collections and closures, each with types of its own, so that nothing is shared. Usage: large-library.sh DIRECTORY [MODULES]
set -euo pipefail
to=${1:?where to}
modules=${2:-80}
mkdir -p "$to/src"
cat >"$to/Cargo.toml" <<'TOML'
[package]
name = "large"
version = "0.0.0"
edition = "2024"
[lib]
crate-type = ["cdylib"]
[workspace]
[profile.release]
opt-level = 1
debug = 2
codegen-units = 64
incremental = false
TOML
{
    for ((i = 0; i < modules; i++)); do echo "mod m$i;"; done
    echo '#[unsafe(no_mangle)]'
    echo 'pub extern "C" fn large(n: u64) -> u64 {'
    echo '    let mut sum = 0;'
    for ((i = 0; i < modules; i++)); do echo "    sum ^= m$i::run(n);"; done
    echo '    sum'
    echo '}'
} >"$to/src/lib.rs"
for ((i = 0; i < modules; i++)); do
    cat >"$to/src/m$i.rs" <<RUST
use std::collections::{BTreeMap, HashMap, VecDeque, BTreeSet};
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key$i { name: String, number: u64, parts: Vec<u16> }
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Value$i { One(u64), Many(Vec<Key$i>), Text(String), Map(BTreeMap<u32, String>) }
#[inline(never)]
fn key(n: u64) -> Key$i { Key$i { name: format!("k{n}"), number: n * $i, parts: (0..n as u16 % 9).collect() } }
#[inline(never)]
fn values(n: u64) -> Vec<Value$i> {
    (0..n).map(|k| match k % 4 {
        0 => Value$i::One(k),
        1 => Value$i::Many((0..k).map(key).collect()),
        2 => Value$i::Text(format!("{:?}", key(k))),
        _ => Value$i::Map((0..k as u32).map(|x| (x, x.to_string())).collect()),
    }).collect()
}
#[inline(never)]
fn group(values: &[Value$i]) -> HashMap<Value$i, VecDeque<Key$i>> {
    let mut all: HashMap<Value$i, VecDeque<Key$i>> = HashMap::new();
    for (k, v) in values.iter().enumerate() {
        let queue = all.entry(v.clone()).or_default();
        queue.push_back(key(k as u64));
        queue.make_contiguous().sort_by(|a, b| b.cmp(a));
        queue.retain(|k| k.number % 7 != 3);
    }
    all
}
#[inline(never)]
fn order(groups: HashMap<Value$i, VecDeque<Key$i>>) -> BTreeMap<Key$i, BTreeSet<Value$i>> {
    let mut all: BTreeMap<Key$i, BTreeSet<Value$i>> = BTreeMap::new();
    for (v, keys) in groups {
        for k in keys { all.entry(k).or_default().insert(v.clone()); }
    }
    all
}
pub fn run(n: u64) -> u64 {
    let mut found = values(n);
    found.sort();
    found.dedup();
    let ordered = order(group(&found));
    let text = format!("{ordered:?}");
    let last = ordered.into_iter().rev().take(3).flat_map(|(k, v)| v.into_iter().map(move |v| (k.clone(), v)));
    last.map(|(k, v)| k.number ^ format!("{v:?}").len() as u64).fold(text.len() as u64, |a, b| a.wrapping_mul(31) ^ b)
}
RUST
done
cd "$to"
cargo build --release --quiet --target-dir target
cp target/release/liblarge.so .
ls -l liblarge.so
