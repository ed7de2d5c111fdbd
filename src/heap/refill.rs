//! Where an empty pop magazine gets blocks from, and where a full push magazine goes.
//!
//! A pop magazine that is empty changes places with the push magazine if that is at least half full; otherwise it is
//! replaced by a full one that the thread kept, or one from the depot, or filled from pages. A push magazine that is
//! full is kept, or given to the depot, or sent home.
//!
//! In a build with the feature `hardened`, a magazine that comes from pages begins with a random one of its blocks. If such a build
//! asks for `delay`, what was freed waits: a push magazine is never popped from, the full ones that the thread keeps are a queue, and
//! one always stays in it.

use super::magazine::{CAPACITY, Magazine, Slot, capacity};
use super::thread::{ClassHeap, Heap};
use super::{Pair, Words, depot, is_magazine};
use crate::config::hardened::{DELAY, RANDOM_ORDER, SHUFFLED};
use crate::os;
use crate::pages::classes::{CLASSES, block_size};
use crate::pages::page::Kind;
use crate::pages::shard;
use std::ptr::null_mut;
use std::sync::atomic::Ordering::Relaxed;

/// Block bytes of full magazines that a thread keeps of a class.
const KEPT_BYTES: usize = 32 << 10;
const KEPT: usize = 4;
/// A magazine with the part of its blocks that this is the inverse of serves before a page is asked.
const FEW: usize = 8;
/// Block bytes that a thread's magazines have room for before it gives up those that it does not use, and twice this
/// before it gives up others too.
const ROOM: usize = 1 << 20;

/// Full magazines of a class that a thread keeps and does not take from.
const WAITING: usize = if DELAY { 1 } else { 0 };

static KEEP: [u8; CLASSES] = {
    let mut table = [0; CLASSES];
    let mut class = 0;
    while class < CLASSES {
        let n = KEPT_BYTES / (capacity(class) * block_size(class));
        let n = if n > KEPT { KEPT } else { n };
        // Of those that wait, one is to be had.
        table[class] = if DELAY && n < WAITING + 1 { WAITING + 1 } else { n } as u8;
        class += 1;
    }
    table
};

impl ClassHeap {
    /// An empty magazine, or [`Magazine::NONE`] if memory is out.
    ///
    /// # Safety
    /// For this and the next: the caller is the owner, inside the gate.
    unsafe fn take_empty(&self, class: usize) -> Magazine {
        // SAFETY: by the caller's promise.
        let mine = unsafe { (*self.spare.get()).pop() };
        mine.or_else(|| depot::of(class).take_empty()).unwrap_or_else(Magazine::new)
    }

    /// # Safety
    /// The magazine is the caller's, and given away.
    unsafe fn leave_empty(&self, class: usize, m: Magazine) {
        // SAFETY: by the caller's promise.
        unsafe {
            let spare = &mut *self.spare.get();
            if spare.len() < KEPT { spare.push(m) } else { depot::of(class).leave_empty(m) }
        }
    }
}

impl Heap {
    /// Puts blocks into the pop magazine, which is empty. Returns how many; 0 if memory is out.
    ///
    /// # Safety
    /// For all of these: the caller is the owner, inside the gate, and the words are this heap's of that class.
    #[inline]
    pub(super) unsafe fn refill(
        &self,
        words: &Words,
        pair: Pair<'_>,
        k: &ClassHeap,
        kind: Kind,
        class: usize,
    ) -> usize {
        // SAFETY: by the caller's promise.
        unsafe { self.give_up_if_asked(words, kind, class) };
        // Relaxed here and below: the words and slots are this thread's, inside the gate.
        let push = pair.push.load(Relaxed);
        let held = if push.is_null() { 0 } else { self.compact(pair, k, class) };
        if !DELAY && held * 2 >= CAPACITY[class] as usize {
            self.swap(pair, k, class, held);
            return held;
        }
        // SAFETY: the owner is inside the gate.
        if let Some(full) = unsafe { if k.kept.load(Relaxed) > WAITING { k.take_kept() } else { None } } {
            let pop = pair.pop.load(Relaxed);
            if is_magazine(pop) {
                // SAFETY: the pop magazine is empty and this heap's.
                unsafe { k.leave_empty(class, Magazine::of(pop)) };
            }
            self.install(pair, k, class, full);
            return CAPACITY[class] as usize;
        }
        // SAFETY: by the caller's promise.
        unsafe { self.refill_shared(words, pair, k, kind, class, held) }
    }

    /// # Safety
    /// See [`Self::refill`].
    #[inline(never)]
    unsafe fn refill_shared(
        &self,
        words: &Words,
        pair: Pair<'_>,
        k: &ClassHeap,
        kind: Kind,
        class: usize,
        held: usize,
    ) -> usize {
        // SAFETY: by the caller's promise.
        unsafe { self.look_at_one(words, kind, class) };
        if !pair.has_pop() {
            // SAFETY: the owner is inside the gate.
            let m = unsafe { k.take_empty(class) };
            if m.is_none() {
                return 0;
            }
            pair.pop.store(m.start(class), Relaxed);
            if pair.push.load(Relaxed).is_null() {
                self.begin_use(kind, class);
            }
            // SAFETY: the magazine is new and this heap's.
            unsafe { (*m.start(class)).store(null_mut(), Relaxed) };
        }
        let pop = Magazine::of(pair.pop.load(Relaxed));
        if kind == Kind::Plain {
            // SAFETY: the pop magazine is empty and this heap's.
            if let Some(full) = unsafe { depot::of(class).exchange_for_full(pop) } {
                self.install(pair, k, class, full);
                return CAPACITY[class] as usize;
            }
        }
        // A few are better than new ones; but fewer would have the thread here again at once, and again.
        if !DELAY && held * FEW >= CAPACITY[class] as usize {
            self.swap(pair, k, class, held);
            return held;
        }
        let mut slot = pop.top();
        let taken = shard::take(self.shard(), kind, class, CAPACITY[class] as usize, |block| {
            // SAFETY: no more blocks come than the magazine has slots for.
            unsafe { (*slot).store(block, Relaxed) };
            slot = slot.wrapping_sub(1);
        });
        // SAFETY: a slot for the null is left.
        unsafe { (*slot).store(null_mut(), Relaxed) };
        // Before others may look at it.
        self.mix(pop.top(), taken.blocks);
        pair.pop.store(pop.top(), Relaxed);
        self.grown.set(self.grown.get() + taken.grown);
        self.count(k, class, taken.blocks);
        if DELAY && taken.blocks == 0 && held > 0 {
            // Better what was freed a moment ago than nothing.
            self.swap(pair, k, class, held);
            return held;
        }
        taken.blocks
    }

    /// So many blocks, from a slot downwards, from a random one on: the first to be handed out is any of them, and the others follow as
    /// they would, because neighbours are found in the cache. Steele's SplitMix64, and Lemire's products for numbers below a bound
    /// ("Fast Random Integer Generation in an Interval", 2019).
    fn mix(&self, top: *mut Slot, n: usize) {
        if !RANDOM_ORDER || n < 2 {
            return;
        }
        let mut state = self.random.get();
        if state == 0 {
            state = os::seed();
        }
        let mut below = |n: usize| {
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            (((mixed >> 32) * n as u64) >> 32) as usize
        };
        // SAFETY: slots of the thread's own magazine, one for each block, inside the gate.
        let slots = unsafe { std::slice::from_raw_parts_mut(top.wrapping_sub(n - 1).cast::<*mut u8>(), n) };
        if SHUFFLED {
            // Fisher and Yates.
            (1..n).rev().for_each(|i| slots.swap(i, below(i + 1)));
        } else {
            slots.rotate_left(below(n));
        }
        self.random.set(state);
    }

    /// The two magazines change places. `held` blocks are in the push magazine.
    fn swap(&self, pair: Pair<'_>, k: &ClassHeap, class: usize, held: usize) {
        let (pop, push) = (pair.pop.load(Relaxed), pair.push.load(Relaxed));
        if SHUFFLED {
            self.mix(push.wrapping_sub(1), held);
        }
        pair.pop.store(push.wrapping_sub(1), Relaxed);
        // SAFETY: the pop magazine, if there is one, is empty and this heap's.
        let push = if is_magazine(pop) { unsafe { Magazine::of(pop).begin_push(class) } } else { null_mut() };
        pair.push.store(push, Relaxed);
        self.count(k, class, held);
    }

    /// A full magazine becomes the pop magazine.
    fn install(&self, pair: Pair<'_>, k: &ClassHeap, class: usize, full: Magazine) {
        if SHUFFLED {
            self.mix(full.top(), CAPACITY[class] as usize);
        }
        pair.pop.store(full.top(), Relaxed);
        self.count(k, class, CAPACITY[class] as usize);
    }

    /// So many blocks were put into the pop magazine: whatever is popped was counted here.
    fn count(&self, k: &ClassHeap, class: usize, n: usize) {
        k.popped.store(k.popped.load(Relaxed) + n as u64, Relaxed);
        self.clock.set(self.clock.get() + n * block_size(class));
    }

    /// Closes the gap that somebody left who took blocks out of the push magazine. Returns how many blocks it holds.
    fn compact(&self, pair: Pair<'_>, k: &ClassHeap, class: usize) -> usize {
        let push = pair.push.load(Relaxed);
        let first = Magazine::of(push.wrapping_sub(1)).start(class).wrapping_add(1);
        let held = (push.addr() - first.addr()) / size_of::<Slot>();
        if !k.hollow.replace(false) {
            return held;
        }
        let mut to = first;
        for i in 0..held {
            // SAFETY: slots of the push magazine, this heap's.
            unsafe {
                let block = (*first.wrapping_add(i)).load(Relaxed);
                if !block.is_null() {
                    (*to).store(block, Relaxed);
                    to = to.wrapping_add(1);
                }
            }
        }
        pair.push.store(to, Relaxed);
        (to.addr() - first.addr()) / size_of::<Slot>()
    }

    /// Makes room in the push magazine, which is full or missing. `false` if there is no memory for a magazine.
    ///
    /// # Safety
    /// See [`Self::refill`].
    #[inline]
    pub(super) unsafe fn spill(&self, words: &Words, pair: Pair<'_>, k: &ClassHeap, kind: Kind, class: usize) -> bool {
        let push = pair.push.load(Relaxed);
        if push.is_null() {
            // SAFETY: the owner is inside the gate.
            let m = unsafe { k.take_empty(class) };
            if m.is_none() {
                return false;
            }
            if !pair.has_pop() {
                self.begin_use(kind, class);
            }
            // SAFETY: the magazine is this heap's.
            pair.push.store(unsafe { m.begin_push(class) }, Relaxed);
            return true;
        }
        if k.hollow.get() && self.compact(pair, k, class) < CAPACITY[class] as usize {
            return true;
        }
        let mut full = Magazine::of(push.wrapping_sub(1));
        // SAFETY: the owner is inside the gate.
        unsafe {
            // Who has waited for longest goes.
            if DELAY
                && k.kept.load(Relaxed) >= KEEP[class] as usize
                && let Some(oldest) = k.take_kept()
            {
                k.keep(full);
                full = oldest;
            }
        }
        if k.kept.load(Relaxed) < KEEP[class] as usize && (DELAY || self.room.get() < ROOM) {
            // SAFETY: the owner is inside the gate.
            let m = unsafe { k.take_empty(class) };
            if !m.is_none() {
                // SAFETY: both magazines are this heap's.
                unsafe {
                    k.keep(full);
                    pair.push.store(m.begin_push(class), Relaxed);
                }
                return true;
            }
        }
        // SAFETY: by the caller's promise.
        unsafe { self.spill_shared(words, pair, k, kind, class, full) };
        true
    }

    /// # Safety
    /// See [`Self::refill`].
    #[inline(never)]
    unsafe fn spill_shared(
        &self,
        words: &Words,
        pair: Pair<'_>,
        k: &ClassHeap,
        kind: Kind,
        class: usize,
        full: Magazine,
    ) {
        // SAFETY: by the caller's promise; the full magazine is this heap's.
        unsafe {
            self.give_up_if_asked(words, kind, class);
            self.look_at_one(words, kind, class);
            // A magazine to go on with comes first: without one, the full one cannot be given away.
            let spare = if kind == Kind::Plain { k.take_empty(class) } else { Magazine::NONE };
            let given = !spare.is_none() && depot::of(class).leave_full_or(class, full, spare);
            if !given {
                let due = shard::send_home(kind, Magazine::blocks(full.top())).due;
                self.due.set(self.due.get().max(due));
            }
            let next = if given { spare } else { full };
            pair.push.store(next.begin_push(class), Relaxed);
        }
    }

    /// Looks at the next class in turn, and gives up its magazines if the thread has not used them since it looked
    /// last; and at more of them, and at used ones too, while there is room for too much.
    ///
    /// # Safety
    /// See [`Self::refill`].
    unsafe fn look_at_one(&self, words: &Words, kind: Kind, but: usize) {
        for _ in 0..2 {
            let class = (self.hand.get() + 1) % CLASSES;
            self.hand.set(class);
            if let (true, Some((pair, k))) = (class != but, self.pairs(words, kind, class)) {
                let now = [pair.pop.load(Relaxed), pair.push.load(Relaxed)];
                let idle = now == [k.seen[0].replace(now[0]), k.seen[1].replace(now[1])];
                if (idle && (is_magazine(now[0]) || !now[1].is_null())) || self.room.get() > 2 * ROOM {
                    // SAFETY: by the caller's promise.
                    let sent = unsafe { self.flush(pair, k, kind, class) };
                    self.due.set(self.due.get().max(sent.due));
                }
            }
            if self.room.get() <= ROOM {
                break;
            }
        }
    }
}
