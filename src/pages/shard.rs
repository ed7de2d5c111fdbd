//! Shards: the pages that a few threads draw from and that freed blocks come home to.
//!
//! There are twice as many as processors: threads that run at the same time rarely share one, so that their blocks
//! rarely share a cache line, and many threads do not each keep a page of each class half empty. A thread that ends
//! leaves its shard as it is; the next new thread takes the shard over. A thread that needs a page adopts one before it
//! makes a new one: from a shard that nobody draws from, or one of which much is free from a shard near by.

use super::classes::{CLASSES, COLD, block_size, capacity};
use super::page::{self, Kind, Page, Word, page_of};
use super::{guarded, loose};
use crate::arena::slices::{self, Interval};
use crate::arena::{self, SLICE};
use crate::os::{self, die, lock::Lock};
use crate::sync::{AtomicU32, Ordering};
use std::ptr::null_mut;

/// The most shards that there can be.
pub(crate) const SHARDS: usize = 64;

/// The pages of a class in a shard.
struct ClassPages {
    /// Pages with free blocks: those that have waited longest for homecomings come first.
    first: *mut Page,
    last: *mut Page,
    /// Pages, the full ones included.
    pages: usize,
    /// Blocks that are out.
    out: usize,
    /// Nothing was taken since somebody looked: see [`retire_spare`].
    idle: bool,
}

struct Shard {
    pages: [[ClassPages; CLASSES]; 2],
    /// Blocks that came home.
    home: u64,
    /// Bytes of free blocks in its pages: `home` in bytes, so to speak.
    free: usize,
}

// SAFETY: pages of a shard are reached under its lock only.
unsafe impl Send for Shard {}

static SHARD: [Lock<Shard>; SHARDS] =
    [const { Lock::new(Shard { pages: [const { [const { ClassPages::EMPTY }; CLASSES] }; 2], home: 0, free: 0 }) };
        SHARDS];

/// Pages that have moved between shards.
static MOVED: AtomicU32 = AtomicU32::new(0);

/// Threads that draw from each shard.
static THREADS: [AtomicU32; SHARDS] = [const { AtomicU32::new(0) }; SHARDS];
/// Shards below this have been used.
static USED: AtomicU32 = AtomicU32::new(1);

/// The shard for a new thread: the first that nobody draws from, or the one with the fewest threads.
pub(crate) fn join() -> usize {
    // Relaxed: two threads that choose the same one at the same time share it, which is allowed.
    let threads = |i: usize| THREADS[i].load(Ordering::Relaxed);
    let shard = (0..SHARDS.min(2 * os::processors())).min_by_key(|&i| threads(i)).unwrap_or(0);
    THREADS[shard].fetch_add(1, Ordering::Relaxed);
    USED.fetch_max(shard as u32 + 1, Ordering::Relaxed);
    shard
}

/// A thread draws from the shard no more.
pub(crate) fn leave(shard: usize) {
    THREADS[shard].fetch_sub(1, Ordering::Relaxed); // Relaxed: as in `join`
}

fn used() -> usize {
    USED.load(Ordering::Relaxed) as usize // Relaxed: it only grows, and a shard is found empty before it is used
}

fn index(kind: Kind) -> usize {
    (kind == Kind::Tracked) as usize
}

/// What [`take`] did.
#[derive(Clone, Copy, Default)]
pub(crate) struct Taken {
    pub(crate) blocks: usize,
    /// Physical memory that the process grows by, in bytes.
    pub(crate) grown: usize,
}

/// Takes up to `n` free blocks from pages of a shard, in address order within a page, and gives each to `f`.
/// Fewer only when memory is out, or the limit reached.
pub(crate) fn take(shard: usize, kind: Kind, class: usize, n: usize, f: impl FnMut(*mut u8)) -> Taken {
    take_from(shard, kind, class, n, false, f)
}

/// Takes a block of a tracked page for a sample. Samples are few: a page that is made for them holds no physical memory but that of
/// its blocks.
pub(crate) fn take_sample(shard: usize, class: usize, f: impl FnMut(*mut u8)) -> Taken {
    take_from(shard, Kind::Tracked, class, 1, true, f)
}

/// [`take`]. `sparse`: a new page begins as one hole, because few of its blocks will be out at a time.
fn take_from(shard: usize, kind: Kind, class: usize, n: usize, sparse: bool, mut f: impl FnMut(*mut u8)) -> Taken {
    let mut taken = Taken::default();
    let mut guard = SHARD[shard].lock();
    let mut looked = false;
    // The last page whose free blocks all lie in holes that the limit does not let anybody fill.
    let mut passed: *mut Page = null_mut();
    while taken.blocks < n {
        let mut made = false;
        // SAFETY: a page that was passed is listed, and its shard's lock was held since.
        let mut page = unsafe { passed.as_ref() }.map_or(guard.pages[index(kind)][class].first, |page| page.next);
        if page.is_null() {
            if !std::mem::replace(&mut looked, true) {
                drop(guard);
                adopt(shard, kind, class);
                guard = SHARD[shard].lock();
                passed = null_mut();
                continue;
            }
            let (new, grown) = page::create(kind, class, shard);
            if new.is_null() {
                break;
            }
            taken.grown += grown;
            (page, made) = (new, true);
            guard.free += capacity(class) * block_size(class);
            let pages = &mut guard.pages[index(kind)][class];
            pages.pages += 1;
            // SAFETY: the page is new and ours.
            unsafe {
                pages.append(page);
                if sparse && !slices::is_huge_page((*page).base()) {
                    // What its slices held before would stay, as long as the page does, which a sample each minute keeps.
                    (*page).dig_holes();
                }
            }
        }
        let pages = &mut guard.pages[index(kind)][class];
        // SAFETY: a listed page of the shard, whose lock is held.
        unsafe {
            slices::mark_used((*page).base());
            let got = (*page).take(n - taken.blocks, &mut f);
            if got == 0 {
                if made {
                    break; // the limit, again
                }
                passed = page;
            }
            taken.blocks += got;
            pages.out += got;
            pages.idle = false;
            if (*page).out() == (*page).capacity() {
                pages.unlist(page);
            }
            if cfg!(debug_assertions) {
                (*page).check();
            }
            guard.free -= got * block_size(class);
        }
    }
    taken
}

/// The shards that are asked for a page though threads draw from them: on large machines there are many.
const NEAR: usize = 4;
/// They give one of which the part is free that this is the inverse of: less, and it would soon be taken back.
const GIVEN: usize = 4;

/// Moves a page with free blocks from a shard that no thread draws from, or else one of which much is free from a shard that others
/// draw from. Without the latter each shard that threads free into keeps pages of each class which it does not need at the moment, and
/// a small heap is mostly those.
fn adopt(to: usize, kind: Kind, class: usize) {
    let shards = used();
    let mut abandoned = (0..shards).filter(|&i| i != to && THREADS[i].load(Ordering::Relaxed) == 0); // Relaxed: as in `join`
    if abandoned.any(|from| move_page(from, to, kind, class, 1).is_some()) {
        return;
    }
    let much = (capacity(class) / GIVEN).max(1);
    let mut near = (1..shards).take(NEAR).map(|i| (to + i) % shards);
    _ = near.any(|from| move_page(from, to, kind, class, much).is_some());
}

/// Moves one page with at least so many free blocks from a shard to another: the one that has waited longest. Returns the bytes of
/// its free blocks; `None` if it has fewer, or there is none.
fn move_page(from: usize, to: usize, kind: Kind, class: usize, least: usize) -> Option<usize> {
    // The one place where two shards' locks are held at once: in the order of their numbers.
    let (mut low, mut high) = (SHARD[from.min(to)].lock(), SHARD[from.max(to)].lock());
    let (here, there) = if from < to { (&mut low, &mut high) } else { (&mut high, &mut low) };
    let page = here.pages[index(kind)][class].first;
    if page.is_null() {
        return None;
    }
    // SAFETY: a listed page of the shard that we take it from; both locks are held.
    unsafe {
        let free = (*page).capacity() - (*page).out();
        if free < least {
            return None;
        }
        let free = free * block_size(class);
        here.free -= free;
        there.free += free;
        let (here, there) = (&mut here.pages[index(kind)][class], &mut there.pages[index(kind)][class]);
        here.unlist(page);
        (*page).set_shard(to);
        MOVED.fetch_add(1, Ordering::Relaxed); // Relaxed: under both locks, see `steadily`
        there.append(page);
        here.pages -= 1;
        there.pages += 1;
        here.out -= (*page).out();
        there.out += (*page).out();
        Some(free)
    }
}

/// What became of blocks that were sent home.
#[derive(Clone, Copy, Debug, Default)]
#[must_use = "somebody must hear of what is due"]
pub(crate) struct Sent {
    /// Bytes of the blocks.
    pub(crate) bytes: usize,
    /// Bytes of the pages that became empty by that and were given back.
    pub(crate) retired: usize,
    /// If any was: the bytes that are due to be purged.
    pub(crate) due: usize,
}

impl std::ops::AddAssign for Sent {
    fn add_assign(&mut self, other: Sent) {
        self.bytes += other.bytes;
        self.retired += other.retired;
        self.due = self.due.max(other.due);
    }
}

/// Sends blocks home, to whatever pages they belong to: one lock for each run of blocks of the same shard.
pub(crate) fn send_home(kind: Kind, blocks: impl Iterator<Item = *mut u8>) -> Sent {
    let mut sent = Sent::default();
    let mut held = None;
    let mut blocks = blocks.peekable();
    while let Some(block) = blocks.next() {
        let page = page_of(block);
        // SAFETY: the block is out, so its page exists.
        let p = unsafe { &mut *page };
        if p.kind() != kind {
            die!("{block:p} came home as {kind:?} to a page of kind {:?}: memory is corrupt", p.kind());
        }
        // The page may be adopted by another shard until the lock of the one that it names is held.
        while !matches!(held, Some((i, _)) if i == p.shard()) {
            drop(held.take());
            let shard = p.shard();
            held = Some((shard, SHARD[shard].lock()));
        }
        let Some((_, guard)) = &mut held else { continue };
        // Neighbours die together: what follows mostly belongs to the same page.
        let (base, bytes) = (p.base(), p.slices() * SLICE);
        let n = p.put_all(block, || blocks.next_if(|next| next.addr().wrapping_sub(base.addr()) < bytes));
        guard.home += n as u64;
        let size = block_size(p.class());
        sent.bytes += n * size;
        guard.free += n * size;
        let all = p.capacity() * size;
        // SAFETY: the lock of the page's shard is held.
        let due = unsafe { guard.pages[index(kind)][p.class()].put_done(page, n, kind == Kind::Tracked) };
        if let Some(due) = due {
            guard.free -= all;
            sent.retired += bytes;
            sent.due = sent.due.max(due);
        }
    }
    sent
}

/// Purges the OS pages that hold no block that is out, in pages that have become sparse, until `bytes` are purged.
/// With `rested`, only in pages that nothing was taken from for that interval. Returns the bytes.
pub(crate) fn dig_holes(bytes: usize, rested: Option<Interval>) -> usize {
    dig_some(bytes, usize::MAX, rested).0
}

/// The same in so many pages at most. Returns the bytes, and whether there may be more.
pub(crate) fn dig_some(bytes: usize, mut pages: usize, rested: Option<Interval>) -> (usize, bool) {
    let (mut dug, mut more) = (0, false);
    slices::each_sparse(rested, |slice| {
        pages -= 1;
        let header: *mut Page = arena::header(slice).cast();
        // SAFETY: headers of a segment stay readable; what is read without the lock is read again under it.
        let shard = unsafe { (*header).shard() };
        let Some(lock) = SHARD.get(shard) else { return pages > 0 };
        let _guard = lock.lock();
        // SAFETY: as above; while the lock is held, a page of this shard cannot change. One that was adopted meanwhile
        // is left for the next time.
        unsafe {
            if (*header).shard() != shard {
                slices::mark_sparse(slice);
                return pages > 0;
            }
            if (*header).is_sparse() {
                dug += (*header).dig_holes();
            }
        }
        more = dug >= bytes || pages == 0;
        !more
    });
    (dug, more)
}

/// Sets the hint of every page that holes may be dug in. Hints are set when pages become much sparser: this finds what became
/// free in between. For collections of everything: it looks at every page.
pub(crate) fn mark_sparse() {
    slices::each(|slice| {
        if with_page(slice, |page| page.is_first() && page.is_sparse()) == Some(true) {
            slices::mark_sparse(slice);
        }
    });
}

/// Gives back the tracked pages that are empty and that nothing was taken from since the last call; any, with `all`.
pub(crate) fn retire_spare(all: bool) -> Sent {
    let mut sent = Sent::default();
    for shard in &SHARD[..used()] {
        let mut guard = shard.lock();
        let Shard { pages, free, .. } = &mut *guard;
        for (class, pages) in
            pages[index(Kind::Tracked)].iter_mut().enumerate().filter(|(_, p)| p.pages == 1 && p.out == 0)
        {
            if std::mem::replace(&mut pages.idle, true) || all {
                let page = pages.first;
                *free -= capacity(class) * block_size(class);
                // SAFETY: the only page of the class, empty, and so listed; the shard's lock is held.
                let (retired, due) = unsafe { ((*page).slices() * SLICE, pages.retire(page)) };
                sent += Sent { bytes: 0, retired, due };
            }
        }
    }
    sent
}

/// Gives back the first page of a list if it is empty: one that was kept for the next sample.
fn retire_first(shard: usize, class: usize) -> Option<Sent> {
    let mut guard = SHARD[shard].lock();
    let Shard { pages, free, .. } = &mut *guard;
    let pages = &mut pages[index(Kind::Tracked)][class];
    let page = pages.first;
    // SAFETY: a listed page of the shard, whose lock is held.
    unsafe {
        if page.is_null() || (*page).out() > 0 {
            return None;
        }
        *free -= capacity(class) * block_size(class);
        Some(Sent { bytes: 0, retired: (*page).slices() * SLICE, due: pages.retire(page) })
    }
}

/// Moves pages with free blocks out of a shard that no thread draws from into one that threads do draw from, some of one class; those
/// that are empty are given back. Returns the bytes of their free blocks, and what became of the empty ones; `None` when there is
/// nothing left to move, or nobody to move it to.
pub(crate) fn adopt_abandoned() -> Option<(usize, Sent)> {
    let draws = |i: usize| THREADS[i].load(Ordering::Relaxed); // Relaxed: as in `join`
    let to = (0..used()).filter(|&i| draws(i) > 0).min_by_key(|&i| draws(i))?;
    (0..used()).filter(|&i| draws(i) == 0).find_map(|from| {
        [Kind::Plain, Kind::Tracked].into_iter().find_map(|kind| {
            let class = {
                let guard = SHARD[from].lock();
                guard.pages[index(kind)].iter().position(|pages| !pages.first.is_null())?
            };
            let (mut free, mut sent, mut left) = (0, Sent::default(), MOVED_AT_ONCE);
            while left > 0 {
                // Beside the other's own, an empty page would be a second one that waits for a sample.
                if let Some(more) = if kind == Kind::Tracked { retire_first(from, class) } else { None } {
                    sent += more;
                } else if let Some(more) = move_page(from, to, kind, class, 1) {
                    free += more;
                } else {
                    break;
                }
                left -= 1;
            }
            (left < MOVED_AT_ONCE).then_some((free, sent))
        })
    })
}

/// Pages that one call of [`adopt_abandoned`] moves, each some 100 ns.
const MOVED_AT_ONCE: usize = 256;

/// The process grows beyond its peak by so much: it gives back as much, in up to 16 steps of 4 MiB, of what is free and was of no use
/// for that, because its pieces are too short, and then of what lies idle in sparse pages. That cannot become much: a peak grows once.
pub(crate) fn balance(grown: usize) {
    const STEPS: usize = 16;
    let mut left = grown;
    for _ in 0..STEPS {
        let Some(Ok(bytes)) = (left > 0 && slices::due() > 0).then(|| slices::purge_one(None)) else { break };
        left = left.saturating_sub(bytes);
    }
    if left > 0 && slices::sparse() > 0 {
        dig_holes(left, None);
    }
}

/// Whether somebody has the lock of a shard.
pub(crate) fn is_busy() -> bool {
    SHARD[..used()].iter().any(|shard| shard.try_lock().is_none())
}

/// Sums over shards, one after the other under its lock; once more if a page has moved between them meanwhile, which would be missed or counted
/// twice, a few times at most.
fn steadily<T>(sum: impl Fn() -> T) -> T {
    const TRIES: usize = 4;
    for _ in 1..TRIES {
        // Relaxed: a page moves under both shards' locks, and each lock is taken in between.
        let before = MOVED.load(Ordering::Relaxed);
        let all = sum();
        if MOVED.load(Ordering::Relaxed) == before {
            return all;
        }
    }
    sum()
}

/// Pages and blocks that are out of each class, over all shards: exact for each, and for all of them unless pages move all the time.
pub(crate) fn count(kind: Kind, mut f: impl FnMut(usize, usize, usize)) {
    let all = steadily(|| {
        let mut all = [(0, 0); CLASSES];
        for shard in &SHARD[..used()] {
            let guard = shard.lock();
            for (sum, pages) in all.iter_mut().zip(&guard.pages[index(kind)]) {
                *sum = (sum.0 + pages.pages, sum.1 + pages.out);
            }
        }
        all
    });
    all.iter().enumerate().filter(|(_, sum)| sum.0 > 0).for_each(|(class, sum)| f(class, sum.0, sum.1));
}

/// Bytes of free blocks in all pages, those in holes too.
pub(crate) fn free() -> usize {
    steadily(|| SHARD[..used()].iter().map(|shard| shard.lock().free).sum())
}

/// Blocks that a page may have.
pub(crate) const MOST_WORDS: usize = capacity(0);

/// Reads the words of all tracked pages, page by page: with the lock of the page's shard, `read` gets each word and its
/// block; without it, `f` gets what that gave, and the block size. `room` holds [`MOST_WORDS`].
pub(crate) fn each_tracked<T>(
    room: &mut [T],
    read: impl Fn(&Word, *mut u8) -> Option<T>,
    mut f: impl FnMut(&[T], usize),
) {
    slices::each_tracked(|slice| {
        let found = with_page(slice, |page| {
            let block = |i| slice.wrapping_add(i * block_size(page.class()));
            let found = page.words()?.iter().enumerate().filter_map(|(i, word)| read(word, block(i)));
            Some((room.iter_mut().zip(found).map(|(free, found)| *free = found).count(), block_size(page.class())))
        });
        if let Some((n, bytes)) = found.flatten() {
            f(&room[..n], bytes);
        }
    });
}

/// Gives `f` the words of the tracked page that begins with a slice, and its block size, with the lock of the page's shard. Returns how
/// many there are; 0 if there is no such page.
pub(crate) fn each_word(slice: *mut u8, mut f: impl FnMut(&Word, usize)) -> usize {
    let words = with_page(slice, |page| {
        let words = page.words().unwrap_or_default();
        words.iter().for_each(|word| f(word, block_size(page.class())));
        words.len()
    });
    words.unwrap_or(0)
}

/// Gives `read` each page that holds blocks of a class, with the lock of its shard; then, without the lock, calls `f`.
/// A page that comes or goes meanwhile is seen once or not at all.
pub(crate) fn each_page<T>(room: &mut T, read: impl Fn(&mut T, &Page), mut f: impl FnMut(&T)) {
    slices::each(|slice| {
        if with_page(slice, |page| page.is_first().then(|| read(room, page))).flatten().is_some() {
            f(room);
        }
    });
}

/// Runs `f` with the lock of the shard that has the page of a slice. `None` if there is no page of a class.
pub(crate) fn with_page<T>(slice: *mut u8, f: impl FnOnce(&Page) -> T) -> Option<T> {
    let header: *mut Page = arena::header(slice).cast();
    // The page may be adopted by another shard until the lock of the one that it names is held.
    loop {
        // SAFETY: headers of a segment stay readable; what is read without the lock is read again under it.
        let shard = unsafe { (*header).shard() };
        let _guard = SHARD.get(shard)?.lock();
        // SAFETY: as above; while the lock is held, a page of this shard cannot change.
        let page = unsafe { &*header };
        if page.shard() == shard {
            return Some(f(page));
        }
    }
}

/// Checks the invariants of all pages that have free blocks, and that the counts of their classes fit.
#[cfg(feature = "internals")]
pub(crate) fn check_all() {
    for shard in &SHARD[..used()] {
        let guard = shard.lock();
        let mut free = 0;
        for (class, pages) in guard.pages.as_flattened().iter().enumerate() {
            let (mut page, mut n, mut out) = (pages.first, 0, 0);
            while !page.is_null() {
                // SAFETY: a listed page of the shard, whose lock is held.
                unsafe {
                    (*page).check();
                    assert_eq!((*page).class(), class % CLASSES);
                    n += 1;
                    out += (*page).out();
                    page = (*page).next;
                }
            }
            assert!(n <= pages.pages && out <= pages.out, "more is listed than there is");
            assert_eq!(pages.out - out, (pages.pages - n) * capacity(class % CLASSES), "a full page is not full");
            free += (pages.pages * capacity(class % CLASSES) - pages.out) * block_size(class % CLASSES);
        }
        assert_eq!(guard.free, free, "what is free does not fit");
    }
}

/// Blocks that came home since the start.
pub(crate) fn sent_home() -> u64 {
    SHARD[..used()].iter().map(|shard| shard.lock().home).sum()
}

/// The shards that are used: no more can come to be, because threads are let in under a lock that is held by then. What nobody uses stays
/// untouched, which would be a page to copy for each lock in parent and child.
pub(crate) fn before_fork() {
    SHARD[..used()].iter().for_each(Lock::acquire);
    guarded::before_fork();
    loose::before_fork();
}

pub(crate) fn after_fork() {
    loose::after_fork();
    guarded::after_fork();
    SHARD[..used()].iter().for_each(Lock::release);
}

/// All shards are kept by this thread alone: the others do not exist in a forked child.
pub(crate) fn after_fork_in_child(mine: Option<usize>) {
    for (i, threads) in THREADS.iter().enumerate() {
        threads.store((mine == Some(i)) as u32, Ordering::Relaxed); // Relaxed: no other thread exists
    }
}

impl ClassPages {
    const EMPTY: ClassPages = ClassPages { first: null_mut(), last: null_mut(), pages: 0, out: 0, idle: false };

    /// # Safety
    /// The page is in no list, and the shard's lock is held; so for all of these.
    unsafe fn append(&mut self, page: *mut Page) {
        // SAFETY: by the caller's promise.
        unsafe {
            (*page).next = null_mut();
            (*page).prev = self.last;
            (*page).listed = true;
            if self.last.is_null() { self.first = page } else { (*self.last).next = page }
        }
        self.last = page;
    }

    /// # Safety
    /// The page is in this list.
    unsafe fn unlist(&mut self, page: *mut Page) {
        // SAFETY: by the caller's promise.
        unsafe {
            let (next, prev) = ((*page).next, (*page).prev);
            if prev.is_null() {
                self.first = next
            } else {
                (*prev).next = next
            }
            if next.is_null() {
                self.last = prev
            } else {
                (*next).prev = prev
            }
            (*page).listed = false;
        }
    }

    /// # Safety
    /// The page is listed here, and all of its blocks are home.
    unsafe fn retire(&mut self, page: *mut Page) -> usize {
        self.pages -= 1;
        // SAFETY: by the caller's promise.
        unsafe {
            self.unlist(page);
            page::destroy(page)
        }
    }

    /// So many blocks of the page came home. Returns the bytes that are due to be purged if the page was given back, which may be
    /// none: one with holes is purged at once where the limit has no room for it. With
    /// `spare`, the last page of the class stays when it is empty: a sample now and then would make it anew each time.
    ///
    /// # Safety
    /// The page is this shard's.
    #[inline]
    unsafe fn put_done(&mut self, page: *mut Page, n: usize, spare: bool) -> Option<usize> {
        // SAFETY: by the caller's promise.
        unsafe {
            let p = &mut *page;
            if p.put_done(n) {
                slices::mark_sparse(p.base());
            }
            self.out -= n;
            if !p.listed {
                self.append(page);
            }
            if cfg!(debug_assertions) {
                p.check();
            }
            if p.out() > 0 || spare && self.pages == 1 { None } else { Some(self.retire(page)) }
        }
    }
}

const _: () = assert!(COLD < 256);
