//! What a snapshot reads: each tracked block that lives, what sites and tags have done, stacks and names.
//!
//! Everything here may be called while all threads run, and takes the locks of pages one at a time, for microseconds.

use super::counters::Half;
use super::{Ending, Estimate, Live, Totals, counters, sites, tags, word};
use crate::pages::{loose, shard};

/// Gives `f` each tracked block that lives, once; one that is born or dies meanwhile, once or not at all. `dying` are
/// addresses of blocks, in order, that were freed though their words do not say so yet.
///
/// `f` may allocate. The walk itself takes some memory of the allocator's own.
pub(crate) fn each_live(dying: &[usize], f: &mut dyn FnMut(Live)) {
    let live = |birth: word::Birth, block_size: usize| Live {
        site: birth.site,
        tag: birth.tag,
        rate: birth.rate,
        requested: birth.requested,
        block_size: block_size as u64,
        epoch: birth.epoch,
    };
    // A page's words are copied with its lock held, because `f` may need that lock.
    let mut births = Vec::new();
    shard::each_tracked(
        &mut births,
        |word, block| word::read(word).filter(|_| dying.binary_search(&block.addr()).is_err()),
        |births, block_size| births.drain(..).for_each(|birth| f(live(birth, block_size))),
    );
    loose::each(|word, bytes| {
        if let Some(birth) = word::read(word) {
            f(live(birth, bytes));
        }
    });
}

/// What each site has done since the start. `dying` adds the blocks that were freed though their words do not say so yet: it
/// is called after all other deaths were read, or one of them might be counted twice, and before the births.
pub(crate) fn sites(dying: impl FnOnce(&mut [Totals])) -> Vec<Totals> {
    let mut totals = vec![Totals::NONE; sites::count() as usize];
    counters::sum_sites(&mut totals, Half::Freed);
    dying(&mut totals);
    counters::sum_sites(&mut totals, Half::Allocated);
    totals
}

/// What each tag has done since the start, likewise. What had no tag is the sum of all sites less these.
pub(crate) fn tags(dying: impl FnOnce(&mut [Totals])) -> Vec<Totals> {
    let mut totals = vec![Totals::NONE; tags::count()];
    counters::sum_tags(&mut totals, Half::Freed);
    dying(&mut totals);
    counters::sum_tags(&mut totals, Half::Allocated);
    totals
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

    fn sum(&mut self, other: &Estimate, sign: f64) {
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
    pub(crate) fn add(&mut self, birth: &word::Birth, block_size: u64) {
        let (w, size) = (birth.rate.weight(block_size), birth.requested as f64);
        self.blocks += w.weight;
        self.bytes += w.weight * size;
        self.blocks_variance += w.variance;
        self.bytes_variance += w.variance * size * size;
        self.samples += 1;
    }
}
