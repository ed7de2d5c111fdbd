//! What a snapshot reads: each tracked block that lives, what sites and tags have done, stacks and names.
//!
//! Everything here may be called while all threads run, and takes the locks of pages one at a time, for microseconds.

use super::counters::Part;
use super::word::{self, Birth};
use super::{Ending, Estimate, Live, Totals, counters, sites, tags};
use crate::pages::{loose, shard};

/// Blocks that a page may have.
pub(crate) const MOST_BIRTHS: usize = shard::MOST_WORDS;

/// Gives `f` each tracked block that lives, once; one that is born or dies meanwhile, once or not at all. `is_dying` knows
/// the addresses of blocks that were freed though their words do not say so yet. `room` holds [`MOST_BIRTHS`].
///
/// `f` may allocate.
pub(crate) fn each_live(room: &mut [Birth], is_dying: impl Fn(usize) -> bool, f: &mut dyn FnMut(Live)) {
    let live = |birth: Birth, block_size: usize| Live {
        site: birth.site,
        tag: birth.tag,
        rate: birth.rate,
        requested: birth.requested,
        block_size: block_size as u64,
        epoch: birth.epoch,
    };
    // A page's words are copied with its lock held, because `f` may need that lock.
    shard::each_tracked(
        room,
        |word, block| word::read(word).filter(|_| !is_dying(block.addr())),
        |births, block_size| births.iter().for_each(|&birth| f(live(birth, block_size))),
    );
    loose::each(|word, bytes| {
        if let Some(birth) = word::read(word) {
            f(live(birth, bytes));
        }
    });
}

/// Sites in use: each is below this.
pub(crate) fn site_count() -> u32 {
    sites::count()
}

/// Tags in use: each is below this.
pub(crate) fn tag_count() -> usize {
    tags::count()
}

/// What sites from `first` on have done since the start. `dying` adds the blocks that were freed though their words do not
/// say so yet: it is called after all other deaths were read, or one of them might be counted twice, and before the births.
pub(crate) fn sites(first: u32, totals: &mut [Totals], dying: impl FnOnce(&mut [Totals])) {
    totals.fill(Totals::NONE);
    counters::sum_sites(first, totals, Part::Ages);
    counters::sum_sites(first, totals, Part::Freed);
    dying(totals);
    counters::sum_sites(first, totals, Part::Allocated);
}

/// What the first tags have done since the start, likewise. What had no tag is the sum of all sites less these.
pub(crate) fn tags(totals: &mut [Totals], dying: impl FnOnce(&mut [Totals])) {
    totals.fill(Totals::NONE);
    counters::sum_tags(0, totals, Part::Ages);
    counters::sum_tags(0, totals, Part::Freed);
    dying(totals);
    counters::sum_tags(0, totals, Part::Allocated);
}

/// What so many sites from `first` on have allocated since the start.
pub(crate) fn allocated_by_sites(first: u32, totals: &mut [Totals]) {
    totals.fill(Totals::NONE);
    counters::sum_sites(first, totals, Part::Allocated);
}

/// What so many tags from `first` on have allocated since the start.
pub(crate) fn allocated_by_tags(first: u32, totals: &mut [Totals]) {
    totals.fill(Totals::NONE);
    counters::sum_tags(first, totals, Part::Allocated);
}

/// The name of a tag.
pub(crate) fn tag_name(tag: u16) -> &'static str {
    tags::name_of(tag)
}

/// Gives `f` the lookup addresses of a site's stack, leaf first, and says how it ended.
pub(crate) fn stack(site: u32, f: &mut dyn FnMut(usize)) -> Ending {
    sites::stack(site, f)
}

impl Totals {
    /// These and others.
    pub(crate) fn join(&mut self, other: &Totals) {
        self.allocated.sum(&other.allocated, 1.0);
        self.freed.sum(&other.freed, 1.0);
        self.ages.join(&other.ages);
        self.smallest = self.smallest.min(other.smallest);
        self.largest = self.largest.max(other.largest);
    }
}

impl Estimate {
    /// A part less. Both were read while threads run, so nothing goes below zero.
    pub(crate) fn less(&mut self, part: &Estimate) {
        self.sum(part, -1.0);
        self.samples = self.samples.saturating_sub(part.samples);
    }

    pub(super) fn sum(&mut self, other: &Estimate, sign: f64) {
        let add = |to: &mut f64, x: f64| *to = (*to + sign * x).max(0.0);
        add(&mut self.blocks, other.blocks);
        add(&mut self.bytes, other.bytes);
        add(&mut self.blocks_variance, other.blocks_variance);
        add(&mut self.bytes_variance, other.bytes_variance);
        if sign > 0.0 {
            self.samples += other.samples;
        }
    }

    /// One block more.
    pub(crate) fn add(&mut self, birth: &Birth, block_size: u64) {
        let (w, size) = (birth.rate.weight(block_size), birth.requested as f64);
        self.blocks += w.weight;
        self.bytes += w.weight * size;
        self.blocks_variance += w.variance;
        self.bytes_variance += w.variance * size * size;
        self.samples += 1;
    }
}
