//! Why does RSS not fall? Pages that few blocks keep, and who allocated those blocks.

mod pins;
mod report;

pub use report::RetentionReport;

use super::{Ending, Mode, Module, Names, modules};
use crate::pages::classes::block_size;
use crate::reading::untracked;
use crate::stats::{Stats, stats};
use crate::survey;
use crate::track::{process_mode, read};
use std::hint::black_box;

/// What keeps physical memory that the program does not use: what [`retention()`] gives.
///
/// A page is a run of slices of 64 KiB that holds blocks of one size class, and goes back to the system when the last of
/// its blocks is free. The OS pages inside it (of 4 KiB on most machines) go back before that, once no block touches them,
/// and the page is at most half full: as *holes*. So what a block keeps for good is the OS pages that it touches. What it keeps for
/// the moment is the rest of its page too, until a collection digs holes there. Both are reported, apart.
///
/// **A page is mostly empty** if some of its blocks live, but at most a quarter of them. The live blocks of such pages are the
/// *survivors*.
///
/// **How bytes are attributed**, so that each is attributed once and the sums are right: an OS page that live blocks touch
/// belongs to those, in proportion to their bytes in it. What else of the page is resident belongs to all its live blocks, in equal
/// parts.
///
/// **Who the survivors are** is known if they were tracked exactly ([`Mode::Exact`], or in an [`exact_scope`](crate::exact_scope)
/// or a test's measurement): [`survivors`](Retention::survivors). Those that were allocated otherwise are
/// [`untracked`](Retention::untracked). A sampled block lies in a page apart from its siblings, so that what it keeps there is
/// no estimate of what they keep: [`samples`](Retention::samples).
///
/// **How exact.** Each page is read at one moment, one page after the other, while threads run on. While they rest, all is exact,
/// but for two things: what was never touched counts as resident, and the kernel may have made a huge page of what has holes. This
/// report's own memory is part of it: some blocks, and what is said at [`retention()`].
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Retention {
    /// The allocator's counters, read just before.
    pub stats: Stats,
    /// How blocks are tracked now.
    pub mode: Mode,
    /// All pages.
    pub pages: Pages,
    /// The pages of each size class that has any, smallest blocks first. Their sum is `pages`.
    pub classes: Vec<ClassPages>,
    /// The survivors that were tracked exactly, by site and tag, those that keep most [beyond themselves](Kept::beyond) first.
    /// What these, the untracked ones and the
    /// samples keep adds up to what mostly empty pages occupy.
    pub survivors: Vec<Survivors>,
    /// Survivors of which nothing is known.
    pub untracked: Kept,
    /// Survivors that are samples.
    pub samples: Kept,
    /// The first ten of `survivors` together.
    pub costliest: Together,
    /// The program and its libraries: for the names of `survivors`.
    pub modules: Vec<Module>,
}

/// What pages occupy. All bytes are physical memory as far as the allocator knows.
///
/// `resident = live + beside + cached + idle + room`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Pages {
    /// How many pages.
    pub pages: usize,
    /// Their bytes, without holes.
    pub resident: usize,
    /// Bytes of holes: OS pages that were given back already.
    pub holes: usize,
    /// Live blocks.
    pub live_blocks: usize,
    /// Their bytes.
    pub live: usize,
    /// What is free in OS pages that live blocks touch.
    pub beside: usize,
    /// OS pages that no live block touches, but free ones in magazines and depots; in pages at most half full. With all of those
    /// pages in which no block lives.
    pub cached: usize,
    /// OS pages that no block touches that is out, in pages at most half full.
    pub idle: usize,
    /// OS pages that no live block touches, in pages more than half full: what is allocated next takes them.
    pub room: usize,
    /// Pages in which at most a quarter of the blocks live, and at least one.
    pub mostly_empty: MostlyEmpty,
}

impl Pages {
    /// What the next collection gives back of them, about: a block of each class stays with each thread.
    pub fn collectable(&self) -> usize {
        self.cached + self.idle
    }
}

/// Pages in which few blocks live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct MostlyEmpty {
    /// How many pages.
    pub pages: usize,
    /// How many blocks live in them.
    pub blocks: usize,
    /// The bytes of those.
    pub live: usize,
    /// Bytes that the pages occupy, without holes.
    pub kept: usize,
    /// Of those, OS pages that a live block touches: no collection gives them back.
    pub pinned: usize,
}

/// The pages of a size class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct ClassPages {
    /// Bytes of a block.
    pub block_size: usize,
    /// What its pages occupy.
    pub pages: Pages,
}

/// What survivors keep: their share, as it is defined at [`Retention`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Kept {
    /// How many blocks.
    pub blocks: usize,
    /// Their bytes.
    pub bytes: usize,
    /// In how many pages; pages that they share with others are counted for each.
    pub pages: usize,
    /// Their share of what their pages occupy now.
    pub kept: usize,
    /// Of that, their share of the OS pages that live blocks touch: what they still keep after a collection.
    pub pinned: usize,
}

impl Kept {
    /// What they keep beyond their own bytes.
    pub fn beyond(&self) -> usize {
        self.kept.saturating_sub(self.bytes)
    }
}

/// Survivors of a site and tag.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Survivors {
    /// The [`number`](super::Site::number) of the site.
    pub site: u32,
    /// The [`number`](super::Tag::number) of the tag.
    pub tag: u16,
    /// What the program called the tag. Empty for blocks without one.
    pub tag_name: String,
    /// The call stack: as [`Site::stack`](super::Site::stack).
    pub stack: Vec<u64>,
    /// How the stack ends.
    pub ending: Ending,
    /// Bytes of the smallest block.
    pub smallest: usize,
    /// Bytes of the largest block.
    pub largest: usize,
    /// Bytes that were requested.
    pub requested: u64,
    /// What they keep.
    pub keep: Kept,
    /// What would come back if they all died, beyond what a collection gives back anyway: the OS pages that no other live
    /// block touches.
    pub comes_back: usize,
}

/// The costliest survivors together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Together {
    /// How many of [`Retention::survivors`], from the first.
    pub rows: usize,
    /// What they keep; `pages` counts a page for each.
    pub keep: Kept,
    /// What would come back if they all died, as at [`Survivors::comes_back`]: at least the sum of those. It is a lower bound where
    /// more than 65,536 combinations of them share OS pages.
    pub comes_back: usize,
}

/// Finds out why resident memory does not fall.
///
/// Threads run on meanwhile. Allocates (untracked): 8 bytes for each free block in a magazine or depot, some 400 bytes
/// for each site and tag of survivors. Takes the locks that [`stats()`] takes, and that of each page for a microsecond or two,
/// one at a time; and for a moment the loader's. It costs less than a microsecond a page, and some
/// 150 ns for each survivor.
///
/// **Do not call it** in a signal handler, or in the child of a `fork` of a process with other threads.
pub fn retention() -> Retention {
    untracked(|| {
        // The magazines of an exact thread go home when it stops tracking, which it does now: before anything is counted.
        drop(black_box(Box::new(0)));
        // Before there is anything of the report's own.
        take(stats())
    })
}

fn take(stats: Stats) -> Retention {
    let mut pins = pins::Pins::new();
    survey::each_page(|page| pins.add(page));
    let mut pages = Pages::default();
    let mut classes = Vec::new();
    for (class, of_class) in pins.classes.iter().enumerate().filter(|(_, c)| c.pages > 0) {
        pages.add(of_class);
        classes.push(ClassPages { block_size: block_size(class), pages: *of_class });
    }
    let (survivors, costliest) = pins.costliest_first();
    Retention {
        stats,
        mode: process_mode(),
        pages,
        classes,
        survivors: survivors.into_iter().map(named).collect(),
        untracked: pins.untracked(),
        samples: pins.samples(),
        costliest,
        modules: modules::loaded(),
    }
}

/// With the stack of its site and the name of its tag.
fn named(mut row: Survivors) -> Survivors {
    row.ending = read::stack(row.site, &mut |address| row.stack.push(address as u64)).into();
    row.stack.shrink_to_fit();
    row.tag_name = read::tag_name(row.tag).into();
    row
}

impl Pages {
    fn add(&mut self, other: &Pages) {
        let Pages { pages, resident, holes, live_blocks, live, beside, cached, idle, room, mostly_empty: m } = *other;
        self.pages += pages;
        self.resident += resident;
        self.holes += holes;
        self.live_blocks += live_blocks;
        self.live += live;
        self.beside += beside;
        self.cached += cached;
        self.idle += idle;
        self.room += room;
        self.mostly_empty.pages += m.pages;
        self.mostly_empty.blocks += m.blocks;
        self.mostly_empty.live += m.live;
        self.mostly_empty.kept += m.kept;
        self.mostly_empty.pinned += m.pinned;
    }
}

impl Retention {
    /// With the names of the costliest survivors: a text for people. Looks up names, which takes time at first: see [`Names`].
    /// Allocates, untracked.
    pub fn report(&self, names: &mut dyn Names) -> RetentionReport {
        untracked(|| report::report(self, names))
    }
}
