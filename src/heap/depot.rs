//! Depots: full and empty magazines of a class that any thread may take.

use super::magazine::{CAPACITY, Magazine, Magazines};
use crate::os::lock::Lock;
use crate::pages::classes::{CLASSES, block_size};
use crate::sync::{AtomicUsize, Ordering};

/// Blocks in full magazines of one depot, in bytes; beyond it, blocks are sent home.
const DEPOT_BYTES: usize = 256 << 10;

/// The depot of a class.
///
/// Invariants: `full.len() * capacity * block size <= DEPOT_BYTES`, but for one magazine; magazines in `full` hold
/// blocks from `top` down to a null, those in `empty` none.
pub(crate) struct Depot {
    full: Magazines,
    empty: Magazines,
    /// Full magazines that nobody touched since the last look.
    rested: usize,
}

/// A depot and its lock, with a count of its full magazines that is read without it.
pub(crate) struct DepotCell {
    hint: AtomicUsize,
    lock: Lock<Depot>,
}

// SAFETY: magazines in a depot are the depot's.
unsafe impl Send for Depot {}

static DEPOT: [DepotCell; CLASSES] = [const { DepotCell::new() }; CLASSES];

/// The depot of a class.
pub(crate) fn of(class: usize) -> &'static DepotCell {
    &DEPOT[class]
}

impl DepotCell {
    const fn new() -> Self {
        DepotCell {
            hint: AtomicUsize::new(0),
            lock: Lock::new(Depot { full: Magazines::EMPTY, empty: Magazines::EMPTY, rested: 0 }),
        }
    }

    fn with<T>(&self, f: impl FnOnce(&mut Depot) -> T) -> T {
        let mut depot = self.lock.lock();
        let result = f(&mut depot);
        self.hint.store(depot.full.len(), Ordering::Relaxed); // Relaxed: a hint
        result
    }

    /// Takes a full magazine, and leaves an empty one.
    ///
    /// # Safety
    /// The empty magazine is the caller's, and given away if a full one comes back.
    pub(crate) unsafe fn exchange_for_full(&self, empty: Magazine) -> Option<Magazine> {
        if self.hint.load(Ordering::Relaxed) == 0 {
            return None; // Relaxed: a look that spares the lock; a magazine missed is found the next time
        }
        self.with(|depot| {
            let full = depot.full.pop()?;
            depot.rested = depot.rested.min(depot.full.len());
            // SAFETY: by the caller's promise.
            unsafe { depot.empty.push(empty) };
            Some(full)
        })
    }

    /// Leaves a full magazine, unless the depot is full. If it is, `spare` is left as an empty one instead.
    /// Otherwise `next` becomes the magazine to go on with, which is `spare`.
    ///
    /// # Safety
    /// Both magazines are the caller's; the one that is left is given away.
    pub(crate) unsafe fn exchange_for_empty(
        &self,
        class: usize,
        full: Magazine,
        spare: Magazine,
        next: &mut Magazine,
    ) -> bool {
        let bytes = CAPACITY[class] as usize * block_size(class);
        self.with(|depot| {
            let room = depot.full.len() * bytes < DEPOT_BYTES;
            // SAFETY: by the caller's promise.
            unsafe { if room { depot.full.push(full) } else { depot.empty.push(spare) } }
            if room {
                *next = spare;
            }
            room
        })
    }

    /// Leaves an empty magazine.
    ///
    /// # Safety
    /// The magazine is the caller's, and given away.
    pub(crate) unsafe fn leave_empty(&self, empty: Magazine) {
        // SAFETY: by the caller's promise.
        self.with(|depot| unsafe { depot.empty.push(empty) });
    }

    /// Takes a full magazine that nobody touched since the last call of [`Self::rest`], or, with `all`, any.
    pub(crate) fn take_rested(&self, all: bool) -> Option<Magazine> {
        self.with(|depot| {
            if depot.rested == 0 && !all {
                return None;
            }
            depot.rested = depot.rested.saturating_sub(1);
            depot.full.pop()
        })
    }

    /// What is in the depot now has rested if it is not touched until the next call.
    pub(crate) fn rest(&self) {
        self.with(|depot| depot.rested = depot.full.len());
    }

    /// Takes an empty magazine.
    pub(crate) fn take_empty(&self) -> Option<Magazine> {
        self.with(|depot| depot.empty.pop())
    }

    /// Blocks in full magazines.
    pub(crate) fn blocks(&self) -> usize {
        self.with(|depot| {
            // SAFETY: magazines in a depot are the depot's, and its lock is held.
            depot.full.iter().map(|m| unsafe { Magazine::blocks(m.top()) }.count()).sum()
        })
    }
}

pub(crate) fn before_fork() {
    DEPOT.iter().for_each(|d| d.lock.acquire());
}

pub(crate) fn after_fork() {
    DEPOT.iter().for_each(|d| d.lock.release());
}
