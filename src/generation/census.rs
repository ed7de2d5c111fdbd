//! The census of an old collection: how much of each generation lives, whose the old generation is, and who is suspect.
//!
//! It allocates nothing. What it remembers of a site or a tag, from one census to the next, is a [`History`]; there is one for
//! those that ever had old blocks, in private memory that is never given back.

use super::Generation;
use super::clock::{self, Bands};
use super::record::{Alive, Census};
use super::trend::{History, Observation, Times, Trend};
use crate::arena::slices;
use crate::os;
use crate::pages::{loose, shard};
use crate::track::array::{Array, pieces};
use crate::track::word::{self, Birth, SITES, TAGS};
use crate::track::{Totals, read};
use std::cell::UnsafeCell;

/// Suspects that are kept, the worst first.
pub(crate) const MOST_SUSPECTS: usize = 32;

/// A site or a tag whose old generation grows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) who: Who,
    /// Bytes of its old generation, and their standard error.
    pub(crate) old: f64,
    pub(crate) old_error: f64,
    pub(crate) trend: Trend,
}

/// Whose blocks they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Site(u32),
    Tag(u16),
}

/// The suspects of the last old collection.
#[derive(Clone, Copy)]
pub(crate) struct Suspects {
    found: [Option<Found>; MOST_SUSPECTS],
}

impl Suspects {
    pub(super) const NONE: Suspects = Suspects { found: [None; MOST_SUSPECTS] };

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Found> {
        self.found.iter().flatten()
    }

    /// One more, in the order of their slopes; the least goes if there are too many.
    fn add(&mut self, new: Found) {
        let steeper =
            |found: &Option<Found>| found.is_some_and(|found| found.trend.bytes_per_epoch >= new.trend.bytes_per_epoch);
        let at = self.found.partition_point(steeper);
        if at < MOST_SUSPECTS {
            self.found[at..].rotate_right(1);
            self.found[at] = Some(new);
        }
    }
}

/// What is remembered of a site or a tag. Zeroed memory is nothing.
struct Remembered {
    /// The number of the last census that found old blocks; 0: none has.
    census: u32,
    bytes: f64,
    variance: f64,
    history: History,
}

struct Slot(UnsafeCell<Remembered>);
// SAFETY: whoever has the `Counting` may touch slots, one at a time; nobody else does.
unsafe impl Sync for Slot {}

static OF_SITES: Array<Slot, { pieces::<Slot>(SITES as usize) }> = Array::new();
static OF_TAGS: Array<Slot, { pieces::<Slot>(TAGS) }> = Array::new();

/// Sites or tags that are judged at a time.
const AT_ONCE: usize = 32;
/// Words and slices that are read at a time.
const WORDS: usize = 2048;
const SLICES: usize = 256;

#[derive(Clone, Copy)]
enum Stage {
    Pages(slices::Walk),
    Large(loose::Walk),
    Tags(u32),
    Sites(u32),
    Done,
}

/// A census on its way.
pub(super) struct Counting {
    stage: Stage,
    /// The how many-th it is.
    number: u32,
    epoch: u64,
    bands: Bands,
    /// By generation, and what is permanent. `bytes_error` is a variance until the end.
    alive: [Alive; 4],
    times: Times,
    /// [`Bands::permanent`] of the last one that was a new observation, and ended.
    permanent: u64,
    /// Whether it is a new observation for the suspects: not one soon after another.
    observes: bool,
    totals: [Totals; AT_ONCE],
    suspects: Suspects,
}

/// For tests: so many nanoseconds for each epoch, whatever the clocks say; 0: they say it.
#[cfg(feature = "internals")]
pub(crate) static NANOS_PER_EPOCH: crate::sync::AtomicU64 = crate::sync::AtomicU64::new(0);

/// When a census is taken.
fn now(epoch: u64) -> u64 {
    #[cfg(feature = "internals")]
    if let each @ 1.. = NANOS_PER_EPOCH.load(crate::sync::Ordering::Relaxed) {
        return clock::began() + epoch * each; // Relaxed: set before what depends on it
    }
    _ = epoch;
    os::unix_nanos()
}

impl Counting {
    pub(super) const fn new() -> Counting {
        Counting {
            stage: Stage::Done,
            number: 0,
            epoch: 0,
            bands: Bands { middle: 0, old: 0, permanent: 0 },
            alive: [Alive::NONE; 4],
            times: Times::new(),
            permanent: 0,
            observes: false,
            totals: [Totals::NONE; AT_ONCE],
            suspects: Suspects::NONE,
        }
    }

    pub(super) fn begin(&mut self) {
        self.stage = Stage::Pages(slices::Walk::new());
        self.number = self.number.wrapping_add(1).max(1);
        self.epoch = clock::epoch();
        self.bands = clock::bands();
        self.alive = [Alive::NONE; 4];
        self.observes = self.times.push(self.epoch, now(self.epoch), self.bands.old / 2);
        if self.observes {
            self.suspects = Suspects::NONE;
        }
    }

    /// It will not be finished. What it has not pushed to histories would be missing in them, and count as nothing.
    pub(super) fn abandon(&mut self) {
        if self.observes && !matches!(self.stage, Stage::Done) {
            self.times.take_back();
        }
        self.stage = Stage::Done;
        self.observes = false;
    }

    pub(super) fn suspects(&self) -> &Suspects {
        &self.suspects
    }

    /// A piece of it, some ten microseconds. What was found, when it is done.
    pub(super) fn piece(&mut self) -> Option<Census> {
        match self.stage {
            Stage::Pages(mut walk) => {
                let (mut words, mut slices, mut more) = (0, 0, true);
                while more && words < WORDS && slices < SLICES {
                    more = walk.next().is_some_and(|slice| {
                        words += shard::each_word(slice, |word, block_size| self.count(word::read(word), block_size));
                        true
                    });
                    slices += 1;
                }
                self.stage = if more { Stage::Pages(walk) } else { Stage::Large(loose::Walk::new()) };
            }
            Stage::Large(mut walk) => {
                let more = walk.some(|word, bytes| self.count(word::read(word), bytes));
                self.stage = match more {
                    true => Stage::Large(walk),
                    false if self.observes => Stage::Tags(0),
                    false => Stage::Done,
                };
            }
            Stage::Tags(first) => {
                let last = (first + AT_ONCE as u32).min(read::tag_count() as u32);
                if OF_TAGS.any_in(first..last) {
                    let totals = &mut self.totals[..(last - first) as usize];
                    read::allocated_by_tags(first, totals);
                    OF_TAGS.each_in(first..last, |tag, slot| self.judge(Who::Tag(tag as u16), first, slot));
                }
                self.stage = if (last as usize) < read::tag_count() { Stage::Tags(last) } else { Stage::Sites(0) };
            }
            Stage::Sites(first) => {
                let last = (first + AT_ONCE as u32).min(read::site_count());
                if OF_SITES.any_in(first..last) {
                    let totals = &mut self.totals[..(last - first) as usize];
                    read::allocated_by_sites(first, totals);
                    OF_SITES.each_in(first..last, |site, slot| self.judge(Who::Site(site), first, slot));
                }
                self.stage = if last < read::site_count() { Stage::Sites(last) } else { Stage::Done };
            }
            Stage::Done => {
                if self.observes {
                    self.permanent = self.bands.permanent;
                }
                let [young, middle, old, permanent] =
                    self.alive.map(|alive| Alive { bytes_error: alive.bytes_error.sqrt(), ..alive });
                return Some(Census { young, middle, old, permanent });
            }
        }
        None
    }

    /// A block lives.
    fn count(&mut self, birth: Option<Birth>, block_size: usize) {
        let Some(birth) = birth else { return };
        let generation = self.bands.of(birth.epoch, self.epoch);
        let (w, size) = (birth.rate.weight(block_size as u64), birth.requested as f64);
        let alive = &mut self.alive[generation.map_or(3, |generation| generation as usize)];
        let (bytes, variance) = (w.weight * size, w.variance * size * size);
        alive.blocks += w.weight;
        alive.bytes += bytes;
        alive.bytes_error += variance;
        if generation == Some(Generation::Old) {
            self.remember(OF_SITES.make(birth.site), bytes, variance);
            if birth.tag != 0 {
                self.remember(OF_TAGS.make(birth.tag.into()), bytes, variance);
            }
        }
    }

    /// Without memory for it, it is not remembered, and will be no suspect.
    fn remember(&self, slot: Option<&Slot>, bytes: f64, variance: f64) {
        let Some(slot) = slot else { return };
        // SAFETY: this has the only `Counting`, and no other reference to a slot.
        let known = unsafe { &mut *slot.0.get() };
        if known.census != self.number {
            (known.census, known.bytes, known.variance) = (self.number, 0.0, 0.0);
        }
        known.bytes += bytes;
        known.variance += variance;
    }

    fn judge(&mut self, who: Who, first: u32, slot: &Slot) {
        // SAFETY: as above.
        let known = unsafe { &mut *slot.0.get() };
        if known.census == 0 {
            return;
        }
        if known.census != self.number {
            (known.bytes, known.variance) = (0.0, 0.0);
        }
        if self.permanent != self.bands.permanent {
            known.history.forget_held(&self.times);
        }
        let number = match who {
            Who::Site(site) => site,
            Who::Tag(tag) => tag.into(),
        };
        known.history.push(
            &self.times,
            Observation {
                old_bytes: known.bytes,
                old_variance: known.variance,
                allocated_bytes: self.totals[(number - first) as usize].allocated.bytes,
            },
        );
        if let Some(trend) = known.history.judge(&self.times) {
            self.suspects.add(Found { who, old: known.bytes, old_error: known.variance.sqrt(), trend });
        }
    }
}
