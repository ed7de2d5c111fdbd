//! For this repository's own tests, behind the feature `internals`: the tracker's switches, an OS that refuses memory, the
//! invariant checks. No part of the crate's interface.

use crate::allocator::Hooks;
use crate::generation::{Generation, census, clock, collector, helper, relief};
use crate::heap::{self, steal};
use crate::os::inject;
use crate::pages::page::{Kind, page_of};
use crate::pages::shard;
use crate::sync::Ordering;
use crate::track::word;

pub mod tracker;
pub mod unwind;

/// Grants `n` more requests for memory to the allocator, then refuses all; `usize::MAX` grants all again.
/// Returns how many were refused since the last call.
pub fn refuse_after(n: usize) -> usize {
    inject::refuse_after(n)
}

/// Takes home all that idle threads and depots hold, and purges all that is free. Returns the purged bytes.
pub fn collect() -> usize {
    relief::give_all_back::<Hooks>()
}

/// Purges what is free already, and takes nothing home. Returns the purged bytes.
pub fn purge() -> usize {
    relief::purge_all_due()
}

/// Whether frees give back what has waited where there is no helper thread, as they do without this feature. A test that does not ask for it
/// purges nothing because time passes.
pub fn purge_by_time(on: bool) {
    helper::BY_TIME.store(on, Ordering::Relaxed); // Relaxed: a switch
}

/// Takes home the magazines that nobody touched since the last call: what the helper thread does at each look.
pub fn take_idle() {
    _ = steal::take_idle(false);
}

/// Bytes that count towards the limits.
pub fn held() -> usize {
    crate::arena::held::bytes()
}

/// Asks every thread that runs for what its magazines hold.
pub fn ask_to_give_up() {
    heap::thread::ask_to_give_up();
}

/// Checks the invariants of every page, magazine and depot. Panics if one does not hold. Threads may run on.
pub fn check() {
    shard::check_all();
    heap::census::check_all();
}

/// [`dump::to`](crate::dump::to) with another bound on the file's bytes, which may be below what users can choose.
pub fn dump_within(path: &str, most: u64) -> std::io::Result<()> {
    crate::dump::within(path.as_bytes(), most)
}

/// What the last steps of automatic collections cost: 16,384 of them at most. Processor time in nanoseconds.
pub fn pauses() -> Vec<(Generation, u64)> {
    let mut all = Vec::new();
    collector::each_pause(|generation, nanos| all.push((generation, nanos)));
    all
}

/// Forgets what those cost.
pub fn forget_pauses() {
    collector::forget_pauses();
}

/// For censuses, epochs last so many nanoseconds from now on, whatever the machine does meanwhile: who is suspect depends on the
/// pace of the process, too.
pub fn set_pace(nanos_per_epoch: u64) {
    census::NANOS_PER_EPOCH.store(nanos_per_epoch, Ordering::Relaxed); // Relaxed: a number
}

/// The current epoch.
pub fn epoch() -> u64 {
    clock::epoch()
}

/// The length of an epoch in bytes, from now on.
pub fn set_young_bytes(bytes: u64) {
    clock::set_young_bytes(bytes);
}

/// What is known of a tracked block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Birth {
    /// The site of the stack that allocated it.
    pub site: u32,
    /// Its tag.
    pub tag: u16,
    /// Bytes requested for it.
    pub requested: u64,
    /// The epoch of its birth.
    pub epoch: u64,
    /// Whether it is tracked because every block was, and not as a sample.
    pub exact: bool,
}

/// What is known of a block, or `None` if it is not tracked.
///
/// # Safety
/// The block came from this allocator and lives.
pub unsafe fn birth(block: *mut u8) -> Option<Birth> {
    // SAFETY: by the caller's promise its page exists.
    let page = unsafe { &*page_of(block) };
    let word = if page.kind() == Kind::Plain { return None } else { page.word(block) };
    // SAFETY: the block's own word.
    let birth = word::read(unsafe { word.as_ref()? })?;
    let word::Birth { site, tag, requested, epoch, rate } = birth;
    Some(Birth { site, tag, requested, epoch, exact: rate.is_exact() })
}

/// Makes this thread adopt the tracker's mode at once, and not at its next slow path.
pub fn adopt_mode() {
    heap::thread::adopt::<Hooks>();
}
