//! Counters as plain structs.

use crate::arena::{SLICE, held, private, slices};
use crate::generation::{clock, limits, pressure};
use crate::heap::{census, large};
use crate::os;
use crate::pages::classes::{CLASSES, block_size, page_slices};
use crate::pages::{guarded, page, shard};
use crate::sync::Ordering;
use crate::units::{Bytes, Count};
use std::fmt;
use std::ops::Deref;

/// What the allocator holds at the moment, and what it has done since the process began.
///
/// All sizes are in bytes, and count whole blocks: a request of 33 bytes is 40 here. Nothing of it is counted at an
/// allocation or a free; the figures are derived from what pages and magazines hold.
///
/// **How exact.** While no thread allocates or frees, every figure is exact, but for `resident`, `peak_committed` and
/// what is said there. While threads run on, what they do during the call is partly seen: each figure is off by at most
/// what a thread's magazines hold for each running thread, and figures of one reading may disagree by as much.
/// In a forked child, what the other threads' magazines held at the fork counts as live for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Stats {
    /// Bytes of live blocks: allocated and not freed. Includes the blocks that std and libraries hold.
    pub live: usize,
    /// Live blocks.
    pub live_blocks: u64,
    /// Blocks allocated since the start; a `realloc` that moves counts as an allocation and a free.
    pub allocated_blocks: u64,
    /// Blocks freed since the start.
    pub freed_blocks: u64,
    /// Bytes of address space reserved from the system. Never falls.
    pub reserved: usize,
    /// Bytes that hold physical memory as far as the allocator knows: pages in use, and free ones not yet purged.
    /// Memory that was never touched counts from the moment its page is made.
    pub committed: usize,
    /// The largest that `committed` has been, but for holes in sparse pages, which it does not deduct.
    pub peak_committed: usize,
    /// Resident bytes of the whole process as the system counts them, or 0 where it does not say.
    pub resident: usize,
    /// Free bytes that still hold physical memory and are due to be purged. Part of `committed`.
    pub due: usize,
    /// Bytes of physical memory given back since the start, but for holes.
    pub purged: usize,
    /// Bytes given back inside pages that are still in use. Not part of `committed`.
    pub holes: usize,
    /// `committed - live`: what the program does not hold and the system does not get.
    pub fragmentation: usize,
    /// Bytes of free blocks in threads' magazines.
    pub in_magazines: usize,
    /// Bytes of free blocks in depots.
    pub in_depots: usize,
    /// Blocks that were sent home to their pages since the start.
    pub sent_home: u64,
    /// Address space of the allocator's own tables; touched as needed. Not part of any figure above but `resident`.
    pub own: usize,
    /// Threads that have allocated or freed and not ended.
    pub threads: usize,
    /// Large blocks: more than 64 KiB.
    pub large: LargeStats,
    /// What holds memory, and the limits on that.
    #[cfg_attr(feature = "serde", serde(default))]
    pub limits: LimitStats,
    /// The allocator's clock: it ticks once for each [`young_bytes`](crate::Thresholds::young_bytes) that are allocated.
    pub epoch: u64,
    /// Each size class.
    pub classes: ClassTable,
}

/// Blocks of more than 64 KiB. They are counted at each operation, so these figures are always exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct LargeStats {
    /// Blocks that live.
    pub live_blocks: usize,
    /// Their bytes, in whole slices of 64 KiB.
    pub live: usize,
    /// Blocks allocated since the start.
    pub allocated_blocks: u64,
}

/// What holds memory, the limits on that, and what happened at them: see [`tenure::limits`](crate::limits).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[non_exhaustive]
pub struct LimitStats {
    /// Bytes that count towards the limits: [`Stats::committed`] and [`Stats::own`].
    pub held: u64,
    /// The soft limit in force, in bytes, with the cgroup's what that comes to at the moment; `None` without one.
    pub soft: Option<u64>,
    /// The hard limit in force; `None` without one.
    pub hard: Option<u64>,
    /// The least that was ever left below the hard limit, in bytes, since it was set; `None` without one.
    pub closest: Option<u64>,
    /// Allocations that were refused for the hard limit, since the start.
    pub refused: u64,
    /// Bytes requested by those.
    pub refused_bytes: u64,
    /// Young collections that were asked for as the soft limit came near, since the start.
    pub young_asked: u64,
    /// Middle ones.
    pub middle_asked: u64,
    /// Old ones, those at the limit itself included.
    pub old_asked: u64,
    /// How often the soft limit was reached: no oftener than once for each sixteenth of it that is allocated.
    pub soft_reached: u64,
}

impl LimitStats {
    fn now() -> LimitStats {
        let known = |bytes: usize| (bytes < usize::MAX).then_some(bytes as u64);
        let (refused, refused_bytes) = limits::refusals();
        let ([young_asked, middle_asked, old_asked], soft_reached) = pressure::asked();
        let hard = known(held::limit());
        LimitStats {
            held: held::bytes() as u64,
            soft: known(pressure::soft()),
            hard,
            closest: hard.map(|_| held::closest() as u64),
            refused,
            refused_bytes,
            young_asked,
            middle_asked,
            old_asked,
            soft_reached,
        }
    }
}

/// One size class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct ClassStats {
    /// Bytes of a block.
    pub block_size: usize,
    /// Live blocks.
    pub live_blocks: u64,
    /// Blocks allocated since the start.
    pub allocated_blocks: u64,
    /// Pages that hold blocks of the class.
    pub pages: usize,
    /// Bytes of those pages.
    pub page_bytes: usize,
    /// Free blocks in magazines and depots.
    pub cached_blocks: u64,
}

impl ClassStats {
    /// The share of the pages' bytes that is live, from 0 to 1; 0 without pages.
    pub fn fill(&self) -> f64 {
        if self.page_bytes == 0 {
            return 0.0;
        }
        (self.live_blocks as usize * self.block_size) as f64 / self.page_bytes as f64
    }
}

/// The size classes, smallest blocks first. A slice, in an array of its own so that a reading allocates nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassTable([ClassStats; CLASSES]);

impl Deref for ClassTable {
    type Target = [ClassStats];
    fn deref(&self) -> &[ClassStats] {
        &self.0
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for ClassTable {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter())
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for ClassTable {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let classes = Vec::<ClassStats>::deserialize(deserializer)?;
        let wrong = |c: Vec<_>| serde::de::Error::custom(format_args!("{} size classes, not {CLASSES}", c.len()));
        Ok(ClassTable(classes.try_into().map_err(wrong)?))
    }
}

/// Reads the counters.
///
/// Does not allocate. Takes the allocator's locks one after the other, each for a moment, so that it may wait for other
/// threads and they for it. Costs some 10 µs, and a microsecond for each thread and each thousand pages; and one read
/// of `/proc/self/statm`.
pub fn stats() -> Stats {
    clock::catch_up();
    let mut classes = [ClassStats::default(); CLASSES];
    let mut out = [0u64; CLASSES];
    for kind in [page::Kind::Plain, page::Kind::Tracked] {
        shard::count(kind, |class, pages, blocks| {
            classes[class].pages += pages;
            out[class] += blocks as u64;
        });
    }
    guarded::count(|class, blocks| out[class] += blocks as u64);
    let (mut in_magazines, mut in_depots) = (0, 0);
    census::cached(|class, magazines, depots| {
        in_magazines += magazines * block_size(class);
        in_depots += depots * block_size(class);
        classes[class].cached_blocks += (magazines + depots) as u64;
    });
    // What threads do meanwhile may make the parts larger than the whole: a reading is never below zero.
    let mut allocated = [0u64; CLASSES];
    census::allocated(|class, blocks| allocated[class] = allocated[class].wrapping_add(blocks));
    let (large_allocated, large_blocks, large_bytes) = large::counts();
    let (mut live, mut live_blocks, mut allocated_blocks) = (large_bytes, large_blocks as u64, large_allocated);
    for (class, c) in classes.iter_mut().enumerate() {
        c.block_size = block_size(class);
        c.page_bytes = c.pages * page_slices(class) * SLICE;
        c.allocated_blocks = (allocated[class] as i64).max(0) as u64;
        c.live_blocks = out[class].saturating_sub(c.cached_blocks);
        live += c.live_blocks as usize * c.block_size;
        live_blocks += c.live_blocks;
        allocated_blocks += c.allocated_blocks;
    }
    let (counts, reserved) = slices::counts();
    let holes = page::HOLES.load(Ordering::Relaxed); // Relaxed: a statistic
    let committed = counts.committed(holes);
    Stats {
        live,
        live_blocks,
        allocated_blocks,
        freed_blocks: allocated_blocks.saturating_sub(live_blocks),
        reserved,
        committed,
        peak_committed: counts.peak * SLICE,
        resident: os::resident().unwrap_or(0),
        due: counts.due * SLICE,
        purged: counts.purged * SLICE,
        holes,
        fragmentation: committed.saturating_sub(live),
        in_magazines,
        in_depots,
        sent_home: shard::sent_home(),
        own: private::bytes(),
        threads: crate::heap::thread::count(),
        large: LargeStats { live_blocks: large_blocks, live: large_bytes, allocated_blocks: large_allocated },
        limits: LimitStats::now(),
        epoch: clock::epoch(),
        classes: ClassTable(classes),
    }
}

/// A table for people: what adds up to `committed`, what else there is, and the ten size classes that hold most; all of
/// those with `{:#}`. Allocates nothing.
impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rest = self.committed.saturating_sub(self.live + self.in_magazines + self.in_depots + self.due);
        let rows = [
            ("live", self.live, "held by the program"),
            ("in magazines", self.in_magazines, "free, at hand for a thread"),
            ("in depots", self.in_depots, "free, at hand for any thread"),
            ("free in pages", rest, "free beside live blocks, or not yet used"),
            ("due", self.due, "free, and about to be given back"),
        ];
        for (name, bytes, meaning) in rows {
            let share = bytes as f64 * 100.0 / self.committed.max(1) as f64;
            writeln!(f, "  {name:<15}{:>12}{share:>7.1} %   {meaning}", Bytes(bytes))?;
        }
        writeln!(f, "committed        {:>12}   at most {}", Bytes(self.committed), Bytes(self.peak_committed))?;
        writeln!(f, "resident         {:>12}   the whole process, as the system sees it", Bytes(self.resident))?;
        writeln!(f, "given back       {:>12}   since the start", Bytes(self.purged))?;
        writeln!(f, "holes            {:>12}   given back inside pages that are in use", Bytes(self.holes))?;
        writeln!(f, "reserved         {:>12}   of address space", Bytes(self.reserved))?;
        writeln!(
            f,
            "blocks           {:>12}   live; {} allocated, {} freed, {} sent home",
            Count(self.live_blocks),
            Count(self.allocated_blocks),
            Count(self.freed_blocks),
            Count(self.sent_home)
        )?;
        writeln!(
            f,
            "large blocks     {:>12}   live, in {}; {} allocated",
            Count(self.large.live_blocks as u64),
            Bytes(self.large.live),
            Count(self.large.allocated_blocks)
        )?;
        writeln!(f, "threads          {:>12}   epoch {}", self.threads, self.epoch)?;
        let limits = &self.limits;
        if let Some(hard) = limits.hard {
            let closest = Bytes(limits.closest.unwrap_or(0) as usize);
            write!(f, "hard limit       {:>12}   {} held; ", Bytes(hard as usize), Bytes(limits.held as usize))?;
            writeln!(f, "at least {closest} were left; {} allocations refused", Count(limits.refused))?;
        }
        if let Some(soft) = limits.soft {
            write!(
                f,
                "soft limit       {:>12}   reached {} times; ",
                Bytes(soft as usize),
                Count(limits.soft_reached)
            )?;
            let [young, middle, old] = [limits.young_asked, limits.middle_asked, limits.old_asked].map(Count);
            writeln!(f, "{young} young, {middle} middle, {old} old collections asked for")?;
        }
        writeln!(f)?;
        writeln!(
            f,
            "{:>8} {:>13} {:>12} {:>8} {:>6} {:>15}",
            "block", "live blocks", "live", "pages", "fill", "allocated"
        )?;
        let mut order: [usize; CLASSES] = std::array::from_fn(|class| class);
        order.sort_unstable_by_key(|&class| std::cmp::Reverse(self.classes[class].page_bytes));
        let most = if f.alternate() { CLASSES } else { 10 };
        let used = self.classes.iter().filter(|c| c.pages > 0).count();
        for c in order.iter().map(|&class| &self.classes[class]).take(most.min(used)) {
            writeln!(
                f,
                "{:>8} {:>13} {:>12} {:>8} {:>4.0} % {:>15}",
                c.block_size,
                Count(c.live_blocks),
                Bytes(c.live_blocks as usize * c.block_size),
                c.pages,
                c.fill() * 100.0,
                Count(c.allocated_blocks)
            )?;
        }
        match used.saturating_sub(most) {
            0 => Ok(()),
            others => writeln!(f, "     and {others} size classes with fewer pages"),
        }
    }
}
