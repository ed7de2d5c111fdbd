//! `origin`, `traced` and `reset_peak`: what is known of the block that holds a value, and of what lies in none.

#[allow(dead_code, reason = "each file uses a part of it")]
mod hooks_support;

use hooks_support::{Raw, alone, exact, rng, size_in};
use std::hint::black_box;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use tenure::{Mode, Origin, Symbols, origin, reset_peak, traced};
use tenure_alloc_tests::Tenure;
use tenure_alloc_tests::rng::Rng;

#[global_allocator]
static ALLOC: Tenure = Tenure::new();

fn bytes_of(block: &Raw) -> &[u8] {
    // SAFETY: the block lives, and is this long; nobody writes to it.
    unsafe { std::slice::from_raw_parts(block.at, block.layout.size()) }
}

fn of(block: &Raw) -> Option<Origin> {
    origin(&bytes_of(block)[0])
}

#[test]
fn what_lies_in_no_block() {
    static TEXT: [u8; 100] = [1; 100];
    static mut WRITABLE: u64 = 0;
    thread_local!(static LOCAL: u64 = const { 5 });
    alone("what_lies_in_no_block", || {
        exact(true);
        let on_the_stack = [0u8; 64];
        assert!(origin(&on_the_stack).is_none());
        assert!(origin(&TEXT).is_none() && origin(&TEXT[50]).is_none() && origin("a literal").is_none());
        let writable = &raw const WRITABLE;
        // SAFETY: nobody writes to it.
        assert!(origin(unsafe { &*writable }).is_none());
        LOCAL.with(|local| assert!(origin(local).is_none()));
        assert!(origin(&(what_lies_in_no_block as *const () as usize)).is_none());
        // SAFETY: one byte of the code is readable.
        assert!(origin(unsafe { &*(what_lies_in_no_block as *const u8) }).is_none());
        // Of another allocator.
        // SAFETY: 100 bytes, zeroed, freed once.
        unsafe {
            let foreign = libc::calloc(100, 1).cast::<u8>();
            assert!(origin(&*foreign).is_none());
            libc::free(foreign.cast());
        }
        let vec: Vec<u64> = Vec::new();
        assert!(origin(&vec[..]).is_none() && origin(&vec).is_none());
    });
}

/// Values without a byte lie in no block, whatever lies at their address.
#[test]
fn what_has_no_size() {
    alone("what_has_no_size", || {
        exact(true);
        assert!(origin(&()).is_none() && origin(&[0u8; 0]).is_none() && origin(&*Box::new(())).is_none());
        // Full blocks beside each other: what begins at the end of one is the next one.
        let blocks: Vec<Box<[u8; 64]>> = (0..200).map(|i| Box::new([i; 64])).collect();
        for block in &blocks {
            assert!(origin(&block[..]).is_some());
            assert!(origin(&block[64..]).is_none(), "a block that the value does not lie in");
        }
    });
}

#[test]
fn what_is_not_tracked() {
    alone("what_is_not_tracked", || {
        let plain: Vec<Raw> = [1, 100, 5000, 60_000, 100_000, 5 << 20, 40 << 20].map(Raw::new).into();
        assert!(plain.iter().all(|block| of(block).is_none()));
        exact(true);
        assert!(plain.iter().all(|block| of(block).is_none()), "they were born before");
        let tracked = Raw::new(64);
        exact(false);
        assert!(of(&tracked).is_some(), "it stays so");
        plain.iter().for_each(|block| block.free());
        tracked.free();
    });
}

#[inline(never)]
fn made_here(size: usize, align: usize) -> Raw {
    let block = Raw::aligned(size, align);
    black_box(());
    block
}

#[inline(never)]
fn boxes() -> Box<u64> {
    black_box(Box::new(black_box(5)))
}
const LINE: u32 = line!() - 2;

#[test]
fn the_line_that_allocates() {
    alone("the_line_that_allocates", || {
        exact(true);
        let line = origin(&*boxes()).and_then(|o| o.line(&mut Symbols::new())).expect("there are names");
        assert!(line.function.ends_with("boxes") && line.line == Some(LINE), "{line:?}");
        assert!(line.file.as_ref().is_some_and(|file| file.ends_with("traced.rs")), "{line:?}");
    });
}

#[test]
fn any_byte_of_a_block() {
    alone("any_byte_of_a_block", || {
        exact(true);
        let mut sizes = vec![1, 2, 7, 8, 9, 64, 100, 1000, 1024, 4096, 5000, 16_000, 40_000, 65_535, 65_536];
        sizes.extend([65_537, 131_072, 200_000, 1 << 20, 5 << 20, 31 << 20]);
        let _in = tenure::scope("any byte");
        for (i, &size) in sizes.iter().enumerate() {
            let align = [1, 8, 64, 4096][i % 4];
            let block = made_here(size, align);
            let bytes = bytes_of(&block);
            let first = origin(bytes).expect("it is tracked");
            assert_eq!((first.requested, first.tag.name(), first.sampled), (size as u64, "any byte", false));
            assert!(first.block_size >= size as u64 && !first.stack.is_empty());
            for at in [0, size / 3, size / 2, size - 1, size.saturating_sub(4097)] {
                let there = origin(&bytes[at]).unwrap_or_else(|| panic!("byte {at} of {size}"));
                assert_eq!(
                    (there.site, there.requested, there.block_size),
                    (first.site, size as u64, first.block_size)
                );
            }
            block.free();
        }
    });
}

/// The interior of what is larger is not looked for; its first byte is.
#[test]
fn huge_blocks() {
    alone("huge_blocks", || {
        exact(true);
        for size in [33usize << 20, 64 << 20, 200 << 20] {
            let block = Raw::new(size);
            assert_eq!(of(&block).map(|o| o.requested), Some(size as u64));
            // What is documented: None beyond; not somebody else's.
            for at in [1, 5 << 20, 31 << 20, (32 << 20) + 1, size / 2, size - 1] {
                let found = origin(&bytes_of(&block)[at]);
                assert!(found.as_ref().is_none_or(|o| o.requested == size as u64), "{at}: {found:?}");
            }
            block.free();
        }
    });
}

/// Large blocks where small ones' pages were, and the reverse; each byte is of the block that is there now.
#[test]
fn on_used_ground() {
    alone("on_used_ground", || {
        exact(true);
        let mut rng = rng(5);
        let mut live: Vec<Raw> = Vec::with_capacity(300);
        for step in 0..6000 {
            if live.len() < 200 && !rng.one_in(3) {
                let size = match rng.below(20) {
                    0 => size_in(&mut rng, 65_537..20 << 20),
                    1..6 => size_in(&mut rng, 8000..65_537),
                    _ => size_in(&mut rng, 1..8000),
                };
                live.push(Raw::new(size));
            } else if !live.is_empty() {
                live.swap_remove(rng.below(live.len())).free();
            }
            if step % 500 == 499 {
                live.drain(..live.len() / 2).for_each(Raw::free);
                tenure::internals::collect();
            }
            if step % 10 == 0 && !live.is_empty() {
                let block = &live[rng.below(live.len())];
                let size = block.layout.size();
                let at = if rng.one_in(3) { size - 1 } else { rng.below(size) };
                let found = origin(&bytes_of(block)[at]).expect("every block is tracked");
                assert_eq!(found.requested, size as u64, "byte {at}");
            }
        }
        live.drain(..).for_each(Raw::free);
    });
}

#[test]
fn values_in_blocks() {
    alone("values_in_blocks", || {
        exact(true);
        let (boxed, shared, vec) = (Box::new(7u64), Rc::new([1u8; 40]), vec![3u32; 100]);
        let text = String::from("hello, I am on the heap");
        assert_eq!(origin(&*boxed).map(|o| o.requested), Some(8));
        assert_eq!(origin(&*shared).map(|o| o.requested), Some(56), "with its two counts");
        assert_eq!(origin(&vec[99]).map(|o| o.requested), Some(400));
        assert_eq!(origin(&text[5..]).map(|o| o.requested), Some(text.capacity() as u64));
        assert!(origin(&boxed).is_none() && origin(&vec).is_none(), "the handles are on the stack");
        let nested = Box::new(vec![Box::new(1u8)]);
        assert_eq!(origin(&*nested).map(|o| o.requested), Some(24));
        assert_eq!(origin(&nested[0]).map(|o| o.requested), Some(8));
        assert_eq!(origin(&*nested[0]).map(|o| o.requested), Some(1));
        // Through a trait object.
        let dynamic: Box<dyn Fn() -> u64> = {
            let captured = [*boxed; 9];
            Box::new(move || captured.iter().sum())
        };
        assert_eq!(origin(&*dynamic).map(|o| o.requested), Some(72));
        assert_eq!(dynamic(), 63);
    });
}

#[test]
fn ages() {
    alone("ages", || {
        exact(true);
        tenure::internals::set_young_bytes(1 << 20);
        let block = Raw::new(100);
        let born = of(&block).expect("tracked");
        assert_eq!((born.age, born.epoch), (0, tenure::internals::epoch()));
        (0..100).for_each(|_| Raw::new(200_000).free());
        let later = of(&block).expect("tracked");
        assert_eq!(later.epoch, born.epoch);
        assert!(later.age >= 10, "{later:?}");
        assert_eq!(later.age, tenure::internals::epoch() - born.epoch);
        block.free();
    });
}

/// While other threads allocate and free on the same pages.
#[test]
fn among_busy_threads() {
    alone("among_busy_threads", || {
        exact(true);
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            for seed in 0..2 {
                let stop = &stop;
                scope.spawn(move || {
                    let mut rng = Rng::new(seed);
                    let mut blocks: Vec<Raw> = Vec::with_capacity(100);
                    while !stop.load(SeqCst) {
                        blocks.extend((0..50).map(|_| Raw::new(size_in(&mut rng, 1..200_000))));
                        blocks.drain(..).for_each(Raw::free);
                    }
                });
            }
            let _stop = Stop(&stop);
            let mut rng = Rng::new(9);
            for _ in 0..3000 {
                let size = size_in(&mut rng, 1..300_000);
                let block = Raw::new(size);
                let found = origin(&bytes_of(&block)[rng.below(size)]).expect("it is tracked");
                assert_eq!(found.requested, size as u64);
                block.free();
            }
        });
    });
}

/// Ends the threads, also if this one panics.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

#[test]
fn how_much_is_traced() {
    alone("how_much_is_traced", || {
        exact(true);
        reset_peak();
        let start = traced();
        assert_eq!(start.current, start.largest);
        let block = Raw::new(1 << 20);
        let small: Vec<Raw> = (0..100).map(|_| Raw::new(1000)).collect();
        let vec = (small.capacity() * size_of::<Raw>()) as f64;
        let high = traced();
        assert_eq!(high.current - start.current, (1 << 20) as f64 + 100_000.0 + vec);
        assert_eq!(high.largest, high.current);
        block.free();
        small.iter().for_each(|block| block.free());
        drop(small);
        let low = traced();
        assert_eq!((low.current, low.largest), (start.current, high.largest), "the peak stays");
        reset_peak();
        assert_eq!(traced().largest, start.current, "until it is reset");
        // What lived between two calls is in none of them.
        Raw::new(10 << 20).free();
        assert_eq!(traced().largest, start.current);
        // In other modes what was tracked is counted on.
        let block = Raw::new(5000);
        tenure::set_mode(Mode::Off);
        let more = Raw::new(7000);
        assert_eq!(traced().current - start.current, 5000.0);
        block.free();
        more.free();
        assert_eq!(traced().current, start.current);
    });
}

#[test]
fn how_much_samples_trace() {
    alone("how_much_samples_trace", || {
        tenure::set_mode(Mode::Sampled { mean: 10_000 });
        let blocks: Vec<Raw> = (0..20_000).map(|_| Raw::new(512)).collect();
        let now = traced().current;
        let right = 20_000.0 * 512.0;
        println!("{now} of {right}");
        // 1000 samples: 3 %.
        assert!((now / right - 1.0).abs() < 0.2);
        blocks.iter().for_each(|block| block.free());
        drop(blocks);
        assert!(traced().current < 1e-3 * right, "{}", traced().current);
    });
}
