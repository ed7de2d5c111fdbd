//! What sites and tags have allocated and freed.
//!
//! Exact tracking counts at every allocation and every free, so each thread that does has a [`Table`] of its own, whose
//! counters only it writes, with ordinary stores; a reader sums the tables. A block that another thread frees is counted
//! as freed in that thread's table: one table may have freed more than it allocated, the sum has not. The tables of
//! ended threads are taken over by new ones.
//!
//! Samples are rare, so they are counted in one table for all, [`SAMPLED`]; so is what threads do that have no table.

use super::ages::{self, Ages, Freed, Own, Pair};
use super::array::{Array, pieces};
use super::rate::{Rate, Weight};
use super::sites::MOST_SITES;
use super::word::TAGS;
use super::{Estimate, Totals};
use crate::arena::private;
use crate::os::lock::Lock;
use crate::sync::{AtomicPtr, AtomicU64, Ordering};
use std::ptr::null_mut;

/// Counts of one site or tag. A cache line.
#[repr(C, align(64))]
#[derive(Default)]
pub(super) struct Cell {
    allocated_blocks: AtomicU64,
    allocated_bytes: AtomicU64,
    freed_blocks: AtomicU64,
    freed_bytes: AtomicU64,
    /// The complement of the smallest size, so that zero is none.
    not_smallest: AtomicU64,
    largest: AtomicU64,
    /// Freed, at an age that there was no memory to count: see [`ages`].
    ageless: Pair,
}

/// Who writes a cell: one thread, or any.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Writers {
    One,
    Any,
}

// Relaxed throughout: counters order nothing.
impl Writers {
    #[inline(always)]
    pub(super) fn add(self, counter: &AtomicU64, n: u64) {
        match self {
            Writers::One => counter.store(counter.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed),
            Writers::Any => _ = counter.fetch_add(n, Ordering::Relaxed),
        }
    }

    #[inline(always)]
    fn raise(self, counter: &AtomicU64, n: u64) {
        if counter.load(Ordering::Relaxed) < n {
            match self {
                Writers::One => counter.store(n, Ordering::Relaxed),
                Writers::Any => _ = counter.fetch_max(n, Ordering::Relaxed),
            }
        }
    }
}

/// Something that happened to tracked blocks.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    /// A block of so many requested bytes.
    Allocated(u64),
    /// The same.
    Freed(u64),
    /// A block was resized in place, from so many requested bytes to so many.
    Resized(u64, u64),
    /// A sample of so many requested bytes is none any more: its block has shrunk, and was not drawn again.
    Dropped(u64),
}

impl Cell {
    #[inline(always)]
    fn count(&self, writers: Writers, event: Event) {
        match event {
            Event::Allocated(size) => {
                writers.add(&self.allocated_blocks, 1);
                writers.add(&self.allocated_bytes, size);
                writers.raise(&self.not_smallest, !size);
                writers.raise(&self.largest, size);
            }
            Event::Freed(size) => {
                writers.add(&self.freed_blocks, 1);
                writers.add(&self.freed_bytes, size);
            }
            Event::Resized(from, to) => {
                writers.add(if to > from { &self.allocated_bytes } else { &self.freed_bytes }, from.abs_diff(to));
                writers.raise(&self.largest, to);
            }
            Event::Dropped(_) => (), // what is exact is no sample
        }
    }

    /// What was freed, and is counted as freed, is of unknown age.
    pub(super) fn count_ageless(&self, writers: Writers, freed: Freed) {
        self.ageless.count(writers, freed);
    }

    fn add_to(&self, part: Part, totals: &mut Totals) {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (to, blocks, bytes) = match part {
            Part::Ages => return self.ageless.add_to(&mut totals.ages.unknown),
            Part::Freed => (&mut totals.freed, &self.freed_blocks, &self.freed_bytes),
            Part::Allocated => {
                totals.smallest = totals.smallest.min(!get(&self.not_smallest));
                totals.largest = totals.largest.max(get(&self.largest));
                (&mut totals.allocated, &self.allocated_blocks, &self.allocated_bytes)
            }
        };
        let blocks = get(blocks);
        to.samples += blocks;
        to.blocks += blocks as f64;
        to.bytes += get(bytes) as f64;
    }
}

/// Counters of all sites and tags. Zeroed memory is an empty one.
pub(super) struct Table {
    sites: Array<Cell, { pieces::<Cell>(MOST_SITES as usize) }>,
    tags: Array<Cell, { pieces::<Cell>(TAGS) }>,
    pub(super) ages: Own,
    next: AtomicPtr<Table>,
    next_parked: AtomicPtr<Table>,
}

/// Where threads count that have no table of their own.
static SHARED: Table = Table {
    sites: Array::new(),
    tags: Array::new(),
    ages: Own::new(),
    next: AtomicPtr::new(null_mut()),
    next_parked: AtomicPtr::new(null_mut()),
};

struct Tables {
    first: *mut Table,
    parked: *mut Table,
}

// SAFETY: tables live for ever, and are written by atomics.
unsafe impl Send for Tables {}

static TABLES: Lock<Tables> = Lock::new(Tables { first: null_mut(), parked: null_mut() });

impl Table {
    /// A table for a thread: one that an ended thread has left, or a new one. `None` if memory is out.
    pub(super) fn adopt() -> Option<&'static Table> {
        let mut tables = TABLES.lock();
        if tables.parked.is_null() {
            let p: *mut Table = private::take(size_of::<Table>()).cast();
            if p.is_null() {
                return None;
            }
            // SAFETY: zeroed memory is a table; it lives for ever.
            unsafe { (*p).next.store(tables.first, Ordering::Relaxed) }; // Relaxed: published by the lock
            tables.first = p;
            tables.parked = p;
        }
        // SAFETY: tables live for ever.
        let table = unsafe { &*tables.parked };
        tables.parked = table.next_parked.load(Ordering::Relaxed); // Relaxed: written under the lock
        table.next_parked.store(null_mut(), Ordering::Relaxed);
        Some(table)
    }

    /// The thread has ended: the next one goes on with its table.
    pub(super) fn park(&'static self) {
        let mut tables = TABLES.lock();
        self.next_parked.store(tables.parked, Ordering::Relaxed); // Relaxed: see `adopt`
        tables.parked = (&raw const *self).cast_mut();
    }

    /// Counts for a site and a tag, in this thread's own table. `false` if there is no memory for it.
    #[inline(always)]
    pub(super) fn count(&self, site: u32, tag: u16, event: Event) -> bool {
        let Some(cell) = self.sites.make(site) else { return false };
        cell.count(Writers::One, event);
        if tag != 0 {
            self.count_tag(tag, event);
        }
        true
    }

    #[inline(never)]
    fn count_tag(&self, tag: u16, event: Event) {
        match self.tags.make(tag as u32) {
            Some(cell) => cell.count(Writers::One, event),
            None => shared(&SHARED.tags, tag as u32).count(Writers::Any, event),
        }
    }
}

/// Where deaths are counted that there is no memory for elsewhere: as those of blocks of unknown origin.
pub(super) static LAST: Cell = Cell {
    allocated_blocks: AtomicU64::new(0),
    allocated_bytes: AtomicU64::new(0),
    freed_blocks: AtomicU64::new(0),
    freed_bytes: AtomicU64::new(0),
    not_smallest: AtomicU64::new(0),
    largest: AtomicU64::new(0),
    ageless: Pair::new(),
};

/// Where a thread with this table counts what happens to blocks of a site, and who writes there. `None`: in [`LAST`].
pub(super) fn site_cell(table: Option<&'static Table>, site: u32) -> Option<(&'static Cell, Writers)> {
    let own = table.and_then(|table| table.sites.get(site)).map(|cell| (cell, Writers::One));
    own.or_else(|| Some((SHARED.sites.get(site)?, Writers::Any)))
}

/// The same for a tag. There is one: see [`countable`].
pub(super) fn tag_cell(table: Option<&'static Table>, tag: u16) -> Option<(&'static Cell, Writers)> {
    let own = table.and_then(|table| table.tags.get(tag as u32)).map(|cell| (cell, Writers::One));
    own.or_else(|| Some((SHARED.tags.get(tag as u32)?, Writers::Any)))
}

fn shared<const PIECES: usize>(cells: &Array<Cell, PIECES>, i: u32) -> &Cell {
    cells.make(i).unwrap_or(&LAST)
}

/// Counts for a thread without a table, or without memory for one.
#[cold]
#[inline(never)]
pub(super) fn count_shared(site: u32, tag: u16, event: Event) {
    shared(&SHARED.sites, site).count(Writers::Any, event);
    if tag != 0 {
        shared(&SHARED.tags, tag as u32).count(Writers::Any, event);
    }
}

/// Whether a birth could be counted in the shared table.
#[cold]
#[inline(never)]
pub(super) fn has_room(site: u32) -> bool {
    SHARED.sites.make(site).is_some()
}

/// The tag, or none if there is no memory to count it.
#[inline]
pub(super) fn countable(tag: u16, rate: Rate) -> u16 {
    let has = |tag: u32| match rate.is_exact() {
        true => SHARED.tags.make(tag).is_some(),
        false => SAMPLED.tags.make(tag).is_some(),
    };
    if tag == 0 || has(tag as u32) { tag } else { 0 }
}

/// Sums of weighted samples. Each sum is the bits of an `f64`.
#[derive(Default)]
pub(super) struct WeightedSums {
    blocks: AtomicU64,
    bytes: AtomicU64,
    blocks_variance: AtomicU64,
    bytes_variance: AtomicU64,
}

/// The same, and how many samples there are.
#[derive(Default)]
pub(super) struct Sums {
    sums: WeightedSums,
    samples: AtomicU64,
}

/// Samples of one site or tag.
#[repr(C, align(128))]
#[derive(Default)]
struct SampledCell {
    allocated: Sums,
    freed: Sums,
    not_smallest: AtomicU64,
    largest: AtomicU64,
    /// Freed, at an age that there was no memory to count: see [`ages`]. Their number is not kept: a cell has 128 bytes.
    ageless: WeightedSums,
}

struct Samples {
    sites: Array<SampledCell, { pieces::<SampledCell>(MOST_SITES as usize) }>,
    tags: Array<SampledCell, { pieces::<SampledCell>(TAGS) }>,
}

static SAMPLED: Samples = Samples { sites: Array::new(), tags: Array::new() };

fn add_f64(sum: &AtomicU64, x: f64) {
    // Relaxed: a sum, as above.
    let add = |bits| Some((f64::from_bits(bits) + x).to_bits());
    _ = sum.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
}

impl WeightedSums {
    pub(super) fn add(&self, w: Weight, size: u64, sign: f64) {
        let size = size as f64;
        add_f64(&self.blocks, sign * w.weight);
        add_f64(&self.bytes, sign * w.weight * size);
        add_f64(&self.blocks_variance, sign * w.variance);
        add_f64(&self.bytes_variance, sign * w.variance * size * size);
    }

    /// What a block has shrunk by: what it was, less what it is. At once, so that no reader sees more of it.
    pub(super) fn add_bytes(&self, w: Weight, from: u64, to: u64) {
        let (from, to) = (from as f64, to as f64);
        add_f64(&self.bytes, w.weight * (from - to));
        add_f64(&self.bytes_variance, w.variance * (from * from - to * to));
    }

    fn add_to(&self, to: &mut Estimate) {
        // Where something was taken back, rounding may leave a little less than nothing.
        let get = |sum: &AtomicU64| f64::from_bits(sum.load(Ordering::Relaxed)).max(0.0);
        to.blocks += get(&self.blocks);
        to.bytes += get(&self.bytes);
        to.blocks_variance += get(&self.blocks_variance);
        to.bytes_variance += get(&self.bytes_variance);
    }
}

impl Sums {
    /// A block.
    pub(super) fn add_block(&self, w: Weight, size: u64) {
        self.add(w, size, 1.0);
        self.samples.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn weighted(&self) -> &WeightedSums {
        &self.sums
    }

    fn add(&self, w: Weight, size: u64, sign: f64) {
        self.sums.add(w, size, sign);
    }

    pub(super) fn add_to(&self, to: &mut Estimate) {
        self.sums.add_to(to);
        to.samples += self.samples.load(Ordering::Relaxed);
    }
}

/// A sample was freed at an age that there is no memory to count.
pub(super) fn count_ageless_sample(site: u32, tag: u16, w: Weight, freed: Freed) {
    let of_tag = if tag == 0 { None } else { SAMPLED.tags.get(tag.into()) };
    let cells = SAMPLED.sites.get(site).into_iter().chain(of_tag);
    cells.for_each(|cell| freed.add_to(&cell.ageless, w));
}

/// Counts a sampled block. `before` is the size of a block that was resized, as it was.
///
/// What such a block weighed comes back, and what it weighs now is added. So that this leaves no sum below zero, it is done
/// where the block was counted before: among what was allocated. A block that shrinks is counted as allocated with the weight
/// that it has now (and the sample that is dropped there with none, so that all is right on average), and what it shrank by as
/// freed.
#[inline(never)]
pub(super) fn count_sample(site: u32, tag: u16, rate: Rate, block_size: u64, before: u64, event: Event) -> bool {
    let w = rate.weight(block_size);
    if SAMPLED.sites.make(site).is_none() {
        return false;
    }
    let cells = [SAMPLED.sites.make(site), if tag == 0 { None } else { SAMPLED.tags.make(tag as u32) }];
    for cell in cells.into_iter().flatten() {
        match event {
            Event::Allocated(size) => {
                cell.allocated.add_block(w, size);
                Writers::Any.raise(&cell.not_smallest, !size);
                Writers::Any.raise(&cell.largest, size);
            }
            Event::Freed(size) => cell.freed.add_block(w, size),
            Event::Resized(from, to) => {
                let was = rate.weight(before);
                // Added before it is taken away: a reader sees too much for a moment, and never less than nothing.
                if to > from {
                    cell.allocated.add(w, to, 1.0);
                } else {
                    cell.allocated.add(w, from, 1.0);
                    cell.freed.add(w, from, 1.0);
                    cell.freed.add(w, to, -1.0);
                }
                cell.allocated.add(was, from, -1.0);
                Writers::Any.raise(&cell.largest, to);
            }
            Event::Dropped(size) => {
                cell.allocated.add(w, size, -1.0);
                cell.freed.samples.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
    true
}

impl SampledCell {
    fn add_to(&self, part: Part, totals: &mut Totals) {
        match part {
            Part::Ages => return self.ageless.add_to(&mut totals.ages.unknown),
            Part::Freed => return self.freed.add_to(&mut totals.freed),
            Part::Allocated => (),
        }
        self.allocated.add_to(&mut totals.allocated);
        totals.smallest = totals.smallest.min(!self.not_smallest.load(Ordering::Relaxed));
        totals.largest = totals.largest.max(self.largest.load(Ordering::Relaxed));
    }
}

impl Estimate {
    pub(crate) const NONE: Estimate =
        Estimate { blocks: 0.0, bytes: 0.0, blocks_variance: 0.0, bytes_variance: 0.0, samples: 0 };
}

impl Totals {
    pub(crate) const NONE: Totals =
        Totals { allocated: Estimate::NONE, freed: Estimate::NONE, ages: Ages::NONE, smallest: u64::MAX, largest: 0 };
}

/// Every table that there ever was, the shared one first.
pub(super) fn each_table(mut f: impl FnMut(&Table)) {
    f(&SHARED);
    let mut table = TABLES.lock().first;
    while !table.is_null() {
        // SAFETY: tables live for ever.
        unsafe {
            f(&*table);
            table = (*table).next.load(Ordering::Relaxed); // Relaxed: written before the table was published
        }
    }
}

/// What is added up at a time: first how old blocks became that were freed, of all tables, then what was freed, then what was
/// allocated. A block that is freed was counted as allocated before, and its age is counted after its death, so that nobody
/// sees more of a part than of the whole while threads run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Ages,
    Freed,
    Allocated,
}

/// Adds up what the sites from `first` on have done, as many as there are `totals`. A sum of counters that run on: a block
/// that is allocated or freed meanwhile may be in it or not.
pub(super) fn sum_sites(first: u32, totals: &mut [Totals], part: Part) {
    let range = first..first + totals.len() as u32;
    let at = |i: u32| (i - first) as usize;
    if range.contains(&super::sites::UNKNOWN) {
        LAST.add_to(part, &mut totals[at(super::sites::UNKNOWN)]);
    }
    if part == Part::Ages {
        ages::sum_sites(range.clone(), |i, add| add(&mut totals[at(i)].ages));
    }
    each_table(|table| table.sites.each_in(range.clone(), |i, cell| cell.add_to(part, &mut totals[at(i)])));
    SAMPLED.sites.each_in(range.clone(), |i, cell| cell.add_to(part, &mut totals[at(i)]));
}

/// The same for tags. Blocks without a tag are not counted by it.
pub(super) fn sum_tags(first: u32, totals: &mut [Totals], part: Part) {
    let range = first..first + totals.len() as u32;
    let at = |i: u32| (i - first) as usize;
    if part == Part::Ages {
        ages::sum_tags(range.clone(), |i, add| add(&mut totals[at(i)].ages));
    }
    each_table(|table| table.tags.each_in(range.clone(), |i, cell| cell.add_to(part, &mut totals[at(i)])));
    SAMPLED.tags.each_in(range.clone(), |i, cell| cell.add_to(part, &mut totals[at(i)]));
}

/// Blocks allocated and freed, by number: what was tracked exactly, and the samples.
#[cfg(feature = "internals")]
pub(crate) fn unweighted() -> (u64, u64) {
    let (mut born, mut died) = (0, 0);
    let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    died += get(&LAST.freed_blocks);
    each_table(|table| {
        table.sites.each(|_, cell| {
            born += get(&cell.allocated_blocks);
            died += get(&cell.freed_blocks);
        });
    });
    SAMPLED.sites.each(|_, cell| {
        born += get(&cell.allocated.samples);
        died += get(&cell.freed.samples);
    });
    (born, died)
}

pub(super) fn before_fork() {
    TABLES.acquire();
}

pub(super) fn after_fork() {
    TABLES.release();
}

const _: () = assert!(size_of::<Cell>() == 64 && size_of::<SampledCell>() == 128);
