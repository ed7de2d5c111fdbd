//! What a small heap holds beside its live blocks: pages that other threads' shards have free, and what samples stand on.

use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use tenure::generation::{self, Generation::Young};
use tenure_alloc_tests::Tenure;
use tenure_alloc_tests::child::Scenario;

#[global_allocator]
static ALLOC: Tenure = Tenure::new();

const SLICE: usize = 64 << 10;

/// Pages of the class that serves a size.
fn pages(size: usize) -> usize {
    tenure::stats().classes.iter().find(|c| c.block_size >= size).map_or(0, |c| c.pages)
}

/// A thread that needs a page takes one that is largely free, though a thread draws from its shard; it makes none.
#[test]
fn free_pages_of_others_serve_before_new_ones() {
    Scenario::new("free_pages_of_others_serve_before_new_ones").env("TENURE", "off,helper=off").run(|| {
        generation::disable();
        const SIZE: usize = 1000;
        let done = Barrier::new(2);
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut blocks: Vec<_> = (0..2000).map(|i| vec![i as u8; SIZE]).collect();
                // Every other block is freed: no page becomes empty, and each is half free but for what lies in magazines.
                let mut odd = false;
                blocks.retain(|_| {
                    odd = !odd;
                    odd
                });
                _ = generation::collect(Young);
                _ = generation::collect(Young);
                done.wait();
                done.wait();
                assert!(blocks.iter().all(|block| block.len() == SIZE));
            });
            done.wait();
            let before = pages(SIZE);
            assert!((30..=40).contains(&before), "{before} pages of 64 blocks for 2000");
            let more: Vec<_> = (0..800).map(|i| black_box(vec![i as u8; SIZE])).collect();
            let after = pages(SIZE);
            tenure::internals::check();
            drop(more);
            done.wait();
            assert!(after <= before + 1, "{before} pages before, {after} after: about 900 of their blocks were free");
        });
    });
}

/// A page that is made for samples holds no memory but that of its blocks, whatever its slices held before.
#[test]
fn pages_of_samples_are_holes() {
    Scenario::new("pages_of_samples_are_holes").env("TENURE", "sampled=1KiB,helper=off").run(|| {
        generation::disable();
        // Slices that are free, and hold physical memory.
        drop((0..400).map(|i| vec![i as u8; 7000]).collect::<Vec<_>>());
        _ = generation::collect(Young);
        _ = generation::collect(Young);
        let before = tenure::stats();
        assert!(before.due > SLICE, "{before}");
        // Of classes that nothing else is likely to have had a sample of.
        const SIZES: [usize; 8] = [1300, 1900, 2100, 2700, 3500, 3900, 4500, 5500];
        for size in SIZES {
            // One of three at least is a sample: a few hundred without any are not seen in a lifetime. One lives at a time.
            (0..300).for_each(|i| _ = black_box(vec![i as u8; size]));
        }
        let after = tenure::stats();
        tenure::internals::check();
        let dug = after.holes - before.holes;
        println!("{dug} bytes in holes");
        assert!(dug >= SIZES.len() * SLICE / 2, "{dug} bytes of {} pages", SIZES.len());
    });
}
