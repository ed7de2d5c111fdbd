//! What a test of the hooks tells the tracker to do, and what it counted.

use crate::allocator::{want_exact, with_state};
use crate::reading::{self, Room};
use crate::track::watch;
use crate::track::{self, rate::Rate};

/// Every thread tracks every block, from its next slow path on; or none does but for the samples.
pub fn set_exact(on: bool) {
    track::set_process_rate(if on { Rate::EXACT } else { track::sampling_rate() });
}

/// One block in so many bytes is tracked; 0: none.
pub fn set_mean(bytes: u64) {
    let exact = track::process_rate() == Rate::EXACT;
    track::set_process_rate(Rate::sampled(bytes));
    set_exact(exact);
}

/// This thread tracks every block, whatever the others do, from now on.
pub fn set_exact_here(on: bool) {
    want_exact(on);
}

/// What this thread allocates from here on has this tag.
pub fn set_tag(tag: u16) {
    with_state(|state| state.set_tag(tag));
}

/// Tracked blocks that were allocated and that were freed, whatever they weigh.
pub fn born_and_died() -> (u64, u64) {
    let (born, died) = track::unweighted();
    (born, died + reading::dying_blocks())
}

/// How many stacks were guessed right and wrong; how many sites and nodes there are, and their bytes.
pub fn guesses() -> ((u64, u64), (u32, u32, usize)) {
    let (nodes, bytes) = track::sites::memory();
    (track::predict::counts(), (track::sites::count(), nodes, bytes))
}

/// Bytes requested for tracked blocks that live, whatever they weigh.
pub fn requested() -> u64 {
    let mut sum = 0;
    reading::untracked(|| Room::with(|room| reading::each_live(room, &mut |live| sum += live.requested)));
    sum
}

/// Scopes of tests that are over forget their blocks. `false` if somebody is about that already.
pub fn forget_watches() -> bool {
    watch::forget_if(0)
}

/// Scopes that are open, or hold blocks.
pub fn watches_in_use() -> u16 {
    watch::in_use()
}
