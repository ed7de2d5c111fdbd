//! An OS that refuses memory, at every point where the allocator asks for some: what comes back is null or a good block, nothing is lost,
//! and once memory is granted again everything works.
//!
//! A process that has hardly begun forks a child for each n. The child has n more requests granted, then all refused. As all children
//! begin in the same state, they are refused one request after the other, up to a child that is refused none.

#[allow(dead_code, reason = "each file uses a part of it")]
mod hooks_support;

use hooks_support::{Raw, Since, alone, exact};
use std::alloc::{GlobalAlloc, Layout};
use std::ffi::c_void;
use std::ptr::{null, null_mut};
use tenure::internals::{self, refuse_after, tracker};
use tenure::{Stats, Tenure, stats};

// Without the helper, which would be one more thread that does not rest while figures are compared.
#[global_allocator]
static ALLOC: Tenure = Tenure::new().helper_thread(false);

/// How the blocks are tracked, and how a thread gets there. Sampled: some of each size.
const MODES: [(&str, fn()); 3] = [("plain", || ()), ("sampled", || tracker::set_mean(100)), ("exact", || exact(true))];

/// Some of every kind, more in all than the system has given so far, for blocks and for tables.
const SIZES: [usize; 16] =
    [8, 40, 41, 200, 1000, 3000, 3001, 9000, 30_000, 65_536, 70_000, 1 << 20, 5 << 20, 24, 33 << 20, 25];

/// Each size this often.
const TIMES: usize = 3;
type Blocks = [Option<Raw>; TIMES * SIZES.len()];

/// What a child says.
const ALL_GRANTED: i32 = 2;

/// Runs the scenario in a child for each number of granted requests. It gets what was prepared before anything is refused,
/// and returns once memory is granted again, with how many requests were refused.
fn at_every_point<T: Copy>(name: &str, least: usize, prepare: impl Fn() -> T, scenario: impl Fn(usize, T) -> usize) {
    let prepared = prepare();
    for n in 0..300 {
        // SAFETY: no other thread holds anything that the child needs; it ends by `_exit`.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| scenario(n, prepared)));
            let code = match outcome {
                Ok(0) => ALL_GRANTED,
                Ok(_) => 0,
                Err(_) => 1,
            };
            // SAFETY: the child ends here, without the handlers and buffers that it shares with its parent.
            unsafe { libc::_exit(code) };
        }
        assert!(child > 0, "fork");
        let mut status = 0;
        // SAFETY: the status is ours.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        assert!(libc::WIFEXITED(status), "{name}: refused after {n}: signal {}", libc::WTERMSIG(status));
        match libc::WEXITSTATUS(status) {
            0 => (),
            ALL_GRANTED => {
                println!("{name}: refused at {n} points");
                assert!(n >= least, "{name}: only {n} requests were made of the system: the scenario shows too little");
                return;
            }
            code => panic!("{name}: refused after {n}: the child ended with {code}"),
        }
    }
    panic!("{name}: there is no end to what it asks for");
}

fn some_of_each(zeroed: bool) -> Blocks {
    std::array::from_fn(|i| {
        let size = SIZES[i % SIZES.len()];
        // Small and large alignments, and once one above a slice's.
        let align = if size == 70_000 { 128 << 10 } else { [1, 8, 16, 64][i % 4] };
        let layout = Layout::from_size_align(size, align).expect("a layout");
        // SAFETY: no size is 0.
        let at = unsafe { if zeroed { ALLOC.alloc_zeroed(layout) } else { ALLOC.alloc(layout) } };
        (!at.is_null()).then_some(Raw { at, layout })
    })
}

/// Where a test writes, and what: both ends and each OS page, so that two blocks in one place show.
fn marks(bytes: &mut [u8]) -> impl Iterator<Item = &mut u8> {
    let (last, rest) = bytes.split_last_mut().expect("no block is empty");
    rest.iter_mut().step_by(4096).chain(std::iter::once(last))
}

fn mark(block: &mut Raw, value: usize) {
    marks(block.bytes()).for_each(|b| *b = value as u8);
}

fn assert_marked(block: &mut Raw, value: usize) {
    let layout = block.layout;
    assert!(marks(block.bytes()).all(|b| *b == value as u8), "somebody else wrote into {layout:?}");
}

/// Compares a block with itself, one byte further on, which is a `memcmp` in debug builds too.
fn assert_zero(block: &mut Raw) {
    let layout = block.layout;
    let bytes = block.bytes();
    assert!(bytes[0] == 0 && bytes[1..] == bytes[..bytes.len() - 1], "{layout:?} is not zero");
}

fn mark_all(blocks: &mut Blocks) {
    for (i, block) in blocks.iter_mut().enumerate() {
        block.iter_mut().for_each(|block| mark(block, i + 1));
    }
}

fn give_back(blocks: &mut Blocks) {
    for (i, block) in blocks.iter_mut().enumerate() {
        if let Some(mut block) = block.take() {
            assert!(block.at.addr().is_multiple_of(block.layout.align()));
            assert_marked(&mut block, i + 1);
            block.free();
        }
    }
}

fn assert_live(before: &Stats, blocks: usize, bytes: usize, when: &str) {
    let now = stats();
    assert_eq!(now.live_blocks - before.live_blocks, blocks as u64, "{when}: live blocks");
    assert_eq!(now.live - before.live, bytes, "{when}: live bytes");
    internals::check();
}

fn block_bytes(blocks: &Blocks) -> usize {
    let bytes = |block: &Raw| hooks_support::block_size(block.layout.size().next_multiple_of(block.layout.align()));
    blocks.iter().flatten().map(bytes).sum()
}

/// Everything is granted: all blocks must be had, and all of it comes back.
fn everything_works(before: &Stats) {
    for zeroed in [false, true] {
        let mut blocks = some_of_each(zeroed);
        assert!(blocks.iter().all(Option::is_some), "memory is granted again, but a block is refused");
        if zeroed {
            blocks.iter_mut().flatten().for_each(assert_zero);
        }
        mark_all(&mut blocks);
        assert_live(before, blocks.len(), block_bytes(&blocks), "granted again");
        give_back(&mut blocks);
        assert_live(before, 0, 0, "granted again and freed");
    }
    internals::collect();
    assert_live(before, 0, 0, "collected");
}

fn allocate(n: usize, zeroed: bool) -> usize {
    let (before, since) = (stats(), Since::now());
    refuse_after(n);
    let mut blocks = some_of_each(zeroed);
    let refused = refuse_after(usize::MAX);
    if zeroed {
        blocks.iter_mut().flatten().for_each(assert_zero);
    }
    mark_all(&mut blocks);
    let had = blocks.iter().flatten().count();
    assert!(refused > 0 || had == blocks.len(), "null, though nothing was refused");
    assert_live(&before, had, block_bytes(&blocks), "while some are refused");
    // Freed while the system refuses all: a free needs nothing that it may not do without.
    refuse_after(0);
    give_back(&mut blocks);
    refuse_after(usize::MAX);
    assert_live(&before, 0, 0, "freed");
    assert_eq!((since.born() - since.died(), since.requested()), (0, 0), "all that was born has died");
    everything_works(&before);
    refused
}

#[test]
fn alloc() {
    alone("alloc", || {
        for (name, enter) in MODES {
            at_every_point(&format!("{name}, alloc"), 10, enter, |n, ()| allocate(n, false));
        }
    });
}

#[test]
fn alloc_zeroed() {
    alone("alloc_zeroed", || {
        for (name, enter) in MODES {
            at_every_point(&format!("{name}, alloc_zeroed"), 10, enter, |n, ()| allocate(n, true));
        }
    });
}

/// The mode itself needs tables: a thread becomes exact while memory is refused.
#[test]
fn a_mode_is_entered() {
    alone("a_mode_is_entered", || {
        at_every_point(
            "becoming exact",
            10,
            || (),
            |n, ()| {
                let before = stats();
                refuse_after(n);
                exact(true);
                let mut blocks = some_of_each(false);
                exact(false);
                let mut more = some_of_each(false);
                let refused = refuse_after(usize::MAX);
                mark_all(&mut blocks);
                mark_all(&mut more);
                let had = blocks.iter().chain(&more).flatten().count();
                assert_live(&before, had, block_bytes(&blocks) + block_bytes(&more), "while some are refused");
                give_back(&mut blocks);
                give_back(&mut more);
                everything_works(&before);
                refused
            },
        );
    });
}

/// A `realloc` that fails leaves the old block as it was; one that does not keeps what was in it.
#[test]
fn realloc() {
    alone("realloc", || {
        const TO: [usize; 9] = [9, 70, 900, 9000, 66_000, 1 << 20, 3 << 20, 50 << 20, 60 << 20];
        for (name, enter) in MODES {
            let prepare = || {
                enter();
                [1, 8, 16, 4096].map(|align| Raw::aligned(8, align))
            };
            at_every_point(&format!("{name}, realloc"), 8, prepare, |n, blocks| {
                let before = stats();
                let mut blocks = blocks;
                blocks.iter_mut().for_each(|block| mark(block, 7));
                refuse_after(n);
                for to in TO {
                    for block in &mut blocks {
                        let was = *block;
                        if block.try_resize(to) {
                            // What is new is marked too.
                            let kept = was.layout.size();
                            let keeps = marks(&mut block.bytes()[..kept]).all(|b| *b == 7);
                            assert!(keeps && block.at.addr().is_multiple_of(block.layout.align()), "{kept} to {to}");
                            mark(block, 7);
                            block.bytes()[kept - 1] = 7;
                        } else {
                            assert_marked(block, 7);
                        }
                    }
                }
                let refused = refuse_after(usize::MAX);
                blocks.iter_mut().for_each(|block| assert_marked(block, 7));
                assert_eq!(stats().live_blocks, before.live_blocks, "as many blocks as before, whatever moved");
                internals::check();
                // Down again, while the system refuses all: what shrinks may stay where it is, and loses nothing else.
                refuse_after(0);
                for to in TO.iter().rev() {
                    for block in &mut blocks {
                        if block.layout.size() > *to && block.try_resize(*to) {
                            assert_eq!(block.bytes()[0], 7);
                        }
                    }
                }
                refuse_after(usize::MAX);
                assert_eq!(stats().live_blocks, before.live_blocks, "after shrinking");
                for block in &mut blocks {
                    block.resize(8);
                    assert_eq!(block.bytes()[0], 7);
                }
                assert_live(&before, 0, 0, "as it began");
                everything_works(&before);
                blocks.iter().for_each(|b| b.free());
                refused
            });
        }
    });
}

/// One class, thousands of blocks: refills, new pages, new chunks.
#[test]
fn many_of_a_class() {
    alone("many_of_a_class", || {
        for (name, enter) in MODES {
            for size in [64, 400, 4000, 60_000] {
                let prepare = || {
                    enter();
                    // The list of addresses, which must not be refused.
                    let count = (5 << 20) / size;
                    (Raw::new(count * size_of::<*mut u8>()), count)
                };
                at_every_point(&format!("{name}, {size} bytes"), 2, prepare, |n, (list, count)| {
                    let before = stats();
                    let list = list.at.cast::<*mut u8>();
                    refuse_after(n);
                    let mut nulls = 0;
                    for i in 0..count {
                        let block = Raw::try_aligned(size, 8).at;
                        nulls += block.is_null() as usize;
                        // SAFETY: the list is that long; a block that is not null is ours, and longer than a number.
                        unsafe {
                            list.add(i).write(block);
                            if !block.is_null() {
                                block.cast::<usize>().write(i);
                            }
                        }
                    }
                    let refused = refuse_after(usize::MAX);
                    assert_live(&before, count - nulls, (count - nulls) * hooks_support::block_size(size), "filled");
                    let allocated = stats().allocated_blocks - before.allocated_blocks;
                    assert_eq!(allocated, (count - nulls) as u64, "what was refused does not count as allocated");
                    for i in 0..count {
                        // SAFETY: written above.
                        unsafe {
                            let block = list.add(i).read();
                            if !block.is_null() {
                                assert_eq!(block.cast::<usize>().read(), i, "a block was handed out twice");
                                Raw { at: block, layout: Layout::from_size_align(size, 8).expect("a layout") }.free();
                            }
                        }
                    }
                    assert_live(&before, 0, 0, "freed");
                    everything_works(&before);
                    refused
                });
            }
        }
    });
}

/// What a thread is given that starts while memory is refused, and what it says.
struct Newcomer {
    blocks: Blocks,
    inherited: Blocks,
}

/// Frees some of what another thread left, allocates, and frees the rest, without a heap if it cannot have one. Some of the large
/// blocks wait for the end, so that what it allocates has to be asked of the system.
extern "C" fn newcomer(this: *mut c_void) -> *mut c_void {
    // SAFETY: the thread that started this one waits, and touches nothing until it has ended.
    let this = unsafe { &mut *this.cast::<Newcomer>() };
    this.inherited.iter_mut().step_by(3).filter_map(Option::take).for_each(Raw::free);
    this.blocks = some_of_each(false);
    this.inherited.iter_mut().filter_map(Option::take).for_each(Raw::free);
    // Half of it at once, by the same thread.
    this.blocks.iter_mut().step_by(2).filter_map(Option::take).for_each(Raw::free);
    null_mut()
}

/// Starts a thread without std, which would abort if its own allocations were refused.
fn run_a_newcomer(n: usize, inherited: Blocks) -> (Blocks, usize) {
    let mut given = Newcomer { blocks: [None; TIMES * SIZES.len()], inherited };
    refuse_after(n);
    let mut thread = 0;
    // SAFETY: what is given lives until the thread was joined.
    let (started, joined) = unsafe {
        (
            libc::pthread_create(&mut thread, null(), newcomer, (&raw mut given).cast()),
            libc::pthread_join(thread, null_mut()),
        )
    };
    let refused = refuse_after(usize::MAX);
    assert_eq!((started, joined), (0, 0), "the thread's own stack is the C library's business");
    (given.blocks, refused)
}

/// Leaves no heap for another thread: those of ended threads get a thread that never ends, and the memory for tables is used up,
/// by side tables of small blocks, which are the largest.
fn use_up_heaps() {
    let ready = std::sync::Arc::new(std::sync::Barrier::new(5));
    for _ in 0..4 {
        let ready = ready.clone();
        std::thread::spawn(move || {
            Raw::new(8).free();
            ready.wait();
            loop {
                std::thread::park();
            }
        });
    }
    ready.wait();
    exact(true);
    // Slices for all the pages that it takes, so that tables are what runs out.
    Raw::new(16 << 20).free();
    refuse_after(0);
    for size in [8, 16, 32, 64] {
        while !Raw::try_aligned(size, 1).at.is_null() {}
    }
    refuse_after(usize::MAX);
    exact(false);
}

#[test]
fn a_thread_that_starts() {
    alone("a_thread_that_starts", || {
        let nothing: fn() = || ();
        let ways = [("plain", nothing, nothing), ("sampled", MODES[1].1, nothing), ("exact", MODES[2].1, nothing)];
        for (name, before, after) in ways.into_iter().chain([("without a heap", nothing, use_up_heaps as fn())]) {
            let prepare = || {
                before();
                let mut inherited = some_of_each(false);
                mark_all(&mut inherited);
                after();
                inherited
            };
            at_every_point(&format!("{name}, a thread"), 8, prepare, |n, inherited| {
                let before = stats();
                let (mut blocks, refused) = run_a_newcomer(n, inherited);
                mark_all(&mut blocks);
                let had = blocks.iter().flatten().count() as u64;
                let now = stats();
                assert_eq!(now.live_blocks + inherited.len() as u64, before.live_blocks + had);
                assert_eq!(now.live + block_bytes(&inherited), before.live + block_bytes(&blocks));
                assert_eq!(now.threads, before.threads);
                give_back(&mut blocks);
                let before = stats();
                assert_eq!(now.live_blocks, before.live_blocks + had);
                // The next thread has its heap, and finds nothing that the last one spoilt.
                let (mut blocks, _) = run_a_newcomer(usize::MAX, [None; TIMES * SIZES.len()]);
                assert_eq!(blocks.iter().flatten().count(), blocks.len() / 2);
                mark_all(&mut blocks);
                give_back(&mut blocks);
                everything_works(&before);
                refused
            });
        }
    });
}

/// What is counted as allocated was allocated, and what was refused was not.
#[test]
fn refused_blocks_are_not_counted() {
    alone("refused_blocks_are_not_counted", || {
        // Nearly every block is a sample: refused ones too.
        let sampled: fn() = || tracker::set_mean(1);
        for (name, enter) in [MODES[0], ("sampled", sampled), MODES[2]] {
            at_every_point(&format!("{name}, counts"), 5, enter, |n, ()| {
                let before = stats();
                refuse_after(n);
                let blocks = some_of_each(false);
                let refused = refuse_after(usize::MAX);
                let now = stats();
                let had = blocks.iter().flatten().count() as u64;
                assert_eq!(now.allocated_blocks - before.allocated_blocks, had);
                assert_eq!(now.freed_blocks, before.freed_blocks);
                blocks.into_iter().flatten().for_each(Raw::free);
                assert_eq!(stats().freed_blocks - before.freed_blocks, had);
                refused
            });
        }
    });
}

/// The same refusal a thousand times takes no more of the system's addresses than the first two hundred: by then each kind of
/// collection has run, and has its tables.
#[test]
fn nothing_is_lost() {
    alone("nothing_is_lost", || {
        for (name, enter) in MODES {
            // Larger than what the system has given: each attempt asks it anew.
            for size in [40 << 20, 1 << 30] {
                at_every_point(&format!("{name}, {size} bytes again and again"), 2, enter, |n, ()| {
                    let attempt = || {
                        refuse_after(n);
                        let block = Raw::try_aligned(size, 1);
                        let refused = refuse_after(usize::MAX);
                        if !block.at.is_null() {
                            block.free();
                        }
                        refused
                    };
                    let refused = (0..200).map(|_| attempt()).sum();
                    let before = stats();
                    (0..1000).for_each(|_| _ = attempt());
                    let now = stats();
                    assert_eq!((now.live, now.live_blocks), (before.live, before.live_blocks));
                    assert_eq!((now.reserved, now.own), (before.reserved, before.own), "addresses are lost");
                    internals::check();
                    refused
                });
            }
        }
    });
}
