//! Large blocks: more than the largest class holds, or an alignment above a slice's. Each is a run of slices.
//!
//! Freed runs stay in the arena with their memory for a moment, so that the next one finds them warm; the arena purges
//! them when they have waited. A growing block takes the slices behind it if they are free; otherwise its memory is
//! moved, not copied.

use super::thread::with_tracker;
use super::{Mode, SlowPath, fence};
use crate::arena::{SLICE, held, slices};
use crate::config::Config;
use crate::os::{self, die};
use crate::pages::loose;
use crate::pages::page::{self, page_of};
use crate::pages::shard;
use crate::sync::{AtomicU64, AtomicUsize, Ordering};
use std::alloc::Layout;

/// Blocks from this size on are moved by their page tables; below, copying is faster.
/// Each move may leave one more mapping, of which a process has some 65,000.
const MOVE_FROM: usize = 1 << 20;

/// Counted at each operation: they cost microseconds anyway.
static ALLOCATED: AtomicU64 = AtomicU64::new(0);
static LIVE: AtomicUsize = AtomicUsize::new(0);
static LIVE_BYTES: AtomicUsize = AtomicUsize::new(0);

/// Large blocks that were allocated ever, that live, and the bytes of those.
pub(crate) fn counts() -> (u64, usize, usize) {
    // Relaxed: statistics.
    (ALLOCATED.load(Ordering::Relaxed), LIVE.load(Ordering::Relaxed), LIVE_BYTES.load(Ordering::Relaxed))
}

/// Slices for a size; `None` for a size that no address space holds.
fn slices_for(size: usize) -> Option<usize> {
    (size <= 1 << 46).then(|| (size + fence::least()).div_ceil(SLICE).max(1))
}

/// The address of the large block that was freed a moment ago and holds this address.
pub(crate) fn freed_around(p: *mut u8) -> Option<*mut u8> {
    fence::freed_around(p)
}

/// Bytes that were asked for; `otherwise`, where nobody keeps that.
///
/// # Safety
/// The block is a large one and the caller's.
#[cfg(feature = "c-interface")]
pub(crate) unsafe fn requested(block: *mut u8, otherwise: usize) -> usize {
    // SAFETY: by the caller's promise.
    if fence::ON { unsafe { (*page_of(block)).requested().0 } } else { otherwise }
}

/// Runs that are inaccessible since they were freed go back now. Whether there was one.
pub(crate) fn give_up_freed<S: SlowPath>() -> bool {
    let mut any = false;
    while let Some(run) = fence::take_one() {
        // SAFETY: the run is nobody's.
        S::due(unsafe { slices::give(run.at, run.slices, run.zero) });
        any = true;
    }
    any
}

/// Looks whether somebody has written behind the block's end, or takes it for another one; ends the process then.
///
/// # Safety
/// The block is a large one and the caller's.
pub(crate) unsafe fn check(block: *mut u8, layout: Option<Layout>) {
    // SAFETY: by the caller's promise.
    unsafe { fence::check(block, layout) }
}

/// A large block, and whether it reads as zero. Null if memory is out.
pub(crate) fn alloc<S: SlowPath>(config: &Config, size: usize, align: usize) -> (*mut u8, bool) {
    let Some(n) = slices_for(size).filter(|_| align <= 1 << 46) else { return (std::ptr::null_mut(), false) };
    let once_more = || if S::short(n * SLICE) { slices::take(n, align) } else { None };
    let Some(run) = slices::take(n, align).or_else(once_more) else {
        S::failed(size, n * SLICE);
        return (std::ptr::null_mut(), false);
    };
    // SAFETY: the run is ours.
    unsafe {
        page::write_large(run.at, n, slices::is_huge(n, align));
        fence::put_up(run.at, size, align, false);
    }
    ALLOCATED.fetch_add(1, Ordering::Relaxed); // Relaxed: statistics
    LIVE.fetch_add(1, Ordering::Relaxed);
    LIVE_BYTES.fetch_add(n * SLICE, Ordering::Relaxed);
    // SAFETY: the block is ours, and not yet anybody's.
    unsafe { draw::<S>(config, run.at, size, n * SLICE) };
    shard::balance(run.grown);
    S::allocated(n * SLICE, true);
    (run.at, run.zero)
}

/// Tracks the block, which is `requested` bytes long by now, if `bytes` more of it say so.
///
/// # Safety
/// The block is a large one, the caller's, and not tracked.
unsafe fn draw<S: SlowPath>(config: &Config, block: *mut u8, requested: usize, bytes: usize) {
    with_tracker::<S, _>(config, |tracker| {
        let Some(rate) = S::draw_large(tracker, bytes) else { return };
        // SAFETY: by the caller's promise.
        let page = unsafe { &mut *page_of(block) };
        let word = loose::take(page.slices() * SLICE);
        if !word.is_null() {
            // SAFETY: the word is ours.
            S::born(tracker, unsafe { &*word }, requested, page.slices() * SLICE, rate);
            page.set_word(word);
        }
    });
}

/// The block was resized in place, from so many bytes to what its page says now. Of samples, each byte is a trial: if it grew
/// and is not tracked, the bytes that it grew by are; if it shrank, it may be tracked no more. A block that is not tracked
/// when its thread comes to track every one stays so.
///
/// # Safety
/// The block is a large one and the caller's.
unsafe fn resized<S: SlowPath>(config: &Config, block: *mut u8, requested: usize, before: usize) {
    // SAFETY: by the caller's promise, here and below.
    let page = unsafe { &mut *page_of(block) };
    let after = page.slices() * SLICE;
    // Relaxed: a statistic. Wrapping: the sum is right.
    LIVE_BYTES.fetch_add(after.wrapping_sub(before), Ordering::Relaxed);
    let word = page.word(block);
    if word.is_null() {
        if after > before && with_tracker::<S, _>(config, S::mode) == Mode::Plain {
            // SAFETY: as above.
            unsafe { draw::<S>(config, block, requested, after - before) };
        }
        return;
    }
    with_tracker::<S, _>(config, |tracker| {
        // SAFETY: the word is the block's own.
        unsafe {
            if S::resized(tracker, &*word, requested, before, after) {
                loose::set_bytes(word, after);
            } else {
                page.set_word(std::ptr::null_mut());
                loose::give(word);
            }
        }
    });
}

/// # Safety
/// The block is a large one, and the caller's to free.
pub(crate) unsafe fn free<S: SlowPath>(config: &Config, block: *mut u8) {
    // SAFETY: by the caller's promise.
    unsafe { free_run::<S>(config, block, 0) }
}

/// # Safety
/// As for [`free`]; the memory of the first `moved` bytes, whole slices, was moved away or purged, and [`held`] knows of that.
unsafe fn free_run<S: SlowPath>(config: &Config, block: *mut u8, moved: usize) {
    // SAFETY: by the caller's promise.
    unsafe {
        let page = &*page_of(block);
        if page.base() != block {
            die!("free of {block:p}, inside a large block at {:p}", page.base());
        }
        let (n, huge) = (page.slices(), page.is_huge());
        let word = page.word(block);
        if !word.is_null() {
            with_tracker::<S, _>(config, |tracker| S::died(tracker, &*word, n * SLICE, S::now()));
            loose::give(word);
        }
        fence::take_down(block);
        page::erase_large(block);
        LIVE.fetch_sub(1, Ordering::Relaxed); // Relaxed: statistics
        LIVE_BYTES.fetch_sub(n * SLICE, Ordering::Relaxed);
        let zero = moved / SLICE;
        if huge {
            return S::due(slices::give_huge(block, n, zero));
        }
        if let Some(run) = fence::keep(fence::Freed { at: block, slices: n, zero }) {
            S::due(slices::give(run.at, run.slices, run.zero));
        }
    }
}

/// Changes the size of a large block, in place or by moving its memory. Null if memory is out; `None` if it cannot be done
/// without a copy. The block is as it was then.
///
/// # Safety
/// The block is a large one and the caller's; `size` needs a large block too; `old` is how much of it is used.
pub(crate) unsafe fn realloc<S: SlowPath>(
    config: &Config,
    block: *mut u8,
    old: usize,
    size: usize,
    align: usize,
) -> Option<*mut u8> {
    // SAFETY: by the caller's promise. A block that has moved has a fence by then, but what was moved into it has changed it.
    unsafe {
        let had = fence::take_down(block);
        let new = resize::<S>(config, block, old, size, align);
        match new {
            Some(new) if !new.is_null() => fence::put_up(new, size, align, had),
            _ => fence::put_up(block, old, align, had),
        }
        new
    }
}

/// The same without what stands behind the block.
///
/// # Safety
/// As for [`realloc`].
unsafe fn resize<S: SlowPath>(
    config: &Config,
    block: *mut u8,
    old: usize,
    size: usize,
    align: usize,
) -> Option<*mut u8> {
    let Some(n) = slices_for(size) else { return Some(std::ptr::null_mut()) };
    // SAFETY: by the caller's promise.
    let (have, huge) = unsafe { ((*page_of(block)).slices(), (*page_of(block)).is_huge()) };
    if n == have {
        // SAFETY: the block is the caller's.
        unsafe { resized::<S>(config, block, size, have * SLICE) };
        return Some(block);
    }
    // SAFETY: the block is the caller's, and none of its end is used any more.
    unsafe {
        if !huge && n < have {
            (*page_of(block)).set_slices(n);
            resized::<S>(config, block, size, have * SLICE);
            S::due(slices::give(block.wrapping_add(n * SLICE), have - n, 0));
            return Some(block);
        }
        if huge && n < have && n * 2 >= have {
            resized::<S>(config, block, size, have * SLICE);
            return Some(block); // the end of a huge block stays its own
        }
        if !huge
            && n > have
            && let Some(run) = extend::<S>(block, have, n)
        {
            (*page_of(block)).set_slices(n);
            resized::<S>(config, block, size, have * SLICE);
            shard::balance(run.grown);
            S::allocated((n - have) * SLICE, true);
            return Some(block);
        }
    }
    let used = old.min(size);
    if used < MOVE_FROM {
        return None;
    }
    let len = used.next_multiple_of(os::page_size());
    // What is moved is never there twice, so it counts as gone from here on.
    let moves = len / SLICE * SLICE;
    held::shrink(moves);
    let (new, _) = alloc::<S>(config, size, align);
    if new.is_null() {
        held::add(moves);
        return Some(new);
    }
    // SAFETY: both blocks are ours, disjoint, and at least that long.
    unsafe {
        match os::move_pages(block, new, len) {
            os::Moved::Yes => free_run::<S>(config, block, moves),
            os::Moved::No if held::grow(moves) => {
                new.copy_from_nonoverlapping(block, used);
                free::<S>(config, block);
            }
            // The limit has no room for both.
            os::Moved::No if copy_in_pieces(block, new, used) => free_run::<S>(config, block, moves),
            os::Moved::No => {
                held::add(moves);
                free::<S>(config, block);
            }
            // The new block is not memory any more: it stays out of use for ever, and the old one is as it was.
            os::Moved::Lost => {
                held::add(moves);
                return None;
            }
        }
    }
    Some(new)
}

/// Copies, and gives back what was copied, a MiB at a time. Returns whether all whole slices of `from` read as zero now.
///
/// # Safety
/// Both blocks are large ones of the caller's, disjoint, and at least that long.
unsafe fn copy_in_pieces(from: *mut u8, to: *mut u8, len: usize) -> bool {
    const PIECE: usize = 1 << 20;
    let mut purged = true;
    for at in (0..len).step_by(PIECE) {
        let n = PIECE.min(len - at);
        let (from, whole) = (from.wrapping_add(at), n / SLICE * SLICE);
        // SAFETY: by the caller's promise; what was copied is dead.
        unsafe {
            to.wrapping_add(at).copy_from_nonoverlapping(from, n);
            purged &= whole == 0 || os::purge(from, whole);
        }
    }
    purged
}

/// [`slices::extend`], and once more if it was the limit that refused, and room could be made.
///
/// # Safety
/// As for that.
unsafe fn extend<S: SlowPath>(block: *mut u8, have: usize, to: usize) -> Option<slices::Run> {
    let more = (to - have) * SLICE;
    // SAFETY: by the caller's promise.
    let run = unsafe { slices::extend(block, have, to) };
    // SAFETY: as above.
    run.or_else(|| if !held::fits(more) && S::short(more) { unsafe { slices::extend(block, have, to) } } else { None })
}
