//! What each page holds, read while threads run: which blocks live, which lie free in magazines, which are home.
//!
//! A page knows which of its blocks are out. Which of those live, and which lie in a magazine or a depot, only the heap knows:
//! so first the addresses of all of the latter are noted, and then the pages are read one by one, each for a microsecond or
//! two under the lock of its shard. What moves in between is seen as it was at one moment or the other.

use crate::arena::SLICE;
use crate::heap::census;
use crate::os;
use crate::pages::classes::{LARGEST, block_index, block_size};
use crate::pages::page;
use crate::pages::shard::{self, MOST_WORDS};
use crate::track::word::{self, Birth};

/// A page is mostly empty if at most one in so many of its blocks lives.
pub(crate) const MOSTLY_EMPTY: usize = 4;

/// Bytes of a large block, which lies in no page.
const OUTSIDE: usize = LARGEST + 1;
const _: () = assert!(OUTSIDE / size_of::<(usize, Birth)>() >= MOST_WORDS / MOSTLY_EMPTY);

/// How many values make a table as large that it lies in no page, however it grows: for whoever reads pages. A refill for a
/// small table, in the midst of reading, would show a magazine's blocks as live.
pub(crate) const fn outside<T>() -> usize {
    OUTSIDE.div_ceil(size_of::<T>())
}

/// A bit for each block of a page.
type Blocks = [u64; MOST_WORDS.div_ceil(64)];

/// A page that holds blocks of a class, as it was at one moment.
pub(crate) struct Page {
    pub(crate) class: usize,
    pub(crate) block_size: usize,
    pub(crate) bytes: usize,
    pub(crate) capacity: usize,
    /// How many of its blocks live.
    pub(crate) live: usize,
    /// How many lie free in magazines and depots.
    pub(crate) cached: usize,
    /// What is known of the live blocks, by their numbers in ascending order; of those that are tracked, and only if the page
    /// is mostly empty.
    pub(crate) births: Vec<(usize, Birth)>,
    holes: [u64; 2],
    live_blocks: Blocks,
    cached_blocks: Blocks,
}

impl Page {
    /// Whether it is kept by few blocks: some live, but at most one in [`MOSTLY_EMPTY`].
    pub(crate) fn is_mostly_empty(&self) -> bool {
        self.live > 0 && self.live * MOSTLY_EMPTY <= self.capacity
    }

    /// The numbers of the live blocks.
    pub(crate) fn each_live(&self) -> impl Iterator<Item = usize> {
        set_bits(&self.live_blocks)
    }

    /// How many OS pages it has.
    pub(crate) fn os_pages(&self) -> usize {
        self.bytes / os::page_size()
    }

    /// Whether an OS page of it was given back.
    pub(crate) fn is_hole(&self, os_page: usize) -> bool {
        self.holes[os_page / 64] >> (os_page % 64) & 1 == 1
    }

    /// Whether a live block touches an OS page of it.
    pub(crate) fn is_pinned(&self, os_page: usize) -> bool {
        self.touches(&self.live_blocks, os_page)
    }

    /// Whether a free block in a magazine or a depot touches it.
    pub(crate) fn is_cached(&self, os_page: usize) -> bool {
        self.touches(&self.cached_blocks, os_page)
    }

    fn touches(&self, blocks: &Blocks, os_page: usize) -> bool {
        let bytes = os::page_size();
        let mut i = block_index(self.class, os_page * bytes);
        let end = (block_index(self.class, (os_page + 1) * bytes - 1) + 1).min(self.capacity);
        while i < end {
            let n = (64 - i % 64).min(end - i);
            if blocks[i / 64] >> (i % 64) & (u64::MAX >> (64 - n)) != 0 {
                return true;
            }
            i += n;
        }
        false
    }

    /// Takes a page over. Called with the lock of its shard: it does not allocate.
    fn read(&mut self, page: &page::Page, free: &[usize]) {
        self.class = page.class();
        self.block_size = block_size(self.class);
        self.bytes = page.slices() * SLICE;
        self.capacity = page.capacity();
        self.holes = page.holes();
        self.live_blocks.fill(0);
        self.cached_blocks.fill(0);
        let home = page.home();
        for (w, (live, home)) in self.live_blocks.iter_mut().zip(home).enumerate() {
            let left = self.capacity - w * 64;
            *live = !home & if left >= 64 { u64::MAX } else { (1 << left) - 1 };
        }
        let base = page.base().addr();
        let first = free.partition_point(|&block| block < base);
        for offset in free[first..].iter().map(|block| block - base).take_while(|&offset| offset < self.bytes) {
            let i = block_index(self.class, offset);
            // One that has come home meanwhile is neither; and the page may be another by now.
            if i < self.capacity && self.live_blocks[i / 64] >> (i % 64) & 1 == 1 {
                self.live_blocks[i / 64] &= !(1 << (i % 64));
                self.cached_blocks[i / 64] |= 1 << (i % 64);
            }
        }
        let count = |blocks: &Blocks| blocks[..home.len()].iter().map(|w| w.count_ones() as usize).sum();
        (self.live, self.cached) = (count(&self.live_blocks), count(&self.cached_blocks));
        self.births.clear();
        if let Some(words) = page.words().filter(|_| self.is_mostly_empty()) {
            self.births.extend(set_bits(&self.live_blocks).filter_map(|i| Some((i, word::read(&words[i])?))));
        }
    }
}

fn set_bits(blocks: &Blocks) -> impl Iterator<Item = usize> {
    blocks.iter().enumerate().filter(|(_, word)| **word != 0).flat_map(|(w, &word)| {
        let rest = |m: &u64| Some(m & (m - 1)).filter(|&m| m != 0);
        std::iter::successors(Some(word), rest).map(move |m| w * 64 + m.trailing_zeros() as usize)
    })
}

/// The addresses of the free blocks in magazines and depots, in ascending order.
fn free_blocks() -> Vec<usize> {
    let mut room = 0;
    census::each_free(|_| room += 1);
    loop {
        // There is room for what comes meanwhile; if there is not, once more.
        room = (room + room / 4).max(outside::<usize>());
        let (mut free, mut n) = (Vec::with_capacity(room), 0);
        census::each_free(|block| {
            n += 1;
            if n <= room {
                free.push(block.addr());
            }
        });
        if n <= room {
            free.sort_unstable();
            return free;
        }
        room = n;
    }
}

/// Gives `f` each page that holds blocks of a class. Allocates: room for one page, and 8 bytes for each free block in a
/// magazine. `f` may allocate, but what it does should be [`outside`] of pages.
pub(crate) fn each_page(mut f: impl FnMut(&Page)) {
    let mut room = Vec::with_capacity(outside::<Page>());
    room.push(Page {
        class: 0,
        block_size: 0,
        bytes: 0,
        capacity: 0,
        live: 0,
        cached: 0,
        births: Vec::with_capacity(outside::<(usize, Birth)>()),
        holes: [0; 2],
        live_blocks: [0; _],
        cached_blocks: [0; _],
    });
    // Last, so that nothing is taken from a magazine until the pages are read.
    let free = free_blocks();
    shard::each_page(&mut room[0], |room, page| room.read(page, &free), |page| f(page));
}
