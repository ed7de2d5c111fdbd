//! Depots: full and empty magazines of a class that any thread may take.

use super::magazine::{CAPACITY, Magazine, Magazines};
use crate::os::lock::Lock;
use crate::pages::classes::{CLASSES, block_size};
use crate::sync::{AtomicUsize, Ordering};

/// Block bytes in full magazines of one depot, and of all; beyond them, blocks are sent home.
const DEPOT_BYTES: usize = 256 << 10;
const ALL_BYTES: usize = 1 << 20;

/// Block bytes in the full magazines of all depots.
static HELD: AtomicUsize = AtomicUsize::new(0);

/// The depot of a class.
///
/// Invariants: `full.len() * capacity * block size <= DEPOT_BYTES` but for one magazine, and the same over all depots
/// for `ALL_BYTES` but for one magazine of each thread; magazines in `full` hold
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

/// Whether any depot has a full magazine. A look without the locks.
pub(crate) fn any_full() -> bool {
    HELD.load(Ordering::Relaxed) > 0 // Relaxed: as in `with`
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
        let before = depot.full.len();
        let result = f(&mut depot);
        let now = depot.full.len();
        if now != before {
            // Relaxed, here and below: hints and a bound, which nobody's safety depends on.
            self.hint.store(now, Ordering::Relaxed);
            let bytes = magazine_bytes(self.class());
            HELD.fetch_add(now.wrapping_sub(before).wrapping_mul(bytes), Ordering::Relaxed);
        }
        result
    }

    fn class(&self) -> usize {
        // SAFETY: there are no depots but those of the array.
        unsafe { (&raw const *self).offset_from(&raw const DEPOT[0]) as usize }
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

    /// Leaves a full magazine, unless the depot is full; if it is, leaves `spare`, an empty one, instead, and returns
    /// `false`.
    ///
    /// # Safety
    /// Both magazines are the caller's; the one that is left is given away.
    pub(crate) unsafe fn leave_full_or(&self, class: usize, full: Magazine, spare: Magazine) -> bool {
        let bytes = magazine_bytes(class);
        self.with(|depot| {
            let room = depot.full.len() * bytes < DEPOT_BYTES && HELD.load(Ordering::Relaxed) < ALL_BYTES;
            // SAFETY: by the caller's promise.
            unsafe { if room { depot.full.push(full) } else { depot.empty.push(spare) } }
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
        if self.hint.load(Ordering::Relaxed) == 0 {
            return None; // Relaxed: a look that spares the lock
        }
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
        // Relaxed: as above. Without full magazines, none has rested.
        if self.hint.load(Ordering::Relaxed) > 0 {
            self.with(|depot| depot.rested = depot.full.len());
        }
    }

    /// Takes an empty magazine.
    pub(crate) fn take_empty(&self) -> Option<Magazine> {
        self.with(|depot| depot.empty.pop())
    }

    /// Calls `f` with each block in a full magazine, under the lock.
    pub(crate) fn each_block(&self, mut f: impl FnMut(*mut u8)) {
        self.with(|depot| {
            // SAFETY: magazines in a depot are the depot's, and its lock is held.
            depot.full.iter().for_each(|m| unsafe { Magazine::blocks(m.top()) }.for_each(&mut f));
        });
    }

    /// Blocks in full magazines.
    pub(crate) fn blocks(&self) -> usize {
        let mut n = 0;
        self.each_block(|_| n += 1);
        n
    }
}

fn magazine_bytes(class: usize) -> usize {
    CAPACITY[class] as usize * block_size(class)
}

/// Whether somebody has the lock of a depot.
pub(crate) fn is_busy() -> bool {
    DEPOT.iter().any(|depot| depot.lock.try_lock().is_none())
}

pub(crate) fn before_fork() {
    DEPOT.iter().for_each(|d| d.lock.acquire());
}

pub(crate) fn after_fork() {
    DEPOT.iter().for_each(|d| d.lock.release());
}
