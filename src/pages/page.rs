//! The header of a page, and the bitmap of its free blocks.

use super::classes::{BLOCK_SIZE, COLD, block_index, block_size, capacity, page_slices};
use super::{canary, guard, guarded};
use crate::arena::{self, SLICE, held, private, slices};
use crate::os::{self, die};
use crate::sync::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::ptr::null_mut;

/// The word of the tracked block that holds the byte at an address, and the block's bytes. `None` if the address is none of
/// ours, or its block is not tracked. The block must live as long as this runs.
pub(crate) fn word_around(p: *mut u8) -> Option<(*mut Word, usize)> {
    if !slices::contains(p) {
        return None;
    }
    // SAFETY: the address lies in an arena, and a block that lives lies in a segment whose headers are readable.
    let page = unsafe { &*page_of(p) };
    match page.kind() {
        Kind::Tracked => {
            let i = block_index(page.class(), p.addr() - page.base().addr());
            (i < page.capacity()).then(|| (page.words.wrapping_add(i), block_size(page.class())))
        }
        Kind::Plain => None,
        Kind::Guarded => {
            let known = guarded::live_around(p)?;
            Some((known.word, block_size(known.class)))
        }
        // A large block has one header, that of its first slice.
        Kind::Large | Kind::None => {
            let first = arena::slices_before(p).find_map(|slice| {
                // SAFETY: as above.
                let page = unsafe { &*arena::header(slice).cast::<Page>() };
                (page.kind() != Kind::None).then_some(page)
            })?;
            let bytes = first.slices() * SLICE;
            let inside = first.kind() == Kind::Large && p.addr() < first.base().addr() + bytes;
            (inside && !first.words.is_null()).then_some((first.words, bytes))
        }
    }
}

/// What stands in the side table for each block of a tracked page. Opaque to everything below the tracker.
#[derive(Debug, Default)]
#[repr(C, align(16))]
pub(crate) struct Word(pub(crate) [AtomicU64; 2]);

/// What the blocks of a page are, or that there is no page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// No page: the slice is free. The metadata of a new segment are zero, so this is 0.
    None = 0,
    /// Blocks of a class, which come and go through magazines.
    Plain,
    /// Blocks of a class with a side table; their class byte is [`COLD`], so that each free takes the slow path.
    Tracked,
    /// One block, larger than the largest class or with an alignment above a slice's.
    Large,
    /// Blocks in slots of their own: [`super::guarded`].
    Guarded,
}

/// The header of a slice; it describes the page if the slice is the page's first.
///
/// Invariants (plain and tracked pages):
/// - `out + (set bits of the bitmap) == capacity`
/// - no bit is set in words before `scan`
/// - the page is in its shard's list of its class if and only if `listed`, and it is listed if `out < capacity`
/// - a block that touches a hole is not out
#[repr(C, align(64))]
pub(crate) struct Page {
    bits: *mut u64,
    pub(super) next: *mut Page,
    pub(super) prev: *mut Page,
    words: *mut Word,
    /// A bit for each OS page of the page: purged, and no block that touches it has left since.
    holes: [u64; 2],
    slices: u32,
    /// How many headers before this one the page's first is.
    back: u16,
    capacity: u16,
    out: u16,
    scan: u16,
    class: u8,
    kind: u8,
    /// The shard's number and one; 0 where no page is, so that a reader without a lock never takes a page that is
    /// being made for one that it may touch.
    shard_and_one: AtomicU8,
    pub(super) listed: bool,
}

const _: () = assert!(size_of::<Page>() == arena::HEADER);
const _: () = assert!(capacity(0) <= u16::MAX as usize);

/// Bytes in holes, over all pages.
pub(crate) static HOLES: AtomicUsize = AtomicUsize::new(0);

/// The page that holds an address of a segment.
#[inline]
pub(crate) fn page_of(p: *mut u8) -> *mut Page {
    let h: *mut Page = arena::header(p).cast();
    // SAFETY: the headers of a segment are committed, and zero or written.
    unsafe { h.sub((*h).back as usize) }
}

impl Page {
    pub(crate) fn kind(&self) -> Kind {
        match self.kind {
            1 => Kind::Plain,
            2 => Kind::Tracked,
            3 => Kind::Large,
            4 => Kind::Guarded,
            _ => Kind::None,
        }
    }

    pub(crate) fn class(&self) -> usize {
        self.class as usize
    }

    pub(crate) fn slices(&self) -> usize {
        self.slices as usize
    }

    /// A large block got another length.
    pub(crate) fn set_slices(&mut self, slices: usize) {
        debug_assert_eq!(self.kind(), Kind::Large);
        self.slices = slices as u32;
    }

    /// Whether a large block has its segments for itself.
    pub(crate) fn is_huge(&self) -> bool {
        self.capacity != 0
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity as usize
    }

    pub(crate) fn out(&self) -> usize {
        self.out as usize
    }

    /// The shard whose lock guards this page; `usize::MAX` if there is no page. It may change until that lock is held.
    pub(crate) fn shard(&self) -> usize {
        // Relaxed: whoever depends on it looks again under the lock.
        (self.shard_and_one.load(Ordering::Relaxed) as usize).wrapping_sub(1)
    }

    pub(super) fn set_shard(&self, shard: usize) {
        self.shard_and_one.store(shard as u8 + 1, Ordering::Relaxed); // Relaxed: see `shard`
    }

    /// The first address of the page.
    pub(crate) fn base(&self) -> *mut u8 {
        arena::slice_of_header((self as *const Page).cast_mut().cast())
    }

    fn bit_words(&self) -> usize {
        self.capacity().div_ceil(64)
    }

    /// What was asked for when a large block was allocated or resized: bytes, and the alignment. Where somebody has set it.
    pub(crate) fn requested(&self) -> (usize, usize) {
        (self.holes[0] as usize, self.holes[1] as usize)
    }

    /// A large block has no holes.
    pub(crate) fn set_requested(&mut self, size: usize, align: usize) {
        debug_assert_eq!(self.kind(), Kind::Large);
        self.holes = [size as u64, align as u64];
    }

    /// The number of the block at an address; aborts if no block begins there.
    #[inline]
    pub(crate) fn index_of(&self, p: *mut u8) -> usize {
        self.index_from(self.base(), self.class(), self.capacity(), p)
    }

    /// The same for whoever has the page's base, class and capacity at hand.
    #[inline(always)]
    fn index_from(&self, base: *mut u8, class: usize, capacity: usize, p: *mut u8) -> usize {
        let offset = p.addr() - base.addr();
        let i = block_index(class, offset);
        if i >= capacity || i * BLOCK_SIZE[class] as usize != offset {
            self.die_at(p, "is not the beginning of a block");
        }
        i
    }

    /// The side-table word of the block at an address, of a tracked page or a tracked large block; null without one.
    #[inline]
    pub(crate) fn word(&self, p: *mut u8) -> *mut Word {
        match self.kind() {
            Kind::Tracked => self.words.wrapping_add(self.index_of(p)),
            _ => self.words,
        }
    }

    /// The same for a block that this page just handed out.
    #[inline]
    pub(crate) fn word_of_new(&self, p: *mut u8) -> *mut Word {
        debug_assert_eq!(self.word(p), self.words.wrapping_add(self.index_of(p)));
        self.words.wrapping_add(block_index(self.class(), p.addr() - self.base().addr()))
    }

    /// Whether this is the header of the page's first slice.
    pub(crate) fn is_first(&self) -> bool {
        self.back == 0
    }

    /// A bit for each block that is home; for plain and tracked pages, under the lock of their shard.
    pub(crate) fn home(&self) -> &[u64] {
        // SAFETY: the bitmap has that many words, and changes under the lock only.
        unsafe { std::slice::from_raw_parts(self.bits, self.bit_words()) }
    }

    /// A bit for each OS page that is a hole.
    pub(crate) fn holes(&self) -> [u64; 2] {
        self.holes
    }

    /// The side table of a tracked page; `None` if this is none, or not the header of its first slice.
    pub(crate) fn words(&self) -> Option<&[Word]> {
        let has = self.kind() == Kind::Tracked && self.is_first();
        // SAFETY: a tracked page has a word for each block.
        has.then(|| unsafe { std::slice::from_raw_parts(self.words, self.capacity()) })
    }

    pub(crate) fn set_word(&mut self, word: *mut Word) {
        debug_assert_eq!(self.kind(), Kind::Large);
        self.words = word;
    }

    #[cold]
    fn die_at(&self, p: *mut u8, what: &str) -> ! {
        die!(
            "{p:p} {what} (page {:p}, {:?}, blocks of {} bytes): memory is corrupt or the pointer is wrong",
            self.base(),
            self.kind(),
            if self.kind() == Kind::Large { self.slices() * SLICE } else { block_size(self.class()) }
        )
    }

    /// Takes up to `n` free blocks in address order and gives each to `f`. Returns how many: fewer if there are no more, or
    /// if those that are left lie in holes, which the limit does not let anybody fill.
    #[inline]
    pub(crate) fn take(&mut self, n: usize, mut f: impl FnMut(*mut u8)) -> usize {
        let size = block_size(self.class());
        let base = self.base();
        let words = self.bit_words();
        let (has_holes, os_page) = (self.holes != [0; 2], os::page_size().trailing_zeros());
        let mut got = 0;
        // The first word with a block that the limit does not let out of its hole.
        let mut stays = usize::MAX;
        let mut w = self.scan as usize;
        while got < n && w < words {
            // SAFETY: the bitmap has that many words, and the shard's lock is held.
            let word = unsafe { &mut *self.bits.add(w) };
            let (mut m, mut stay) = (*word, 0);
            while m != 0 && got < n {
                let i = w * 64 + m.trailing_zeros() as usize;
                let rest = m & (m - 1);
                if has_holes
                    && touches_hole(self.holes, i * size, size, os_page)
                    && !fill_holes(&mut self.holes, i * size, size, stays < words)
                {
                    stay |= m ^ rest;
                    stays = stays.min(w);
                } else {
                    f(base.wrapping_add(i * size));
                    got += 1;
                }
                m = rest;
            }
            *word = m | stay;
            if m == 0 {
                w += 1;
            }
        }
        self.scan = w.min(stays) as u16;
        self.out += got as u16;
        got
    }

    /// A block comes home, and the `others` that lie in this page; [`Self::put_done`] follows. Returns how many. Aborts if one is home already.
    #[inline]
    pub(crate) fn put_all(&mut self, first: *mut u8, mut others: impl FnMut() -> Option<*mut u8>) -> usize {
        // What is the same for all of them, at hand: the compiler may not know that bits are no headers.
        let (base, class, capacity, bits) = (self.base(), self.class(), self.capacity(), self.bits);
        let mut scan = self.scan as usize;
        let (mut p, mut n) = (first, 0);
        loop {
            let i = self.index_from(base, class, capacity, p);
            // SAFETY: the index is below the capacity, and the shard's lock is held.
            let word = unsafe { &mut *bits.add(i / 64) };
            if *word >> (i % 64) & 1 == 1 {
                self.die_at(p, "was freed twice");
            }
            *word |= 1 << (i % 64);
            scan = scan.min(i / 64);
            n += 1;
            match others() {
                Some(next) => p = next,
                None => break,
            }
        }
        self.scan = scan as u16;
        n
    }

    /// So many blocks came home. Returns whether the page became sparse, or much sparser: at most half of its blocks are out,
    /// and they fell below a half or a power of two. Down to the last: a few blocks that touch all OS pages of a page become one
    /// that touches one, however slowly they die.
    #[inline]
    pub(crate) fn put_done(&mut self, n: usize) -> bool {
        let before = self.out;
        self.out -= n as u16;
        let half = self.capacity / 2;
        self.out <= half && self.out > 0 && (before > half || self.out.leading_zeros() > before.leading_zeros())
    }

    /// Whether holes may be dug in it: at most half of its blocks are out.
    pub(super) fn is_sparse(&self) -> bool {
        self.listed && self.out() * 2 <= self.capacity()
    }

    /// Whether the block at an address is home. A look without the lock is a moment old.
    pub(crate) fn is_home(&self, p: *mut u8) -> bool {
        let i = self.index_of(p);
        // SAFETY: the index is below the capacity.
        unsafe { *self.bits.add(i / 64) >> (i % 64) & 1 == 1 }
    }

    /// Purges the OS pages that no block that is out touches. Called with the shard's lock. Returns the bytes.
    pub(crate) fn dig_holes(&mut self) -> usize {
        let os_page = os::page_size();
        let total = self.slices() * SLICE / os_page;
        let mut dug = 0;
        let mut first = 0;
        while first < total {
            let mut end = first;
            while end < total && !self.is_hole(end) && self.is_idle(end * os_page, os_page) {
                end += 1;
            }
            if end == first {
                first += 1;
                continue;
            }
            let at = self.base().wrapping_add(first * os_page);
            slices::refuse_huge(at);
            // SAFETY: no block that is out touches these OS pages, and none leaves while the lock is held.
            if unsafe { os::purge(at, (end - first) * os_page) } {
                (first..end).for_each(|i| self.holes[i / 64] |= 1 << (i % 64));
                dug += (end - first) * os_page;
            }
            first = end;
        }
        HOLES.fetch_add(dug, Ordering::Relaxed); // Relaxed: a statistic
        held::shrink(dug);
        dug
    }

    fn is_hole(&self, os_page: usize) -> bool {
        self.holes[os_page / 64] >> (os_page % 64) & 1 == 1
    }

    /// Whether every block that touches `offset..offset + len` is home. A page's tail belongs to no block.
    fn is_idle(&self, offset: usize, len: usize) -> bool {
        let mut i = block_index(self.class(), offset);
        let end = (block_index(self.class(), offset + len - 1) + 1).min(self.capacity());
        while i < end {
            let n = (64 - i % 64).min(end - i);
            let mask = (u64::MAX >> (64 - n)) << (i % 64);
            // SAFETY: the index is below the capacity.
            if unsafe { *self.bits.add(i / 64) } & mask != mask {
                return false;
            }
            i += n;
        }
        true
    }

    /// The invariants that need no more than the page. Debug builds call it at each homecoming and refill.
    pub(crate) fn check(&self) {
        let bits = (0..self.bit_words()).map(|w| {
            // SAFETY: the bitmap has that many words.
            let word = unsafe { *self.bits.add(w) };
            assert!(word == 0 || w >= self.scan as usize, "a free block before `scan`");
            word.count_ones() as usize
        });
        assert_eq!(self.out() + bits.sum::<usize>(), self.capacity(), "out + free != capacity");
        assert!(self.listed || self.out() == self.capacity(), "free blocks in a page that no list has");
        assert_eq!(self.capacity(), capacity(self.class()));
    }
}

/// Whether a block at this offset touches a hole; OS pages are 2 to the power of `os_page` bytes. Most blocks of a page with holes
/// do not, and all that are taken from it are looked at.
#[inline]
fn touches_hole(holes: [u64; 2], offset: usize, size: usize, os_page: u32) -> bool {
    let (first, last) = (offset >> os_page, (offset + size - 1) >> os_page);
    let holes = u128::from(holes[0]) | (u128::from(holes[1]) << 64);
    (holes >> first) << (127 - (last - first)) != 0
}

/// A block at this offset leaves: the OS pages that it touches are holes no more. `false` if the limit refuses, or has refused
/// a moment ago: they stay.
#[cold]
fn fill_holes(holes: &mut [u64; 2], offset: usize, size: usize, refused: bool) -> bool {
    let os_page = os::page_size();
    let touched = offset / os_page..=(offset + size - 1) / os_page;
    let filled = touched.clone().filter(|i| holes[i / 64] >> (i % 64) & 1 == 1).count() * os_page;
    if filled == 0 {
        return true;
    }
    if refused || !held::grow(filled) {
        return false;
    }
    touched.for_each(|i| holes[i / 64] &= !(1 << (i % 64)));
    HOLES.fetch_sub(filled, Ordering::Relaxed); // Relaxed: a statistic
    true
}

/// A new page of a class, all of its blocks free, and the bytes that the process grows by. Null if memory is out.
pub(super) fn create(kind: Kind, class: usize, shard: usize) -> (*mut Page, usize) {
    let n = page_slices(class);
    let capacity = capacity(class);
    let bit_words = capacity.div_ceil(64);
    let bits: *mut u64 = private::take(bit_words * 8).cast();
    let words: *mut Word =
        if kind == Kind::Tracked { private::take(capacity * size_of::<Word>()).cast() } else { null_mut() };
    let run = if bits.is_null() || kind == Kind::Tracked && words.is_null() { None } else { slices::take(n, SLICE) };
    let Some(run) = run else {
        // SAFETY: the pieces were taken above.
        unsafe { give_tables(bits, words, capacity) };
        return (null_mut(), 0);
    };
    for w in 0..bit_words {
        let left = capacity - w * 64;
        // SAFETY: the bitmap has that many words, and is ours alone.
        unsafe { bits.add(w).write(if left >= 64 { u64::MAX } else { (1 << left) - 1 }) };
    }
    let first: *mut Page = arena::header(run.at).cast();
    for i in 0..n {
        let page = Page {
            bits,
            next: null_mut(),
            prev: null_mut(),
            words,
            holes: [0; 2],
            slices: n as u32,
            back: i as u16,
            capacity: capacity as u16,
            out: 0,
            scan: 0,
            class: class as u8,
            kind: kind as u8,
            shard_and_one: AtomicU8::new(shard as u8 + 1),
            listed: false,
        };
        // SAFETY: the slices are ours, so their headers and class bytes are.
        unsafe {
            first.add(i).write(page);
            *arena::class_byte(run.at.wrapping_add(i * SLICE)) = if kind == Kind::Plain { class } else { COLD } as u8;
        }
    }
    if kind == Kind::Tracked {
        slices::mark_tracked(run.at, true);
    }
    // SAFETY: the slices are ours.
    unsafe {
        guard::set(run.at, class);
        if !run.zero {
            canary::forget(run.at, block_size(class), capacity);
        }
    }
    (first, run.grown)
}

/// # Safety
/// The tables are nobody's; they may be null.
unsafe fn give_tables(bits: *mut u64, words: *mut Word, capacity: usize) {
    // SAFETY: by the caller's promise.
    unsafe {
        if !bits.is_null() {
            private::give(bits.cast(), capacity.div_ceil(64) * 8);
        }
        if !words.is_null() {
            private::give(words.cast(), capacity * size_of::<Word>());
        }
    }
}

/// Gives a page's slices and tables back. Returns the bytes that are due to be purged.
///
/// # Safety
/// All blocks are home, the page is in no list, and its shard's lock is held.
pub(super) unsafe fn destroy(page: *mut Page) -> usize {
    // SAFETY: by the caller's promise nobody else looks at the page.
    unsafe {
        let p = &mut *page;
        debug_assert!(p.out == 0 && !p.listed);
        let holes = p.holes.iter().map(|w| w.count_ones() as usize).sum::<usize>();
        let holes = holes * os::page_size();
        HOLES.fetch_sub(holes, Ordering::Relaxed); // Relaxed: a statistic
        let (at, n) = (p.base(), p.slices());
        if p.kind() == Kind::Tracked {
            slices::mark_tracked(at, false);
        }
        guard::clear(at, p.class());
        give_tables(p.bits, p.words, p.capacity());
        erase(at, n);
        // What is due counts whole. Where the limit has no room for that, the page goes back at once.
        let purged = holes > 0 && !held::grow(holes) && purge(at, n, holes);
        slices::give(at, n, if purged { n } else { 0 })
    }
}

/// Gives back the rest of a page with so many bytes in holes. `false` if the system refuses: it counts whole then.
///
/// # Safety
/// The page is dead, and nobody else looks at it.
#[cold]
unsafe fn purge(at: *mut u8, slices: usize, holes: usize) -> bool {
    // SAFETY: by the caller's promise.
    let done = unsafe { os::purge(at, slices * SLICE) };
    if done {
        held::shrink(slices * SLICE - holes)
    } else {
        held::add(holes)
    }
    done
}

/// # Safety
/// The slices are the caller's, and no block in them is anybody's.
unsafe fn erase(at: *mut u8, slices: usize) {
    for i in 0..slices {
        // SAFETY: by the caller's promise the headers and class bytes are the caller's. A huge block has but one of each.
        unsafe {
            let slice = at.wrapping_add(i * SLICE);
            arena::header(slice).cast::<Page>().write_bytes(0, 1);
            *arena::class_byte(slice) = COLD as u8;
        }
    }
}

/// Writes the header of a large block. `huge`: it has its segments for itself.
///
/// # Safety
/// The run at this address is the caller's.
pub(crate) unsafe fn write_large(at: *mut u8, slices: usize, huge: bool) {
    let page: *mut Page = arena::header(at).cast();
    // SAFETY: by the caller's promise.
    unsafe {
        page.write_bytes(0, 1);
        (*page).slices = slices as u32;
        (*page).kind = Kind::Large as u8;
        (*page).capacity = huge as u16;
        *arena::class_byte(at) = COLD as u8;
    }
}

/// Writes the headers of slices with guarded slots, which stay so for ever.
///
/// # Safety
/// The run at this address is the caller's, and not huge.
pub(super) unsafe fn write_guarded(at: *mut u8, slices: usize) {
    let first: *mut Page = arena::header(at).cast();
    for i in 0..slices {
        // SAFETY: by the caller's promise.
        unsafe {
            let page = first.add(i);
            page.write_bytes(0, 1);
            (*page).slices = slices as u32;
            (*page).kind = Kind::Guarded as u8;
            (*page).back = i as u16;
            *arena::class_byte(at.wrapping_add(i * SLICE)) = COLD as u8;
        }
    }
}

/// Erases the header of a large block.
///
/// # Safety
/// The block is the caller's to free.
pub(crate) unsafe fn erase_large(at: *mut u8) {
    // SAFETY: a large block has one header and one class byte, those of its first slice.
    unsafe { erase(at, 1) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_touches_a_hole_where_any_of_its_bytes_lies_in_one() {
        for class in 0..COLD {
            let size = block_size(class);
            for hole in 0..(page_slices(class) * SLICE) >> 12 {
                let holes = [(1u128 << hole) as u64, ((1u128 << hole) >> 64) as u64];
                for i in 0..capacity(class) {
                    let bytes = i * size..(i + 1) * size;
                    let touches = bytes.start < (hole + 1) << 12 && bytes.end > hole << 12;
                    assert_eq!(touches_hole(holes, bytes.start, size, 12), touches, "block {i} of {size}, hole {hole}");
                }
            }
        }
    }
}
