//! Blocks as a program with faults handles them: the compiler knows nothing of what is done here.

use std::alloc::Layout;
use std::hint::black_box;

pub(crate) fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).expect("a layout that exists")
}

/// A block, aligned to 8.
pub(crate) fn get(size: usize) -> *mut u8 {
    get_aligned(size, 8)
}

#[inline(never)]
pub(crate) fn get_aligned(size: usize, align: usize) -> *mut u8 {
    // SAFETY: the size is not 0.
    let block = unsafe { std::alloc::alloc(black_box(layout(size, align))) };
    assert!(!block.is_null());
    fill(block, size, 0x5A);
    black_box(block)
}

/// Frees it.
pub(crate) fn put(block: *mut u8, size: usize) {
    put_aligned(block, size, 8);
}

#[inline(never)]
pub(crate) fn put_aligned(block: *mut u8, size: usize, align: usize) {
    // SAFETY: none where a fault is planted.
    unsafe { std::alloc::dealloc(black_box(block), black_box(layout(size, align))) };
}

#[inline(never)]
pub(crate) fn resize(block: *mut u8, size: usize, new_size: usize) -> *mut u8 {
    // SAFETY: none where a fault is planted.
    let block = unsafe { std::alloc::realloc(black_box(block), black_box(layout(size, 8)), new_size) };
    assert!(!block.is_null());
    black_box(block)
}

/// Writes one byte at an offset, which may be anywhere.
#[inline(never)]
pub(crate) fn poke(block: *mut u8, offset: isize, value: u8) {
    // SAFETY: none where a fault is planted.
    unsafe { black_box(block).wrapping_offset(offset).write_volatile(value) };
}

/// Writes a byte many times.
#[inline(never)]
pub(crate) fn fill(block: *mut u8, len: usize, value: u8) {
    (0..len).for_each(|i| poke(block, i as isize, value));
}

#[inline(never)]
pub(crate) fn peek(block: *mut u8, offset: isize) -> u8 {
    // SAFETY: none where a fault is planted.
    unsafe { black_box(block).wrapping_offset(offset).read_volatile() }
}

#[inline(never)]
pub(crate) fn peek_word(block: *mut u8, offset: isize) -> usize {
    // SAFETY: none where a fault is planted.
    unsafe { black_box(block).wrapping_offset(offset).cast::<usize>().read_volatile() }
}

#[inline(never)]
pub(crate) fn poke_word(block: *mut u8, offset: isize, value: usize) {
    // SAFETY: none where a fault is planted.
    unsafe { black_box(block).wrapping_offset(offset).cast::<usize>().write_volatile(value) };
}

/// Allocates so many blocks of one size, touches them, and frees them.
pub(crate) fn work(blocks: usize, size: usize) {
    let all: Vec<*mut u8> = (0..blocks).map(|_| get(size)).collect();
    all.into_iter().for_each(|block| put(block, size));
}
