//! What exact tracking takes for itself: for each block, for each frame, for each site; and that it does not grow with time.

#[allow(dead_code, reason = "each file uses a part of it")]
mod hooks_support;

use hooks_support::{Raw, alone, exact, rng};
use std::hint::black_box;
use std::thread;
use tenure::internals::tracker;
use tenure_alloc_tests::Tenure;

#[global_allocator]
static ALLOC: Tenure = Tenure::new();

const KIB: usize = 1 << 10;
/// The allocator takes memory for itself in pieces of 1 MiB, and aligns what it takes from them.
const PIECES: usize = 3 << 20;
/// What a predictor may take: its table and its records.
const PREDICTOR: usize = (4 << 20) + 512 * KIB;

fn own() -> usize {
    tenure::stats().own
}

/// Sites and nodes.
fn sites() -> (usize, usize) {
    let (_, (sites, nodes, _)) = tracker::guesses();
    (sites as usize, nodes as usize)
}

#[test]
fn sixteen_bytes_a_block() {
    alone("sixteen_bytes_a_block", || {
        const N: usize = 600_000;
        let grown = |tracked| {
            exact(tracked);
            let mut blocks: Vec<Raw> = Vec::with_capacity(N);
            blocks.push(Raw::new(40));
            let before = own();
            while blocks.len() < N {
                blocks.push(Raw::new(40));
            }
            let grown = own() - before;
            blocks.drain(..).for_each(Raw::free);
            grown
        };
        let (plain, tracked) = (grown(false), grown(true));
        println!("{plain} bytes for {N} plain blocks, {tracked} for tracked ones");
        assert!(tracked >= 16 * N, "words are somewhere");
        assert!(tracked <= plain + 17 * N + PIECES, "{} a block", (tracked - plain) as f64 / N as f64);
        // Freed, and allocated again: in the same memory.
        let before = own();
        grown(true);
        assert!(own() <= before + PIECES);
    });
}

/// A tree of calls, with an allocation in each leaf: so many stacks, and as many frames that only they have.
#[inline(never)]
fn tree(path: usize, levels: usize) {
    if levels == 0 {
        black_box(Box::new(path));
    } else if path & 1 == 0 {
        tree(path >> 1, levels - 1);
    } else {
        // Not the same code as above, or the compiler would make one call of both.
        tree(black_box(path) >> 1, levels - 1);
        black_box(levels);
    }
    black_box(path);
}

#[test]
fn little_for_a_frame_and_a_site() {
    alone("little_for_a_frame_and_a_site", || {
        const LEVELS: usize = 15;
        exact(true);
        tree(0, LEVELS);
        let (before, (sites_before, nodes_before)) = (own(), sites());
        let mut grown = 0;
        // One loop, whose length the compiler does not know: a call that it repeats would be another stack.
        for round in 0..black_box(4) {
            (0..1 << LEVELS).for_each(|path| tree(path, LEVELS));
            if round > 0 {
                continue;
            }
            grown = own() - before;
            let (sites, nodes) = (sites().0 - sites_before, sites().1 - nodes_before);
            println!("{grown} bytes for {sites} sites and {nodes} nodes");
            assert!(sites > 30_000 && nodes > sites, "the compiler has left both calls");
            assert!(grown <= 24 * nodes + 128 * sites + PIECES);
        }
        // The same stacks again cost what a predictor may have, once.
        let predicted = own() - before - grown;
        println!("{predicted} bytes more for guesses");
        assert!(predicted <= PREDICTOR + PIECES);
    });
}

/// The same tree, in whose leaves a block is kept.
#[inline(never)]
fn keep(path: usize, levels: usize, kept: &mut Vec<Raw>) {
    if levels == 0 {
        kept.push(Raw::new(16));
    } else if path & 1 == 0 {
        keep(path >> 1, levels - 1, kept);
    } else {
        keep(black_box(path) >> 1, levels - 1, kept);
        black_box(levels);
    }
    black_box(path);
}

/// Sites whose blocks die in the epoch of their birth need no memory for ages; the others 256 bytes for each thread that frees
/// them, and samples 640.
#[test]
fn ages_cost_only_what_grows_old() {
    alone("ages_cost_only_what_grows_old", || {
        const LEVELS: usize = 14;
        const N: usize = 1 << LEVELS;
        let mut kept: Vec<Raw> = Vec::with_capacity(N);
        let grown = |kept: &mut Vec<Raw>, epochs: u64| {
            (0..black_box(N)).for_each(|path| keep(path, LEVELS, kept));
            let to = tenure::internals::epoch() + epochs;
            tenure::internals::set_young_bytes(1 << 20);
            while tenure::internals::epoch() < to {
                Raw::new(2 << 20).free();
            }
            tenure::internals::set_young_bytes(1 << 40);
            let alive = own();
            kept.drain(..).for_each(Raw::free);
            own() - alive
        };
        tenure::internals::set_young_bytes(1 << 40);
        exact(true);
        // One call, or they would be other stacks each time.
        let mut after = |epochs: &[u64]| -> Vec<usize> {
            let mut all = Vec::with_capacity(epochs.len());
            for &epochs in black_box(epochs) {
                all.push(grown(&mut kept, epochs));
            }
            all
        };
        let [_, young, old, again] = after(&[0, 0, 2, 9])[..] else { unreachable!() };
        println!(
            "{young} bytes more when {N} sites' blocks died young, {old} when they died old, {again} the next time"
        );
        assert!(young <= PIECES, "{young}");
        assert!((256 * N - PIECES..=256 * N + PIECES).contains(&old), "{old}");
        assert!(again <= PIECES, "{again}");
        exact(false);
        // Nearly every block is a sample.
        tracker::set_mean(1);
        tenure::internals::collect();
        let [_, young, old, again] = after(&[0, 0, 2, 9])[..] else { unreachable!() };
        println!("of samples: {young}, {old} and {again}");
        assert!(young <= PIECES, "{young}");
        assert!((640 * N - PIECES..=643 * N + PIECES).contains(&old), "{old}");
        assert!(again <= PIECES, "{again}");
    });
}

/// Threads that are exact for a scope at a time share what guesses take: a service measures one request in a hundred, on whichever of
/// its threads.
#[test]
fn threads_share_predictors() {
    alone("threads_share_predictors", || {
        const THREADS: usize = 24;
        let (turn, all) = (std::sync::Mutex::new(()), std::sync::Barrier::new(THREADS));
        let before = own();
        let work = || {
            for path in 0..64 {
                let _one = turn.lock().expect("no panic");
                let _exact = tenure::exact_scope();
                (0..4).for_each(|_| tree(path, 20));
            }
            // None of them ends before all have done it.
            all.wait();
        };
        std::thread::scope(|threads| (0..THREADS).for_each(|_| _ = threads.spawn(work)));
        let grown = own() - before;
        println!("{grown} bytes for {THREADS} threads");
        // The table of one predictor alone is more than 64 KiB; of each thread's own there would be as many as threads.
        assert!(grown <= PREDICTOR + PIECES + THREADS * 64 * KIB, "{grown}");
    });
}

/// However many stacks come again and again.
#[test]
fn predictors_are_bounded() {
    alone("predictors_are_bounded", || {
        exact(true);
        let mut rng = rng(3);
        let before = own();
        let (sites_before, nodes_before) = sites();
        let n = if cfg!(debug_assertions) { 40_000 } else { 1_000_000 };
        for _ in 0..n {
            // Twice each, so that it is learned; of all depths, so that records have all lengths.
            let (path, levels) = (rng.next() as usize, rng.below(30) + 1);
            let path = path & ((1 << levels.min(11)) - 1);
            (0..3).for_each(|_| tree(path, levels));
        }
        let ((sites, nodes), grown) = (sites(), own() - before);
        let tables = 24 * (nodes - nodes_before) + 128 * (sites - sites_before);
        println!("{grown} bytes, {tables} of them for sites and nodes; guesses {:?}", tracker::guesses().0);
        assert!(grown <= tables + PREDICTOR + PIECES);
    });
}

#[test]
fn short_threads_leave_nothing() {
    alone("short_threads_leave_nothing", || {
        exact(true);
        let work = |seed: u64| {
            let mut rng = rng(seed);
            let all: Vec<Raw> = (0..100).map(|i| Raw::new(1 + rng.below(2000) + i)).collect();
            (0..300).for_each(|_| tree(rng.below(64), 6));
            all.iter().for_each(|block| block.free());
            let text: Vec<String> = (0..50).map(|i| format!("{i}")).collect();
            black_box(text);
        };
        let generation = |first: u64| {
            // None of them ends before all have worked: each has a predictor of its own, from the first generation on.
            let all = std::sync::Barrier::new(4);
            thread::scope(|scope| {
                for seed in first..first + 4 {
                    let all = &all;
                    scope.spawn(move || {
                        work(seed);
                        all.wait();
                    });
                }
            });
        };
        (0..50).for_each(generation);
        let before = own();
        (0..250).for_each(|i| generation(1000 + 4 * i));
        let grown = own().saturating_sub(before);
        println!("{grown} bytes more after 1000 threads");
        // Their four predictors fill as they may, and go on filling: some MiB. Of 1,000 threads' heaps, 16 KiB each, it would be more.
        assert!(grown <= PREDICTOR + PIECES, "{grown}");
        let first = tenure::snapshot();
        assert!(first.rows().len() < 50, "nothing of theirs lives: {}", first.rows().len());
    });
}

/// Switching between modes, and back, keeps no more than one switch did.
#[test]
fn switches_leave_nothing() {
    alone("switches_leave_nothing", || {
        let round = |tracked| {
            exact(tracked);
            let blocks: Vec<Raw> = (0..3000).map(|i| Raw::new(1 + i % 3000)).collect();
            blocks.iter().for_each(|block| block.free());
        };
        (0..10).for_each(|i| round(i % 2 == 0));
        let before = own();
        (0..300).for_each(|i| round(i % 2 == 0));
        let grown = own().saturating_sub(before);
        println!("{grown} bytes more");
        assert!(grown <= PIECES, "{grown}");
    });
}
