//! The generational clock, and giving memory back.

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
use crate::os::owned;
pub use crate::config::{BadThreshold, Thresholds};
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
/// Waits for a step of an automatic collection that another thread is at, and ends that collection first. Other threads go on: what
/// they hold in magazines is taken while they run. It costs some microseconds for each thread, 60 ms for each GiB that is
/// purged, and, for the old generation, some 20 ns for each tracked block.
///
/// Does not allocate. From a signal handler that interrupts a collection it returns one that did nothing.
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

/// No automatic collection begins or goes on until [`enable`]. The clock goes on, and what is due then is done then.
pub fn disable() {
    collector::enable(false);
}

/// Whether automatic collections are enabled.
pub fn is_enabled() -> bool {
    collector::is_enabled()
}

/// What is alive goes into a permanent generation, out of every census from now on: what a program built when it started, for
/// example. A watermark: blocks that were born before this call are permanent. O(1); ends the epoch.
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

/// What the collections of each generation have done since the process began, by [`Generation`] as a number. Waits for a step of a
/// collection; does not allocate.
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
/// - for automatic collections, after they have ended: on a thread of its own, where the helper thread is allowed
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
    hooks::after_fork_in_child();
}

/// Does what is due: hooks are called for automatic collections that they have not heard of, and a collection whose threshold was
/// passed is done whole, here, with hooks before and after. Returns it. For programs that want hooks without a thread for
/// them: call it in the event loop.
pub fn poll() -> Option<Collection> {
    hooks::tell();
    clock::catch_up();
    let wanted = if is_enabled() { clock::take_wanted() } else { None };
    wanted.map(|generation| run(generation, true))
}
