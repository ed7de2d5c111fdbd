//! Counters as plain structs.

use crate::arena::{SLICE, private, slices};
use crate::generation::clock;
use crate::heap::{census, large};
use crate::os;
use crate::pages::classes::{CLASSES, block_size, page_slices};
use crate::pages::{page, shard};
use crate::sync::Ordering;
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
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
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
    /// The allocator's clock: it ticks once for each 64 MiB that are allocated.
    pub epoch: u64,
    /// Each size class.
    pub classes: ClassTable,
}

/// Blocks of more than 64 KiB. They are counted at each operation, so these figures are always exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct LargeStats {
    /// Blocks that live.
    pub live_blocks: usize,
    /// Their bytes, in whole slices of 64 KiB.
    pub live: usize,
    /// Blocks allocated since the start.
    pub allocated_blocks: u64,
}

/// One size class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
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

/// Reads the counters.
///
/// Does not allocate. Takes the allocator's locks one after the other, each for a moment, so that it may wait for other
/// threads and they for it. Costs some 10 µs, and a microsecond for each thread and each thousand pages; and one read
/// of `/proc/self/statm`.
pub fn stats() -> Stats {
    let mut classes = [ClassStats::default(); CLASSES];
    let mut out = [0u64; CLASSES];
    for kind in [page::Kind::Plain, page::Kind::Tracked] {
        shard::count(kind, |class, pages, blocks| {
            classes[class].pages += pages;
            out[class] += blocks as u64;
        });
    }
    let (mut in_magazines, mut in_depots) = (0, 0);
    census::cached(|class, magazines, depots| {
        in_magazines += magazines * block_size(class);
        in_depots += depots * block_size(class);
        classes[class].cached_blocks += (magazines + depots) as u64;
    });
    census::allocated(|class, blocks| {
        classes[class].allocated_blocks = classes[class].allocated_blocks.wrapping_add(blocks)
    });
    let (large_allocated, large_blocks, large_bytes) = large::counts();
    let (mut live, mut live_blocks, mut allocated_blocks) = (large_bytes, large_blocks as u64, large_allocated);
    for (class, c) in classes.iter_mut().enumerate() {
        c.block_size = block_size(class);
        c.page_bytes = c.pages * page_slices(class) * SLICE;
        // What threads do meanwhile may make the parts larger than the whole: a reading is never below zero.
        c.live_blocks = out[class].saturating_sub(c.cached_blocks);
        live += c.live_blocks as usize * c.block_size;
        live_blocks += c.live_blocks;
        allocated_blocks += c.allocated_blocks;
    }
    let (counts, reserved) = slices::counts();
    let holes = page::HOLES.load(Ordering::Relaxed); // Relaxed: a statistic
    let committed = ((counts.used + counts.due) * SLICE).saturating_sub(holes);
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
        epoch: clock::epoch(),
        classes: ClassTable(classes),
    }
}

/// A table for people: totals, and each size class that has pages.
impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share =
            |part: usize| format_args!("{:>5.1} %", part as f64 * 100.0 / self.committed.max(1) as f64).to_string();
        writeln!(f, "live          {:>12}   {} blocks", Bytes(self.live), Count(self.live_blocks))?;
        writeln!(f, "committed     {:>12}   at most {}", Bytes(self.committed), Bytes(self.peak_committed))?;
        writeln!(f, "  in magazines{:>12}   {}", Bytes(self.in_magazines), share(self.in_magazines))?;
        writeln!(f, "  in depots   {:>12}   {}", Bytes(self.in_depots), share(self.in_depots))?;
        writeln!(f, "  due         {:>12}   {}", Bytes(self.due), share(self.due))?;
        writeln!(f, "  not live    {:>12}   {}", Bytes(self.fragmentation), share(self.fragmentation))?;
        writeln!(f, "resident      {:>12}   the whole process, as the system sees it", Bytes(self.resident))?;
        writeln!(f, "reserved      {:>12}   of address space", Bytes(self.reserved))?;
        writeln!(f, "given back    {:>12}   and {} inside pages in use", Bytes(self.purged), Bytes(self.holes))?;
        let (allocated, freed) = (Count(self.allocated_blocks), Count(self.freed_blocks));
        writeln!(f, "blocks        {allocated:>12}   allocated, {freed} freed, {} sent home", Count(self.sent_home))?;
        writeln!(f, "threads       {:>12}   epoch {}", self.threads, self.epoch)?;
        let (blocks, live) = (self.large.live_blocks as u64, Bytes(self.large.live));
        let allocated = Count(self.large.allocated_blocks);
        writeln!(f, "large blocks  {:>12}   in {live}; {allocated} allocated since the start", Count(blocks))?;
        writeln!(f)?;
        writeln!(
            f,
            "{:>10} {:>12} {:>12} {:>8} {:>12} {:>6}",
            "block", "live blocks", "live", "pages", "allocated", "fill"
        )?;
        for c in self.classes.iter().filter(|c| c.pages > 0) {
            writeln!(
                f,
                "{:>10} {:>12} {:>12} {:>8} {:>12} {:>4.0} %",
                c.block_size,
                Count(c.live_blocks),
                Bytes(c.live_blocks as usize * c.block_size),
                c.pages,
                Count(c.allocated_blocks),
                c.fill() * 100.0
            )?;
        }
        Ok(())
    }
}

/// Bytes in the unit that a person would choose.
struct Bytes(usize);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.0 {
            n if n < 10 << 10 => format!("{n} B"),
            n if n < 10 << 20 => format!("{:.1} KiB", n as f64 / 1024.0),
            n if n < 10 << 30 => format!("{:.1} MiB", n as f64 / 1_048_576.0),
            n => format!("{:.1} GiB", n as f64 / 1_073_741_824.0),
        };
        f.pad(&text)
    }
}

/// A number with its thousands apart.
struct Count(u64);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        let mut text = String::with_capacity(digits.len() * 4 / 3);
        for (i, d) in digits.chars().enumerate() {
            if i > 0 && (digits.len() - i).is_multiple_of(3) {
                text.push(' ');
            }
            text.push(d);
        }
        f.pad(&text)
    }
}
