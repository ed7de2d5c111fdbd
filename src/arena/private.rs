//! Memory for the allocator's own tables: heaps, magazines, bitmaps, side tables.
//!
//! Powers of two from 64 bytes to half a chunk, aligned to their size, from chunks of our own; a piece that is given
//! back is kept for the next one of its size. Nothing is ever unmapped: a reader may be looking at it.

use super::{SLICE, held};
use crate::os::{self, lock::Lock};
use std::ptr::null_mut;

const SMALLEST: usize = 64;
const CHUNK: usize = 1 << 20;
const SIZES: usize = (CHUNK / 2 / SMALLEST).trailing_zeros() as usize + 1;

struct Private {
    /// Pieces that were given back, by size; the first word of each leads to the next.
    free: [*mut u8; SIZES],
    at: *mut u8,
    end: *mut u8,
    bytes: usize,
}

// SAFETY: the pieces are nobody's.
unsafe impl Send for Private {}

static PRIVATE: Lock<Private> =
    Lock::new(Private { free: [null_mut(); SIZES], at: null_mut(), end: null_mut(), bytes: 0 });

fn size_index(size: usize) -> usize {
    (size.max(SMALLEST).next_power_of_two() / SMALLEST).trailing_zeros() as usize
}

/// Zeroed memory, aligned to its size rounded up to a power of two. Null if memory is out. At most half a MiB.
pub(crate) fn take(size: usize) -> *mut u8 {
    let i = size_index(size);
    assert!(i < SIZES);
    let bytes = SMALLEST << i;
    let mut private = PRIVATE.lock();
    let p = private.free[i];
    if !p.is_null() {
        // SAFETY: the piece is free, and as long as that; its first word is the link.
        unsafe {
            private.free[i] = p.cast::<*mut u8>().read();
            drop(private);
            p.write_bytes(0, bytes);
        }
        return p;
    }
    if private.at.is_null() || private.at.addr().next_multiple_of(bytes) + bytes > private.end.addr() {
        private.refill(bytes);
    }
    let p = private.at.map_addr(|a| a.next_multiple_of(bytes));
    if p.is_null() || p.addr() + bytes > private.end.addr() {
        return null_mut();
    }
    let gap = p.addr() - private.at.addr();
    private.keep(gap);
    private.at = p.wrapping_add(bytes);
    p
}

/// Gives a piece back.
///
/// # Safety
/// It came from [`take`] with the same size, and nobody uses it or looks at it.
pub(crate) unsafe fn give(p: *mut u8, size: usize) {
    let i = size_index(size);
    let mut private = PRIVATE.lock();
    // SAFETY: the piece is the caller's to give, at least 64 bytes long, and aligned.
    unsafe { p.cast::<*mut u8>().write(private.free[i]) };
    private.free[i] = p;
}

/// Bytes that the allocator has taken from the system for its own tables (address space, not all of it touched).
pub(crate) fn bytes() -> usize {
    PRIVATE.lock().bytes
}

/// Whether somebody has the lock of this memory.
pub(crate) fn is_busy() -> bool {
    PRIVATE.try_lock().is_none()
}

pub(crate) fn before_fork() {
    PRIVATE.acquire();
}

pub(crate) fn after_fork() {
    PRIVATE.release();
}

impl Private {
    /// The next `n` bytes are skipped for alignment: as pieces they are not lost.
    fn keep(&mut self, mut n: usize) {
        while n > 0 {
            // Each piece is aligned to its size: the lowest bit of the address says which fits, the gap which is left.
            let size = (1 << self.at.addr().trailing_zeros()).min(1 << n.ilog2());
            let i = size_index(size);
            // SAFETY: the gap is ours, untouched, and `size` (a multiple of 64) bytes of it are there.
            unsafe { self.at.cast::<*mut u8>().write(self.free[i]) };
            self.free[i] = self.at;
            self.at = self.at.wrapping_add(size);
            n -= size;
        }
    }

    fn refill(&mut self, need: usize) {
        for (len, needed) in [(CHUNK, false), (need.max(SLICE), true)] {
            // A chunk's beginning is aligned to an OS page only; twice the size holds an aligned piece in any case.
            let len = if len < 2 * need && need > os::page_size() { 2 * need } else { len };
            // The limit refuses a chunk, but not what is needed.
            if needed {
                held::add(len);
            } else if !held::grow(len) {
                continue;
            }
            let p = os::reserve(0, len);
            if p.is_null() {
                held::shrink(len);
                continue;
            }
            // SAFETY: the range was just reserved.
            unsafe {
                if os::commit(p, len) {
                    if !self.at.is_null() {
                        let rest = self.end.addr() - self.at.addr();
                        self.keep(rest);
                    }
                    // The beginning is skipped and not kept: to link it would touch it. So it costs address space only.
                    self.at = p.map_addr(|a| a.next_multiple_of(need));
                    self.end = p.wrapping_add(len);
                    let skipped = self.at.addr() - p.addr();
                    held::shrink(skipped);
                    self.bytes += len - skipped;
                    return;
                }
                os::release(p, len);
                held::shrink(len);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligned_zeroed_and_used_again() {
        let mut pieces = Vec::new();
        for size in [1, 64, 65, 1024, 24_000, 128, 512 << 10, 64, 1024] {
            let p = take(size);
            let len = size.max(64).next_power_of_two();
            assert!(!p.is_null() && p.addr().is_multiple_of(len));
            // SAFETY: the piece is that long.
            let bytes = unsafe { std::slice::from_raw_parts_mut(p, len) };
            assert!(bytes.iter().all(|&b| b == 0));
            bytes.fill(0xA5);
            pieces.push((p, size));
        }
        for (p, size) in pieces {
            // SAFETY: taken above.
            unsafe { give(p, size) };
            assert_eq!(take(size), p);
        }
    }
}
