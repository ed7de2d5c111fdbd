//! How many call stacks are guessed right when every block is tracked, and what the tree of them takes.
//!
//! ```sh
//! cargo run --release -p tenure-alloc-tests --example guesses -- FILE.rs ...
//! ```

use std::fs;
use std::hint::black_box;
use tenure::internals::tracker;
use tenure::{Mode, Tenure};

#[global_allocator]
static ALLOC: Tenure = Tenure::new().mode(Mode::Exact);

fn report(what: &str, f: impl FnOnce()) {
    let ((right, wrong), (sites, nodes, _)) = tracker::guesses();
    f();
    let ((r, w), (s, n, _)) = tracker::guesses();
    let (right, wrong) = (r - right, w - wrong);
    let share = right as f64 * 100.0 / (right + wrong).max(1) as f64;
    println!(
        "{what}: {} stacks, {share:.2} % guessed right; {} new sites, {} new nodes",
        right + wrong,
        s - sites,
        n - nodes
    );
}

fn main() {
    let text: String =
        (0..20_000).map(|i| format!("{{\"id\":{i},\"name\":\"user {i}\",\"tags\":[\"a\",\"b\",[{i}]]}},")).collect();
    let text = format!("[{}0]", text);
    report("json", || drop(black_box(serde_json::from_str::<serde_json::Value>(&text).expect("JSON"))));
    let files: Vec<String> = std::env::args().skip(1).filter_map(|path| fs::read_to_string(path).ok()).collect();
    let parse = || files.iter().for_each(|text| drop(black_box(syn::parse_file(text))));
    for pass in ["syn, first pass", "syn, second pass"] {
        report(pass, black_box(&parse));
    }
}
