//! When the address space is limited: null and not an abort, with nothing leaked or lost.
//!
//! Where memory is out nothing here may allocate but the blocks themselves, so they carry their own book-keeping.

use std::alloc::{GlobalAlloc, Layout};
use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use tenure_alloc_tests::Tenure;
use tenure_alloc_tests::chain::{Chain, Link, SMALLEST};
use tenure_alloc_tests::child::{Scenario, limit_address_space};
use tenure_alloc_tests::oracle::Oracle;
use tenure_alloc_tests::player::play_random;
use tenure_alloc_tests::rng::Rng;
use tenure_alloc_tests::rss::{MIB, mib, os_page};
use tenure_alloc_tests::sizes::Sizes;

#[global_allocator]
static ALLOC: Tenure = Tenure::new();

const LIMIT: usize = 200 * MIB;

/// A child with a limit from its start. The C library's own allocator, which it uses when a thread starts, would take
/// 64 MiB for each thread.
fn limited(test: &'static str, bytes: usize) -> Scenario {
    Scenario::new(test).address_space(bytes).env("MALLOC_ARENA_MAX", "1")
}

/// Allocates until null, or until `most` bytes.
fn exhaust(largest: usize, seed: u64, most: usize) -> Chain {
    let (mut rng, mut chain) = (Rng::new(seed), Chain::new());
    while chain.bytes() < most {
        let size = rng.log_uniform(largest).max(SMALLEST);
        match Link::allocate(&ALLOC, size, rng.next()) {
            Some(link) => chain.push(link),
            None => break,
        }
    }
    chain
}

/// Frees every second block; returns what is left and the number of damaged ones.
fn thin_out(mut chain: Chain) -> (Chain, usize) {
    let (mut left, mut damaged) = (Chain::new(), 0);
    while let Some(link) = chain.pop() {
        if chain.count().is_multiple_of(2) { left.push(link) } else { damaged += usize::from(!link.free(&ALLOC)) }
    }
    (left, damaged)
}

/// Under a limit of 200 MiB at least 100 must be had by one thread, and each time as much: the rest may be the
/// binary, stacks and tables, and what the alignment of arenas takes.
#[test]
fn null_when_memory_is_out() {
    for largest in [2 << 10, 64 << 10, 8 * MIB] {
        let largest = largest.to_string();
        limited("null_when_memory_is_out", LIMIT).env("TENURE_TEST_LARGEST", &largest).run(|| {
            let largest = std::env::var("TENURE_TEST_LARGEST").expect("set by the parent").parse().expect("a number");
            let (mut amounts, mut damaged, mut refilled) = ([0; 3], 0, [0; 3]);
            for round in 0..amounts.len() {
                let chain = exhaust(largest, 1, usize::MAX);
                amounts[round] = chain.bytes();
                // Freeing gives room again, even half of the blocks at random for blocks of the same sizes.
                let (mut left, found) = thin_out(chain);
                let mut again = exhaust(largest, 2, usize::MAX);
                refilled[round] = again.bytes();
                damaged += found + left.free(&ALLOC) + again.free(&ALLOC);
            }
            println!(
                "up to {largest} bytes each: {:?} MiB, then {:?} into the gaps",
                amounts.map(mib),
                refilled.map(mib)
            );
            assert_eq!(damaged, 0, "damaged blocks");
            assert!(amounts[0] >= LIMIT / 2, "null after {} MiB of {}", mib(amounts[0]), mib(LIMIT));
            for amount in amounts {
                assert!(amount >= amounts[0] / 10 * 9, "less each time: something is lost");
            }
            // Large blocks need gaps of their own size, so it is less that fits in.
            assert!(refilled.iter().all(|&bytes| bytes >= amounts[0] / 8), "freed, but not to be had again");
        });
        if std::env::var("TENURE_TEST_LARGEST").is_ok() {
            return;
        }
    }
}

/// Four threads reach the end at the same time; one frees what the others allocated; then all of it can be had again.
#[test]
fn null_when_memory_is_out_with_threads() {
    limited("null_when_memory_is_out_with_threads", LIMIT).run(|| {
        let (mut first, mut last) = ([0; 3], [0; 3]);
        let mut damaged = 0;
        for round in 0..first.len() {
            // The threads are there before memory is out: starting one needs some.
            let go = AtomicBool::new(false);
            let chains = thread::scope(|scope| {
                let threads = [1, 2, 3, 4].map(|seed| {
                    let go = &go;
                    scope.spawn(move || {
                        while !go.load(SeqCst) {
                            thread::yield_now();
                        }
                        let chain = exhaust(64 << 10, seed, usize::MAX);
                        let bytes = chain.bytes();
                        let (left, damaged) = thin_out(chain);
                        (bytes, left, exhaust(4096, seed, usize::MAX), damaged)
                    })
                });
                go.store(true, SeqCst);
                threads.map(|thread| thread.join().expect("no panic"))
            });
            for (bytes, mut left, mut again, found) in chains {
                first[round] += bytes;
                last[round] += left.bytes() + again.bytes();
                damaged += found + left.free(&ALLOC) + again.free(&ALLOC);
            }
        }
        let held = |amounts: [usize; 3]| amounts.map(mib);
        println!("four threads had {:?} MiB at the first null, and {:?} in the end", held(first), held(last));
        assert_eq!(damaged, 0, "damaged blocks");
        let least = LIMIT / 4;
        assert!(first.iter().all(|&amount| amount >= least), "null though there is memory: {} MiB", mib(least));
        assert!(first.iter().all(|&amount| amount >= first[0] / 4 * 3), "less each time: something is lost");
    });
}

/// What std offers to those who want to survive.
#[test]
fn try_reserve_is_an_error() {
    limited("try_reserve_is_an_error", LIMIT).run(|| {
        let mut vec: Vec<u8> = (0..100).collect();
        assert!(vec.try_reserve_exact(1 << 30).is_err());
        assert!(vec.try_reserve_exact(LIMIT).is_err());
        assert!(vec.try_reserve_exact(isize::MAX as usize - 100).is_err());
        let mut chain = exhaust(MIB, 1, usize::MAX);
        let refused = vec.try_reserve_exact(64 * MIB).is_err();
        let damaged = chain.free(&ALLOC);
        assert!(refused && damaged == 0);
        assert!(vec.iter().copied().eq(0..100), "the old contents");
        vec.try_reserve_exact(MIB).expect("there is room again");
        assert!(vec.iter().copied().eq(0..100), "the old contents, moved");
    });
}

/// A process that has hardly any address space at all still starts, and does small work.
#[test]
fn starts_with_little() {
    for limit in [64 * MIB, 100 * MIB, 1024 * MIB, 40 * 1024 * MIB] {
        limited("starts_with_little", limit).env("TENURE_TEST_ROUND", "1").run(|| {
            let oracle = Oracle::new(&ALLOC);
            play_random(&oracle, None, &Sizes::up_to(8 << 10).naturally_aligned(), 1, 2000, MIB)
                .unwrap_or_else(|fault| panic!("{fault}"));
        });
        if std::env::var("TENURE_TEST_ROUND").is_ok() {
            return;
        }
    }
}

/// Blocks that are only held, not written to but for their first bytes: what was reserved may be more than the machine
/// has.
struct Held {
    last: *mut (*mut u8, Layout),
    bytes: usize,
}

impl Held {
    const MOST: usize = 64 << 30;

    /// Allocates blocks of one size, down to the first null or up to `MOST`.
    fn hold(&mut self, size: usize) {
        let layout = Layout::from_size_align(size, 16).expect("a layout that exists");
        while self.bytes < Held::MOST {
            // SAFETY: the size is not 0.
            let block = unsafe { ALLOC.alloc(layout) }.cast::<(*mut u8, Layout)>();
            if block.is_null() {
                return;
            }
            // SAFETY: the block is ours and large enough.
            unsafe { block.write((self.last.cast(), layout)) };
            self.last = block;
            self.bytes += size;
        }
    }

    fn release(&mut self) {
        while !self.last.is_null() {
            // SAFETY: `hold` wrote to the start of each block, and each is freed once, with its layout.
            unsafe {
                let (next, layout) = self.last.read();
                ALLOC.dealloc(self.last.cast(), layout);
                self.last = next.cast();
            }
        }
    }
}

/// From one moment on the OS gives nothing more: what there is can be used up, by a new thread too, and all of it comes
/// back.
#[test]
fn nothing_beyond_the_start() {
    Scenario::new("nothing_beyond_the_start").run(|| {
        // Its stack exists already, its heap does not, and there may be no memory for that when it begins.
        extern "C" fn late_thread(go: *mut c_void) -> *mut c_void {
            // SAFETY: the flag outlives the thread, which is joined.
            let go = unsafe { &*go.cast::<AtomicBool>() };
            while !go.load(SeqCst) {
                // SAFETY: no arguments, no memory.
                unsafe { libc::sched_yield() };
            }
            let mut chain = exhaust(1024, 3, MIB);
            ptr::without_provenance_mut(chain.free(&ALLOC))
        }
        let go = AtomicBool::new(false);
        let mut late = 0;
        let flag = (&raw const go).cast_mut().cast();
        // SAFETY: the flag outlives the thread.
        let error = unsafe { libc::pthread_create(&mut late, ptr::null(), late_thread, flag) };
        assert_eq!(error, 0);
        let mut before = exhaust(64 << 10, 1, MIB);
        limit_address_space(address_space()).expect("a limit may be lowered");
        let mut held = Held { last: ptr::null_mut(), bytes: 0 };
        [8 * MIB, MIB, 128 << 10, 16 << 10].into_iter().for_each(|size| held.hold(size));
        let bytes = held.bytes;
        let mut rest = exhaust(512, 5, 64 * MIB);
        go.store(true, SeqCst);
        let mut damaged = ptr::null_mut();
        // SAFETY: the thread was created above.
        let error = unsafe { libc::pthread_join(late, &mut damaged) };
        held.release();
        let mut again = exhaust(16 << 10, 5, bytes.min(64 * MIB));
        let (amount, remainder) = (again.bytes(), rest.bytes());
        let found = before.free(&ALLOC) + again.free(&ALLOC) + rest.free(&ALLOC) + damaged.addr();
        println!("{} MiB of what was there, and {} in small blocks; then {}", mib(bytes), mib(remainder), mib(amount));
        assert_eq!((error, found), (0, 0), "damaged blocks");
        assert!(bytes < Held::MOST, "no null was seen");
        assert!(amount >= bytes.min(64 * MIB) / 2, "less than before the frees");
    });
}

/// What the limit counts, at this moment.
fn address_space() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux has it");
    statm.split(' ').next().and_then(|pages| pages.parse::<usize>().ok()).expect("a number") * os_page()
}
