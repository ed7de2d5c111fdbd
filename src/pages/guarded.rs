//! Guarded slots: a few blocks stand each at an end of an OS page of its own, between two inaccessible ones, and their OS
//! page is inaccessible while they are free. So whoever reads or writes beyond such a block, or after its free, is stopped
//! at that very access. For production, as GWP-ASan does it (Serebryany and others, "GWP-ASan: Sampling-Based Detection of
//! Memory-Safety Bugs in Production", 2023): who gets a slot is a sample that the tracker takes anyway.
//!
//! ```text
//!   | inaccessible | slot 0 | inaccessible | slot 1 | inaccessible | ...
//! ```
//!
//! The slots of a process are bounded, and lie in slices of their own. One that was freed is used again when all others were.

use super::classes::block_size;
use super::page::{self, Word};
use super::{canary, loose};
use crate::arena::{SLICE, USABLE, private, slices};
use crate::config::hardened::CANARY;
use crate::os::{self, fault, lock::Lock};
use crate::sync::{AtomicPtr, AtomicU8, AtomicU32, AtomicUsize, Ordering};
use std::ptr::null_mut;

/// What a slot is, for whoever reads it without the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Unused,
    Live,
    Freed,
}

/// A slot. Written under the lock; read at any time, by a signal handler too.
pub(crate) struct Slot {
    block: AtomicPtr<u8>,
    requested: AtomicUsize,
    word: AtomicPtr<Word>,
    class: AtomicU8,
    state: AtomicU8,
    allocated: Access,
    freed: Access,
}

/// Who did it.
struct Access {
    site: AtomicU32,
    thread: AtomicU32,
}

/// What is known of a block in a slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub(crate) block: *mut u8,
    pub(crate) requested: usize,
    pub(crate) class: usize,
    pub(crate) word: *mut Word,
    pub(crate) state: State,
    /// The call stack that allocated it, and the thread; and those that freed it.
    pub(crate) allocated: (u32, u32),
    pub(crate) freed: (u32, u32),
}

struct Slots {
    /// The slot that is looked at next.
    next: usize,
    /// How many no block lives in.
    free: usize,
}

static SLOTS: Lock<Slots> = Lock::new(Slots { next: 0, free: 0 });

/// One sample in so many gets a slot; 0: none does.
static ONE_IN: AtomicU32 = AtomicU32::new(0);
static WANTED: AtomicU32 = AtomicU32::new(0);
/// Samples that might have had one.
static SAMPLES: AtomicU32 = AtomicU32::new(0);

/// The first OS page, the slots, and how many there are: 0 before they are made.
static BASE: AtomicPtr<u8> = AtomicPtr::new(null_mut());
static ALL: AtomicPtr<Slot> = AtomicPtr::new(null_mut());
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Before the process' first block.
pub(crate) fn configure(one_in: u32, slots: u32) {
    ONE_IN.store(one_in, Ordering::Relaxed); // Relaxed, both: read by slow paths, which come later
    WANTED.store(slots, Ordering::Relaxed);
}

/// Whether a sample of this class is to have a slot.
#[inline]
pub(crate) fn is_wanted(class: usize) -> bool {
    let one_in = ONE_IN.load(Ordering::Relaxed); // Relaxed: see `configure`
    one_in > 0 && block_size(class) <= os::page_size() && SAMPLES.fetch_add(1, Ordering::Relaxed).is_multiple_of(one_in)
}

/// The slots and their number.
fn all() -> &'static [Slot] {
    let n = COUNT.load(Ordering::Acquire); // Acquire: what was written before is seen
    // SAFETY: that many were made, and they live for ever.
    if n == 0 { &[] } else { unsafe { std::slice::from_raw_parts(ALL.load(Ordering::Relaxed), n) } }
}

/// Makes the slots. `false` if memory is out.
#[cold]
fn make(slots: &mut Slots) -> bool {
    // As many as fit into a segment, where OS pages are large.
    let n = (WANTED.load(Ordering::Relaxed) as usize).min((USABLE * SLICE / os::page_size() - 1) / 2);
    let bytes = ((2 * n + 1) * os::page_size()).next_multiple_of(SLICE);
    let all: *mut Slot = private::take(n * size_of::<Slot>()).cast();
    if all.is_null() {
        return false;
    }
    let Some(run) = slices::take(bytes / SLICE, SLICE) else { return false };
    // SAFETY: the run is ours, and nobody's block lies in it.
    unsafe {
        page::write_guarded(run.at, bytes / SLICE);
        if !os::protect(run.at, bytes, true) {
            return false;
        }
    }
    BASE.store(run.at, Ordering::Relaxed);
    ALL.store(all, Ordering::Relaxed);
    slots.free = n;
    COUNT.store(n, Ordering::Release); // Release: see `all`
    true
}

/// The OS page of a slot.
fn page_of_slot(i: usize) -> *mut u8 {
    BASE.load(Ordering::Relaxed).wrapping_add((2 * i + 1) * os::page_size()) // Relaxed: written before the count
}

/// The slot nearest to an address: its own OS page, and half of what is inaccessible on each side.
pub(crate) fn around(p: *mut u8) -> Option<Known> {
    let os_page = os::page_size();
    let offset = p.addr().wrapping_sub(BASE.load(Ordering::Relaxed).addr()); // Relaxed: as above
    if all().is_empty() || offset >= (2 * all().len() + 1) * os_page {
        return None;
    }
    // What lies between two slots belongs to the one whose block is nearer.
    let near = (offset / os_page).saturating_sub(1) / 2;
    let candidates = [near, near + 1].into_iter().filter_map(|i| Some(all().get(i)?.known()));
    candidates.filter(|known| known.state != State::Unused).min_by_key(|known| known.distance(p))
}

impl Known {
    /// Bytes from the block to an address outside of it.
    pub(crate) fn distance(&self, p: *mut u8) -> usize {
        let (begin, end) = (self.block.addr(), self.block.addr() + self.requested);
        if p.addr() < begin { begin - p.addr() } else { (p.addr() + 1).saturating_sub(end) }
    }
}

impl Slot {
    fn known(&self) -> Known {
        // Relaxed, all of it: what a handler reads of a slot in use does not change, and what changes may be of either time.
        let of = |access: &Access| (access.site.load(Ordering::Relaxed), access.thread.load(Ordering::Relaxed));
        Known {
            block: self.block.load(Ordering::Relaxed),
            requested: self.requested.load(Ordering::Relaxed),
            class: self.class.load(Ordering::Relaxed) as usize,
            word: self.word.load(Ordering::Relaxed),
            state: match self.state.load(Ordering::Acquire) {
                1 => State::Live,
                2 => State::Freed,
                _ => State::Unused,
            },
            allocated: of(&self.allocated),
            freed: of(&self.freed),
        }
    }
}

/// Bytes that fill the OS page on the side where the block does not end at its edge.
const FILL: u8 = 0xB7;

/// A block of a class for a request of `size` bytes, in a slot; its word is to be filled. Null if none is free.
pub(crate) fn take(class: usize, size: usize) -> *mut u8 {
    let mut slots = SLOTS.lock();
    if all().is_empty() && (WANTED.load(Ordering::Relaxed) == 0 || !make(&mut slots)) {
        WANTED.store(0, Ordering::Relaxed); // Relaxed: under the lock
        return null_mut();
    }
    fault::install();
    if slots.free == 0 {
        return null_mut();
    }
    let n = all().len();
    let free = (0..n).map(|i| (slots.next + i) % n).find(|&i| all()[i].known().state != State::Live);
    let Some(i) = free else { return null_mut() };
    let word = loose::take(block_size(class));
    let (at, os_page) = (page_of_slot(i), os::page_size());
    // SAFETY: the slot is free: nobody uses its OS page.
    if word.is_null() || !unsafe { os::protect(at, os_page, false) } {
        if !word.is_null() {
            // SAFETY: it is nobody's.
            unsafe { loose::give(word) };
        }
        return null_mut();
    }
    slots.next = i + 1;
    slots.free -= 1;
    // With canaries, they are part of the block.
    let size = if CANARY { block_size(class) } else { size.max(1) };
    // The blocks of a class are aligned to whatever divides its size; who asked for more got a larger class.
    let align = 1 << block_size(class).trailing_zeros();
    let turn = slots.next ^ (SAMPLES.load(Ordering::Relaxed) as usize / 2);
    let at_end = !turn.is_multiple_of(4);
    let block = if at_end { at.wrapping_add((os_page - size) & !(align - 1)) } else { at };
    // SAFETY: the OS page is the slot's.
    unsafe {
        at.write_bytes(FILL, os_page);
        canary::forget(block, size, 1);
    }
    let slot = &all()[i];
    // Relaxed: published by the state.
    slot.block.store(block, Ordering::Relaxed);
    slot.requested.store(size, Ordering::Relaxed);
    slot.class.store(class as u8, Ordering::Relaxed);
    slot.word.store(word, Ordering::Relaxed);
    slot.allocated.thread.store(os::process::this_thread(), Ordering::Relaxed);
    slot.freed.site.store(0, Ordering::Relaxed);
    slot.state.store(1, Ordering::Release); // Release: see above
    block
}

/// The word of a block in a slot, which was just taken.
pub(crate) fn word_of(block: *mut u8) -> *mut Word {
    all().get(index_of(block)).map_or(null_mut(), |slot| slot.word.load(Ordering::Relaxed)) // Relaxed: the caller's own
}

/// The block was allocated from this site.
pub(crate) fn allocated_at(block: *mut u8, site: u32) {
    if let Some(slot) = all().get(index_of(block)) {
        slot.allocated.site.store(site, Ordering::Relaxed); // Relaxed: as in `known`
    }
}

fn index_of(block: *mut u8) -> usize {
    let offset = block.addr().wrapping_sub(BASE.load(Ordering::Relaxed).addr()); // Relaxed: as in `page_of_slot`
    (offset / os::page_size()).saturating_sub(1) / 2
}

/// The first byte beside a block, on its OS page, that somebody has written to.
pub(crate) fn written_beside(known: &Known) -> Option<*mut u8> {
    let at = page_of_slot(index_of(known.block));
    let outside = |p: &*mut u8| p.addr() < known.block.addr() || p.addr() >= known.block.addr() + known.requested;
    // SAFETY: the OS page of a slot in use.
    (0..os::page_size()).map(|i| at.wrapping_add(i)).filter(outside).find(|p| unsafe { p.read() } != FILL)
}

/// A block that lives was freed from this site: its OS page is inaccessible from here on. Its word is the caller's.
///
/// # Safety
/// The block is the caller's, and lives.
pub(crate) unsafe fn give(block: *mut u8, site: u32) {
    let mut slots = SLOTS.lock();
    slots.free += 1;
    let i = index_of(block);
    let slot = &all()[i];
    // Relaxed: as in `take`.
    slot.freed.site.store(site, Ordering::Relaxed);
    slot.freed.thread.store(os::process::this_thread(), Ordering::Relaxed);
    slot.word.store(null_mut(), Ordering::Relaxed);
    slot.state.store(2, Ordering::Release);
    // SAFETY: the OS page is the slot's, whose block is dead. Where the system refuses, it stays accessible.
    unsafe { os::protect(page_of_slot(i), os::page_size(), true) };
}

/// The block of a slot at exactly this address, if it lives.
pub(crate) fn live_at(p: *mut u8) -> Option<Known> {
    let known = all().get(index_of(p))?.known();
    (known.state == State::Live && known.block == p).then_some(known)
}

/// The block that lives and holds an address.
pub(super) fn live_around(p: *mut u8) -> Option<Known> {
    around(p).filter(|known| known.state == State::Live && known.distance(p) == 0)
}

/// Blocks of each class that live in slots.
pub(crate) fn count(mut f: impl FnMut(usize, usize)) {
    all().iter().map(Slot::known).filter(|known| known.state == State::Live).for_each(|known| f(known.class, 1));
}

pub(super) fn before_fork() {
    SLOTS.acquire();
}

pub(super) fn after_fork() {
    SLOTS.release();
}
