//! For this repository's own tests, behind the feature `internals`: a dummy tracker, an OS that refuses memory, the
//! invariant checks. No part of the crate's interface.

use crate::allocator::Hooks;
use crate::arena::slices;
use crate::generation::clock;
use crate::heap::{self, steal};
use crate::os::inject;
use crate::pages::page::{Kind, page_of};
use crate::pages::shard;
use crate::sync::Ordering;

pub mod tracker;
pub mod unwind;

/// Grants `n` more requests for memory to the allocator, then refuses all; `usize::MAX` grants all again.
/// Returns how many were refused since the last call.
pub fn refuse_after(n: usize) -> usize {
    inject::refuse_after(n)
}

/// Takes home all that idle threads and depots hold, and purges all that is free. Returns the purged bytes.
pub fn collect() -> usize {
    heap::thread::flush_this();
    steal::take_idle(true);
    let dug = shard::dig_holes(usize::MAX, false);
    dug + std::iter::from_fn(|| slices::purge_one(true)).sum::<usize>()
}

/// Takes home the magazines that nobody touched since the last call: what the helper thread does at each look.
pub fn take_idle() {
    steal::take_idle(false);
}

/// Checks the invariants of every page, magazine and depot. Panics if one does not hold. Threads may run on.
pub fn check() {
    shard::check_all();
    heap::census::check_all();
}

/// The current epoch.
pub fn epoch() -> u64 {
    clock::epoch()
}

/// The length of an epoch in bytes, from now on.
pub fn set_young_bytes(bytes: u64) {
    clock::set_young_bytes(bytes);
}

/// The two words that stand in the side table for a block, or `None` if it is not tracked.
///
/// # Safety
/// The block came from this allocator and lives.
pub unsafe fn side_words(block: *mut u8) -> Option<[u64; 2]> {
    // SAFETY: by the caller's promise its page exists.
    let page = unsafe { &*page_of(block) };
    let word = if page.kind() == Kind::Plain { return None } else { page.word(block) };
    // SAFETY: the block's own word, which changes only when the block dies.
    (!word.is_null()).then(|| unsafe { [0, 1].map(|i| (*word).0[i].load(Ordering::Relaxed)) })
}

/// Makes this thread adopt the tracker's mode at once, and not at its next slow path.
pub fn adopt_mode() {
    heap::thread::adopt::<Hooks>();
}
