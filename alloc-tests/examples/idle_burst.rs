//! How much of a burst of 1 GiB a process gives back that does nothing after it.
//!
//! ```sh
//! cargo run --release -p tenure-alloc-tests --example idle_burst
//! ```
//!
//! Each kind of burst runs in a process of its own, which holds 64 MiB before and after. It frees the burst, sleeps, and reads
//! what it occupies (anonymous memory) 2 and 5 seconds later; nothing else is called, and nothing allocated.

use std::hint::black_box;
use std::process::Command;
use std::sync::{Barrier, LazyLock};
use std::thread;
use std::time::Duration;
use tenure_alloc_tests::Tenure;
use tenure_alloc_tests::rng::Rng;
use tenure_alloc_tests::rss::{anonymous, mib};

#[global_allocator]
static ALLOC: Tenure = Tenure::new();

const BURST: usize = 1 << 30;
const KINDS: [&str; 6] = ["small", "mixed", "large", "huge", "sleeping", "ended"];

/// Blocks of these sizes, touched, and so many bytes in all.
fn fill(bytes: usize, seed: u64, mut size: impl FnMut(&mut Rng) -> usize) -> Vec<Vec<u8>> {
    let (mut rng, mut blocks, mut sum) = (Rng::new(seed), Vec::new(), 0);
    while sum < bytes {
        let size = size(&mut rng);
        sum += size;
        blocks.push(vec![1; size]);
    }
    blocks
}

fn small(rng: &mut Rng) -> usize {
    8 + rng.below(500)
}

fn main() {
    let Some(kind) = std::env::args().nth(1) else {
        println!("| burst of 1 GiB | before | full | after 2 s | | after 5 s |");
        println!("| --- | ---: | ---: | ---: | ---: | ---: |");
        for kind in KINDS {
            let program = std::env::current_exe().expect("the path of this program");
            let status = Command::new(program).arg(kind).status().expect("run this program again");
            assert!(status.success(), "{kind}: {status}");
        }
        return;
    };
    let kept = fill(64 << 20, 1, small);
    thread::sleep(Duration::from_secs(3));
    let before = anonymous();
    let full = match kind.as_str() {
        "small" => burst(|| fill(BURST, 2, small)),
        "mixed" => burst(|| fill(BURST, 3, |rng| rng.log_uniform(1 << 20))),
        "large" => burst(|| fill(BURST, 4, |rng| (100 << 10) + rng.below(4 << 20))),
        "huge" => burst(|| vec![vec![1; BURST]]),
        "sleeping" => threads(true),
        "ended" => threads(false),
        other => panic!("{other:?} is none of {KINDS:?}"),
    };
    let after = [2, 3].map(|seconds| {
        thread::sleep(Duration::from_secs(seconds));
        anonymous()
    });
    println!(
        "| {kind} | {} MiB | {} MiB | {} MiB | {:+.1} % | {} MiB |",
        mib(before),
        mib(full),
        mib(after[0]),
        (after[0] as f64 / before as f64 - 1.0) * 100.0,
        mib(after[1])
    );
    black_box(kept);
    // Threads that sleep are left behind.
    std::process::exit(0);
}

fn burst(fill: impl FnOnce() -> Vec<Vec<u8>>) -> usize {
    let blocks = fill();
    let full = anonymous();
    drop(blocks);
    full
}

/// Eight threads hold an eighth each, and free it; then they sleep or end.
fn threads(sleep: bool) -> usize {
    static FULL: LazyLock<Barrier> = LazyLock::new(|| Barrier::new(9));
    static FREE: LazyLock<Barrier> = LazyLock::new(|| Barrier::new(9));
    static DONE: LazyLock<Barrier> = LazyLock::new(|| Barrier::new(9));
    for seed in 0..8 {
        thread::spawn(move || {
            let blocks = fill(BURST / 8, 10 + seed, small);
            FULL.wait();
            FREE.wait();
            drop(blocks);
            DONE.wait();
            if sleep {
                thread::sleep(Duration::from_secs(1000));
            }
        });
    }
    FULL.wait();
    let full = anonymous();
    FREE.wait();
    DONE.wait();
    full
}
