//! The generational clock, collections, and what they give back: modelled on Python's `gc` module, in an allocator's terms.
//!
//! A tracked block has an age: the *epochs* since its birth. An epoch ends when the process has allocated
//! [`young_bytes`](Thresholds::young_bytes), or after [`idle_ms`](Thresholds::idle_ms). The age says which generation it is of;
//! and each generation is *collected* when its threshold is passed: nothing is freed that the program holds, but what the
//! allocator keeps for the program goes back.
//!
//! | generation | collected when | what its collection does |
//! | --- | --- | --- |
//! | young | an epoch ends | sends home the free blocks that magazines and depots did not use; pages that become empty are retired |
//! | middle | [`young_per_middle`](Thresholds::young_per_middle) epochs have ended | purges what stayed free since the last one, in pages and inside sparse ones |
//! | old | [`middle_per_old`](Thresholds::middle_per_old) middle ones have run | adopts pages that ended threads left; counts the living by generation; renews the [suspects](crate::Snapshot::suspects); purges all that is free if that is more than [`free_percent`](Thresholds::free_percent) of what is committed |
//!
//! ```
//! # #[global_allocator]
//! # static ALLOC: tenure::Tenure = tenure::Tenure::new();
//! use tenure::generation::{self, Generation, Thresholds};
//!
//! generation::set_thresholds(Thresholds { young_bytes: 16 << 20, ..generation::thresholds() })?;
//! let collection = generation::collect(Generation::Old);
//! println!("{} bytes purged, {} pinned", collection.reclaimed.purged, collection.pinned);
//! # Ok::<(), generation::BadThreshold>(())
//! ```
//!
//! **Where they run.** An automatic collection is done by the threads that allocate, on their slow paths, one at a time and in
//! steps of tens of microseconds to a millisecond; between two steps the process allocates a 64th of an epoch, or 16 MiB if that is less. No lock of the
//! allocator's is held from one step to the next, no thread is stopped, and no code of the program runs: an allocation may
//! happen inside any lock. [`collect`] does it all at once, on its thread.
//!
//! Epochs may pass in milliseconds. So automatic collections look at magazines ten times a second at most, and purge once a second
//! at most, unless the soft [limit](crate::limits) is near: memory that is purged and used again costs more than it is worth.
//!
//! **Where hooks run**: in [`collect`], in [`poll`], and on a thread of their own. See [`on_collection`].
//!
//! **The trace.** With `TENURE=trace`, or [`Tenure::trace`](crate::Tenure::trace), each collection is a line on standard error:
//!
//! ```text
//! tenure: old 68 @1.420s epoch 1092: 35.8 MiB -> 34.1 MiB, home 6.5 KiB, purged 1.7 MiB, pinned 1.2 MiB, alive 139.5 KiB + 763.3 KiB + 19.4 MiB, 0.498 ms in 2 steps, longest 0.311 ms
//! ```
//!
//! In this order: generation and number; seconds since the process began; epoch; [committed](crate::Stats::committed) memory before
//! and after; what was sent `home`, `retired`, `adopted` and `purged` ([`Reclaimed`]), each only if there was any; what stays
//! `pinned` in half-empty pages; of an old one what is `alive` young, middle-aged and old, and `frozen` if anything is; processor
//! time, and if it took several steps their number and the longest; `asked` if it was not automatic.

pub(crate) mod census;
pub(crate) mod clock;
pub(crate) mod collector;
pub(crate) mod helper;
mod hooks;
pub(crate) mod limits;
pub(crate) mod pressure;
mod record;
pub(crate) mod relief;
pub(crate) mod trend;

use crate::config::Config;
pub use crate::config::{BadThreshold, Thresholds};
use crate::os::owned;
pub use clock::Generation;
pub use hooks::{Event, Hook, HookId, TooManyHooks};
pub use record::{Alive, Census, Collection, Counts, GenerationStats, Generations, Reclaimed};

/// The thresholds that hold now. Does not allocate.
pub fn thresholds() -> Thresholds {
    clock::get()
}

/// Changes the thresholds, from any thread, at any time. The epoch that runs ends as if the new ones had held since it began.
/// Does not allocate.
///
/// # Errors
/// If one is out of its bounds: nothing is changed then.
pub fn set_thresholds(thresholds: Thresholds) -> Result<(), BadThreshold> {
    thresholds.check()?;
    clock::set(&thresholds);
    Ok(())
}

/// Collects a generation and those below it, whole, on this thread, and says what that gave. Hooks are called before and after.
///
/// An old collection that is asked for gives back all that can be had: it takes home what magazines and depots hold, used or not,
/// purges all that is free, whatever [`free_percent`](Thresholds::free_percent) says, and digs all holes.
///
/// Waits for a step of an automatic collection that another thread is at, and ends that collection first. Other threads go on: what
/// they hold in magazines is taken while they run. It costs some microseconds for each thread, 60 ms for each GiB that is
/// purged, and, for the old generation, some 20 ns for each tracked block.
///
/// Does not allocate. Not for signal handlers, which may have interrupted an allocation inside a lock; one that interrupts a
/// collection gets one that did nothing.
pub fn collect(generation: Generation) -> Collection {
    run(generation, false)
}

fn run(generation: Generation, automatic: bool) -> Collection {
    hooks::call(Event::Before(generation));
    let collection = collector::collect(generation, automatic);
    hooks::tell();
    match collection {
        Ok(collection) => {
            hooks::call(Event::After(&collection));
            collection
        }
        Err(_) => Collection::none(generation, clock::epoch()),
    }
}

/// Automatic collections begin when their thresholds are passed: this is so at the start.
pub fn enable() {
    collector::enable(true);
}

/// No automatic collection begins or goes on until [`enable`], near a soft limit neither. The clock goes on, and what is due then
/// is done then. Neither allocates nor blocks.
pub fn disable() {
    collector::enable(false);
}

/// Whether automatic collections are enabled.
pub fn is_enabled() -> bool {
    collector::is_enabled()
}

/// What is alive goes into a permanent generation, counted apart from the three, and never suspect: what a program built when it
/// started, for example. A watermark: blocks that were born before this call are permanent. O(1); begins an epoch, but no
/// collection. Neither allocates nor blocks.
pub fn freeze() {
    clock::freeze();
}

/// Nothing is permanent any more.
pub fn unfreeze() {
    clock::unfreeze();
}

/// How far the process is on its way to the next collections. Does not allocate.
pub fn counts() -> Counts {
    clock::catch_up();
    let (young_bytes, young, middle) = clock::progress();
    Counts { young_bytes, young, middle }
}

/// What the collections of each generation have done since the process began, by [`Generation`] as a number. Does not allocate,
/// and waits for nobody for longer than a copy takes.
pub fn stats() -> [GenerationStats; 3] {
    collector::stats()
}

/// The thresholds, the counts and the statistics together.
pub(crate) fn read() -> Generations {
    Generations { thresholds: thresholds(), counts: counts(), stats: stats() }
}

/// Has a hook called before and after each collection, from now on: outside all of the allocator's locks, so that it may
/// allocate, and collect (for which hooks are not called). It runs
///
/// - in [`collect`], on its thread, before and after;
/// - in [`poll`];
/// - for automatic collections, after they have ended: on a thread of its own (`tenure-hooks`, with 2 MiB of stack and all signals
///   blocked, also in threads that a hook starts), where the helper thread is allowed
///   ([`Tenure::helper_thread`](crate::Tenure::helper_thread)); otherwise at the next [`poll`] or [`collect`]. Of 32 that
///   nobody heard of, the oldest is forgotten, and [`missed`] counts it.
///
/// A panic in it is printed by the program's panic hook, and ends that call and nothing else.
///
/// # Errors
/// If there are 16 hooks already.
pub fn on_collection(hook: Hook) -> Result<HookId, TooManyHooks> {
    hooks::add(hook)
}

/// The hook is called no more, but for a call that has begun.
pub fn remove_hook(id: HookId) {
    hooks::remove(id);
}

/// Automatic collections that hooks never heard of.
pub fn missed() -> u64 {
    hooks::forgotten()
}

/// Before the first block.
pub(crate) fn begin(config: &Config) {
    clock::begin(&config.thresholds);
    collector::enable(config.collect);
}

/// In a forked child, none of our threads exists.
pub(crate) fn after_fork_in_child() {
    owned::after_fork_in_child();
    helper::after_fork_in_child();
    collector::after_fork_in_child();
    hooks::after_fork_in_child();
}

/// Does what is due: hooks are called for automatic collections that they have not heard of, and a collection whose threshold was
/// passed is done whole, here, with hooks before and after. Returns it. For programs that want hooks without a thread for
/// them: call it in the event loop.
pub fn poll() -> Option<Collection> {
    hooks::tell();
    clock::catch_up();
    if !is_enabled() {
        return None;
    }
    if let Some(done) = collector::finish() {
        hooks::call(Event::After(&done));
        return Some(done);
    }
    clock::take_wanted().map(|generation| run(generation, true))
}
