//! Closed watches forget their blocks, so that their numbers can be used again though the blocks live on: what a measured request
//! has put into a cache must not keep its number for ever.
//!
//! Each block that is of a watch holds its number, and those of all around it; in `held`, which is exact. So a block may
//! leave its watch as well as die: it becomes one that is tracked on behalf of nobody. Its free, its resize and whoever
//! forgets may be about that at once: each takes the watch out of the block's word by an exchange
//! ([`word::take_watch`]), and the one that gets it, and nobody else, may use the number,
//! until it has given up what the block held.
//!
//! A watch forgets only if it and all around it are closed: then nothing that could be counted is lost. No number that comes
//! free meanwhile is used again before the end, so that a number that was looked up once stays that watch's.

use super::{FREE, Free, MOST, OPEN, SLOTS, died, slot};
use crate::arena::slices;
use crate::pages::page::Word;
use crate::pages::{loose, shard};
use crate::sync::{AtomicU64, Ordering};
use crate::track::word;

/// Watches that may forget. Written by the one that makes them do so.
static FORGETFUL: [AtomicU64; MOST as usize / 64 + 1] = [const { AtomicU64::new(0) }; MOST as usize / 64 + 1];

/// All closed watches forget their blocks, if so many more are closed than could not do so the last time; at most one thread
/// is about it at a time. Looks at each tracked block of the process: some milliseconds for a million. Does not allocate. `false` if
/// nothing was done.
pub(crate) fn forget_if(many: u32) -> bool {
    {
        let mut free = FREE.lock();
        if free.forgetting || many > 0 && free.closed() < free.not_forgotten + many {
            return false;
        }
        free.forgetting = true;
    }
    mark();
    slices::each_tracked(|slice| _ = shard::each_word(slice, |word, _| leave(word)));
    loose::each(|word, _| leave(word));
    let mut free = FREE.lock();
    free.end();
    free.not_forgotten = free.closed();
    debug_assert!(free.is_right());
    true
}

/// Watches in use.
#[cfg(feature = "internals")]
pub(crate) fn in_use() -> u16 {
    let free = FREE.lock();
    assert!(free.is_right());
    free.in_use
}

/// Finds out who may forget.
fn mark() {
    for (i, bits) in FORGETFUL.iter().enumerate() {
        let marks = (0..64).filter(|bit| is_forgetful((i * 64 + bit) as u16)).fold(0, |marks, bit| marks | 1 << bit);
        bits.store(marks, Ordering::Relaxed); // Relaxed: read by this thread
    }
}

/// Whether the watch is in use, and it and all around it are closed.
fn is_forgetful(number: u16) -> bool {
    let mut at = number;
    while at != 0 {
        let Some(slot) = SLOTS.get(at as u32) else { return false };
        let watch = slot.watch.lock();
        // One around it may have been freed since: that counts nothing, either.
        if watch.open || at == number && watch.serial == 0 {
            return false;
        }
        at = watch.parent;
    }
    number != 0
}

/// Takes a block out of its watch, if that may forget it. With the lock of the block's page, if it has one: a `fork` comes before or
/// after. Of the few blocks without, one may keep its watch's number in a child that is forked in the middle.
fn leave(word: &Word) {
    let is_forgotten = |watch: u16| {
        // Relaxed: as above.
        FORGETFUL[watch as usize / 64].load(Ordering::Relaxed) & 1 << (watch % 64) != 0
    };
    if let Some((watch, birth)) = word::take_watch(word, is_forgotten) {
        // Nobody counts any more, so this only gives up what the block held.
        died(watch, birth.site, birth.requested);
    }
}

impl Free {
    /// Those that are closed and in use.
    pub(super) fn closed(&self) -> u32 {
        // Relaxed: a watch that is opened or closed at this moment counts or does not. Saturating: it is opened before it counts
        // as used, or closed after.
        (self.in_use as u32).saturating_sub(OPEN.load(Ordering::Relaxed))
    }

    /// The invariant.
    fn is_right(&self) -> bool {
        let next = |at: &u16| slot(*at).next_free.load(Ordering::Relaxed); // Relaxed: under the lock
        let some = |at: u16| (at != 0).then_some(at);
        let listed = |first: u16| std::iter::successors(some(first), |at| some(next(at))).count();
        let unused = listed(self.first) + listed(self.later);
        self.used as usize == self.in_use as usize + unused && (self.later == 0 || self.forgetting)
    }

    /// Numbers that came free meanwhile can be used again.
    fn end(&mut self) {
        self.forgetting = false;
        while self.later != 0 {
            let next = &slot(self.later).next_free;
            let number = std::mem::replace(&mut self.later, next.load(Ordering::Relaxed)); // Relaxed: under the lock
            next.store(self.first, Ordering::Relaxed); // Relaxed: as above
            self.first = number;
        }
    }
}

/// In a forked child: whoever was about it is not here.
pub(crate) fn after_fork_in_child() {
    FREE.lock().end();
}
