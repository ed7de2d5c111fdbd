//! What a collection did, and what all of them did.

use super::clock::Generation;
use crate::config::Thresholds;
use crate::units::Bytes;
use std::fmt;
use std::time::Duration;

/// Bytes that collections gave back, by how. A byte may be counted at each station of its way: a block that is sent home may
/// empty its page, which is retired, and purged later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Reclaimed {
    /// Of free blocks that lay in magazines and depots, and went home to their pages.
    pub sent_home: u64,
    /// Of pages that became empty: any size class may have their memory.
    pub retired: u64,
    /// Of free blocks in pages that ended threads had left, which running threads may take from now.
    pub adopted: u64,
    /// Of physical memory that the system got back.
    pub purged: u64,
}

impl std::ops::AddAssign for Reclaimed {
    fn add_assign(&mut self, other: Reclaimed) {
        self.sent_home += other.sent_home;
        self.retired += other.retired;
        self.adopted += other.adopted;
        self.purged += other.purged;
    }
}

/// Live tracked blocks of a generation, as a census found them: estimates where blocks are sampled.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Alive {
    /// Blocks.
    pub blocks: f64,
    /// Their bytes, as requested.
    pub bytes: f64,
    /// The standard error of `bytes`; 0 if each block is tracked.
    pub bytes_error: f64,
}

impl Alive {
    pub(super) const NONE: Alive = Alive { blocks: 0.0, bytes: 0.0, bytes_error: 0.0 };
}

/// What an old collection found alive.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Census {
    /// Of the young generation.
    pub young: Alive,
    /// Of the middle one.
    pub middle: Alive,
    /// Of the old one.
    pub old: Alive,
    /// What was frozen.
    pub permanent: Alive,
}

/// One collection.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Collection {
    /// Of which generation. An older one does what the younger ones do, too.
    pub generation: Generation,
    /// The how many-th of its generation, from 1.
    pub number: u64,
    /// Whether a threshold was passed, and nobody waited for it.
    pub automatic: bool,
    /// The epoch when it began.
    pub epoch: u64,
    /// When it began, in nanoseconds since the process did.
    pub began_ns: u64,
    /// What it gave back.
    pub reclaimed: Reclaimed,
    /// Bytes of physical memory in pages in use that no block has: half-empty pages, which their survivors keep.
    pub pinned: u64,
    /// [`Stats::committed`](crate::Stats::committed) before.
    pub committed_before: u64,
    /// And after.
    pub committed: u64,
    /// Of an old collection: what was alive.
    pub census: Option<Census>,
    /// From its begin to its end, in nanoseconds. An automatic one waits between its steps for the program to allocate more.
    pub wall_ns: u64,
    /// Steps that it was done in; 1 unless it is automatic.
    pub steps: u32,
    /// Nanoseconds of processor time, all steps together.
    pub pause_ns: u64,
    /// The longest step in nanoseconds of processor time: what a thread was kept from its own work at once.
    pub longest_pause_ns: u64,
}

/// One line, as `TENURE=trace` prints it: the format stands at the head of [`generation`](crate::generation).
impl fmt::Display for Collection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Reclaimed { sent_home, retired, adopted, purged } = self.reclaimed;
        let ms = |ns: u64| ns as f64 / 1e6;
        write!(
            f,
            "{} {} @{:.3}s epoch {}: {} -> {}",
            self.generation,
            self.number,
            self.began_ns as f64 / 1e9,
            self.epoch,
            Bytes(self.committed_before as usize),
            Bytes(self.committed as usize),
        )?;
        let kinds = [("home", sent_home), ("retired", retired), ("adopted", adopted), ("purged", purged)];
        for (kind, bytes) in kinds.into_iter().filter(|(_, bytes)| *bytes > 0) {
            write!(f, ", {kind} {}", Bytes(bytes as usize))?;
        }
        write!(f, ", pinned {}", Bytes(self.pinned as usize))?;
        if let Some(Census { young, middle, old, permanent }) = self.census {
            let bytes = |alive: Alive| Bytes(alive.bytes as usize);
            write!(f, ", alive {} + {} + {}", bytes(young), bytes(middle), bytes(old))?;
            if permanent.blocks > 0.0 {
                write!(f, " + {} frozen", bytes(permanent))?;
            }
        }
        write!(f, ", {:.3} ms", ms(self.pause_ns))?;
        match (self.automatic, self.steps) {
            (false, _) => write!(f, ", asked"),
            (true, 1) => Ok(()),
            (true, steps) => write!(f, " in {steps} steps, longest {:.3} ms", ms(self.longest_pause_ns)),
        }
    }
}

/// All collections of a generation since the process began.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct GenerationStats {
    /// How many there were.
    pub collections: u64,
    /// Of those, the ones that a threshold began.
    pub automatic: u64,
    /// What they gave back.
    pub reclaimed: Reclaimed,
    /// Processor time, in nanoseconds.
    pub pause_ns: u64,
    /// The longest step of any, in nanoseconds of processor time.
    pub longest_pause_ns: u64,
    /// The last one.
    pub last: Option<Collection>,
}

impl GenerationStats {
    /// As zeroed memory is.
    pub(super) const NONE: GenerationStats = GenerationStats {
        collections: 0,
        automatic: 0,
        reclaimed: Reclaimed { sent_home: 0, retired: 0, adopted: 0, purged: 0 },
        pause_ns: 0,
        longest_pause_ns: 0,
        last: None,
    };

    /// Bytes of physical memory that nobody uses and survivors keep, after the last collection; 0 before the first.
    pub fn pinned(&self) -> u64 {
        self.last.map_or(0, |last| last.pinned)
    }

    pub(super) fn add(&mut self, collection: &Collection) {
        self.collections += 1;
        self.automatic += u64::from(collection.automatic);
        self.reclaimed += collection.reclaimed;
        self.pause_ns += collection.pause_ns;
        self.longest_pause_ns = self.longest_pause_ns.max(collection.longest_pause_ns);
        self.last = Some(*collection);
    }
}

/// How far the process is on its way to the next collections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Counts {
    /// Bytes allocated since the last young collection; the next one comes with
    /// [`young_bytes`](super::Thresholds::young_bytes).
    pub young_bytes: u64,
    /// Young collections since the last middle one; the next one comes with
    /// [`young_per_middle`](super::Thresholds::young_per_middle).
    pub young: u32,
    /// Middle collections since the last old one; the next one comes with
    /// [`middle_per_old`](super::Thresholds::middle_per_old).
    pub middle: u32,
}

/// What there is to know of collections at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Generations {
    /// The thresholds that held.
    pub thresholds: Thresholds,
    /// How far the process was on its way to them.
    pub counts: Counts,
    /// What was collected since the process began, by [`Generation`] as a number.
    pub stats: [GenerationStats; 3],
}

impl Collection {
    /// One that was not done.
    pub(crate) fn none(generation: Generation, epoch: u64) -> Collection {
        Collection {
            generation,
            number: 0,
            automatic: false,
            epoch,
            began_ns: 0,
            reclaimed: Reclaimed::default(),
            pinned: 0,
            committed_before: 0,
            committed: 0,
            census: None,
            wall_ns: 0,
            steps: 0,
            pause_ns: 0,
            longest_pause_ns: 0,
        }
    }

    /// Processor time that it took, all steps together.
    pub fn pause(&self) -> Duration {
        Duration::from_nanos(self.pause_ns)
    }
}
