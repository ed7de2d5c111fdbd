//! How old the living are, and how old the dead became: the census of generations, and a life table.

mod by;
mod display;
mod life;
mod share;

pub use by::{TenuredGroup, TenuringGroups};
pub use life::LifeBand;
pub use share::Share;

use super::{Lifetimes, Mode, Row, Snapshot, Sum};
use crate::generation::{Generation, clock::Bands};

/// A generation, in a [`Tenuring`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Tenured {
    /// The age in epochs with which it begins.
    pub from: u64,
    /// What lives in it; permanent blocks are in none.
    pub live: Sum,
    /// What died in it since the start, by the [thresholds](crate::Thresholds) of that moment.
    pub died: Sum,
    /// What came to its age: what lives at that age, permanent or not, and what died there or in an older generation. For the
    /// young: all of which the age is known.
    pub reached: Sum,
}

/// How old the living are, and how old the dead became: what [`Snapshot::tenuring`] gives.
///
/// Ages are epochs; [`Thresholds`](crate::Thresholds) says how long one is, and where generations begin. Counts are since the start of the process, of
/// tracked blocks. A block that shrinks in place gives bytes back at its age; one that grows was born with them.
///
/// Prints as a table for people, 100 columns wide.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Tenuring {
    /// The epoch of the snapshot.
    pub epoch: u64,
    /// Younger than middle-aged.
    pub young: Tenured,
    /// Middle-aged: [`Tenured::reached`] is what was promoted to it.
    pub middle: Tenured,
    /// Old, likewise.
    pub old: Tenured,
    /// Live blocks that are permanent, of whatever age.
    pub permanent: Sum,
    /// What died at an age of at least one epoch that there was no memory to count. It is in nothing else here.
    pub died_at_unknown_age: Sum,
    /// The share of blocks that die young; of those that still are, half counts, as in a life table (Cutler and Ederer, Journal
    /// of Chronic Diseases 8, 1958). `NaN` as long as the process is younger than middle-aged: nothing can have survived.
    pub die_young: Share,
    /// The same share of bytes.
    pub bytes_die_young: Share,
    /// A row for each age: 0, 1, 2 to 3, 4 to 7, ..., up to the last that there is something of.
    pub ages: Vec<LifeBand>,
    #[cfg_attr(feature = "serde", serde(skip))]
    mode: Mode,
}

impl Snapshot {
    /// How old all tracked blocks are, and became. Of a [filtered](Snapshot::filter) snapshot, those of the sites that are left.
    ///
    /// Reads each row and each site once, and allocates little.
    pub fn tenuring(&self) -> Tenuring {
        crate::reading::untracked(|| {
            let mut dead = Dead::default();
            self.parts.sites.iter().for_each(|s| dead.add(&s.freed, &s.lifetimes));
            Tenuring::new(self, self.parts.rows.iter(), &dead)
        })
    }
}

/// What died, of one or several sites or tags.
#[derive(Clone, Debug, Default)]
struct Dead {
    freed: Sum,
    lifetimes: Lifetimes,
}

impl Dead {
    fn add(&mut self, freed: &Sum, lifetimes: &Lifetimes) {
        self.freed += *freed;
        self.lifetimes.join(lifetimes);
    }

    /// What died in the epoch of its birth.
    fn at_once(&self) -> Sum {
        self.freed.less(&self.lifetimes.sum())
    }
}

impl Tenuring {
    fn new<'a>(snapshot: &Snapshot, rows: impl Iterator<Item = &'a Row>, dead: &Dead) -> Tenuring {
        let parts = &snapshot.parts;
        let now = snapshot.epoch();
        let Bands { middle, old, .. } = parts.bands;
        let (mut living, mut by_age, mut permanent) = ([Sum::default(); 3], [Sum::default(); 3], Sum::default());
        let mut ages = life::Ages::new(dead.at_once(), dead.lifetimes.died());
        for row in rows {
            ages.live(snapshot.age(row), row.live);
            by_age[parts.bands.of_age(snapshot.age(row)) as usize] += row.live;
            match parts.bands.of(row.epoch, now) {
                Some(generation) => living[generation as usize] += row.live,
                None => permanent += row.live,
            }
        }
        let (died_middle, died_old) = (dead.lifetimes.died_middle(), dead.lifetimes.died_old());
        let died_aged: Sum = dead.lifetimes.died().iter().copied().sum();
        let died_young = dead.at_once() + died_aged.less(&(died_middle + died_old));
        let reached_old = by_age[2] + died_old;
        let reached_middle = reached_old + by_age[1] + died_middle;
        let tenured = |from, generation: Generation, died, reached| Tenured {
            from,
            live: living[generation as usize],
            died,
            reached,
        };
        let still_young = by_age[0];
        let share = |of: fn(&Sum) -> (f64, f64)| match now < middle {
            true => Share::of((0.0, 0.0), (0.0, 0.0), (0.0, 0.0)),
            false => Share::of(of(&died_young), of(&reached_middle), of(&still_young)),
        };
        Tenuring {
            epoch: now,
            young: tenured(0, Generation::Young, died_young, reached_middle + still_young + died_young),
            middle: tenured(middle, Generation::Middle, died_middle, reached_middle),
            old: tenured(old, Generation::Old, died_old, reached_old),
            permanent,
            died_at_unknown_age: dead.lifetimes.unknown(),
            die_young: share(|s| (s.blocks, s.blocks_variance)),
            bytes_die_young: share(|s| (s.bytes, s.bytes_variance)),
            ages: ages.table(),
            mode: parts.mode,
        }
    }

    /// One of the three generations.
    pub fn generation(&self, generation: Generation) -> &Tenured {
        match generation {
            Generation::Young => &self.young,
            Generation::Middle => &self.middle,
            Generation::Old => &self.old,
        }
    }

    /// All that lives.
    pub fn live(&self) -> Sum {
        self.young.live + self.middle.live + self.old.live + self.permanent
    }
}
