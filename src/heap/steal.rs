//! Taking home what lies in the magazines of threads that do not use it, while those threads sleep, or run.
//!
//! A thread's fast path has no lock, no atomic operation and no flag, so it can be anywhere in a pop or a push at any
//! moment. This is how its magazines are emptied all the same:
//!
//! 1. Claim its gate: from then on it stays out of its slow path.
//! 2. **Push magazine.** The thread only ever writes at the push word and above. What lies below it is ours: take it,
//!    and leave nulls, which the thread closes up later. (Claiming passed a barrier, so the slots below the word
//!    that we read next were written.)
//! 3. **Pop magazine.** Read the pop word: `t0`. Take what lies *below* `t0`, and leave nulls. Then make every thread
//!    pass a barrier, and read the pop word again: `t1`. A slot above `t1` was popped before the thread saw our null:
//!    not ours. Slots below `t1` are ours: the thread has not come to them, and when it does it will see a null. The
//!    slot at `t1` itself may be in the thread's hands at this moment, so its block is put back: either the thread
//!    has it already and never looks at the slot again, or it will pop it later.
//! 4. Open the gate, and send home what was taken.

use super::magazine::{CAPACITY, Magazine, SLOTS, Slot};
use super::thread::{ClassHeap, Heap, SLOW_FROM, after};
use super::{Pair, Words, depot, is_magazine};
use crate::os::{self, lock::Lock};
use crate::pages::classes::CLASSES;
use crate::pages::page::Kind;
use crate::pages::shard::{self, Sent};
use crate::sync::{AtomicBool, AtomicPtr, Ordering};
use std::ptr::null_mut;
use std::sync::atomic::Ordering::Relaxed;

/// Blocks taken from one class of a thread.
struct Haul {
    /// `t0`, or null if nothing was taken from the pop magazine.
    from: *mut Slot,
    /// What the slots from `from` downwards held; null for the first, which is the thread's.
    blocks: [*mut u8; SLOTS],
    len: usize,
    /// The slot of a sample's cut among them, or null.
    cut: *mut Slot,
}

/// The room for it is static because the stack of whoever collects may be small.
struct Taker {
    hauls: [Haul; CLASSES],
}

// SAFETY: the pointers in it are blocks and slots that the taker has taken.
unsafe impl Send for Taker {}

static TAKER: Lock<Taker> = Lock::new(Taker {
    hauls: [const { Haul { from: null_mut(), blocks: [null_mut(); SLOTS], len: 0, cut: null_mut() } }; CLASSES],
});

/// Whether threads can be made to pass a barrier.
static BARRIERS: AtomicBool = AtomicBool::new(false);

/// Before the process' first operation: later, when there are threads, the kernel takes ten milliseconds for it.
pub(super) fn prepare() {
    BARRIERS.store(os::register_barrier(), Ordering::Relaxed); // Relaxed: see above
}

/// Takes home the magazines that nobody touched since the last round (all that can be had, with `all`), threads' and
/// depots'. Locks; does not allocate.
pub(crate) fn take_idle(all: bool) -> Sent {
    let mut sent = Sent::default();
    let mut round = Round::new(all);
    while let Some(more) = round.step() {
        sent += more;
    }
    sent
}

/// [`take_idle`] in steps.
#[derive(Clone, Copy)]
pub(crate) struct Round {
    all: bool,
    /// The heap that was looked at last; null at the start.
    heap: *mut Heap,
    heaps_done: bool,
    /// The depot that is looked at next, and magazines that were taken from it.
    class: usize,
    taken: usize,
}

// SAFETY: heaps live for ever.
unsafe impl Send for Round {}

/// Magazines that a round takes from a depot: more than fit into one.
const MOST_OF_A_DEPOT: usize = 64;

impl Round {
    /// One that is over.
    pub(crate) const OVER: Round = Round { all: false, heap: null_mut(), heaps_done: true, class: CLASSES, taken: 0 };

    pub(crate) const fn new(all: bool) -> Round {
        Round { all, heap: null_mut(), heaps_done: false, class: 0, taken: 0 }
    }

    /// Takes from the next thread, or the next magazine of a depot: some microseconds, and at most as many hundred as a thread that
    /// holds all it may is worth. `None` when the round is over.
    pub(crate) fn step(&mut self) -> Option<Sent> {
        if !self.heaps_done {
            let mut guard = TAKER.lock();
            let taker = &mut *guard;
            let can = BARRIERS.load(Ordering::Relaxed); // Relaxed: written before there was another thread
            let mut sent = Sent::default();
            let take = |heap: &Heap, words: Option<&Words>| {
                sent = words.map(|words| take_from(taker, heap, words, self.all)).unwrap_or_default();
            };
            if let Some(heap) = can.then(|| after(self.heap, take)).flatten() {
                self.heap = heap;
                return Some(sent);
            }
            self.heaps_done = true;
        }
        while self.class < CLASSES && depot::any_full() {
            let depot = depot::of(self.class);
            // So many at most: others may fill it meanwhile, and faster.
            if let Some(m) = if self.taken < MOST_OF_A_DEPOT { depot.take_rested(self.all) } else { None } {
                self.taken += 1;
                // SAFETY: the magazine was the depot's, and is this thread's now.
                return Some(unsafe {
                    let sent = shard::send_home(Kind::Plain, Magazine::blocks(m.top()));
                    depot.leave_empty(m);
                    sent
                });
            }
            depot.rest();
            (self.class, self.taken) = (self.class + 1, 0);
        }
        None
    }
}

/// Nothing if nothing was idle, or the thread is on a slow path.
fn take_from(taker: &mut Taker, heap: &Heap, words: &Words, all: bool) -> Sent {
    // A look without the gate: most threads most of the time have nothing that is idle, or nothing at all.
    let (mut idle, mut any) = ([false; CLASSES], false);
    heap.each_used(|class| {
        let (pair, k) = (heap.pair(words, class), &heap.classes[class]);
        let now = [pair.pop.load(Relaxed), pair.push.load(Relaxed)];
        let popped = k.popped.load(Relaxed);
        let same = now == [k.seen_outside[0].replace(now[0]), k.seen_outside[1].replace(now[1])]
            && popped == k.popped_outside.get();
        k.popped_outside.set(popped);
        idle[class] = (same || all) && (is_magazine(now[0]) || !now[1].is_null());
        any |= idle[class];
    });
    if !any || !heap.gate.claim() {
        return Sent::default();
    }
    let mut sent = Sent::default();
    // What only slow paths touch is at rest while the gate is claimed.
    for class in (SLOW_FROM..CLASSES).filter(|&c| idle[c]) {
        // SAFETY: nobody else is between the gate's two sides.
        sent += unsafe { heap.flush(heap.pair(words, class), &heap.classes[class], Kind::Plain, class) };
    }
    let classes = || (0..SLOW_FROM).filter(|&c| idle[c]);
    for class in classes() {
        let (pair, k) = (words.pair(class), &heap.classes[class]);
        // SAFETY: the gate is claimed, so the owner is on no slow path.
        unsafe {
            sent += take_pushed(pair, k, class);
            take_popped(pair, k, class, &mut taker.hauls[class]);
            while let Some(m) = k.take_kept() {
                sent += shard::send_home(Kind::Plain, Magazine::blocks(m.top()));
                depot::of(class).leave_empty(m);
            }
        }
    }
    let passed = os::barrier();
    for class in classes() {
        let (pair, k, haul) = (words.pair(class), &heap.classes[class], &mut taker.hauls[class]);
        // SAFETY: as above.
        unsafe { settle(pair.pop, k, haul, passed) };
        sent += shard::send_home(Kind::Plain, haul.blocks[..haul.len].iter().copied().filter(|b| !b.is_null()));
        haul.len = 0;
    }
    heap.gate.unclaim();
    sent
}

/// Step 2.
///
/// # Safety
/// For all of these: the gate of the heap that the words belong to is claimed.
unsafe fn take_pushed(pair: Pair<'_>, k: &ClassHeap, class: usize) -> Sent {
    let push = pair.push.load(Ordering::Acquire); // Acquire: the slots below were written before the word
    if push.is_null() {
        return Sent::default();
    }
    let m = Magazine::of(push.wrapping_sub(1));
    let n = (push.addr() - m.start(class).addr()) / size_of::<Slot>() - 1;
    let slots = (1..=n).map(|i| m.start(class).wrapping_add(i));
    // SAFETY: slots of the thread's push magazine, below the ones that it writes.
    let taken = slots.map(|slot| unsafe { (*slot).swap(null_mut(), Relaxed) });
    k.hollow.set(k.hollow.get() || n > 0);
    shard::send_home(Kind::Plain, taken.filter(|b| !b.is_null()))
}

/// The first half of step 3.
///
/// # Safety
/// See [`take_pushed`].
unsafe fn take_popped(pair: Pair<'_>, k: &ClassHeap, class: usize, haul: &mut Haul) {
    haul.len = 0;
    haul.from = pair.pop.load(Relaxed);
    if !is_magazine(haul.from) {
        return;
    }
    // Whether the block that the thread pops next is a sample was decided when the magazine was cut, and stays so, or
    // samples would be lost in proportion to how often somebody takes. What is below is void, cut or not.
    let cut = k.cut.load(Relaxed);
    // SAFETY: the pop word points at a slot of the thread's magazine.
    if cut != haul.from && unsafe { (*haul.from).load(Relaxed) }.is_null() {
        // The thread stands at the end of its magazine. What the slots below hold is of another time: live blocks.
        haul.from = null_mut();
        return;
    }
    haul.cut = if cut == haul.from { null_mut() } else { k.take_cut() };
    k.until.set(0);
    haul.blocks[0] = null_mut();
    haul.len = 1;
    let end = Magazine::of(haul.from).start(class);
    let mut slot = haul.from;
    while slot > end && haul.len <= CAPACITY[class] as usize {
        slot = slot.wrapping_sub(1);
        // SAFETY: a slot of the thread's pop magazine.
        let block = unsafe { (*slot).swap(null_mut(), Relaxed) };
        let block = if slot == haul.cut { k.saved.load(Relaxed) } else { block };
        if block.is_null() {
            break;
        }
        haul.blocks[haul.len] = block;
        haul.len += 1;
    }
}

/// The second half of step 3.
///
/// # Safety
/// See [`take_pushed`].
unsafe fn settle(pop: &AtomicPtr<Slot>, k: &ClassHeap, haul: &mut Haul, passed: bool) {
    if haul.len == 0 {
        return;
    }
    let t1 = pop.load(Ordering::Acquire); // Acquire: with the barrier, what the thread popped before is known
    let mut ours = 0;
    for (i, block) in haul.blocks[..haul.len].iter_mut().enumerate().skip(1) {
        let slot = haul.from.wrapping_sub(i);
        // Without the barrier we know nothing: everything goes back, which harms nobody.
        if slot < t1 && passed {
            ours += 1;
            continue;
        }
        if slot == haul.cut && slot <= t1 {
            k.cut.store(slot, Relaxed); // as it was: the null stays, and its block is still saved
        } else if slot <= t1 {
            // SAFETY: a slot of the thread's pop magazine, which it has or will come to.
            unsafe { (*slot).store(*block, Relaxed) };
        }
        *block = null_mut();
    }
    k.popped.store(k.popped.load(Relaxed) - ours, Relaxed);
}

pub(super) fn before_fork() {
    TAKER.acquire();
}

pub(super) fn after_fork() {
    TAKER.release();
}
