//! Random scopes on several threads beside a simple oracle: each block knows in which scopes it was born. The oracle allocates
//! nothing while scopes are open.

use super::{block, count};
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Barrier, Mutex};
use tenure::testing::{Count, Measured, Scope};
use tenure_alloc_tests::rng::Rng;

const SIZES: [usize; 4] = [16, 1000, 20_000, 150_000];
const DEPTH: usize = 6;

/// What a scope should say.
#[derive(Debug, Default)]
struct Expected {
    allocated: Count,
    live: Count,
    peak: Count,
    /// Bytes by size, which stands for the site.
    held: [u64; 4],
    at_peak: [u64; 4],
}

impl Expected {
    fn born(&mut self, which: usize) {
        let size = SIZES[which] as u64;
        self.allocated = count(self.allocated.blocks + 1, self.allocated.bytes + size);
        self.live = count(self.live.blocks + 1, self.live.bytes + size);
        self.held[which] += size;
        self.peak.blocks = self.peak.blocks.max(self.live.blocks);
        if self.live.bytes > self.peak.bytes {
            self.peak.bytes = self.live.bytes;
            self.at_peak = self.held;
        }
    }

    fn died(&mut self, which: usize) {
        let size = SIZES[which] as u64;
        self.live = count(self.live.blocks - 1, self.live.bytes - size);
        self.held[which] -= size;
    }

    fn compare(&self, m: &Measured<()>) {
        assert_eq!((m.allocated, m.live, m.peak), (self.allocated, self.live, self.peak));
        assert_eq!(m.freed, count(m.allocated.blocks - m.live.blocks, m.allocated.bytes - m.live.bytes));
        // Which site is which is told by what it allocated at a time: all blocks of one have one size.
        let (mut held, mut at_peak) = ([0; 4], [0; 4]);
        for site in &m.sites {
            let size = site.allocated.bytes / site.allocated.blocks;
            let which = SIZES.iter().position(|&s| s as u64 == size).expect("a site of one size");
            held[which] += site.live.bytes;
            at_peak[which] += site.at_peak.bytes;
        }
        assert_eq!((held, at_peak), (self.held, self.at_peak), "what each site held, and held at the peak");
    }
}

/// One site for each size: a function of its own, which does not end with a jump into the other.
#[inline(never)]
fn site<const SIZE: usize>() -> Vec<u8> {
    black_box(block(SIZE))
}

fn sized(which: usize) -> Vec<u8> {
    [site::<{ SIZES[0] }>, site::<{ SIZES[1] }>, site::<{ SIZES[2] }>, site::<{ SIZES[3] }>][which]()
}

struct Held {
    block: Vec<u8>,
    which: usize,
    scopes: [usize; DEPTH],
    depth: usize,
}

/// Scopes begin and end like brackets. Blocks go into a pile that all threads share, and are taken from it with its lock held,
/// so that the oracle and the scopes see all in the same order.
fn run(seed: u64, pile: &Mutex<Vec<Held>>, expected: &[Mutex<Expected>], next: &AtomicUsize) {
    let mut rng = Rng::new(seed);
    let mut scopes: [Option<(Scope, usize)>; DEPTH] = Default::default();
    let mut depth = 0;
    for _ in 0..1500 {
        let mut pile = pile.lock().expect("no panic");
        let of = |number: usize| expected[number].lock().expect("no panic");
        match rng.below(12) {
            0 if depth < DEPTH => {
                scopes[depth] = Some((Scope::begin(), next.fetch_add(1, Relaxed)));
                depth += 1;
            }
            1 if depth > 0 => {
                depth -= 1;
                let (scope, number) = scopes[depth].take().expect("begun");
                of(number).compare(&scope.end());
            }
            2 => scopes.iter().flatten().for_each(|(scope, number)| of(*number).compare(&scope.so_far())),
            3..=7 if pile.len() < 200 => {
                let which = rng.below(4);
                let numbers = std::array::from_fn(|i| scopes[i].as_ref().map_or(usize::MAX, |(_, number)| *number));
                numbers[..depth].iter().for_each(|&number| of(number).born(which));
                pile.push(Held { block: sized(which), which, scopes: numbers, depth });
            }
            _ if !pile.is_empty() => {
                let at = rng.below(pile.len());
                let held = pile.swap_remove(at);
                held.scopes[..held.depth].iter().for_each(|&number| of(number).died(held.which));
                drop(held.block);
            }
            _ => (),
        }
    }
}

#[test]
fn random_scopes_on_several_threads() {
    let pile = Mutex::new(Vec::with_capacity(200));
    let expected: Vec<_> = (0..3 * 1500).map(|_| Mutex::default()).collect();
    let (begin, next) = (Barrier::new(3), AtomicUsize::new(0));
    std::thread::scope(|threads| {
        for seed in 0..3 {
            let (pile, expected, begin, next) = (&pile, &expected, &begin, &next);
            threads.spawn(move || {
                begin.wait();
                run(seed, pile, expected, next);
            });
        }
    });
    assert!(next.into_inner() > 100, "there were scopes");
}
