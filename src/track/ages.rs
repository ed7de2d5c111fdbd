//! How old blocks became that have died: by site and by tag, in powers of two of epochs, and by the generation that they
//! died in.
//!
//! A block that dies in the epoch of its birth costs nothing here: those are what was freed, less what is counted here. So
//! the memory of this file is taken only for sites and tags of which a block outlived its epoch: 256 bytes of exact
//! tracking, for each thread that frees such blocks, in pieces for 256 sites whose numbers are near; and 640 of sampling.
//!
//! A block that shrinks gives bytes back at its age, without dying. So the bytes freed at all ages are all that were freed.
//!
//! Where there is no memory to count an age, the death is counted in its site's or tag's own cell as one of unknown age.

use super::Estimate;
use super::array::{Array, pieces};
use super::counters::{self, Sums, Table, WeightedSums, Writers};
use super::rate::{Rate, Weight};
use super::word::{Birth, TAGS};
use crate::arena::private;
use crate::config::bounds;
use crate::sync::{AtomicPtr, AtomicU64, Ordering};
use std::ops::Range;
use std::ptr::null_mut;

/// Ages from 1 epoch on are told apart as 1, 2 to 3, 4 to 7, ...; the last is open. 14, so that a cell has 256 bytes.
pub(crate) const AGES: usize = 14;

/// Where an age of at least one epoch is counted.
pub(crate) fn bucket(age: u64) -> usize {
    (age.max(1).ilog2() as usize).min(AGES - 1)
}

/// The ages with which the middle and the old generation begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) middle: u64,
    pub(crate) old: u64,
}

/// How old a block was when it died, or gave bytes back, and where generations began then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Age {
    pub(super) epochs: u64,
    pub(super) limits: Limits,
}

/// What was freed at an age.
#[derive(Clone, Copy, Debug)]
pub(super) enum Freed {
    /// A block of so many requested bytes.
    Block(u64),
    /// What a block shrank by in place: from so many bytes to so many.
    Bytes(u64, u64),
}

/// Blocks, and the bytes requested for them.
#[derive(Default)]
pub(super) struct Pair {
    blocks: AtomicU64,
    bytes: AtomicU64,
}

impl Pair {
    pub(super) const fn new() -> Pair {
        Pair { blocks: AtomicU64::new(0), bytes: AtomicU64::new(0) }
    }

    pub(super) fn count(&self, writers: Writers, freed: Freed) {
        match freed {
            Freed::Block(size) => {
                writers.add(&self.blocks, 1);
                writers.add(&self.bytes, size);
            }
            Freed::Bytes(from, to) => writers.add(&self.bytes, from - to),
        }
    }

    pub(super) fn add_to(&self, to: &mut Estimate) {
        // Relaxed: counters order nothing.
        let blocks = self.blocks.load(Ordering::Relaxed);
        to.samples += blocks;
        to.blocks += blocks as f64;
        to.bytes += self.bytes.load(Ordering::Relaxed) as f64;
    }
}

/// What was freed of one site or tag by age, and in which generation. Zeroes are an empty one.
#[repr(C)]
#[derive(Default)]
struct Cell<T> {
    ages: [T; AGES],
    middle: T,
    old: T,
}

const _: () = assert!(size_of::<Cell<Pair>>() == 256 && size_of::<Cell<Sums>>() == 640);

impl<T> Cell<T> {
    /// Everything that counts an age.
    fn each(&self, age: Age, f: impl Fn(&T)) {
        f(&self.ages[bucket(age.epochs)]);
        if age.epochs >= age.limits.old {
            f(&self.old);
        } else if age.epochs >= age.limits.middle {
            f(&self.middle);
        }
    }

    fn add_to(&self, to: &mut Ages, add: impl Fn(&T, &mut Estimate)) {
        self.ages.iter().zip(&mut to.ages).for_each(|(from, to)| add(from, to));
        add(&self.middle, &mut to.middle);
        add(&self.old, &mut to.old);
    }
}

/// Cells of all sites and tags. Zeroed memory is an empty one.
pub(super) struct Cells<T: 'static, const SITES: usize, const OF_TAGS: usize> {
    sites: Array<Cell<T>, SITES>,
    tags: Array<Cell<T>, OF_TAGS>,
}

const EXACT_SITES: usize = pieces::<Cell<Pair>>(*bounds::SITES.end() as usize);
const EXACT_TAGS: usize = pieces::<Cell<Pair>>(TAGS);
type Exact = Cells<Pair, EXACT_SITES, EXACT_TAGS>;
const SAMPLED_SITES: usize = pieces::<Cell<Sums>>(*bounds::SITES.end() as usize);
const SAMPLED_TAGS: usize = pieces::<Cell<Sums>>(TAGS);

/// Of threads without a table of their own, or without memory in it.
static SHARED: Exact = Cells { sites: Array::new(), tags: Array::new() };
static SAMPLED: Cells<Sums, SAMPLED_SITES, SAMPLED_TAGS> = Cells { sites: Array::new(), tags: Array::new() };

/// A thread's own cells, made when they are needed first. Lives as long as the table that it is in: for ever.
pub(super) struct Own(AtomicPtr<Exact>);

impl Own {
    pub(super) const fn new() -> Own {
        Own(AtomicPtr::new(null_mut()))
    }

    fn get(&self) -> Option<&'static Exact> {
        // SAFETY: null, or memory that was zeroed and is never given back. Acquire because it must be seen zeroed.
        unsafe { self.0.load(Ordering::Acquire).as_ref() }
    }

    /// For the thread that the table belongs to.
    fn make(&self) -> Option<&'static Exact> {
        if self.get().is_none() {
            let cells = private::take(size_of::<Exact>()).cast();
            self.0.store(cells, Ordering::Release); // Release: `get`
        }
        self.get()
    }
}

/// The cell that a thread counts in: its own, or the shared one. `None` if there is no memory for either.
fn cell_in<const PIECES: usize>(
    own: Option<&'static Array<Cell<Pair>, PIECES>>,
    shared: &'static Array<Cell<Pair>, PIECES>,
    i: u32,
) -> Option<(&'static Cell<Pair>, Writers)> {
    let own = own.and_then(|own| own.make(i)).map(|cell| (cell, Writers::One));
    own.or_else(|| Some((shared.make(i)?, Writers::Any)))
}

/// Counts what was freed of a block that was tracked exactly, and that had outlived the epoch of its birth. That it was
/// freed is counted already.
///
/// If its age can be counted for its site and not for its tag, or the other way round, it is for neither: what has no tag is
/// what sites have done less what tags have done.
#[cold]
#[inline(never)]
pub(super) fn count(table: Option<&'static Table>, site: u32, tag: u16, age: Age, freed: Freed) {
    let own = table.and_then(|table| table.ages.make());
    let site_place = counters::site_cell(table, site);
    let of_site = site_place.and_then(|_| cell_in(own.map(|own| &own.sites), &SHARED.sites, site));
    let of_tag = (tag != 0).then(|| cell_in(own.map(|own| &own.tags), &SHARED.tags, tag.into()));
    let count = |(cell, writers): (&Cell<Pair>, Writers)| cell.each(age, |pair| pair.count(writers, freed));
    match (of_site, of_tag) {
        (Some(site), None) => count(site),
        (Some(site), Some(Some(tag))) => {
            count(site);
            count(tag);
        }
        _ => {
            // Where there is no cell, the death was counted as one of unknown origin.
            let (cell, writers) = site_place.unwrap_or((&counters::LAST, Writers::Any));
            cell.count_ageless(writers, freed);
            if let Some((cell, writers)) = counters::tag_cell(table, tag).filter(|_| tag != 0) {
                cell.count_ageless(writers, freed);
            }
        }
    }
}

/// The same of a sample.
#[cold]
#[inline(never)]
pub(super) fn count_sample(site: u32, tag: u16, rate: Rate, block_size: u64, age: Age, freed: Freed) {
    let w = rate.weight(block_size);
    let of_tag = (tag != 0).then(|| SAMPLED.tags.make(tag.into()));
    let count = |cell: &Cell<Sums>| cell.each(age, |sums| add_sample(sums, w, freed));
    match (SAMPLED.sites.make(site), of_tag) {
        (Some(site), None) => count(site),
        (Some(site), Some(Some(tag))) => {
            count(site);
            count(tag);
        }
        _ => counters::count_ageless_sample(site, tag, w, freed),
    }
}

/// Adds a sample to what it belongs to.
fn add_sample(sums: &Sums, w: Weight, freed: Freed) {
    match freed {
        Freed::Block(size) => sums.add_block(w, size),
        Freed::Bytes(..) => freed.add_to(sums.weighted(), w),
    }
}

impl Freed {
    /// Adds what a sample of this weight stands for.
    pub(super) fn add_to(self, sums: &WeightedSums, w: Weight) {
        match self {
            Freed::Block(size) => sums.add(w, size, 1.0),
            Freed::Bytes(from, to) => sums.add_bytes(w, from, to),
        }
    }
}

/// How old blocks became that have died: what a reading makes of the counters.
///
/// What was freed at age 0 is all that was freed, less all of `ages`, less `unknown`. `middle` and `old` are parts of the
/// sum of `ages`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Ages {
    /// At 1, 2 to 3, 4 to 7, ... epochs.
    pub(crate) ages: [Estimate; AGES],
    /// In the middle generation, by where it began at the time.
    pub(crate) middle: Estimate,
    /// In the old one.
    pub(crate) old: Estimate,
    /// At an age of at least 1 that there was no memory to count.
    pub(crate) unknown: Estimate,
}

impl Ages {
    pub(crate) const NONE: Ages =
        Ages { ages: [Estimate::NONE; AGES], middle: Estimate::NONE, old: Estimate::NONE, unknown: Estimate::NONE };

    fn each<'a>(&'a mut self, other: &'a Ages, f: impl Fn(&mut Estimate, &Estimate)) {
        self.ages.iter_mut().zip(&other.ages).for_each(|(to, from)| f(to, from));
        f(&mut self.middle, &other.middle);
        f(&mut self.old, &other.old);
        f(&mut self.unknown, &other.unknown);
    }

    /// These and others.
    pub(crate) fn join(&mut self, others: &Ages) {
        self.each(others, |to, from| to.sum(from, 1.0));
    }

    /// A part less.
    pub(crate) fn less(&mut self, part: &Ages) {
        self.each(part, |to, from| to.less(from));
    }

    /// One block more, which died `now`.
    pub(crate) fn add(&mut self, birth: &Birth, block_size: u64, now: u64, limits: Limits) {
        let age = now.saturating_sub(birth.epoch);
        if age == 0 {
            return;
        }
        self.ages[bucket(age)].add(birth, block_size);
        if age >= limits.old {
            self.old.add(birth, block_size);
        } else if age >= limits.middle {
            self.middle.add(birth, block_size);
        }
    }

    /// The ages up to the last that something was counted at.
    pub(crate) fn counted(&self) -> &[Estimate] {
        let last = self.ages.iter().rposition(|e| *e != Estimate::NONE);
        &self.ages[..last.map_or(0, |last| last + 1)]
    }

    /// Whether nothing was counted.
    pub(crate) fn is_none(&self) -> bool {
        self.counted().is_empty() && self.unknown == Estimate::NONE
    }
}

/// Every thread's own cells, and the shared ones.
fn each_exact(mut f: impl FnMut(&Exact)) {
    f(&SHARED);
    counters::each_table(|table| table.ages.get().into_iter().for_each(&mut f));
}

/// Adds up what was freed of a range of sites by age.
pub(super) fn sum_sites(range: Range<u32>, mut f: impl FnMut(u32, &dyn Fn(&mut Ages))) {
    each_exact(|cells| cells.sites.each_in(range.clone(), |i, cell| f(i, &|to| cell.add_to(to, Pair::add_to))));
    SAMPLED.sites.each_in(range.clone(), |i, cell| f(i, &|to| cell.add_to(to, Sums::add_to)));
}

/// The same of tags.
pub(super) fn sum_tags(range: Range<u32>, mut f: impl FnMut(u32, &dyn Fn(&mut Ages))) {
    each_exact(|cells| cells.tags.each_in(range.clone(), |i, cell| f(i, &|to| cell.add_to(to, Pair::add_to))));
    SAMPLED.tags.each_in(range.clone(), |i, cell| f(i, &|to| cell.add_to(to, Sums::add_to)));
}
