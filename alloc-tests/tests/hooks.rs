//! The hooks, with the tracker: exact mode, side words, and who adopts a mode when. Sampling has its own file.

#[allow(dead_code, reason = "each file uses a part of it")]
mod hooks_support;

use hooks_support::{Raw, Since, alone, exact, rng, shuffle, size_in};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use tenure::internals::{self, Birth, tracker};
use tenure_alloc_tests::Tenure;

#[global_allocator]
static ALLOC: Tenure = Tenure::new();

/// Sizes of every kind of class: each step of the small ones, the table's end, the largest, and what is large.
const SIZES: [usize; 19] =
    [1, 8, 9, 33, 64, 65, 100, 512, 1000, 1024, 4095, 8192, 8193, 30_000, 65_536, 65_537, 200_000, 1 << 20, 3 << 20];

/// One block of each size, several times over, in memory that is there before anything is counted.
fn some_of_each(times: usize) -> Vec<Raw> {
    let mut blocks = Vec::with_capacity(SIZES.len() * times);
    refill(&mut blocks);
    blocks
}

fn refill(blocks: &mut Vec<Raw>) {
    while blocks.len() < blocks.capacity() {
        blocks.push(Raw::new(SIZES[blocks.len() % SIZES.len()]));
    }
}

fn bytes(blocks: &[Raw]) -> i64 {
    blocks.iter().map(|b| b.layout.size() as i64).sum()
}

#[test]
fn exact_tracks_every_block() {
    alone("exact_tracks_every_block", || {
        let mut blocks: Vec<Raw> = Vec::with_capacity(SIZES.len() * 200);
        exact(true);
        let since = Since::now();
        for round in 0..3 {
            refill(&mut blocks);
            let n = (round + 1) * blocks.len() as u64;
            assert_eq!(since.born(), n, "every allocation is a birth");
            assert_eq!(since.requested(), bytes(&blocks), "requested bytes are those of the requests");
            for block in &blocks {
                assert_eq!(block.birth().map(|b| b.requested), Some(block.layout.size() as u64), "{:?}", block.layout);
            }
            internals::check();
            match round {
                0 => (),
                1 => blocks.reverse(),
                _ => shuffle(&mut blocks, 1),
            }
            blocks.drain(..).for_each(Raw::free);
            assert_eq!((since.died(), since.requested()), (n, 0), "every free is a death");
            internals::check();
        }
    });
}

#[test]
fn exact_tracks_alignments() {
    alone("exact_tracks_alignments", || {
        exact(true);
        let since = Since::now();
        let mut n = 0;
        for align in (0..=22).map(|log| 1usize << log) {
            // Multiples of the alignment, so that the request is what the class search sees.
            for size in [align, 3 * align] {
                let block = Raw::aligned(size, align);
                n += 1;
                assert!(block.at.addr().is_multiple_of(align), "{:?}", block.layout);
                assert_eq!(block.birth().map(|b| b.requested), Some(size as u64), "{:?}", block.layout);
                assert_eq!((since.born(), since.requested()), (n, size as i64));
                block.free();
                assert_eq!((since.died(), since.requested()), (n, 0));
            }
        }
    });
}

#[test]
fn blocks_outlive_a_mode() {
    alone("blocks_outlive_a_mode", || {
        let since = Since::now();
        let plain = some_of_each(100);
        assert_eq!(since.born(), 0, "nothing is tracked before anybody asks");
        assert!(plain.iter().all(|b| b.birth().is_none()));
        exact(true);
        let since = Since::now();
        let tracked = some_of_each(100);
        let n = tracked.len() as u64 + 1; // and the vector itself
        assert_eq!(since.born(), n);
        plain.iter().for_each(|b| b.free());
        assert_eq!(since.died(), 0, "blocks that were born plain die plain");
        internals::check();
        exact(false);
        assert!(tracked.iter().all(|b| b.birth().is_some_and(|w| w.requested == b.layout.size() as u64)));
        // The second half dies in another thread, which never was exact.
        let (here, there) = tracked.split_at(tracked.len() / 2);
        here.iter().for_each(|b| b.free());
        thread::scope(|scope| {
            scope.spawn(|| there.iter().for_each(|b| b.free()));
        });
        assert_eq!(since.died(), tracked.len() as u64, "blocks that were born tracked die tracked");
        drop(tracked);
        assert_eq!((since.born(), since.died(), since.requested()), (n, n, 0));
        internals::check();
        drop(plain);
    });
}

#[test]
fn words_stay_with_their_block() {
    alone("words_stay_with_their_block", || {
        let mut blocks: Vec<(Raw, Birth)> = Vec::with_capacity(4000);
        exact(true);
        let mut rng = rng(3);
        for step in 0..40_000 {
            if step % 1000 == 500 {
                exact(false);
                internals::take_idle();
            }
            if step % 1000 == 0 {
                exact(true);
                internals::collect();
            }
            if blocks.len() < blocks.capacity() && step % 1000 < 500 && rng.below(5) < 3 {
                // Different for neighbours, so that a word that is another block's shows.
                let tag = step as u16 % 4000;
                tracker::set_tag(tag);
                let block = Raw::new(size_in(&mut rng, 1..3000));
                let words = block.birth().expect("this thread is exact");
                assert_eq!((words.tag, words.requested), (tag, block.layout.size() as u64));
                blocks.push((block, words));
            } else if !blocks.is_empty() {
                let (block, words) = blocks.swap_remove(rng.below(blocks.len()));
                assert_eq!(block.birth(), Some(words), "the words are the block's from birth to death");
                block.free();
            }
        }
        internals::check();
        assert!(blocks.iter().all(|(block, words)| block.birth() == Some(*words)));
        blocks.drain(..).for_each(|(block, _)| block.free());
    });
}

#[test]
fn realloc_in_place_keeps_the_words() {
    alone("realloc_in_place_keeps_the_words", || {
        exact(true);
        // A class's block, shrunk to more than its half and grown again; a large one inside its last slice.
        for (size, other) in [(64, 40), (1000, 600), (60_000, 40_000), (200_000, 199_000), (1 << 20, (1 << 20) - 5)] {
            let since = Since::now();
            let mut block = Raw::new(size);
            let (at, words) = (block.at, block.birth().expect("this thread is exact"));
            for size in [other, size, other] {
                block.resize(size);
                let resized = Birth { requested: size as u64, ..words };
                assert_eq!((block.at, block.birth()), (at, Some(resized)), "{size} fits in place");
            }
            assert_eq!((since.born(), since.died()), (1, 0), "no trial, no birth");
            block.free();
            assert_eq!((since.born(), since.died(), since.requested()), (1, 1, 0));
        }
    });
}

#[test]
fn realloc_that_moves_is_a_new_allocation() {
    alone("realloc_that_moves_is_a_new_allocation", || {
        exact(true);
        let since = Since::now();
        let (mut moved, mut n) = (0, 1);
        let mut block = Raw::new(10);
        block.bytes().fill(7);
        for size in [100, 1000, 10_000, 100_000, 1 << 20, 5 << 20, 40 << 20, 3000, 20] {
            let before = block;
            block.resize(size);
            assert!(block.bytes()[..10].iter().all(|&b| b == 7));
            if block.at == before.at {
                continue; // a large block may grow where it is
            }
            n += 1;
            moved += 1;
            assert_eq!((since.born(), since.died()), (n, n - 1), "{} to {size}", before.layout.size());
            assert_eq!(block.birth().map(|b| b.requested), Some(size as u64));
            assert_eq!(since.requested(), size as i64);
        }
        assert!(moved >= 5);
        block.free();
        assert_eq!((since.died(), since.requested()), (n, 0));
    });
}

/// A block that was born plain keeps its place while its thread is exact, and the reverse.
#[test]
fn realloc_across_modes() {
    alone("realloc_across_modes", || {
        let since = Since::now();
        let mut plain = Raw::new(64);
        exact(true);
        plain.resize(50);
        assert_eq!((plain.birth(), since.born()), (None, 0), "in place: no birth");
        plain.resize(500);
        assert_eq!((since.born(), since.died()), (1, 0), "a plain block died, a tracked one was born");
        exact(false);
        let words = plain.birth().expect("born while the thread was exact");
        plain.resize(400);
        assert_eq!(plain.birth(), Some(Birth { requested: 400, ..words }));
        plain.resize(4000);
        assert_eq!((plain.birth(), since.died(), since.requested()), (None, 1, 0));
        plain.free();
        assert_eq!((since.born(), since.died()), (1, 1));
    });
}

#[test]
fn zeroed_blocks_are_tracked() {
    alone("zeroed_blocks_are_tracked", || {
        use std::alloc::{GlobalAlloc, Layout};
        exact(true);
        let since = Since::now();
        for (n, &size) in SIZES.iter().enumerate() {
            let layout = Layout::from_size_align(size, 1).expect("a layout");
            // SAFETY: no size is 0.
            let mut block = Raw { at: unsafe { ALLOC.alloc_zeroed(layout) }, layout };
            assert!(block.bytes().iter().all(|&b| b == 0));
            block.bytes().fill(0xA5);
            assert_eq!((since.born(), since.requested()), (n as u64 + 1, size as i64));
            block.free();
        }
        assert_eq!((since.died(), since.requested()), (SIZES.len() as u64, 0));
    });
}

#[test]
fn exact_in_one_thread_only() {
    alone("exact_in_one_thread_only", || {
        let mine: Vec<Raw> = Vec::with_capacity(2000);
        let theirs: Vec<Raw> = Vec::with_capacity(2000);
        let both = Barrier::new(2);
        let fill = |mut blocks: Vec<Raw>| {
            both.wait();
            // No large ones: they know no thread.
            (0..2000).for_each(|i| blocks.push(Raw::new(SIZES[i % 15])));
            both.wait();
            blocks
        };
        let since = thread::scope(|scope| {
            let fill = &fill;
            let other = scope.spawn(move || fill(theirs));
            tracker::set_exact_here(true);
            // Nothing that std allocates for the two may be counted: the other thread is at the first barrier by its own.
            let since = Since::now();
            let mine = fill(mine);
            assert_eq!(since.born(), 2000, "this thread's blocks, and only these");
            assert!(mine.iter().all(|b| b.birth().is_some()));
            let theirs = other.join().expect("the other thread");
            assert!(theirs.iter().all(|b| b.birth().is_none()));
            let died = since.died();
            // Each thread's blocks die in a thread of the other kind.
            theirs.iter().for_each(|b| b.free());
            assert_eq!(since.died(), died, "a plain block dies plain in an exact thread");
            scope.spawn(move || mine.iter().for_each(|b| b.free())).join().expect("a plain thread");
            assert!(since.died() >= died + 2000);
            tracker::set_exact_here(false);
            since
        });
        let born = since.born();
        (0..1000).for_each(|_| Raw::new(100).free());
        assert_eq!(since.born(), born, "and no longer");
    });
}

/// The mode changes while two threads allocate, resize, exchange and free at full speed.
#[test]
fn a_switch_while_threads_run() {
    alone("a_switch_while_threads_run", || {
        let since = Since::now();
        let stop = AtomicBool::new(false);
        type Slot = std::sync::Mutex<Option<(Raw, Option<Birth>)>>;
        let table: [Slot; 64] = [const { Slot::new(None) }; 64];
        let (mut born_tracked, mut born_plain) = (0, 0);
        thread::scope(|scope| {
            let run = |seed| {
                let (stop, table) = (&stop, &table);
                move || {
                    let mut rng = rng(seed);
                    let mut kinds = [0u64; 2];
                    while !stop.load(SeqCst) {
                        let mut block = Raw::new(size_in(&mut rng, 1..2000));
                        if rng.one_in(8) {
                            block.resize(size_in(&mut rng, 1..4000));
                        }
                        let words = block.birth();
                        kinds[words.is_some() as usize] += 1;
                        let slot = &table[rng.below(table.len())];
                        let other = slot.lock().expect("nobody panics").replace((block, words));
                        if let Some((block, words)) = other {
                            assert_eq!(block.birth(), words, "a block's words change with no mode");
                            block.free();
                        }
                    }
                    kinds
                }
            };
            let threads = [scope.spawn(run(1)), scope.spawn(run(2))];
            for i in 0..120 {
                tracker::set_exact(i % 2 == 0);
                thread::sleep(std::time::Duration::from_millis(5));
                if i % 10 == 0 {
                    internals::check();
                }
            }
            tracker::set_exact(false);
            stop.store(true, SeqCst);
            for thread in threads {
                let kinds = thread.join().expect("a thread");
                born_plain += kinds[0];
                born_tracked += kinds[1];
            }
        });
        for slot in &table {
            if let Some((block, words)) = slot.lock().expect("nobody panics").take() {
                assert_eq!(block.birth(), words);
                block.free();
            }
        }
        println!("{born_plain} blocks were plain, {born_tracked} tracked");
        assert!(born_plain > 1000 && born_tracked > 1000, "both modes were in effect");
        internals::adopt_mode();
        internals::check();
        // What std allocated for the threads while the mode was exact has died with them.
        assert_eq!((since.born(), since.requested()), (since.died(), 0), "all that was born has died");
    });
}

/// At the latest after one magazine for each class.
#[test]
fn a_running_thread_adopts_a_mode_soon() {
    alone("a_running_thread_adopts_a_mode_soon", || {
        for size in [16, 200, 5000, 40_000] {
            (0..1000).for_each(|_| Raw::new(size).free());
            tracker::set_exact(true);
            // Pairs never come to a null: neither word runs out. So allocate without freeing.
            let blocks: Vec<Raw> = (0..300).map(|_| Raw::new(size)).collect();
            let plain = blocks.iter().take_while(|b| b.birth().is_none()).count();
            assert!(plain <= 130, "{plain} blocks of {size} bytes after the switch were not tracked");
            assert!(blocks[plain..].iter().all(|b| b.birth().is_some()), "a thread that is exact stays so");
            blocks.iter().for_each(|b| b.free());
            exact(false);
        }
    });
}

#[test]
fn large_blocks_are_tracked() {
    alone("large_blocks_are_tracked", || {
        exact(true);
        let since = Since::now();
        let mut blocks = [None; 24];
        for (i, slot) in blocks.iter_mut().enumerate() {
            let block = Raw::new(70_000 + i * 150_000 + (i % 8 == 7) as usize * (40 << 20));
            assert_eq!(block.birth().map(|b| b.requested), Some(block.layout.size() as u64));
            *slot = Some((block, block.birth()));
        }
        assert_eq!(since.born(), 24);
        for (block, words) in blocks.iter_mut().flatten() {
            assert_eq!(block.birth(), *words);
            let before = block.at;
            block.resize(block.layout.size() + 1_000_000);
            if block.at == before {
                let resized = words.map(|words| Birth { requested: block.layout.size() as u64, ..words });
                assert_eq!(block.birth(), resized, "a large block that grows in place keeps its words");
            }
        }
        exact(false);
        blocks.iter().flatten().for_each(|(block, _)| block.free());
        assert_eq!((since.born(), since.requested()), (since.died(), 0));
    });
}

#[test]
fn epochs_tick_with_bytes() {
    alone("epochs_tick_with_bytes", || {
        const YOUNG: usize = 2 << 20;
        // A thread reports in steps: each tick may come late by one, and by the magazine that made it full.
        const LATE: usize = (64 << 10) + (32 << 10);
        for tracked in [false, true] {
            exact(tracked);
            for (size, threads) in [(24, 1), (1000, 1), (4096, 2), (60_000, 1), (100_000, 1), (1 << 20, 1)] {
                internals::set_young_bytes(YOUNG as u64);
                let before = internals::epoch();
                let block = hooks_support::block_size(size);
                let n = 24 * YOUNG / block / threads;
                thread::scope(|scope| {
                    for _ in 0..threads {
                        scope.spawn(|| (0..n).for_each(|_| Raw::new(size).free()));
                    }
                });
                let ticks = (internals::epoch() - before) as usize;
                let total = n * threads * block;
                // Below: every tick late; what two threads have not reported. Above: what magazines were filled with for nothing.
                let (least, most) = (total / (YOUNG + LATE * threads) - 1, total.div_ceil(YOUNG) + 1);
                assert!((least..=most).contains(&ticks), "{ticks} ticks for {total} bytes in blocks of {block}");
            }
        }
        assert_eq!(tenure::stats().epoch, internals::epoch());
    });
}
