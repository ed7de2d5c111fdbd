//! What is done before an allocation is refused for the hard limit: everything that may give memory without the program's help.

use super::limits;
use crate::arena::held;
use crate::arena::slices::{self, Unpurged};
use crate::heap::{SlowPath, steal, thread};
use crate::os;
use crate::pages::shard;

/// How often a purge of another thread is waited for, a millisecond each time: one takes 250 µs, but many may follow.
const PATIENCE: u32 = 200;

/// Makes room for so many bytes of slices below the limit, from what nobody uses: purges what is due, takes home what
/// threads and depots hold, and digs holes, the cheapest first. Returns whether to try once more: blocks of a page that was
/// there may have come home though no slice was won.
///
/// Asks the threads that run for what they hold as well: they give it when they are on a slow path next. Costs some 10 µs for
/// each thread, and 60 ms for each GiB that is purged; takes the allocator's locks, one after the other; does not allocate.
#[cold]
pub(crate) fn make_room<S: SlowPath>(bytes: usize) -> bool {
    limits::look_again();
    let limit = held::limit();
    if limit == usize::MAX || bytes > limit {
        return false;
    }
    if purge(bytes) {
        return true;
    }
    thread::ask_to_give_up();
    thread::flush_this::<S>();
    _ = steal::take_idle(true);
    _ = shard::retire_spare(true);
    if !purge(bytes) {
        let missing = held::bytes().saturating_add(bytes).saturating_sub(limit);
        shard::dig_holes(missing, None);
    }
    true
}

/// Purges until so many bytes fit, or nothing is left that could be purged. Returns whether they do.
fn purge(bytes: usize) -> bool {
    let mut waited = 0;
    while !held::fits(bytes) {
        match slices::purge_one(None) {
            Ok(_) => (),
            // What another thread purges at the moment is about to be had.
            Err(Unpurged::Busy) if waited < PATIENCE => {
                waited += 1;
                os::nap(1);
            }
            Err(_) => return false,
        }
    }
    true
}

/// Takes home what this thread's magazines, idle threads' and depots hold, and purges all that is free. Returns the bytes that that was. Takes
/// as long as a collection of everything.
#[cfg(any(feature = "c-interface", feature = "internals"))]
pub(crate) fn give_all_back<S: SlowPath>() -> usize {
    thread::flush_this::<S>();
    _ = steal::take_idle(true);
    _ = shard::retire_spare(true);
    shard::mark_sparse();
    let dug = shard::dig_holes(usize::MAX, None);
    dug + purge_all_due()
}

/// Purges all slices that are free. Returns the bytes.
#[cfg(any(feature = "c-interface", feature = "internals"))]
pub(crate) fn purge_all_due() -> usize {
    std::iter::from_fn(|| slices::purge_one(None).ok()).sum()
}
