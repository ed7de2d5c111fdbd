//! Runs of slices: who has which, which hold physical memory, and giving that back.
//!
//! One lock guards it all. A page of 64 KiB is made of one run, so the lock is taken once for many blocks.

use super::bits::Bits;
#[cfg(feature = "c-interface")]
use super::marks;
use super::ours::{self, Segment};
use super::space::Space;
use super::{SEGMENT, SLICE, SLICES, USABLE, held, info};
use crate::config::{self, HugePages};
use crate::os::{self, lock::Lock};
use crate::sync::{AtomicU16, AtomicU64, AtomicUsize, Ordering};
use std::ptr::null_mut;

/// Memory is committed in chunks: one system call for 2 MiB, and a huge page is a chunk.
const CHUNK: usize = 2 << 20;
const CHUNK_SLICES: usize = CHUNK / SLICE;
/// With this much committed, a huge page that is used in part no longer shows, and misses of the address cache do.
/// Earlier was tried, and lost where the host of a virtual machine must first find the memory (ARCHITECTURE.md).
const HUGE_FROM: usize = 2 << 30;
/// The class byte of slices that hold no blocks of a class: [`crate::pages::classes`] agrees.
pub(crate) const COLD: u8 = 88;
/// Freed huge blocks that wait for the next one before they are purged.
const WAITING: usize = 8;

/// What the arena knows of a segment.
///
/// Invariants: `free ⊆ usable slices`; `waited ⊆ free ∩ dirty`; no run of `free` is longer than `longest`;
/// a slice in use is dirty.
#[repr(C)]
pub(crate) struct Info {
    base: *mut u8,
    next: *mut Info,
    free: Bits,
    /// Slices that may hold something: those in use, and those that were and have not been purged since.
    dirty: Bits,
    /// Slices that were free and dirty when the last interval began, for each that is counted.
    waited: [Bits; INTERVALS],
    longest: usize,
    /// A bit for each committed chunk.
    chunks: u16,
    /// A bit for each chunk for which huge pages were asked.
    huge: AtomicU16,
    /// A bit for each slice whose page has become sparse: a hint, set and taken without the lock.
    sparse: [AtomicU64; SLICES / 64],
    /// A bit for each slice that a tracked page begins with.
    tracked: [AtomicU64; SLICES / 64],
    /// Of those that are sparse, the ones that were when the last interval began, and that nothing was taken from since; for each
    /// interval that is counted.
    rested: [[AtomicU64; SLICES / 64]; INTERVALS],
}

/// Those who purge what has waited for an interval, each by its own clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interval {
    /// The helper thread's looks, in milliseconds.
    Helper,
    /// From one middle collection to the next, in bytes allocated.
    Middle,
}

const INTERVALS: usize = 2;

/// A run of slices.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) at: *mut u8,
    /// The memory reads as zero.
    pub(crate) zero: bool,
    /// Bytes by which the process holds more physical memory now than it ever did.
    pub(crate) grown: usize,
}

#[derive(Clone, Copy)]
struct Huge {
    base: *mut u8,
    units: usize,
    /// Those that hold physical memory: the first.
    slices: usize,
    /// Those that are committed, purged or not.
    committed: usize,
    /// A bit for each interval that has begun since, and not a `bool`, by whose third value `None` would be another number than 0: so
    /// that the table of those who wait is zeroes, and stands in no file.
    waited: u8,
}

/// All arenas of the process.
pub(crate) struct Arena {
    space: Space,
    first: *mut Info,
    last: *mut Info,
    /// Huge blocks that were freed and not purged yet.
    waiting: [Option<Huge>; WAITING],
    /// The run that is being purged without the lock, so that a forked child can take it back.
    purging: Option<(*mut u8, usize)>,
    purging_huge: Option<Huge>,
    /// Slices of freed huge blocks that the system refused to purge when there was no place left to wait.
    lost: usize,
    counts: Counts,
}

/// Exact under the lock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Slices in use.
    pub(crate) used: usize,
    /// Free slices that still hold physical memory, waiting huge blocks included.
    pub(crate) due: usize,
    /// The most that `used + due` has been.
    pub(crate) peak: usize,
    /// Slices purged since the start.
    pub(crate) purged: usize,
}

impl Counts {
    /// Bytes that hold physical memory, but for so many in holes.
    pub(crate) fn committed(&self, holes: usize) -> usize {
        ((self.used + self.due) * SLICE).saturating_sub(holes)
    }
}

// SAFETY: the pointers are to segments' infos, which are reached under the arena's lock only (`sparse` is atomic).
unsafe impl Send for Arena {}

static ARENA: Lock<Arena> = Lock::new(Arena {
    space: Space::new(),
    first: null_mut(),
    last: null_mut(),
    waiting: [None; WAITING],
    purging: None,
    purging_huge: None,
    lost: 0,
    counts: Counts { used: 0, due: 0, peak: 0, purged: 0 },
});

/// A copy of `Counts::due` in bytes that slow paths look at without the lock.
static DUE: AtomicUsize = AtomicUsize::new(0);

/// Why there is no run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refused {
    System,
    /// [`held`]'s: another place would be refused as well.
    Limit,
}

/// A run of `slices` slices, the first at a multiple of `align` bytes, a power of two. `None` if memory is out, or the
/// limit reached; nothing is lost then. Takes the arena's lock, and the system's when memory must be committed.
pub(crate) fn take(slices: usize, align: usize) -> Option<Run> {
    let mut arena = ARENA.lock();
    let run = if is_huge(slices, align) {
        arena.take_huge(slices, align.max(SEGMENT))
    } else {
        arena.take_small(slices, align.max(SLICE) / SLICE).ok()
    };
    arena.settle();
    run
}

/// Gives a run back, or the end of one. Its memory stays for a moment, but for the first `zero`
/// slices, which read as zero because it was moved away or purged; [`held`] knows of that already. Returns the bytes that are due
/// to be purged now.
///
/// # Safety
/// The run came from [`take`], nobody uses it, and its class bytes say so.
pub(crate) unsafe fn give(at: *mut u8, slices: usize, zero: usize) -> usize {
    let mut arena = ARENA.lock();
    // SAFETY: by the caller's promise.
    unsafe { arena.give(at, slices, zero) };
    arena.settle();
    arena.counts.due * SLICE
}

/// Gives back a block from [`take`] with more than [`USABLE`] slices or an alignment above a segment's.
///
/// # Safety
/// As for [`give`]; `slices` is what was taken.
pub(crate) unsafe fn give_huge(at: *mut u8, slices: usize, zero: usize) -> usize {
    let mut arena = ARENA.lock();
    // SAFETY: by the caller's promise.
    unsafe { arena.give_huge(at, slices, zero) };
    arena.settle();
    arena.counts.due * SLICE
}

/// Whether a run of that many slices and alignment is a huge one, which has its segments for itself.
pub(crate) fn is_huge(slices: usize, align: usize) -> bool {
    slices > USABLE || align > SEGMENT
}

/// Makes the run at `at` longer, in place. `None` if what follows is taken, or memory is out.
///
/// # Safety
/// The run is the caller's, `slices` long, and not huge.
pub(crate) unsafe fn extend(at: *mut u8, slices: usize, to: usize) -> Option<Run> {
    let mut arena = ARENA.lock();
    let info = info(at);
    // SAFETY: the run lies in a segment of ours.
    let base = unsafe { (*info).base };
    let first = (at.addr() - base.addr()) / SLICE + slices;
    let n = to - slices;
    // SAFETY: we hold the lock.
    let free = first + n <= USABLE && unsafe { (*info).free.count_in(first, n) } == n;
    // SAFETY: the slices are free.
    let run = if free { unsafe { arena.claim(info, first, n) }.ok() } else { None };
    arena.settle();
    run
}

/// Bytes that are free and still hold physical memory. A look without the lock: it may be a moment old.
pub(crate) fn due() -> usize {
    DUE.load(Ordering::Relaxed) // Relaxed: a number, which decides nothing that must be exact
}

/// Exact counts, and bytes of reserved address space.
pub(crate) fn counts() -> (Counts, usize) {
    let arena = ARENA.lock();
    (arena.counts, arena.space.bytes())
}

/// Whether an address lies in a reservation of ours.
pub(crate) fn contains(p: *mut u8) -> bool {
    ARENA.lock().space.contains(p)
}

/// Begins an interval: what is free and dirty now has waited when the next one begins.
pub(crate) fn begin_interval(interval: Interval) {
    let which = interval as usize;
    let mut arena = ARENA.lock();
    for info in arena.infos() {
        // SAFETY: infos live for ever, and we hold the lock.
        unsafe {
            (*info).waited[which] = (*info).free.and(&(*info).dirty);
            for (rested, sparse) in (*info).rested[which].iter().zip(&(*info).sparse) {
                rested.store(sparse.load(Ordering::Relaxed), Ordering::Relaxed); // Relaxed: see `mark_sparse`
            }
        };
    }
    arena.waiting.iter_mut().flatten().for_each(|h| h.waited |= 1 << which);
}

/// Slices that are purged at a time: a step of some 250 µs.
const PURGED_AT_ONCE: usize = (4 << 20) / SLICE;

/// Why nothing was purged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unpurged {
    /// Nothing is left, or the system refuses.
    Nothing,
    /// Somebody else is purging. That may take some 250 µs.
    Busy,
}

/// Purges up to 4 MiB of free slices, of those that have waited for an interval or, without one, of any.
/// Returns the bytes. The lock is not held meanwhile.
pub(crate) fn purge_one(waited: Option<Interval>) -> Result<usize, Unpurged> {
    let mut arena = ARENA.lock();
    if arena.purging.is_some() || arena.purging_huge.is_some() {
        return Err(Unpurged::Busy);
    }
    let fits = |h: &Option<Huge>| h.is_some_and(|h| waited.is_none_or(|interval| h.waited >> interval as u8 & 1 == 1));
    if let Some(h) = arena.waiting.iter_mut().find(|h| fits(h)).and_then(Option::take) {
        // A huge block has its segments for itself and they are in no list, so that nobody can meet them meanwhile.
        arena.purging_huge = Some(h);
        drop(arena);
        let n = h.slices.min(PURGED_AT_ONCE);
        let left = h.slices - n;
        // SAFETY: the range is committed, ours and dead.
        let done = unsafe { os::purge(h.base.wrapping_add(left * SLICE), n * SLICE) };
        let mut arena = ARENA.lock();
        arena.purging_huge = None;
        if done {
            arena.counts.due -= n;
            arena.counts.purged += n;
            held::shrink(n * SLICE);
        }
        match (done, left) {
            (true, 0) => arena.give_space(h),
            // What is left serves the next block still, if it is no longer than that.
            (true, slices) => arena.wait(Huge { slices, ..h }),
            (false, _) => arena.wait(Huge { waited: 0, ..h }),
        }
        arena.settle();
        return if done { Ok(n * SLICE) } else { Err(Unpurged::Nothing) };
    }
    let found = arena.infos().find_map(|info| {
        // SAFETY: as above.
        let waited = unsafe {
            match waited {
                Some(interval) => (*info).waited[interval as usize],
                None => (*info).free.and(&(*info).dirty),
            }
        };
        let (first, n) = waited.runs().next()?;
        Some((info, first, n.min(PURGED_AT_ONCE)))
    });
    let (info, first, n) = found.ok_or(Unpurged::Nothing)?;
    // SAFETY: as above; the run is taken out of `free`, so that nobody gets it while it is purged.
    let at = unsafe {
        (*info).free.remove(first, n);
        (*info).not_waited(first, n);
        (*info).base.wrapping_add(first * SLICE)
    };
    arena.purging = Some((at, n));
    drop(arena);
    // SAFETY: the run is committed, and nobody's.
    let done = unsafe { os::purge(at, n * SLICE) };
    #[cfg(feature = "c-interface")]
    // SAFETY: as above: no block is in the run, and none will be before it is back.
    unsafe {
        marks::purge(at, n * SLICE)
    };
    let mut arena = ARENA.lock();
    arena.purging = None;
    // SAFETY: as above.
    unsafe {
        (*info).free.insert(first, n);
        (*info).longest = USABLE;
        if done {
            (*info).dirty.remove(first, n);
        }
    }
    if done {
        arena.counts.due -= n;
        arena.counts.purged += n;
        held::shrink(n * SLICE);
    }
    arena.settle();
    if done { Ok(n * SLICE) } else { Err(Unpurged::Nothing) }
}

/// Hints that are set.
static SPARSE: AtomicUsize = AtomicUsize::new(0);

/// Sets the hint that the page whose first slice this is has become sparse.
pub(crate) fn mark_sparse(at: *mut u8) {
    let i = (at.addr() % SEGMENT) / SLICE;
    let bit = 1 << (i % 64);
    // SAFETY: the address lies in a segment, whose info lives for ever; `sparse` is atomic.
    let word = unsafe { &(*info(at)).sparse[i / 64] };
    // Relaxed, all of it: a hint; the page itself is looked at under its lock.
    if word.fetch_or(bit, Ordering::Relaxed) & bit == 0 {
        SPARSE.fetch_add(1, Ordering::Relaxed);
    }
}

/// Blocks are taken from the page whose first slice this is: it does not rest.
pub(crate) fn mark_used(at: *mut u8) {
    let i = (at.addr() % SEGMENT) / SLICE;
    // SAFETY: as above.
    let rested = unsafe { &(*info(at)).rested };
    for word in rested.iter().map(|words| &words[i / 64]) {
        if word.load(Ordering::Relaxed) >> (i % 64) & 1 == 1 {
            word.fetch_and(!(1 << (i % 64)), Ordering::Relaxed);
        }
    }
}

/// How many pages have become sparse since somebody looked at them.
pub(crate) fn sparse() -> usize {
    SPARSE.load(Ordering::Relaxed) // Relaxed: as in `mark_sparse`
}

/// Calls `f` with the first address of each slice whose hint is set, and takes the hint, until `f` says stop.
/// With `rested`, only of those that have rested for that interval.
pub(crate) fn each_sparse(rested: Option<Interval>, mut f: impl FnMut(*mut u8) -> bool) {
    let mut info = ARENA.lock().first;
    while !info.is_null() {
        // SAFETY: infos live for ever, are appended only, and the parts read here do not change or are atomic.
        let (base, (sparse, rests), next) =
            unsafe { ((*info).base, (&(*info).sparse, &(*info).rested), &raw const (*info).next) };
        for (w, word) in sparse.iter().enumerate() {
            let mut bits = word.load(Ordering::Relaxed); // Relaxed: as in `mark_sparse`
            if let Some(interval) = rested {
                bits &= rests[interval as usize][w].load(Ordering::Relaxed);
            }
            while bits != 0 {
                let i = bits.trailing_zeros();
                bits &= bits - 1;
                if word.fetch_and(!(1 << i), Ordering::Relaxed) >> i & 1 == 0 {
                    continue; // another thread was quicker
                }
                SPARSE.fetch_sub(1, Ordering::Relaxed);
                if !f(base.wrapping_add((w * 64 + i as usize) * SLICE)) {
                    return;
                }
            }
        }
        let _arena = ARENA.lock(); // `next` of the last info is written under it
        // SAFETY: as above.
        info = unsafe { *next };
    }
}

/// A tracked page begins with this slice; or does no more. The page's header says so already.
pub(crate) fn mark_tracked(at: *mut u8, is: bool) {
    let i = (at.addr() % SEGMENT) / SLICE;
    let bit = 1 << (i % 64);
    // SAFETY: the address lies in a segment, whose info lives for ever; `tracked` is atomic.
    let word = unsafe { &(*info(at)).tracked[i / 64] };
    // Release because whoever sees the mark must see the header.
    _ = if is { word.fetch_or(bit, Ordering::Release) } else { word.fetch_and(!bit, Ordering::Release) };
}

/// Calls `f` with each slice that a tracked page begins with. No lock is held meanwhile.
pub(crate) fn each_tracked(mut f: impl FnMut(*mut u8)) {
    let mut walk = Walk::new();
    while let Some(slice) = walk.next() {
        f(slice);
    }
}

/// [`each_tracked`] in steps.
#[derive(Clone, Copy)]
pub(crate) struct Walk {
    info: *mut Info,
    /// The word of marks that is looked at, and those of it that are left.
    word: usize,
    left: u64,
}

// SAFETY: infos live for ever.
unsafe impl Send for Walk {}

impl Walk {
    pub(crate) fn new() -> Walk {
        let mut walk = Walk { info: ARENA.lock().first, word: 0, left: 0 };
        walk.read();
        walk
    }

    fn read(&mut self) {
        if !self.info.is_null() {
            // SAFETY: infos live for ever; the marks are atomics. Acquire: see `mark_tracked`.
            self.left = unsafe { (&(*self.info).tracked)[self.word].load(Ordering::Acquire) };
        }
    }

    pub(crate) fn next(&mut self) -> Option<*mut u8> {
        while !self.info.is_null() {
            if self.left != 0 {
                let i = self.word * 64 + self.left.trailing_zeros() as usize;
                self.left &= self.left - 1;
                // SAFETY: infos live for ever, and the base does not change.
                return Some(unsafe { (*self.info).base }.wrapping_add(i * SLICE));
            }
            self.word += 1;
            if self.word == SLICES / 64 {
                self.word = 0;
                let _arena = ARENA.lock(); // `next` of the last info is written under it
                // SAFETY: infos live for ever, and are appended only.
                self.info = unsafe { (*self.info).next };
            }
            self.read();
        }
        None
    }
}

/// Calls `f` with each slice that can hold blocks, free ones too. No lock is held meanwhile.
pub(crate) fn each(mut f: impl FnMut(*mut u8)) {
    let mut info = ARENA.lock().first;
    while !info.is_null() {
        // SAFETY: infos live for ever, are appended only, and the base does not change.
        let (base, next) = unsafe { ((*info).base, &raw const (*info).next) };
        (0..USABLE).for_each(|i| f(base.wrapping_add(i * SLICE)));
        let _arena = ARENA.lock(); // `next` of the last info is written under it
        // SAFETY: as above.
        info = unsafe { *next };
    }
}

/// The base of the segment that holds an address, its bits for huge pages, and the chunk that the address lies in.
fn chunk_of(at: *mut u8) -> (*mut u8, &'static AtomicU16, usize) {
    // SAFETY: the address lies in a segment of ours, whose info lives for ever; `base` never changes, `huge` is atomic.
    let (base, huge) = unsafe { ((*info(at)).base, &(*info(at)).huge) };
    (base, huge, (at.addr() - base.addr()) / CHUNK)
}

/// Whether huge pages were asked for, for the chunk that holds an address.
pub(crate) fn is_huge_page(at: *mut u8) -> bool {
    let (_, huge, chunk) = chunk_of(at);
    huge.load(Ordering::Relaxed) >> chunk & 1 == 1 // Relaxed: see `refuse_huge`
}

/// Refuses huge pages for the chunk that holds an address, if they were asked for: somebody is about to purge a part
/// of it, and the kernel would sooner or later make a whole huge page of what is left.
pub(crate) fn refuse_huge(at: *mut u8) {
    let (base, huge, chunk) = chunk_of(at);
    // Relaxed: a bit is set when the chunk is committed, before anybody has a block in it, and taken once.
    if huge.load(Ordering::Relaxed) >> chunk & 1 == 1
        && huge.fetch_and(!(1 << chunk), Ordering::Relaxed) >> chunk & 1 == 1
    {
        let len = if (chunk + 1) * CHUNK_SLICES == SLICES { CHUNK - SLICE } else { CHUNK };
        // SAFETY: the chunk is committed.
        unsafe { os::set_huge(base.wrapping_add(chunk * CHUNK), len, false) };
    }
}

/// Takes the arena's lock for a fork.
pub(crate) fn before_fork() {
    ARENA.acquire();
}

/// Frees the lock in the parent.
pub(crate) fn after_fork_in_parent() {
    ARENA.release();
}

/// Whether somebody has the lock of all slices.
pub(crate) fn is_busy() -> bool {
    ARENA.try_lock().is_none()
}

/// Frees the lock in the child, and takes back the run whose purging thread does not exist here.
pub(crate) fn after_fork_in_child() {
    ARENA.release();
    let mut arena = ARENA.lock();
    if let Some(h) = arena.purging_huge.take() {
        arena.wait(h);
    }
    if let Some((at, n)) = arena.purging.take() {
        let info = info(at);
        // SAFETY: the run was free, and lies in this segment.
        unsafe {
            (*info).free.insert((at.addr() - (*info).base.addr()) / SLICE, n);
            (*info).longest = USABLE;
        }
    }
}

impl Info {
    /// Slices are free or dirty no more.
    fn not_waited(&mut self, first: usize, n: usize) {
        self.waited.iter_mut().for_each(|waited| waited.remove(first, n));
    }
}

impl Arena {
    fn infos(&self) -> impl Iterator<Item = *mut Info> + use<> {
        let mut info = self.first;
        std::iter::from_fn(move || {
            let this = info;
            // SAFETY: infos live for ever.
            (!this.is_null()).then(|| unsafe {
                info = (*this).next;
                this
            })
        })
    }

    fn grown(&self) -> usize {
        (self.counts.used + self.counts.due).saturating_sub(self.counts.peak) * SLICE
    }

    /// After each change: the peak, and what others look at without the lock.
    fn settle(&mut self) {
        let c = &mut self.counts;
        c.peak = c.peak.max(c.used + c.due);
        DUE.store(c.due * SLICE, Ordering::Relaxed); // Relaxed: see `due`
        #[cfg(debug_assertions)]
        self.check();
    }

    /// The invariants, in debug builds.
    #[cfg(debug_assertions)]
    fn check(&self) {
        let waiting: usize = self.waiting.iter().flatten().map(|h| h.slices).sum();
        let purging = self.purging.map_or(0, |(_, n)| n) + self.purging_huge.map_or(0, |h| h.slices);
        let mut due = waiting + purging + self.lost;
        for info in self.infos() {
            // SAFETY: infos live for ever, and we hold the lock.
            let i = unsafe { &*info };
            assert!(i.free.next_in(USABLE) == SLICES, "a slice of metadata is free");
            assert!(i.waited.iter().all(|waited| waited.minus(&i.free.and(&i.dirty)).is_empty()));
            assert!(i.free.longest() <= i.longest);
            due += i.free.and(&i.dirty).count();
        }
        assert_eq!(self.counts.due, due, "what is due is not what is free and dirty");
    }

    fn take_small(&mut self, n: usize, align: usize) -> Result<Run, Refused> {
        // First what holds physical memory already, so that the process does not grow while it has some.
        for dirty in [true, false] {
            if dirty && self.counts.due < n {
                continue;
            }
            for info in self.infos() {
                // SAFETY: infos live for ever, and we hold the lock.
                let i = unsafe { &mut *info };
                if i.longest < n {
                    continue;
                }
                let among = if dirty { i.free.and(&i.dirty) } else { i.free };
                match among.find(n, align) {
                    // SAFETY: the run is free. Another segment may have memory that needs not be asked for.
                    Some(first) => match unsafe { self.claim(info, first, n) } {
                        Err(Refused::System) => continue,
                        run => return run,
                    },
                    None if !dirty => i.longest = i.free.longest(),
                    None => (),
                }
            }
        }
        if !held::fits(n * SLICE) {
            return Err(Refused::Limit);
        }
        let info = self.add_segment().ok_or(Refused::System)?;
        // SAFETY: the segment is empty.
        unsafe { self.claim(info, 0, n) }
    }

    /// # Safety
    /// The slices `first..first + n` of the segment are free.
    unsafe fn claim(&mut self, info: *mut Info, first: usize, n: usize) -> Result<Run, Refused> {
        // SAFETY: infos live for ever, and we hold the lock.
        let i = unsafe { &mut *info };
        let dirty = i.dirty.count_in(first, n);
        if !held::grow((n - dirty) * SLICE) {
            return Err(Refused::Limit);
        }
        for chunk in first / CHUNK_SLICES..=(first + n - 1) / CHUNK_SLICES {
            if i.chunks >> chunk & 1 == 0 && self.commit_chunk(i, chunk).is_none() {
                held::shrink((n - dirty) * SLICE);
                return Err(Refused::System);
            }
        }
        i.free.remove(first, n);
        i.not_waited(first, n);
        i.dirty.insert(first, n);
        self.counts.due -= dirty;
        self.counts.used += n;
        Ok(Run { at: i.base.wrapping_add(first * SLICE), zero: dirty == 0, grown: self.grown() })
    }

    fn commit_chunk(&self, i: &mut Info, chunk: usize) -> Option<()> {
        let at = i.base.wrapping_add(chunk * CHUNK);
        // The last slice of the last chunk holds the next segment's metadata.
        let len = if (chunk + 1) * CHUNK_SLICES == SLICES { CHUNK - SLICE } else { CHUNK };
        // SAFETY: the chunk lies in the segment, which is reserved.
        if !unsafe { os::commit(at, len) } {
            return None;
        }
        // SAFETY: it is committed now.
        let asked = unsafe { self.huge_pages(at, len) };
        i.chunks |= 1 << chunk;
        i.huge.fetch_or(u16::from(asked) << chunk, Ordering::Relaxed); // Relaxed: see `refuse_huge`
        Some(())
    }

    /// # Safety
    /// As for the function of this name.
    unsafe fn give(&mut self, at: *mut u8, n: usize, zero: usize) {
        let info = info(at);
        // SAFETY: the run lies in a segment of ours, and we hold the lock.
        let i = unsafe { &mut *info };
        let first = (at.addr() - i.base.addr()) / SLICE;
        debug_assert_eq!(i.free.count_in(first, n), 0, "a run is given back twice");
        i.free.insert(first, n);
        i.longest = USABLE;
        self.counts.used -= n;
        i.dirty.remove(first, zero);
        self.counts.due += n - zero;
    }

    fn add_segment(&mut self) -> Option<*mut Info> {
        let base = self.space.take(1, SEGMENT)?;
        // SAFETY: the range is reserved and ours.
        if !unsafe { commit_metadata(base) } {
            self.space.give(base, 1);
            return None;
        }
        #[cfg(feature = "c-interface")]
        // SAFETY: as above.
        if !unsafe { marks::commit(base) } {
            self.space.give(base, 1);
            return None;
        }
        let info = info(base);
        let mut free = Bits::EMPTY;
        free.insert(0, USABLE);
        // SAFETY: the metadata are committed, and nobody knows of them.
        unsafe {
            info.write(Info {
                base,
                next: null_mut(),
                free,
                dirty: Bits::EMPTY,
                waited: [Bits::EMPTY; INTERVALS],
                longest: USABLE,
                chunks: 0,
                huge: AtomicU16::new(0),
                sparse: [const { AtomicU64::new(0) }; SLICES / 64],
                tracked: [const { AtomicU64::new(0) }; SLICES / 64],
                rested: [const { [const { AtomicU64::new(0) }; SLICES / 64] }; INTERVALS],
            });
            if self.last.is_null() { self.first = info } else { (*self.last).next = info }
        }
        // SAFETY: the class bytes are part of the metadata, and no slice of the segment is anybody's yet.
        unsafe { super::class_byte(base).write_bytes(COLD, USABLE) };
        self.last = info;
        ours::note(base, Segment::Marked);
        Some(info)
    }

    fn take_huge(&mut self, slices: usize, align: usize) -> Option<Run> {
        let units = units_of(slices);
        if !held::fits(0) {
            return None;
        }
        let fits = |h: &Huge| h.units == units && h.committed >= slices && h.base.addr() & (align - 1) == 0;
        let best = self.waiting.iter_mut().filter(|h| h.as_ref().is_some_and(fits));
        // One that was not purged, if there is one; of those, the smallest.
        if let Some(slot) = best.min_by_key(|h| h.map(|h| (h.slices < slices, h.slices))) {
            let h = slot.take()?;
            let (more, again) = (h.slices.saturating_sub(slices), slices.saturating_sub(h.slices));
            // What was purged of it holds physical memory again.
            if !held::grow(again * SLICE) {
                self.wait(h);
                return None;
            }
            // The end would stay resident and be nobody's: purge it.
            let end = h.base.wrapping_add(slices * SLICE);
            // SAFETY: the end is committed, and no part of the new block.
            if more == 0 || unsafe { os::purge(end, more * SLICE) } {
                self.counts.due -= h.slices;
                self.counts.used += slices;
                self.counts.purged += more;
                held::shrink(more * SLICE);
                return Some(Run { at: h.base, zero: false, grown: self.grown() });
            }
            held::shrink(again * SLICE);
            self.wait(h);
        }
        if !held::grow(slices * SLICE) {
            return None;
        }
        // SAFETY: the range is reserved and ours. The slice before it is the metadata's.
        let commit = |base| unsafe { commit_metadata(base) && os::commit(base, slices * SLICE) };
        let base = self.space.take(units, align);
        let Some(base) = base.filter(|&base| commit(base)) else {
            held::shrink(slices * SLICE);
            base.into_iter().for_each(|base| self.space.give(base, units));
            return None;
        };
        // SAFETY: committed above.
        unsafe { self.huge_pages(base, slices * SLICE) };
        ours::note(base, Segment::Huge);
        self.counts.used += slices;
        Some(Run { at: base, zero: true, grown: self.grown() })
    }

    /// # Safety
    /// As for the function of this name.
    unsafe fn give_huge(&mut self, base: *mut u8, slices: usize, zero: usize) {
        self.counts.used -= slices;
        let h = Huge { base, units: units_of(slices), slices, committed: slices, waited: 0 };
        self.counts.due += slices;
        // What was moved away is no use to the next one, and to purge the rest costs little.
        let now = zero > 0 || self.places() == 0;
        // SAFETY: the range is committed, ours and dead.
        if now && unsafe { os::purge(base, slices * SLICE) } {
            self.counts.due -= slices;
            self.counts.purged += slices;
            held::shrink((slices - zero) * SLICE);
            self.give_space(h);
        } else {
            held::add(zero * SLICE);
            self.wait(h);
        }
    }

    /// Asks for huge pages if the configuration says so, refuses them if it says so. Returns whether they were asked for.
    ///
    /// # Safety
    /// The range is committed and ours.
    unsafe fn huge_pages(&self, at: *mut u8, len: usize) -> bool {
        let large = (self.counts.used + self.counts.due) * SLICE >= HUGE_FROM;
        let wanted = match config::current::huge_pages() {
            HugePages::Auto if !large => return false,
            setting => setting != HugePages::Never,
        };
        // SAFETY: by the caller's promise.
        unsafe { os::set_huge(at, len, wanted) };
        wanted
    }

    /// How many more may wait. One whose purge is on its way comes back, if that was not all of it.
    fn places(&self) -> usize {
        let free = self.waiting.iter().filter(|slot| slot.is_none()).count();
        free.saturating_sub(usize::from(self.purging_huge.is_some()))
    }

    /// A freed huge block waits to be used again or purged; it is counted as due.
    fn wait(&mut self, h: Huge) {
        match self.waiting.iter_mut().find(|slot| slot.is_none()) {
            Some(slot) => *slot = Some(h),
            None => self.lost += h.slices,
        }
    }

    /// The address space of a huge block that was purged serves others. What it may become the middle of must read as
    /// zero: its metadata are not purged (a reader may look at them), but hold nothing any more except its class byte.
    fn give_space(&mut self, h: Huge) {
        // SAFETY: the metadata slice is committed, and the block has died.
        unsafe { *super::class_byte(h.base) = 0 };
        ours::note(h.base, Segment::Foreign);
        self.space.give(h.base, h.units);
    }
}

fn units_of(slices: usize) -> usize {
    (slices + 1).div_ceil(SLICES)
}

/// # Safety
/// The slice before `base` is reserved and ours.
unsafe fn commit_metadata(base: *mut u8) -> bool {
    // SAFETY: by the caller's promise.
    unsafe { os::commit(base.wrapping_sub(SLICE), SLICE) }
}

const _: () = assert!(super::BYTES.is_multiple_of(align_of::<Info>()));
