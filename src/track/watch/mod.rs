//! Watches: what one part of the program allocates, exactly, and what of it is freed, by whichever thread.
//!
//! A watch is a number. While a thread is in one, each block that it allocates says so in place of its rate
//! ([`Rate::watched`]), so that whoever frees the block debits the same watch: no table of blocks, and nothing to do
//! for threads outside. Watches nest; a block is counted in its own and in all around it.
//!
//! A number is used again only when nothing refers to it: its scope has ended, no thread is in it, no inner watch is
//! left, and no block of it lives. So a late free never debits a later scope. Watches that are closed can be made to
//! [forget] what lives.
//!
//! **Memory**: 256 bytes for each watch that was in use at once, [`MOST`] at most; and for each one that is open, 64
//! bytes for each site that allocated in it, rounded up to a power of two, half a MiB at most.

mod forget;
mod table;

use super::array::{Array, pieces};
use super::rate::Rate;
use crate::os::lock::Lock;
use crate::sync::{AtomicU16, AtomicU32, AtomicU64, Ordering};
#[cfg(feature = "internals")]
pub(crate) use forget::in_use;
pub(crate) use forget::{after_fork_in_child, forget_if};
use std::sync::OnceLock;
pub use table::Count;
pub(crate) use table::Line;
use table::Table;

/// Watches at a time: those that are open, and those with blocks that live and were not forgotten.
pub(crate) const MOST: u16 = 8192;

/// What a watch is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// Counts.
    Counts = 0,
    /// Counts what is not permitted.
    Forbids = 1,
    /// Ends the process at the first block that is not permitted.
    Aborts = 2,
    /// What is allocated in it is permitted: the watches around it that forbid do not see it.
    Permits = 3,
}

/// What a watch has counted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) allocated: Count,
    pub(crate) freed: Count,
    pub(crate) live: Count,
    /// The most blocks and the most bytes that were live at once; not necessarily at the same moment.
    pub(crate) peak: Count,
    /// How often a block was resized in place.
    pub(crate) resized: u64,
}

/// Zeroes are one that nobody uses.
///
/// Invariants: `live` = `allocated` - `freed`; while it is open, the same sums over the table's lines; `held` is what is
/// live, and goes on when the watch is closed.
struct Watch {
    /// Which scope it serves: no two have the same. 0: none.
    serial: u64,
    totals: Totals,
    table: Table,
    /// Blocks that live and say that they are of this watch, or of one in it.
    held: u64,
    /// Its scope, threads that are in it, and watches in it.
    refs: u32,
    /// The watch around it; 0: none.
    parent: u16,
    open: bool,
    /// Nobody waits for what it counts: it is open, and not counted in [`OPEN`].
    patient: bool,
    /// The thread that began its scope has left it while it was in an inner one.
    left: bool,
    kind: Kind,
}

/// One for each watch; zeroes are valid.
#[repr(align(64))]
struct Slot {
    watch: Lock<Watch>,
    /// The next one that is free. Written under the lock of [`FREE`].
    next_free: AtomicU16,
}

const _: () = assert!(size_of::<Slot>() == 256);

static SLOTS: Array<Slot, { pieces::<Slot>(MOST as usize + 1) }> = Array::new();

/// Invariant: `used` = `in_use` + those that are linked from `first` and from `later`; `later` is 0 unless `forgetting`.
struct Free {
    first: u16,
    /// Numbers up to this one were used.
    used: u16,
    in_use: u16,
    /// Those that came free while watches forgot.
    later: u16,
    /// Somebody makes watches forget.
    forgetting: bool,
    /// How many closed ones were left when watches forgot last.
    not_forgotten: u32,
}

static FREE: Lock<Free> =
    Lock::new(Free { first: 0, used: 0, in_use: 0, later: 0, forgetting: false, not_forgotten: 0 });
static SERIAL: AtomicU64 = AtomicU64::new(0);
/// How many are open, and not patient.
static OPEN: AtomicU32 = AtomicU32::new(0);
static FORBIDDEN: OnceLock<fn(site: u32, requested: u64) -> !> = OnceLock::new();

/// What ends the process, in the middle of the allocation, where [`Kind::Aborts`] says so. No lock is held then.
pub(crate) fn on_forbidden(end: fn(site: u32, requested: u64) -> !) {
    _ = FORBIDDEN.set(end);
}

/// Whether any watch is open that waits for what it counts. Whoever has a block of one sees it.
#[inline]
pub(super) fn any() -> bool {
    OPEN.load(Ordering::Relaxed) != 0 // Relaxed: a block came here by something that orders more
}

/// The slot of a watch that somebody refers to.
fn slot(number: u16) -> &'static Slot {
    SLOTS.get(number as u32).expect("a watch has a slot")
}

/// A new watch, in another one or in none (0). `None` if `most` are in use, or memory is out.
pub(crate) fn open(kind: Kind, parent: u16, most: u16) -> Option<u16> {
    let number = {
        let mut free = FREE.lock();
        if free.in_use >= most {
            return None;
        } else if free.first != 0 {
            let number = free.first;
            free.first = slot(number).next_free.load(Ordering::Relaxed); // Relaxed: written under the lock
            free.in_use += 1;
            number
        } else if free.used < MOST && SLOTS.make(free.used as u32 + 1).is_some() {
            free.used += 1;
            free.in_use += 1;
            free.used
        } else {
            return None;
        }
    };
    if parent != 0 {
        slot(parent).watch.lock().refs += 1;
    }
    let mut watch = slot(number).watch.lock();
    // Relaxed: a number; and see `any`.
    watch.serial = SERIAL.fetch_add(1, Ordering::Relaxed) + 1;
    OPEN.fetch_add(1, Ordering::Relaxed);
    (watch.refs, watch.parent, watch.open, watch.kind) = (1, parent, true, kind);
    Some(number)
}

impl Free {
    fn give(&mut self, slot: &Slot, number: u16) {
        self.in_use -= 1;
        let list = if self.forgetting { &mut self.later } else { &mut self.first };
        slot.next_free.store(*list, Ordering::Relaxed); // Relaxed: as in `open`
        *list = number;
    }
}

/// Nothing is counted any more. What was counted can still be read.
pub(crate) fn close(number: u16) {
    let mut watch = slot(number).watch.lock();
    if std::mem::replace(&mut watch.open, false) && !watch.patient {
        OPEN.fetch_sub(1, Ordering::Relaxed); // Relaxed: see `any`
    }
}

/// It goes on counting, but threads need not count what dies at once for it: some frees may come late, as they do when it is
/// closed.
#[cfg(feature = "http")]
pub(crate) fn be_patient(number: u16) {
    let mut watch = slot(number).watch.lock();
    if !std::mem::replace(&mut watch.patient, true) && watch.open {
        OPEN.fetch_sub(1, Ordering::Relaxed); // Relaxed: see `any`
    }
}

/// The scope of a closed watch is over.
pub(crate) fn end(number: u16) {
    slot(number).watch.lock().table.clear();
    release(number);
}

/// One reference less; 0 is none.
pub(crate) fn release(number: u16) {
    each(number, true, |_| false);
}

/// Goes from a watch outward as long as `f` says so; `released`: a reference to the first is given up. Watches that nobody
/// refers to any more are freed, and release those around them.
fn each(mut number: u16, mut released: bool, mut f: impl FnMut(&mut Watch) -> bool) {
    while number != 0 {
        let slot = slot(number);
        let mut watch = slot.watch.lock();
        let more = f(&mut watch);
        watch.refs -= released as u32;
        let parent = watch.parent;
        released = watch.serial != 0 && watch.refs == 0 && watch.held == 0;
        if released {
            watch.table.clear();
            // SAFETY: zeroes are valid, and its table's memory was given back.
            *watch = unsafe { std::mem::zeroed() };
        }
        drop(watch);
        if released {
            FREE.lock().give(slot, number);
        }
        if !more && !released {
            return;
        }
        number = parent;
    }
}

/// Which scope the watch serves.
pub(crate) fn serial(number: u16) -> u64 {
    slot(number).watch.lock().serial
}

/// A thread enters a watch. `false` if it serves that scope no more, or if that is over and was in no other: nothing would be
/// counted, and a task that outlives its scope would be exact for ever.
pub(crate) fn join(number: u16, serial: u64) -> bool {
    let mut watch = slot(number).watch.lock();
    let joins = watch.serial == serial && (watch.open || watch.parent != 0);
    watch.refs += joins as u32;
    joins
}

/// The thread that began the scope of `number` leaves it, and goes on in `now`. `false` if that is not further in: then nothing is
/// noted.
pub(crate) fn leave_early(number: u16, now: u16) -> bool {
    let mut at = now;
    while at != 0 && at != number {
        at = slot(at).watch.lock().parent;
    }
    let further_in = at != 0 && number != now;
    if further_in {
        slot(number).watch.lock().left = true;
    }
    further_in
}

/// The innermost watch that was not left early, from this one on outward. The caller's reference becomes one to that.
pub(crate) fn not_left(mut number: u16) -> u16 {
    while number != 0 {
        let parent = {
            let watch = slot(number).watch.lock();
            if !watch.left {
                break;
            }
            watch.parent
        };
        if parent != 0 {
            slot(parent).watch.lock().refs += 1;
        }
        release(number);
        number = parent;
    }
    number
}

/// Counts a birth, and says what the block's word should say: the innermost watch that is open.
#[cold]
#[inline(never)]
pub(super) fn born(number: u16, site: u32, requested: u64) -> Rate {
    let mut own = number;
    // Those that are closed do not count any more; a thread may still be in one. What was permitted stays so.
    while own != 0 {
        let watch = slot(own).watch.lock();
        if watch.open || watch.kind == Kind::Permits {
            break;
        }
        own = watch.parent;
    }
    let (mut permitted, mut ended) = (false, false);
    each(own, false, |watch| {
        permitted |= watch.kind == Kind::Permits;
        if !watch.is_seen(permitted) {
            return true;
        }
        watch.held += 1;
        if watch.open {
            ended |= watch.kind == Kind::Aborts;
            watch.allocated(site, requested);
        }
        true
    });
    if let (true, Some(end)) = (ended, FORBIDDEN.get()) {
        end(site, requested);
    }
    if own == 0 { Rate::EXACT } else { Rate::watched(own) }
}

/// Counts a death.
#[cold]
#[inline(never)]
pub(super) fn died(number: u16, site: u32, requested: u64) {
    let mut permitted = false;
    each(number, false, |watch| {
        permitted |= watch.kind == Kind::Permits;
        if watch.is_seen(permitted) {
            watch.held = table::less(watch.held, 1);
            if watch.open {
                watch.freed(site, requested);
            }
        }
        true
    });
}

/// Counts that a block was resized in place.
#[cold]
#[inline(never)]
pub(super) fn resized(number: u16, site: u32, from: u64, to: u64) {
    let mut permitted = false;
    each(number, false, |watch| {
        permitted |= watch.kind == Kind::Permits;
        if watch.is_seen(permitted) && watch.open {
            watch.resized(site, from, to);
        }
        true
    });
}

/// What was counted, and the sites. Allocates; in a scope that leaves it out.
pub(crate) fn read(number: u16) -> (Totals, Vec<Line>) {
    let mut lines = Vec::new();
    loop {
        // Room is made without the lock: an allocation takes others, which stand before it.
        let room = slot(number).watch.lock().table.len() + 16;
        lines.reserve(room);
        let watch = slot(number).watch.lock();
        if watch.table.len() <= lines.capacity() {
            watch.table.each(|line| lines.push(line));
            return (watch.totals, lines);
        }
    }
}

/// The sums of what was counted.
#[cfg(feature = "http")]
pub(crate) fn totals(number: u16) -> Totals {
    slot(number).watch.lock().totals
}

impl Watch {
    /// Whether a block is counted, which was permitted further in or not. The same at its birth and at its death.
    fn is_seen(&self, permitted: bool) -> bool {
        match self.kind {
            Kind::Counts | Kind::Permits => true,
            Kind::Forbids | Kind::Aborts => !permitted,
        }
    }

    fn allocated(&mut self, site: u32, size: u64) {
        self.totals.allocated.add(size);
        self.totals.live.add(size);
        let line = self.table.line(site);
        line.allocated.add(size);
        line.live.add(size);
        self.raise();
    }

    fn freed(&mut self, site: u32, size: u64) {
        self.totals.freed.add(size);
        self.totals.live.take(size);
        self.table.line(site).live.take(size);
    }

    fn resized(&mut self, site: u32, from: u64, to: u64) {
        let (grown, shrunk) = (to.saturating_sub(from), from.saturating_sub(to));
        self.totals.resized += 1;
        self.totals.allocated.bytes += grown;
        self.totals.freed.bytes += shrunk;
        self.totals.live.resize(from, to);
        let line = self.table.line(site);
        line.allocated.bytes += grown;
        line.live.resize(from, to);
        self.raise();
    }

    fn raise(&mut self) {
        let Totals { live, peak, .. } = &mut self.totals;
        peak.blocks = peak.blocks.max(live.blocks);
        if live.bytes > peak.bytes {
            peak.bytes = live.bytes;
            self.table.is_peak();
        }
    }
}

pub(super) fn before_fork() {
    FREE.acquire();
    SLOTS.each(|_, slot| slot.watch.acquire());
}

pub(super) fn after_fork() {
    SLOTS.each(|_, slot| slot.watch.release());
    FREE.release();
}
