//! Accesses beyond a block's ends: CWE-122, 124, 126, 127.

use super::memory::{fill, get, get_aligned, peek, peek_word, poke, poke_word, put, put_aligned};
use super::{Ended, Fault, harmless_if, planted};
use std::alloc::Layout;
use std::hint::black_box;

/// A block of `size`, of which `len` bytes from `offset` on are overwritten; then it is freed.
fn write(size: usize, offset: isize, len: usize, value: u8) -> Ended {
    let (before, block, after) = (get(size), get(size), get(size));
    if planted() {
        fill(block.wrapping_offset(offset), len, value);
    }
    [after, block, before].into_iter().for_each(|block| put(block, size));
    Ended::Unnoticed
}

fn write_aligned(size: usize, align: usize, offset: isize) -> Ended {
    let block = get_aligned(size, align);
    if planted() {
        poke(block, offset, 1);
    }
    put_aligned(block, size, align);
    Ended::Unnoticed
}

fn read(size: usize, offset: isize, len: usize) -> Ended {
    let (secret, block) = (get(size), get(size));
    if planted() {
        let sum: usize = (0..len).map(|i| peek(block, offset + i as isize) as usize).sum();
        black_box(sum);
    }
    put(block, size);
    put(secret, size);
    Ended::Unnoticed
}

fn a_string_without_room_for_its_end() -> Ended {
    let text = b"sixteen letters!";
    let block = get(text.len());
    text.iter().enumerate().for_each(|(i, &c)| poke(block, i as isize, c));
    if planted() {
        poke(block, text.len() as isize, 0);
    }
    put(block, text.len());
    Ended::Unnoticed
}

fn a_loop_to_the_length_inclusive() -> Ended {
    let words = 12;
    let block = get(words * 8);
    let end = if planted() { words + 1 } else { words };
    (0..end).for_each(|i| poke_word(block, i as isize * 8, i));
    put(block, words * 8);
    Ended::Unnoticed
}

fn in_zeroed_memory() -> Ended {
    // SAFETY: the size is not 0.
    let block = unsafe { std::alloc::alloc_zeroed(black_box(Layout::from_size_align(72, 8).expect("a layout"))) };
    if planted() {
        poke(block, 72, 1);
    }
    put(block, 72);
    Ended::Unnoticed
}

fn by_another_thread() -> Ended {
    let block = get(56).addr();
    let write = move || {
        if planted() {
            poke(std::ptr::with_exposed_provenance_mut(block), 56, 1);
        }
    };
    std::ptr::with_exposed_provenance_mut::<u8>(block).expose_provenance();
    std::thread::spawn(write).join().expect("no panic");
    put(std::ptr::with_exposed_provenance_mut(block), 56);
    Ended::Unnoticed
}

fn of_a_block_that_is_never_freed() -> Ended {
    let block = get(80);
    if planted() {
        poke(block, 80, 1);
    }
    Ended::Unnoticed
}

/// Each block's own end is left alone: the write lands in the middle of the next one.
fn over_the_end_of_the_block() -> Ended {
    let all: Vec<*mut u8> = (0..64).map(|_| get(48)).collect();
    if planted() {
        poke(all[32], 64 + 16, 1);
    }
    let hit = all.iter().any(|&block| (0..48).any(|i| peek(block, i) != 0x5A));
    all.into_iter().for_each(|block| put(block, 48));
    harmless_if(!hit)
}

fn four_neighbours() -> Ended {
    let all: Vec<*mut u8> = (0..8).map(|_| get(40)).collect();
    if planted() {
        fill(all[2], 40 * 5, 0x41);
    }
    all.into_iter().for_each(|block| put(block, 40));
    Ended::Unnoticed
}

/// The length comes from a subtraction that wrapped.
fn a_length_below_zero() -> Ended {
    let block = get(64);
    let len = if planted() { black_box(8usize).wrapping_sub(9) } else { 8 };
    (0..len).for_each(|i| poke(block, i as isize, 0x41));
    put(block, 64);
    Ended::Unnoticed
}

fn a_pointer_in_the_next_block() -> Ended {
    let target = get(64);
    let all: Vec<*mut u8> = (0..8).map(|_| get(24)).collect();
    all.iter().for_each(|&block| poke_word(block, 0, target.expose_provenance()));
    if planted() {
        fill(all[3], 24 + 16, 0x41);
    }
    for &block in &all {
        poke(std::ptr::with_exposed_provenance_mut(peek_word(block, 0)), 0, 1);
    }
    all.into_iter().for_each(|block| put(block, 24));
    put(target, 64);
    Ended::Unnoticed
}

pub(crate) const ALL: &[Fault] = &[
    Fault { name: "overflow-1-of-24", run: || write(24, 24, 1, 1) },
    Fault { name: "overflow-1-of-21", run: || write(21, 21, 1, 1) },
    Fault { name: "overflow-1-of-1", run: || write(1, 1, 1, 1) },
    Fault { name: "overflow-8-of-32", run: || write(32, 32, 8, 0x41) },
    Fault { name: "overflow-64-of-48", run: || write(48, 48, 64, 0x41) },
    Fault { name: "overflow-1-of-1000", run: || write(1000, 1000, 1, 1) },
    Fault { name: "overflow-8-of-4088", run: || write(4088, 4088, 8, 0x41) },
    Fault { name: "overflow-1-at-a-page-end", run: || write(4096, 4096, 1, 1) },
    Fault { name: "overflow-1-of-20000", run: || write(20_000, 20_000, 1, 1) },
    Fault { name: "overflow-1-of-100000", run: || write(100_000, 100_000, 1, 1) },
    Fault { name: "overflow-a-page-of-1-MiB", run: || write(1 << 20, 1 << 20, 4096, 1) },
    Fault { name: "overflow-1-of-whole-slices", run: || write(128 << 10, 128 << 10, 1, 1) },
    Fault { name: "overflow-256-KiB-of-64", run: || write(64, 64, 256 << 10, 0x41) },
    Fault { name: "overflow-4-MiB-of-5000", run: || write(5000, 5000, 4 << 20, 0x41) },
    Fault { name: "overflow-a-zero-byte", run: || write(16, 16, 1, 0) },
    Fault { name: "overflow-a-string-end", run: a_string_without_room_for_its_end },
    Fault { name: "overflow-loop-inclusive", run: a_loop_to_the_length_inclusive },
    Fault { name: "overflow-zeroed", run: in_zeroed_memory },
    Fault { name: "overflow-by-another-thread", run: by_another_thread },
    Fault { name: "overflow-never-freed", run: of_a_block_that_is_never_freed },
    Fault { name: "overflow-over-the-end", run: over_the_end_of_the_block },
    Fault { name: "overflow-four-neighbours", run: four_neighbours },
    Fault { name: "overflow-length-below-zero", run: a_length_below_zero },
    Fault { name: "overflow-a-pointer", run: a_pointer_in_the_next_block },
    Fault { name: "overflow-1-aligned-64", run: || write_aligned(100, 64, 100) },
    Fault { name: "overflow-1-aligned-4096", run: || write_aligned(4096, 4096, 4096) },
    Fault { name: "underflow-1-of-32", run: || write(32, -1, 1, 1) },
    Fault { name: "underflow-8-of-200", run: || write(200, -8, 8, 0x41) },
    Fault { name: "underflow-64-of-48", run: || write(48, -64, 64, 0x41) },
    Fault { name: "underflow-8-of-1-MiB", run: || write(1 << 20, -8, 8, 0x41) },
    Fault { name: "overread-1-of-40", run: || read(40, 40, 1) },
    Fault { name: "overread-256-KiB-of-100", run: || read(100, 100, 256 << 10) },
    Fault { name: "overread-a-page-of-1-MiB", run: || read(1 << 20, 1 << 20, 4096) },
    Fault { name: "underread-8-of-64", run: || read(64, -8, 8) },
];
