//! The slow paths: what happens when a thread's words say that there is nothing to pop, or no room to push.

use super::dying::{self, Freed};
use super::thread::{ClassHeap, Heap, with_tracker};
use super::{EVERY, Mode, Pair, SlowPath, Words, large, words};
use crate::arena::{self, SLICE, slices};
use crate::config::Config;
use crate::os::die;
use crate::pages::classes::{CLASSES, COLD, block_size, page_slices};
use crate::pages::guarded;
use crate::pages::page::{Kind, Page, page_of};
use crate::pages::shard;
use crate::sync::{AtomicU64, Ordering};
use std::ptr::null_mut;
use std::sync::atomic::Ordering::Relaxed;

/// Bytes that a thread allocates before it tells the clock.
const CLOCK_STEP: usize = 64 << 10;

/// Blocks that threads without a heap allocated, by class.
static ORPHANS: [AtomicU64; CLASSES] = [const { AtomicU64::new(0) }; CLASSES];

/// What a slow path came back with.
enum Got {
    Block(*mut u8),
    /// A block of a tracked page, whose word must be filled once the gate is open again, and the rate that chose it.
    Tracked(*mut u8, u16),
    /// A sample at this rate, which is to have a guarded slot, or else a block of a tracked page.
    Sample(u16),
    OutOfMemory,
}

impl Got {
    /// A block straight from a page, where there is no memory for magazines or side tables.
    fn untracked(class: usize) -> Self {
        match orphan(class) {
            p if p.is_null() => Got::OutOfMemory,
            p => Got::Block(p),
        }
    }
}

#[cold]
#[inline(never)]
pub(super) fn alloc<S: SlowPath>(config: &Config, words: &Words, class: usize, size: usize) -> *mut u8 {
    let Some(heap) = Heap::of::<S>(config, words) else {
        let mut block = orphan(class);
        if block.is_null() && S::short(page_slices(class) * SLICE) {
            block = orphan(class);
        }
        if block.is_null() {
            S::failed(size, page_slices(class) * SLICE);
        }
        return block;
    };
    let (block, rate) = match heap.pop_exact::<S>(class) {
        Some(block) => (block, EVERY),
        None => {
            let mut guards = true;
            loop {
                let got = match alloc_gated::<S>(heap, words, class, guards) {
                    Got::OutOfMemory => again::<S>(heap, words, class, guards),
                    got => got,
                };
                match got {
                    Got::Block(block) => return block,
                    Got::Tracked(block, rate) => break (block, rate),
                    Got::Sample(rate) => match sample::<S>(heap, class, size, rate) {
                        // A sample is lost, an allocation is not: the magazine has a block, which comes this time.
                        block if block.is_null() => guards = false,
                        block => return block,
                    },
                    Got::OutOfMemory => {
                        S::failed(size, page_slices(class) * SLICE);
                        return null_mut();
                    }
                }
            }
        }
    };
    // SAFETY: the block is tracked and ours; nobody else has this thread's tracker state.
    unsafe { S::born(heap.tracker(), &*(*page_of(block)).word_of_new(block), size, block_size(class), rate) };
    block
}

/// A sample in a guarded slot; or on a tracked page, if there is no slot. Null if there is no room for one.
#[cold]
#[inline(never)]
fn sample<S: SlowPath>(heap: &Heap, class: usize, size: usize, rate: u16) -> *mut u8 {
    let mut block = guarded::take(class, size);
    let in_slot = !block.is_null();
    if !in_slot {
        let taken = shard::take_sample(heap.shard(), class, |b| block = b);
        shard::balance(taken.grown);
    }
    if block.is_null() {
        return null_mut();
    }
    let k = &heap.classes[class];
    k.tracked.store(k.tracked.load(Relaxed) + 1, Relaxed);
    // SAFETY: the block is ours, and has a word; nobody else has this thread's tracker state.
    unsafe {
        let word = if in_slot { guarded::word_of(block) } else { (*page_of(block)).word_of_new(block) };
        S::born(heap.tracker(), &*word, size, block_size(class), rate);
        if in_slot {
            guarded::allocated_at(block, S::site_of(&*word));
        }
    }
    block
}

/// Once more, if room could be made.
#[cold]
#[inline(never)]
fn again<S: SlowPath>(heap: &Heap, words: &Words, class: usize, guards: bool) -> Got {
    if S::short(page_slices(class) * SLICE) { alloc_gated::<S>(heap, words, class, guards) } else { Got::OutOfMemory }
}

/// `guards` says whether a sample may be had as [`Got::Sample`].
#[inline(never)]
fn alloc_gated<S: SlowPath>(heap: &Heap, words: &Words, class: usize, guards: bool) -> Got {
    heap.gate.enter();
    // SAFETY: the owner is inside the gate.
    let got = unsafe { heap.alloc_inside::<S>(words, class, guards) };
    heap.gate.leave();
    heap.afterwards::<S>();
    got
}

#[cold]
#[inline(never)]
pub(super) fn free<S: SlowPath>(config: &Config, words: &Words, block: *mut u8) {
    // SAFETY: the block came from this allocator, so its class byte and header exist.
    let (class, page) = unsafe { (*arena::class_byte(block) as usize, &*page_of(block)) };
    let mut kind = Kind::Plain;
    if class == COLD {
        kind = page.kind();
        match kind {
            Kind::Tracked => return free_tracked::<S>(config, words, page, block),
            // SAFETY: the block is the caller's to free.
            Kind::Large => return unsafe { large::free::<S>(config, block) },
            // SAFETY: the address lies among the slots.
            Kind::Guarded => return unsafe { super::guarded::free::<S>(config, block) },
            Kind::Plain | Kind::None => die!("free of {block:p}, which is not a block that anybody holds"),
        }
    }
    bury::<S>(Heap::of::<S>(config, words), words, kind, page.class(), block);
}

/// A tracked block is freed. An exact thread lets it wait for its word, and goes on with one that has waited.
#[inline(always)]
fn free_tracked<S: SlowPath>(config: &Config, words: &Words, page: &Page, block: *mut u8) {
    let (class, word) = (page.class(), page.word(block));
    let Some(heap) = Heap::of::<S>(config, words) else {
        // SAFETY: the word is the block's own.
        let word = unsafe { &*word };
        with_tracker::<S, _>(config, |tracker| {
            expect_alive(S::died(tracker, word, block_size(class), S::now()), block)
        });
        return bury::<S>(None, words, Kind::Tracked, class, block);
    };
    let mut freed = Freed { block, word, class, at: S::now() };
    if class < dying::CLASSES && heap.may_wait::<S>() {
        match heap.dying.exchange(freed) {
            Some(waited) => freed = waited,
            None => return,
        }
    }
    // SAFETY: the word is the block's own; nobody else has this thread's tracker state.
    expect_alive(unsafe { S::died(heap.tracker(), &*freed.word, block_size(freed.class), freed.at) }, freed.block);
    if !heap.push_exact(freed.class, freed.block) {
        bury::<S>(Some(heap), words, Kind::Tracked, freed.class, freed.block);
    }
}

#[inline(always)]
fn expect_alive(first: bool, block: *mut u8) {
    if !first {
        die!("{block:p} was freed twice");
    }
}

/// A block that is nobody's goes into a magazine, or home.
#[inline(never)]
fn bury<S: SlowPath>(heap: Option<&Heap>, words: &Words, kind: Kind, class: usize, block: *mut u8) {
    let Some(heap) = heap else {
        return S::due(shard::send_home(kind, std::iter::once(block)).due);
    };
    heap.gate.enter();
    // SAFETY: the owner is inside the gate.
    unsafe { heap.free_inside::<S>(words, kind, class, block) };
    heap.gate.leave();
    heap.afterwards::<S>();
}

/// A block for a thread that has no heap: it has ended, or memory is very short.
fn orphan(class: usize) -> *mut u8 {
    let mut block = null_mut();
    let taken = shard::take(0, Kind::Plain, class, 1, |b| block = b);
    ORPHANS[class].fetch_add(taken.blocks as u64, Ordering::Relaxed); // Relaxed: a statistic
    block
}

pub(crate) fn orphans(class: usize) -> u64 {
    ORPHANS[class].load(Ordering::Relaxed) // Relaxed: a statistic
}

/// Debug builds look at every block before it is freed.
#[cold]
#[inline(never)]
pub(super) fn check_free(block: *mut u8) {
    if !slices::contains(block) {
        die!("free of {block:p}, which lies in no arena");
    }
    let page = page_of(block);
    // SAFETY: the address lies in an arena; its segment's headers are readable if it is in use.
    let p = unsafe { &*page };
    match p.kind() {
        Kind::None => die!("free of {block:p}, where there is no page"),
        Kind::Large if p.base() != block => die!("free of {block:p}, inside a large block at {:p}", p.base()),
        Kind::Large | Kind::Guarded => (),
        kind => {
            if p.is_home(block) {
                die!("{block:p} was freed twice: it is home already");
            }
            words(|words| {
                let Some(pair) = Heap::pair_of_this_thread(words, p.class()) else { return };
                let (pop, push) = (pair.pop.load(Relaxed), pair.push.load(Relaxed));
                // SAFETY: this thread's words point into its magazines.
                let twice = kind == Kind::Plain
                    && unsafe {
                        super::magazine::Magazine::blocks(pop).any(|b| b == block)
                            || !push.is_null()
                                && super::magazine::Magazine::blocks(push.wrapping_sub(1)).any(|b| b == block)
                    };
                if twice {
                    die!("{block:p} was freed twice: it lies in this thread's magazine");
                }
            });
        }
    }
}

impl Heap {
    /// Whether this thread tracks every block, and is to go on so.
    #[inline]
    fn is_exact<S: SlowPath>(&self) -> bool {
        // SAFETY: this thread is the owner, and has no other reference to the tracker's state.
        self.exact.get() && S::mode(unsafe { self.tracker() }) == Mode::Exact
    }

    /// Whether what it frees now may wait for its word.
    #[inline]
    fn may_wait<S: SlowPath>(&self) -> bool {
        // SAFETY: as above.
        self.exact.get() && S::may_wait(unsafe { self.tracker() })
    }

    /// What nearly all allocations of an exact thread do: a block of its magazine. `None` sends it the long way.
    #[inline]
    fn pop_exact<S: SlowPath>(&self, class: usize) -> Option<*mut u8> {
        if !self.is_exact::<S>() {
            return None;
        }
        let (pair, _) = self.tracked_now(class)?;
        self.gate.enter();
        let slot = pair.pop.load(Relaxed);
        // SAFETY: a pop word points at a slot; inside the gate, what it leads to is this thread's.
        let block = unsafe { (*slot).load(Relaxed) };
        if !block.is_null() {
            pair.pop.store(slot.wrapping_sub(1), Relaxed);
        }
        self.gate.leave();
        (!block.is_null()).then_some(block)
    }

    /// What nearly all frees of an exact thread do: the block goes into its magazine. `false` if it does not fit.
    #[inline]
    fn push_exact(&self, class: usize, block: *mut u8) -> bool {
        let Some((pair, _)) = self.tracked_now(class).filter(|_| self.exact.get()) else { return false };
        self.gate.enter();
        let slot = pair.push.load(Relaxed);
        let fits = slot.addr() & (super::magazine::BYTES - 1) != 0;
        if fits {
            // SAFETY: a push word that is not at a magazine's end points at a slot, this thread's inside the gate.
            unsafe { (*slot).store(block, Relaxed) };
            pair.push.store(slot.wrapping_add(1), Ordering::Release); // Release: see the fast path
        }
        self.gate.leave();
        fits
    }

    /// Buries the blocks that wait for it.
    ///
    /// # Safety
    /// The caller is the owner, inside the gate.
    pub(super) unsafe fn bury_all<S: SlowPath>(&self) {
        self.dying.take_all(|freed| {
            // SAFETY: the word is the block's own; nobody else has this thread's tracker state.
            let first = unsafe { S::died(self.tracker(), &*freed.word, block_size(freed.class), freed.at) };
            expect_alive(first, freed.block);
            let due = shard::send_home(Kind::Tracked, std::iter::once(freed.block)).due;
            self.due.set(self.due.get().max(due));
        });
    }

    /// # Safety
    /// For all of these: the caller is the owner, inside the gate.
    #[inline]
    unsafe fn alloc_inside<S: SlowPath>(&self, words: &Words, class: usize, guards: bool) -> Got {
        let (pair, k) = (self.pair(words, class), &self.classes[class]);
        // SAFETY: the owner is inside the gate.
        unsafe {
            if self.exact.get() || S::mode(self.tracker()) == Mode::Exact {
                return self.alloc_exact::<S>(words, class, guards);
            }
            if !k.cut.load(Relaxed).is_null() && pair.pop.load(Relaxed) == k.cut.load(Relaxed) {
                // The sample falls here: what was cut out comes back, and the next one is drawn.
                // It is one though the rate has changed since: so are the blocks before it, which were none.
                let rate = k.rate.get();
                self.uncut(k);
                let left = super::magazine::Magazine::blocks(pair.pop.load(Relaxed)).count();
                self.arm::<S>(pair, k, class, left);
                if guards && guarded::is_wanted(class) {
                    return Got::Sample(rate);
                }
                let mut block = null_mut();
                let taken = shard::take_sample(self.shard(), class, |b| block = b);
                self.grown.set(self.grown.get() + taken.grown);
                k.tracked.store(k.tracked.load(Relaxed) + taken.blocks as u64, Relaxed);
                if !block.is_null() {
                    return Got::Tracked(block, rate);
                }
                // No memory for a tracked page: a sample is lost, an allocation is not. The block that was cut out is there.
                self.uncut(k);
            }
            loop {
                let slot = pair.pop.load(Relaxed);
                let block = (*slot).load(Relaxed);
                if !block.is_null() {
                    pair.pop.store(slot.wrapping_sub(1), Relaxed);
                    return Got::Block(block);
                }
                if slot == k.cut.load(Relaxed) {
                    // A sample that falls on the first block of the magazine that was just installed.
                    return self.alloc_inside::<S>(words, class, guards);
                }
                let n = self.refill(words, pair, k, Kind::Plain, class);
                if n == 0 {
                    return Got::untracked(class);
                }
                self.arm::<S>(pair, k, class, n);
            }
        }
    }

    /// Cuts the pop magazine, which holds `n` blocks, where the next sample falls, if it falls into it.
    ///
    /// # Safety
    /// The caller is the owner, inside the gate.
    #[inline]
    unsafe fn arm<S: SlowPath>(&self, pair: Pair<'_>, k: &ClassHeap, class: usize, n: usize) {
        if k.until.get() == 0 || k.rate.get() != S::rate() {
            k.rate.set(S::rate());
            // SAFETY: by the caller's promise.
            k.until.set(S::draw(unsafe { self.tracker() }, block_size(class)).max(1));
        }
        if k.until.get() == u64::MAX {
            k.until.set(0); // nothing is sampled: asked again at the next refill
            return;
        }
        let n = n as u64;
        let before = k.until.get() - 1;
        if before < n {
            let cut = pair.pop.load(Relaxed).wrapping_sub(before as usize);
            // SAFETY: one of the slots that were counted.
            unsafe {
                k.saved.store((*cut).load(Relaxed), Relaxed);
                (*cut).store(null_mut(), Relaxed);
            }
            k.cut.store(cut, Relaxed);
        } else {
            k.until.set(k.until.get() - n);
        }
    }

    /// # Safety
    /// The caller is the owner, inside the gate.
    #[cold]
    unsafe fn alloc_exact<S: SlowPath>(&self, words: &Words, class: usize, guards: bool) -> Got {
        // SAFETY: by the caller's promise.
        unsafe {
            self.adopt_mode::<S>(words);
            if !self.exact.get() {
                return self.alloc_inside::<S>(words, class, guards);
            }
            let Some((pair, k)) = self.tracked(class) else { return Got::untracked(class) };
            loop {
                let slot = pair.pop.load(Relaxed);
                let block = (*slot).load(Relaxed);
                if !block.is_null() {
                    pair.pop.store(slot.wrapping_sub(1), Relaxed);
                    return Got::Tracked(block, EVERY);
                }
                if self.refill(words, pair, k, Kind::Tracked, class) == 0 {
                    return Got::untracked(class);
                }
            }
        }
    }

    /// The mode that the tracker wants becomes this thread's.
    ///
    /// # Safety
    /// The caller is the owner, inside the gate.
    pub(super) unsafe fn adopt_mode<S: SlowPath>(&self, words: &Words) {
        // SAFETY: by the caller's promise.
        unsafe {
            let exact = S::mode(self.tracker()) == Mode::Exact;
            if exact != self.exact.replace(exact) {
                self.bury_all::<S>();
                // To exact: the plain magazines go home and the sentinels stand. Back: what the tracked ones hold goes.
                self.flush_all(words, if exact { Kind::Plain } else { Kind::Tracked });
            }
        }
    }

    /// # Safety
    /// The caller is the owner, inside the gate; the block is out, and of that kind and class.
    #[inline]
    unsafe fn free_inside<S: SlowPath>(&self, words: &Words, kind: Kind, class: usize, block: *mut u8) {
        // SAFETY: by the caller's promise.
        unsafe {
            if S::mode(self.tracker()) == Mode::Exact || self.exact.get() {
                self.adopt_mode::<S>(words);
            }
            // Magazines of the kind that the thread allocates; a block of the other kind is rare, and goes home at once.
            let fits = (kind == Kind::Tracked) == self.exact.get();
            if let (true, Some((pair, k))) = (fits, if fits { self.pairs(words, kind, class) } else { None }) {
                let full = pair.push.load(Relaxed).addr() & (super::magazine::BYTES - 1) == 0;
                if !full || self.spill(words, pair, k, kind, class) {
                    let slot = pair.push.load(Relaxed);
                    (*slot).store(block, Relaxed);
                    pair.push.store(slot.wrapping_add(1), Ordering::Release); // Release: see the fast path
                    return;
                }
            }
            let due = shard::send_home(kind, std::iter::once(block)).due;
            self.due.set(self.due.get().max(due));
        }
    }

    /// After the gate was left: what may take locks of `steal`'s and of collections, or the system's time.
    #[inline]
    fn afterwards<S: SlowPath>(&self) {
        if self.clock.get() >= CLOCK_STEP {
            S::allocated(self.clock.replace(0), false);
        }
        if self.grown.get() > 0 {
            shard::balance(self.grown.replace(0));
        }
        if self.due.get() > 0 {
            S::due(self.due.replace(0));
        }
    }
}
