//! An immutable reading of what is held, and by which lines of code.
//!
//! ```no_run
//! use tenure::{Symbols, snapshot::By};
//!
//! let before = tenure::snapshot();
//! // ... work ...
//! let after = tenure::snapshot();
//!
//! let mut symbols = Symbols::new();
//! println!("{}", after.group_by(By::Line, &mut symbols).top(10));
//! println!("{}", after.diff(&before, By::Function, &mut symbols).top(10));
//! ```
//!
//! A snapshot holds addresses. Names are looked up when a report or an export asks for them, by
//! [`Symbols`](crate::Symbols) or by whatever else implements [`Names`], so that taking a snapshot is cheap.

mod aggregate;
mod births;
mod check;
mod data;
mod diff;
mod display;
mod filter;
mod group;
mod keys;
mod lifetimes;
mod modules;
mod names;
mod path;
mod peaks;
mod quantile;
mod retention;
mod sum;
mod suspects;
#[cfg(feature = "serde")]
mod tables;
mod take;
mod tenuring;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod trim;
#[cfg(feature = "json")]
mod unchecked;
mod value;
mod words;

pub(crate) use crate::config::Mode;
pub use data::{Code, Ending, Module, Peak, Row, Site, Tag};
pub use diff::{Change, Diff};
pub(crate) use display::Part;
pub use filter::Filter;
pub use group::{Group, Groups, LiveAges};
pub use keys::By;
#[cfg(any(feature = "flamegraph", feature = "json"))]
pub(crate) use keys::method as tracking;
pub use lifetimes::Lifetimes;
pub use names::{Frame, Names, Place};
pub use retention::{ClassPages, Kept, MostlyEmpty, Pages, Retention, RetentionReport, Survivors, Together, retention};
pub use sum::{Difference, Estimate, Sum};
pub use suspects::{Culprit, Suspect, SuspectsReport};
pub use take::snapshot;
pub use tenuring::{LifeBand, Share, Tenured, TenuredGroup, Tenuring, TenuringGroups};
#[cfg(feature = "flamegraph")]
pub(crate) use trim::is_runtime;
#[cfg(feature = "cpp")]
pub(crate) use trim::is_rust_runtime;
pub(crate) use trim::{line as outermost_of_interest, trimmed};
pub use value::Value;
pub use words::NoWord;

pub(crate) use births::Births;
#[cfg(feature = "symbols")]
pub(crate) use data::DELETED;
pub(crate) use modules::{Found, Noted, loaded};
#[cfg(feature = "symbols")]
pub(crate) use path::module as function_module;
#[cfg(feature = "json")]
pub(crate) use unchecked::{Said, Unchecked};

use crate::generation::Generations;
use crate::generation::{Generation, clock::Bands};
use crate::stats::Stats;
use std::time::{Duration, SystemTime};

/// What was live at one moment, by call stack, tag, size and time of birth, and what each had done until then.
///
/// Taken by [`snapshot()`](snapshot()). It never changes, and refers to nothing: it can be kept, cloned, sent to other threads, and,
/// with the feature `serde`, written and read back. Its own memory is not tracked, so it does not appear in a later one
/// but as part of [`untracked`](Snapshot::untracked).
///
/// **Size**: some 80 bytes a row, and for each site some 300 bytes and 8 for each frame.
///
/// **How exact.** Where blocks were sampled, figures are unbiased estimates, and carry their error ([`Sum`]); where
/// each was tracked, they are exact. While other threads run on, each block is looked at once, at some moment between
/// the snapshot's begin and end.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    pub(crate) parts: Parts,
}

/// What a [`Snapshot`] is made of; [`check`] says what must hold.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Parts {
    pub(crate) unix_nanos: u64,
    pub(crate) began_unix_nanos: u64,
    pub(crate) pid: u32,
    pub(crate) mode: Mode,
    pub(crate) epoch_step: u64,
    /// Where generations began.
    pub(crate) bands: Bands,
    pub(crate) generations: Generations,
    pub(crate) suspects: Vec<Suspect>,
    /// Suspects whose sites a filter has left out.
    #[cfg_attr(feature = "serde", serde(default))]
    pub(crate) suspects_left_out: u64,
    pub(crate) tracked: Sum,
    pub(crate) untracked: Untracked,
    pub(crate) stats: Stats,
    pub(crate) sites: Vec<Site>,
    pub(crate) tags: Vec<Tag>,
    pub(crate) rows: Vec<Row>,
    pub(crate) modules: Vec<Module>,
}

/// Live blocks that are not tracked: born while tracking was off, or on behalf of the tracking itself.
///
/// What lives, which is counted, less the estimate of what is tracked. So it has the error of that estimate, and may
/// come out negative.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Untracked {
    /// Blocks.
    pub blocks: Difference,
    /// Bytes of those blocks: whole blocks, not what was requested.
    pub bytes: Difference,
}

impl Snapshot {
    /// When it was taken.
    pub fn time(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_nanos(self.parts.unix_nanos)
    }

    /// When the process began, or rather its allocator. With [`pid`](Snapshot::pid) it tells one process from others.
    pub fn began(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_nanos(self.parts.began_unix_nanos)
    }

    /// Whether two snapshots are of the same process.
    pub fn same_process(&self, other: &Snapshot) -> bool {
        (self.parts.pid, self.parts.began_unix_nanos) == (other.parts.pid, other.parts.began_unix_nanos)
    }

    /// The allocator's clock when it was taken.
    pub fn epoch(&self) -> u64 {
        self.parts.stats.epoch
    }

    /// How many epochs are taken together in [`Row::epoch`]: 1, or a larger power of two where births are spread over
    /// so many epochs that there would be some hundred thousand rows.
    pub fn epoch_step(&self) -> u64 {
        self.parts.epoch_step
    }

    /// The age of a row's blocks in epochs; where epochs are taken together, of the oldest.
    pub fn age(&self, row: &Row) -> u64 {
        self.epoch().saturating_sub(row.epoch)
    }

    /// The generation of a row's blocks, by the [thresholds](crate::Thresholds) when it was taken; `None` if they are
    /// permanent.
    pub fn generation(&self, row: &Row) -> Option<Generation> {
        self.parts.bands.of(row.epoch, self.epoch())
    }

    /// The process that it was taken of.
    pub fn pid(&self) -> u32 {
        self.parts.pid
    }

    /// How blocks came to be tracked when it was taken. Older blocks may have come to it in another way; figures take
    /// that into account.
    pub fn mode(&self) -> Mode {
        self.parts.mode
    }

    /// The allocator's counters: all live blocks, tracked or not.
    pub fn stats(&self) -> &Stats {
        &self.parts.stats
    }

    /// The collections of each generation until then, and the thresholds for them.
    pub fn generations(&self) -> &Generations {
        &self.parts.generations
    }

    /// All tracked blocks that lived, also where this is [filtered](Snapshot::filter) and shows fewer.
    pub fn tracked(&self) -> Sum {
        self.parts.tracked
    }

    /// Live blocks that are not tracked.
    pub fn untracked(&self) -> Untracked {
        self.parts.untracked
    }

    /// Every site that has allocated, by number.
    pub fn sites(&self) -> &[Site] {
        &self.parts.sites
    }

    /// Every tag, by number.
    pub fn tags(&self) -> &[Tag] {
        &self.parts.tags
    }

    /// The live tracked blocks, by site, tag, size and epoch in this order.
    pub fn rows(&self) -> &[Row] {
        &self.parts.rows
    }

    /// The program and its libraries, as far as they hold code.
    pub fn modules(&self) -> &[Module] {
        &self.parts.modules
    }

    /// The site of this number, if it has allocated.
    pub fn site(&self, number: u32) -> Option<&Site> {
        self.parts.sites.binary_search_by_key(&number, |s| s.number).ok().map(|i| &self.parts.sites[i])
    }

    /// The tag of this number.
    pub fn tag(&self, number: u16) -> Option<&Tag> {
        self.parts.tags.binary_search_by_key(&number, |t| t.number).ok().map(|i| &self.parts.tags[i])
    }

    /// The rows of a site; none if nothing of it lives.
    pub fn rows_of(&self, site: u32) -> &[Row] {
        let rows = &self.parts.rows;
        let begin = rows.partition_point(|r| r.site < site);
        &rows[begin..begin + rows[begin..].partition_point(|r| r.site == site)]
    }

    /// When the live blocks of a site were born: epochs, as in [`Row::epoch`], in ascending order. Allocates.
    pub fn births(&self, site: u32) -> Vec<(u64, Sum)> {
        let mut births: Vec<_> = self.rows_of(site).iter().map(|r| (r.epoch, r.live)).collect();
        births.sort_by_key(|b| b.0);
        births.dedup_by(|later, kept| {
            let same = later.0 == kept.0;
            if same {
                kept.1 += later.1;
            }
            same
        });
        births
    }

    /// An address of a stack as [`Names`] take it, with the module whose code lies there.
    pub fn place(&self, address: u64) -> Place<'_> {
        Place::new(address, &self.parts.modules)
    }
}
