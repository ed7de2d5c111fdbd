//! What stands behind a large block in a build with the feature `hardened`: the rest of its last OS page is filled, and
//! looked at when the block is freed; the OS pages after that, one at least, are inaccessible. A freed block is inaccessible
//! as a whole while some others are freed. Both are system calls, which took longer than all else: the first blocks have
//! them, and then one in [`ONE_IN`].

use crate::arena::SLICE;
use crate::config::hardened::{DELAY_LARGE, GUARD_PAGES};
use crate::os::{self, die, fault, lock::Lock};
use crate::pages::guard::MOST;
use crate::pages::page::page_of;
use crate::sync::{AtomicUsize, Ordering};
use std::alloc::Layout;

/// Whether large blocks have one.
pub(super) const ON: bool = GUARD_PAGES;

const FILL: u8 = 0xB7;

/// Freed blocks that are inaccessible at a time.
const KEPT: usize = 8;
/// Physical memory that each of them may keep meanwhile. A larger one is free at once: to give its memory back, so that it could wait
/// without it, made the next one pay for that in page faults (three times the time of a vector that grows).
const KEPT_EACH: usize = 2 << 20;

/// A run of slices that nobody uses.
#[derive(Clone, Copy)]
pub(super) struct Freed {
    pub(super) at: *mut u8,
    pub(super) slices: usize,
    /// The first of them that hold no physical memory.
    pub(super) zero: usize,
}

/// So many are the first ones.
const FIRST: usize = 32;
const ONE_IN: usize = 64;
/// Blocks that could have had a fence, and those that could have waited.
static FENCES: AtomicUsize = AtomicUsize::new(0);
static WAITS: AtomicUsize = AtomicUsize::new(0);

/// Whether the next one has what these are the first of.
fn chosen(count: &AtomicUsize) -> bool {
    let n = count.fetch_add(1, Ordering::Relaxed); // Relaxed: a counter
    n < FIRST || n.is_multiple_of(ONE_IN)
}

struct Waiting {
    freed: [Option<Freed>; KEPT],
    next: usize,
}

// SAFETY: the runs are nobody else's.
unsafe impl Send for Waiting {}

static WAITING: Lock<Waiting> = Lock::new(Waiting { freed: [None; KEPT], next: 0 });

/// In a block's alignment: its fence stands.
const STANDS: usize = 1 << (usize::BITS - 1);
/// Fences that stand.
static STANDING: AtomicUsize = AtomicUsize::new(0);

/// Bytes that a block's slices have at least beyond what was asked for.
pub(super) fn least() -> usize {
    if ON { os::page_size() } else { 0 }
}

/// Where what is inaccessible begins. Blocks begin at multiples of an OS page.
fn inaccessible(size: usize) -> usize {
    size.next_multiple_of(os::page_size())
}

/// Bytes that are filled behind a block without a fence, at least: one that ends with its OS page would have none.
const LEAST_FILLED: usize = 64;

/// Where what is filled behind a block ends, in so many bytes of slices.
fn filled_to(size: usize, bytes: usize, stands: bool) -> usize {
    let end = inaccessible(size);
    if stands { end } else { end.max(size + LEAST_FILLED) }.min(bytes)
}

/// Makes a range inaccessible. Where the system refuses, it may have changed a part.
///
/// # Safety
/// The range is the caller's, and nothing in it is used.
unsafe fn close(at: *mut u8, len: usize) -> bool {
    // SAFETY: by the caller's promise.
    unsafe {
        let closed = os::protect(at, len, true);
        if !closed && !os::protect(at, len, false) {
            die!("the system does not give the memory at {at:p} back");
        }
        closed
    }
}

/// Puts up the fence of a block. One that `had` a fence before it was resized has one again.
///
/// # Safety
/// For all of these: the block is a large one and the caller's.
pub(super) unsafe fn put_up(block: *mut u8, size: usize, align: usize, had: bool) {
    if !ON {
        return;
    }
    // SAFETY: by the caller's promise; there is an OS page at least behind what was asked for, see `least`.
    unsafe {
        let page = &mut *page_of(block);
        let bytes = page.slices() * SLICE;
        let end = inaccessible(size);
        fault::install();
        // Relaxed: a bound, which need not be exact.
        let stood = page.requested().1 & STANDS != 0;
        let stands = end < bytes
            && (stood || had || chosen(&FENCES) && STANDING.load(Ordering::Relaxed) < MOST)
            && close(block.wrapping_add(end), bytes - end);
        block.wrapping_add(size).write_bytes(FILL, filled_to(size, bytes, stands) - size);
        // Wrapping: the sum is right.
        STANDING.fetch_add(usize::from(stands).wrapping_sub(usize::from(stood)), Ordering::Relaxed);
        page.set_requested(size, align | if stands { STANDS } else { 0 });
    }
}

/// Takes it down. Returns whether it stood.
///
/// # Safety
/// See [`put_up`].
pub(super) unsafe fn take_down(block: *mut u8) -> bool {
    if !ON {
        return false;
    }
    // SAFETY: by the caller's promise.
    unsafe {
        let page = &mut *page_of(block);
        let (size, align) = page.requested();
        if align & STANDS != 0 {
            STANDING.fetch_sub(1, Ordering::Relaxed); // Relaxed: as above
            open(block, page.slices());
            page.set_requested(size, align & !STANDS);
        }
        align & STANDS != 0
    }
}

/// # Safety
/// The slices are the caller's.
unsafe fn open(at: *mut u8, slices: usize) {
    // SAFETY: by the caller's promise.
    if !unsafe { os::protect(at, slices * SLICE, false) } {
        die!("the system does not give the memory at {at:p} back");
    }
}

/// Looks whether somebody has written behind a block, or takes it for another one; ends the process then.
///
/// # Safety
/// See [`put_up`].
pub(super) unsafe fn check(block: *mut u8, layout: Option<Layout>) {
    if !ON {
        return;
    }
    // SAFETY: by the caller's promise.
    unsafe {
        let page = &*page_of(block);
        let (size, align) = page.requested();
        let end = filled_to(size, page.slices() * SLICE, align & STANDS != 0);
        let align = align & !STANDS;
        let filled = std::slice::from_raw_parts(block.wrapping_add(size), end - size);
        // Words first: this is up to an OS page.
        let (before, words, after) = filled.align_to::<u64>();
        let right = |bytes: &[u8]| bytes.iter().all(|&b| b == FILL);
        if !right(before) || !right(after) || words.iter().any(|&w| w != u64::from_ne_bytes([FILL; 8])) {
            let byte = size + filled.iter().position(|&b| b != FILL).unwrap_or(0);
            die!("{block:p} was written to behind its end: it is {size} bytes long, and byte {byte} was overwritten");
        }
        if let Some(layout) = layout
            && (layout.size(), layout.align()) != (size, align)
        {
            die!(
                "free of {block:p} as {} bytes aligned to {}: it has {size} bytes aligned to {align}",
                layout.size(),
                layout.align()
            );
        }
    }
}

/// A run was freed: it is inaccessible from here on. Returns one that has been for long enough, and is accessible.
///
/// # Safety
/// The run is nobody's.
pub(super) unsafe fn keep(freed: Freed) -> Option<Freed> {
    if !DELAY_LARGE {
        return Some(freed);
    }
    let small = (freed.slices - freed.zero) * SLICE <= KEPT_EACH;
    // SAFETY: by the caller's promise.
    if !small || !chosen(&WAITS) || !unsafe { close(freed.at, freed.slices * SLICE) } {
        return Some(freed);
    }
    let mut waiting = WAITING.lock();
    let i = waiting.next;
    waiting.next = (i + 1) % KEPT;
    let out = waiting.freed[i].replace(freed);
    drop(waiting);
    // SAFETY: as above.
    out.inspect(|out| unsafe { open(out.at, out.slices) })
}

/// One that is inaccessible still, whichever: it is accessible then.
pub(super) fn take_one() -> Option<Freed> {
    let out = WAITING.lock().freed.iter_mut().find_map(Option::take)?;
    // SAFETY: the run is nobody's.
    unsafe { open(out.at, out.slices) };
    Some(out)
}

/// The block that was freed a moment ago and holds an address, unless that cannot be known without waiting: a signal handler
/// asks.
pub(super) fn freed_around(p: *mut u8) -> Option<*mut u8> {
    let waiting = WAITING.try_lock()?;
    let of = |freed: &&Freed| p.addr().wrapping_sub(freed.at.addr()) < freed.slices * SLICE;
    waiting.freed.iter().flatten().find(of).map(|freed| freed.at)
}

pub(super) fn before_fork() {
    WAITING.acquire();
}

pub(super) fn after_fork() {
    WAITING.release();
}
