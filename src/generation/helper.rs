//! The helper thread: gives memory back that a process does not use, though the process makes no call.
//!
//! It exists only while enough is due, with every signal blocked, on a small stack, and ends when nothing is left to
//! do. It does not survive a fork: the child starts its own when it needs one. Where it is off or cannot be had,
//! frees give back what has waited, and what is too much at once.

use super::collector;
use crate::arena::SLICE;
use crate::arena::slices::{self, Interval, Unpurged};
use crate::config;
use crate::heap::steal;
use crate::os::{self, lock::Futex, process};
use crate::pages::shard;
#[cfg(feature = "internals")]
use crate::sync::AtomicBool;
use crate::sync::{AtomicU64, Ordering};
use crate::track::unwind;
use std::ffi::c_void;
use std::ptr::null_mut;

/// With so many bytes due, a helper is worth its start.
const START: usize = 2 << 20;
/// Without a helper, so much may stay due, or as much as is in use.
const TOLERATED: usize = 32 << 20;
/// Below this it does not go on for them alone.
const REST: usize = 512 << 10;
/// Memory that stays free from one look to the next is purged: on average after one and a half intervals.
const INTERVAL_MS: u64 = 200;
/// Looks without anything to do, after which it ends.
const IDLE_LOOKS: u32 = 5;
/// How much is purged inside sparse pages at one look.
const HOLES: usize = 64 << 20;

const NONE: u32 = 0;
const RUNS: u32 = 1;
static STATE: Futex = Futex::new(NONE);

/// So many bytes are free and hold physical memory: somebody must purge them, sooner or later.
pub(crate) fn due(bytes: usize) {
    if bytes < START || STATE.load(Ordering::Relaxed) == RUNS {
        return; // Relaxed: a helper that is about to end looks again itself
    }
    if config::current::helper_thread() && start() {
        return;
    }
    purge_in_passing(bytes);
}

/// Whether frees give back what has waited, in tests, most of which count what is purged by what they ask for.
#[cfg(feature = "internals")]
pub(crate) static BY_TIME: AtomicBool = AtomicBool::new(false);

/// When the interval began without a helper, in milliseconds of uptime.
static LOOKED: AtomicU64 = AtomicU64::new(0);

/// Without a helper: who frees purges a piece of what was free throughout an interval; and at once what is too much.
#[cold]
fn purge_in_passing(mut due: usize) {
    let used = slices::counts().0.used * SLICE;
    while due > TOLERATED.max(used) && slices::purge_one(None).is_ok() {
        due = slices::due();
    }
    #[cfg(feature = "internals")]
    if !BY_TIME.load(Ordering::Relaxed) {
        return; // Relaxed: a switch of tests
    }
    // Relaxed, all of it: hints; what is purged is decided under the arena's lock.
    let now = os::uptime_ms();
    if now.wrapping_sub(LOOKED.load(Ordering::Relaxed)) < INTERVAL_MS {
        return;
    }
    // What was free when the interval began, and is since. The next one begins when nothing of that is left.
    if slices::purge_one(Some(Interval::Helper)) == Err(Unpurged::Nothing) {
        slices::begin_interval(Interval::Helper);
        LOOKED.store(now, Ordering::Relaxed);
    }
}

#[cold]
fn start() -> bool {
    // Acquire and Release because a helper that ended has left everything as the next one needs it.
    match STATE.compare_exchange(NONE, RUNS, Ordering::AcqRel, Ordering::Relaxed) {
        Ok(_) => {
            let started = process::spawn(run);
            if !started {
                STATE.store(NONE, Ordering::Release);
            }
            started
        }
        Err(state) => state == RUNS,
    }
}

extern "C" fn run(_: *mut c_void) -> *mut c_void {
    let mut idle = 0;
    while idle < IDLE_LOOKS {
        os::futex_wait(&STATE, RUNS, INTERVAL_MS);
        let before = slices::counts().0.purged;
        _ = steal::take_idle(false);
        _ = shard::retire_spare(false);
        while slices::purge_one(Some(Interval::Helper)).is_ok() {}
        let dug = shard::dig_holes(HOLES, Some(Interval::Helper));
        slices::begin_interval(Interval::Helper);
        collector::help();
        unwind::refresh();
        let worked = slices::counts().0.purged != before || dug > 0 || slices::due() >= REST;
        idle = if worked { 0 } else { idle + 1 };
    }
    // Whoever found it running while it made up its mind relied on it: look once more.
    STATE.store(NONE, Ordering::Release);
    if slices::due() >= START {
        due(slices::due());
    }
    null_mut()
}

/// In a forked child there is no helper.
pub(crate) fn after_fork_in_child() {
    STATE.store(NONE, Ordering::Relaxed); // Relaxed: there is no other thread
}
