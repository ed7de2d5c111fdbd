//! A thread's heap behind its fast words: where it comes from, what it knows, and what happens at the thread's end.

use super::dying::Dying;
use super::gate::Gate;
use super::magazine::{Magazine, Magazines, Slot};
use super::{Pair, SlowPath, Tracker, Words, census, depot};
use crate::arena::{private, slices};
use crate::config::hardened::DELAY;
use crate::config::{self, Config};
use crate::os::{self, loader, lock::Lock, process};
use crate::pages::classes::{CLASSES, block_size};
use crate::pages::loose;
use crate::pages::page::Kind;
use crate::pages::shard::{self, Sent};
use crate::sync::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::cell::{Cell, UnsafeCell};
use std::ffi::c_void;
use std::ptr::null_mut;

/// What a thread knows of a class besides its two words.
pub(super) struct ClassHeap {
    /// Full magazines that it keeps, and empty ones.
    full: UnsafeCell<Magazines>,
    pub(super) spare: UnsafeCell<Magazines>,
    /// How many full ones it keeps, and the first of them, for whoever looks from outside.
    pub(super) kept: AtomicUsize,
    first_kept: AtomicPtr<Slot>,
    /// The two words when this thread last looked whether it uses the class.
    pub(super) seen: [Cell<*mut Slot>; 2],
    /// The two words when `steal` last looked, and `popped`: a thread that collects does so right after a refill, where
    /// the words of a class in use are always the same.
    pub(super) seen_outside: [Cell<*mut Slot>; 2],
    pub(super) popped_outside: Cell<u64>,
    /// The slot where the next sample falls, null while none falls into the pop magazine, and what stood there.
    pub(super) cut: AtomicPtr<Slot>,
    pub(super) saved: AtomicPtr<u8>,
    /// Blocks until the next sample, counted from the end of the pop magazine; 0 before it was drawn.
    pub(super) until: Cell<u64>,
    /// Which [`SlowPath::rate`] it was drawn at.
    pub(super) rate: Cell<u16>,
    /// Blocks that were put into the pop magazine, less those that were taken out of it other than by popping.
    pub(super) popped: AtomicU64,
    /// Tracked blocks that were allocated.
    pub(super) tracked: AtomicU64,
    /// Somebody took blocks out of the push magazine's lower end.
    pub(super) hollow: Cell<bool>,
}

/// The words of a class for tracked blocks, which only slow paths use.
pub(super) struct TrackedWords {
    pop: AtomicPtr<Slot>,
    push: AtomicPtr<Slot>,
    heap: ClassHeap,
}

/// Classes from this one on, of more than 8 KiB, do without fast words: their blocks are worth more than a slow path costs,
/// and what only slow paths touch can be taken from outside to the last block.
pub(super) const SLOW_FROM: usize = 64;
const _: () = assert!(block_size(SLOW_FROM - 1) == 8 << 10);

/// A thread's heap. Heaps are never unmapped: an ended thread's is parked, and the next new thread takes it over.
///
/// Who may touch what: the owner, between [`Gate::enter`] and [`Gate::leave`], everything; the taker, while it has
/// claimed the gate, everything; anybody, the atomics. `words` changes under the registry's lock only.
#[repr(C)]
pub(crate) struct Heap {
    pub(super) words: AtomicPtr<Words>,
    next: AtomicPtr<Heap>,
    next_parked: Cell<*mut Heap>,
    pub(super) gate: Gate,
    pub(super) exact: Cell<bool>,
    shard: Cell<usize>,
    /// A bit for each class that has magazines for plain blocks. A hint for whoever looks from outside.
    used: [AtomicU64; 2],
    /// Bytes that the clock has not been told of.
    pub(super) clock: Cell<usize>,
    /// Block bytes that fit into the magazines of the classes in use.
    pub(super) room: Cell<usize>,
    /// The last [`ask_to_give_up`] that it has followed.
    pub(super) gave_up: Cell<u32>,
    /// The state of a generator of random numbers, for the order of blocks.
    pub(super) random: Cell<u64>,
    /// The class that is looked at next for magazines that are not used.
    pub(super) hand: Cell<usize>,
    /// What the slow path did that must be dealt with after it: memory that the process grew by, bytes due.
    pub(super) grown: Cell<usize>,
    pub(super) due: Cell<usize>,
    pub(super) tracker: UnsafeCell<Tracker>,
    tracked: AtomicPtr<[TrackedWords; CLASSES]>,
    /// Tracked blocks that were freed a moment ago.
    pub(super) dying: Dying,
    /// The words of the classes from [`SLOW_FROM`] on; the fast ones of these classes are the sentinels for ever.
    slow: [[AtomicPtr<Slot>; 2]; CLASSES - SLOW_FROM],
    pub(super) classes: [ClassHeap; CLASSES],
}

struct Registry {
    booted: bool,
    end: Option<process::ThreadEnd>,
    first: *mut Heap,
    parked: *mut Heap,
    threads: usize,
}

// SAFETY: the registry's pointers lead to heaps, which live for ever.
unsafe impl Send for Registry {}

static REGISTRY: Lock<Registry> =
    Lock::new(Registry { booted: false, end: None, first: null_mut(), parked: null_mut(), threads: 0 });

impl ClassHeap {
    /// Keeps a full magazine.
    ///
    /// # Safety
    /// For this and the next: the caller is the owner, inside the gate, or has claimed it.
    pub(super) unsafe fn keep(&self, full: Magazine) {
        // SAFETY: by the caller's promise; the magazine is the heap's.
        let kept = unsafe {
            (*self.full.get()).push(full);
            &*self.full.get()
        };
        self.show_kept(kept);
    }

    /// Takes back a full magazine that was kept.
    ///
    /// # Safety
    /// See [`Self::keep`].
    pub(super) unsafe fn take_kept(&self) -> Option<Magazine> {
        // SAFETY: by the caller's promise.
        let kept = unsafe { &mut *self.full.get() };
        let m = if DELAY { kept.pop_last() } else { kept.pop() }?;
        self.show_kept(kept);
        Some(m)
    }

    fn show_kept(&self, kept: &Magazines) {
        self.kept.store(kept.len(), Ordering::Relaxed); // Relaxed, both: a statistic for others
        self.first_kept.store(kept.first().map_or(null_mut(), Magazine::top), Ordering::Relaxed);
    }

    /// The full magazines that it keeps. A look from outside: while the owner takes one, others may seem to be among them,
    /// of which only the slots may be read.
    pub(super) fn each_kept(&self) -> impl Iterator<Item = Magazine> {
        let n = self.kept.load(Ordering::Relaxed); // Relaxed, both: a moment old
        let first = self.first_kept.load(Ordering::Relaxed);
        // SAFETY: magazines are never unmapped, and their links are atomics that lead to magazines or nowhere.
        let next = |m: &Magazine| Some(unsafe { m.next() }).filter(|m| !m.is_none());
        std::iter::successors((!first.is_null()).then(|| Magazine::of(first)), next).take(n)
    }

    /// The slot of the cut, which is void from here on.
    pub(super) fn take_cut(&self) -> *mut Slot {
        let cut = self.cut.load(Ordering::Relaxed); // Relaxed: as above
        self.cut.store(null_mut(), Ordering::Relaxed);
        cut
    }
}

impl Heap {
    /// What the words of an ended thread hold instead of a heap.
    pub(super) const ENDED: *mut Heap = std::ptr::without_provenance_mut(1);

    /// This thread's heap: the one it has, or a new one. `None` if the thread has ended or memory is out.
    #[inline]
    pub(super) fn of<S: SlowPath>(config: &Config, words: &Words) -> Option<&'static Heap> {
        let heap = words.heap.load(Ordering::Relaxed); // Relaxed: this thread's own
        if heap.is_null() {
            return attach::<S>(config, words);
        }
        // SAFETY: heaps live for ever.
        (heap != Self::ENDED).then(|| unsafe { &*heap })
    }

    pub(super) fn shard(&self) -> usize {
        self.shard.get()
    }

    /// # Safety
    /// The caller is the owner or has claimed the gate, and holds no other reference to the tracker's state.
    #[allow(clippy::mut_from_ref)]
    pub(super) unsafe fn tracker(&self) -> &mut Tracker {
        // SAFETY: by the caller's promise.
        unsafe { &mut *self.tracker.get() }
    }

    /// The words of a class for plain blocks.
    #[inline]
    pub(super) fn pair<'a>(&'a self, words: &'a Words, class: usize) -> Pair<'a> {
        match class.checked_sub(SLOW_FROM) {
            None => words.pair(class),
            Some(i) => Pair { pop: &self.slow[i][0], push: &self.slow[i][1] },
        }
    }

    /// The same for whoever only has the words.
    pub(super) fn pair_of_this_thread(words: &Words, class: usize) -> Option<Pair<'_>> {
        let heap = words.heap.load(Ordering::Relaxed); // Relaxed: this thread's own
        // SAFETY: heaps live for ever.
        (!heap.is_null() && heap != Self::ENDED).then(|| unsafe { (*heap).pair(words, class) })
    }

    /// The class has a magazine from here on. The caller is the owner, inside the gate.
    pub(super) fn begin_use(&self, kind: Kind, class: usize) {
        self.room.set(self.room.get() + room(class));
        if kind == Kind::Plain {
            let used = &self.used[class / 64];
            used.store(used.load(Ordering::Relaxed) | 1 << (class % 64), Ordering::Relaxed); // Relaxed: a hint
        }
    }

    /// The classes that have magazines. A look from outside.
    pub(super) fn each_used(&self, mut f: impl FnMut(usize)) {
        for (i, word) in self.used.iter().enumerate() {
            let mut word = word.load(Ordering::Relaxed); // Relaxed: a hint
            while word != 0 {
                f(i * 64 + word.trailing_zeros() as usize);
                word &= word - 1;
            }
        }
    }

    /// The words and the rest of a class, for tracked blocks. `None` if memory is out.
    pub(super) fn tracked(&self, class: usize) -> Option<(Pair<'_>, &ClassHeap)> {
        if self.tracked.load(Ordering::Relaxed).is_null() {
            let p: *mut [TrackedWords; CLASSES] = private::take(size_of::<[TrackedWords; CLASSES]>()).cast();
            if p.is_null() {
                return None;
            }
            // SAFETY: zeroed memory is a `TrackedWords` but for its pop word, which `reset` sets.
            unsafe { (*p).iter().for_each(|t| Pair { pop: &t.pop, push: &t.push }.reset()) };
            self.tracked.store(p, Ordering::Release); // Release: readers from outside see it whole
        }
        // SAFETY: written above, once.
        let t = unsafe { &(*self.tracked.load(Ordering::Relaxed))[class] };
        Some((Pair { pop: &t.pop, push: &t.push }, &t.heap))
    }

    /// The same if there are any yet.
    #[inline]
    pub(super) fn tracked_now(&self, class: usize) -> Option<(Pair<'_>, &ClassHeap)> {
        let tracked = self.tracked.load(Ordering::Relaxed); // Relaxed: this thread's own
        // SAFETY: written once, and never unmapped.
        let t = unsafe { &tracked.as_ref()?[class] };
        Some((Pair { pop: &t.pop, push: &t.push }, &t.heap))
    }

    /// Free blocks of each class in magazines for tracked blocks. A look from outside.
    pub(super) fn tracked_cached(&self, mut f: impl FnMut(usize, usize)) {
        self.dying.each(|freed| f(freed.class, 1));
        self.each_tracked(|class, pair, k| {
            let mut held = census::popped_last(pair.pop.load(Ordering::Relaxed), null_mut(), class); // Relaxed: a moment old
            let push = pair.push.load(Ordering::Relaxed);
            if !push.is_null() {
                held += census::pushed(push, class);
            }
            f(class, held + k.kept.load(Ordering::Relaxed) * super::magazine::capacity(class));
        });
    }

    /// Tracked blocks of each class that were popped from such magazines.
    pub(super) fn tracked_allocated(&self, f: &mut impl FnMut(usize, u64)) {
        self.each_tracked(|class, pair, k| {
            let left = census::popped_last(pair.pop.load(Ordering::Relaxed), null_mut(), class) as u64; // Relaxed: as above
            f(class, k.popped.load(Ordering::Relaxed).wrapping_sub(left));
        });
    }

    /// The words and the rest of each class for tracked blocks, if there are any yet. A look from outside.
    pub(super) fn each_tracked(&self, mut f: impl FnMut(usize, Pair<'_>, &ClassHeap)) {
        let tracked = self.tracked.load(Ordering::Acquire); // Acquire: written before it was published
        if !tracked.is_null() {
            // SAFETY: written once, and never unmapped.
            let all = unsafe { (*tracked).iter().enumerate() };
            all.for_each(|(class, t)| f(class, Pair { pop: &t.pop, push: &t.push }, &t.heap));
        }
    }

    /// All words and classes of a kind that this heap has.
    pub(super) fn pairs<'a>(&'a self, words: &'a Words, kind: Kind, class: usize) -> Option<(Pair<'a>, &'a ClassHeap)> {
        match kind {
            Kind::Tracked if self.tracked.load(Ordering::Relaxed).is_null() => None,
            Kind::Tracked => self.tracked(class),
            _ => Some((self.pair(words, class), &self.classes[class])),
        }
    }

    /// Sends home what the magazines of a class hold, and gives the magazines away.
    ///
    /// # Safety
    /// The caller is the owner, inside the gate, or has claimed it and the words are no fast ones.
    pub(super) unsafe fn flush(&self, pair: Pair<'_>, k: &ClassHeap, kind: Kind, class: usize) -> Sent {
        self.uncut(k);
        let mut sent = Sent::default();
        let mut home = |m: Magazine, top: *mut Slot| {
            // SAFETY: the magazine is this heap's; it is given away once its blocks are home.
            unsafe {
                sent += shard::send_home(kind, Magazine::blocks(top));
                depot::of(class).leave_empty(m);
            }
        };
        let (pop, push) = (pair.pop.load(Ordering::Relaxed), pair.push.load(Ordering::Relaxed)); // Relaxed: ours
        if pair.has_pop() {
            // SAFETY: the pop word points into its magazine.
            let left = unsafe { Magazine::blocks(pop) }.count();
            k.popped.store(k.popped.load(Ordering::Relaxed) - left as u64, Ordering::Relaxed);
            home(Magazine::of(pop), pop);
        }
        if !push.is_null() {
            home(Magazine::of(push.wrapping_sub(1)), push.wrapping_sub(1));
        }
        // SAFETY: the owner is inside the gate.
        while let Some(m) = unsafe { k.take_kept() } {
            home(m, m.top());
        }
        // SAFETY: as above; an empty magazine is given away.
        while let Some(m) = unsafe { (*k.spare.get()).pop() } {
            // SAFETY: as above.
            unsafe { depot::of(class).leave_empty(m) };
        }
        if pair.has_pop() || !push.is_null() {
            self.room.set(self.room.get().saturating_sub(room(class)));
        }
        if kind == Kind::Plain {
            let used = &self.used[class / 64];
            used.store(used.load(Ordering::Relaxed) & !(1 << (class % 64)), Ordering::Relaxed); // Relaxed: a hint
        }
        pair.reset();
        k.hollow.set(false);
        sent
    }

    /// Puts back what a cut took out of the pop magazine. The draw is void: the next one starts anew.
    pub(super) fn uncut(&self, k: &ClassHeap) {
        let cut = k.take_cut();
        if !cut.is_null() {
            // SAFETY: the slot belongs to the pop magazine.
            unsafe { (*cut).store(k.saved.load(Ordering::Relaxed), Ordering::Relaxed) }; // Relaxed: this thread's own
        }
        k.until.set(0);
    }

    /// Everything home: the thread ends, or changes to exact tracking.
    ///
    /// # Safety
    /// The caller is the owner, inside the gate.
    pub(super) unsafe fn flush_all(&self, words: &Words, kind: Kind) {
        for class in 0..CLASSES {
            if let Some((pair, k)) = self.pairs(words, kind, class) {
                // SAFETY: by the caller's promise.
                let sent = unsafe { self.flush(pair, k, kind, class) };
                self.due.set(self.due.get().max(sent.due));
            }
        }
    }
}

/// Block bytes that the two magazines of a class hold at most.
fn room(class: usize) -> usize {
    2 * super::magazine::capacity(class) * block_size(class)
}

/// Before the process' first operation.
fn boot<S: SlowPath>(config: &Config, registry: &mut Registry) {
    let parsed = config::env::effective(config, os::environment, os::warn);
    config::current::set(&parsed.config);
    S::configured(&parsed.config, parsed.help);
    registry.end = process::ThreadEnd::new(end::<S>);
    super::steal::prepare();
    process::on_fork(before_fork::<S>, after_fork_in_parent::<S>, after_fork_in_child::<S>);
    registry.booted = true;
}

#[cfg(feature = "c-interface")]
impl Registry {
    /// The only heap that there is has these words, and they know nothing of it: the loader has written the initial values of
    /// thread-local variables over them, see `initial_exec`. Its magazines are left alone, as those of a thread that a fork left behind.
    fn forget_the_loaders(&mut self, words: &Words) {
        // SAFETY: heaps live for ever.
        if let Some(only) = unsafe { self.first.as_ref() }
            && only.next.load(Ordering::Relaxed).is_null()
            && std::ptr::eq(only.words.load(Ordering::Relaxed), words)
        {
            only.words.store(null_mut(), Ordering::Relaxed); // Relaxed, all of it: under the lock
            shard::leave(only.shard.get());
            self.threads -= 1;
        }
    }
}

#[cold]
fn attach<S: SlowPath>(config: &Config, words: &Words) -> Option<&'static Heap> {
    // What is called here for the first time may itself allocate, where this is the C library's allocator, too. It is served
    // like a thread that has ended.
    words.heap.store(Heap::ENDED, Ordering::Relaxed); // Relaxed: this thread's own
    let mut registry = REGISTRY.lock();
    if !registry.booted {
        boot::<S>(config, &mut registry);
    }
    #[cfg(feature = "c-interface")]
    registry.forget_the_loaders(words);
    let mut heap = registry.parked;
    if heap.is_null() {
        heap = private::take(size_of::<Heap>()).cast();
        if heap.is_null() {
            words.heap.store(null_mut(), Ordering::Relaxed); // Relaxed: as above
            return None;
        }
        // Zeroed memory is a heap without a thread, but for the pop words.
        // SAFETY: the memory is ours and that long.
        unsafe {
            (*heap).slow.iter().for_each(|[pop, push]| Pair { pop, push }.reset());
            (*heap).next.store(registry.first, Ordering::Relaxed); // Relaxed: published by the lock
        }
        registry.first = heap;
    } else {
        // SAFETY: parked heaps are nobody's.
        registry.parked = unsafe { (*heap).next_parked.get() };
    }
    // SAFETY: it is ours from here on.
    let heap = unsafe { &*heap };
    heap.shard.set(shard::join());
    heap.words.store((&raw const *words).cast_mut(), Ordering::Relaxed); // Relaxed: read under the lock
    registry.threads += 1;
    let end = registry.end;
    drop(registry);
    words.heap.store((&raw const *heap).cast_mut(), Ordering::Relaxed); // Relaxed: this thread's own
    // Without the call at its end, the thread's heap would be lost with it.
    if !end.is_some_and(|end| end.arm((&raw const *words).cast_mut().cast())) {
        park::<S>(heap, words);
        return None;
    }
    Some(heap)
}

/// Runs at the end of each thread that has a heap.
unsafe extern "C" fn end<S: SlowPath>(words: *mut c_void) {
    // SAFETY: the value is the address of this thread's words, which are valid until the thread is gone.
    let words = unsafe { &*words.cast::<Words>() };
    let heap = words.heap.load(Ordering::Relaxed); // Relaxed: this thread's own
    if heap.is_null() || heap == Heap::ENDED {
        return;
    }
    // SAFETY: heaps live for ever.
    let heap = unsafe { &*heap };
    heap.gate.enter();
    // SAFETY: inside the gate.
    unsafe {
        heap.bury_all::<S>();
        heap.flush_all(words, Kind::Plain);
        heap.flush_all(words, Kind::Tracked);
    }
    heap.exact.set(false);
    heap.gate.leave();
    let (allocated, due) = (heap.clock.replace(0), heap.due.replace(0));
    park::<S>(heap, words); // somebody else's from here on
    S::allocated(allocated, false);
    S::due(due);
}

fn park<S: SlowPath>(heap: &Heap, words: &Words) {
    words.heap.store(Heap::ENDED, Ordering::Relaxed); // Relaxed: this thread's own
    let mut registry = REGISTRY.lock();
    heap.words.store(null_mut(), Ordering::Relaxed); // Relaxed: read under the lock
    shard::leave(heap.shard.get());
    // SAFETY: the owner is gone, and nobody has claimed a heap without words.
    unsafe { S::ended(&mut *heap.tracker.get()) };
    heap.next_parked.set(registry.parked);
    registry.parked = (&raw const *heap).cast_mut();
    registry.threads -= 1;
}

/// Calls `f` with each heap that has a thread, whose words stay valid meanwhile.
pub(super) fn each(mut f: impl FnMut(&Heap, &Words)) {
    each_standing(|heap, words| words.into_iter().for_each(|words| f(heap, words)));
}

/// The same, and heaps without a thread, among them those whose threads a `fork` has left behind.
pub(super) fn each_standing(mut f: impl FnMut(&Heap, Option<&Words>)) {
    let mut last = null_mut();
    while let Some(heap) = after(last, &mut f) {
        last = heap;
    }
}

/// Calls `f` with the heap that follows on one, or with the first if that is null, and returns it; `None` if there is none. The lock
/// is taken for one heap at a time, so that threads come and go in between.
pub(super) fn after(last: *mut Heap, f: impl FnOnce(&Heap, Option<&Words>)) -> Option<*mut Heap> {
    let registry = REGISTRY.lock();
    // SAFETY: heaps live for ever, and a thread's words as long as the lock keeps it from parking its heap.
    unsafe {
        // Relaxed, here and below: written before the heap was published; written under the lock.
        let heap = if last.is_null() { registry.first } else { (*last).next.load(Ordering::Relaxed) };
        f(heap.as_ref()?, (*heap).words.load(Ordering::Relaxed).as_ref());
        Some(heap)
    }
}

/// All heaps, those without a thread too: for counters, which outlive threads.
pub(super) fn each_ever(mut f: impl FnMut(&Heap)) {
    let mut heap = REGISTRY.lock().first;
    while !heap.is_null() {
        // SAFETY: heaps live for ever; what is read are atomics.
        unsafe {
            f(&*heap);
            heap = (*heap).next.load(Ordering::Relaxed); // Relaxed: as above
        }
    }
}

/// How often threads were asked to give up what they hold.
static GIVE_UP: AtomicU32 = AtomicU32::new(0);

/// Asks every thread for what its magazines hold. One that runs gives it when it refills or spills a magazine next, once; from one
/// that sleeps, or is on its fast paths alone, [`super::steal::take_idle`] takes it.
pub(crate) fn ask_to_give_up() {
    GIVE_UP.fetch_add(1, Ordering::Relaxed); // Relaxed: a thread that sees it later gives later
}

impl Heap {
    /// Gives up all magazines but those of one class, the one that is being seen to, if somebody has asked for that.
    ///
    /// # Safety
    /// The caller is the owner, inside the gate.
    #[inline]
    pub(super) unsafe fn give_up_if_asked(&self, words: &Words, kind: Kind, but: usize) {
        let asked = GIVE_UP.load(Ordering::Relaxed); // Relaxed: see `ask_to_give_up`
        if self.gave_up.get() != asked {
            self.gave_up.set(asked);
            // SAFETY: by the caller's promise.
            unsafe { self.give_up(words, kind, but) };
        }
    }

    /// # Safety
    /// See [`Self::give_up_if_asked`].
    #[cold]
    unsafe fn give_up(&self, words: &Words, kind: Kind, but: usize) {
        for of in [Kind::Plain, Kind::Tracked] {
            for class in (0..CLASSES).filter(|&class| of != kind || class != but) {
                if let Some((pair, k)) = self.pairs(words, of, class) {
                    // SAFETY: by the caller's promise.
                    _ = unsafe { self.flush(pair, k, of, class) };
                }
            }
        }
    }
}

/// Sends home what this thread's magazines hold.
pub(crate) fn flush_this<S: SlowPath>() {
    super::words(|words| {
        let heap = words.heap.load(Ordering::Relaxed); // Relaxed: this thread's own
        if !heap.is_null() && heap != Heap::ENDED {
            // SAFETY: heaps live for ever; inside the gate.
            unsafe {
                (*heap).gate.enter();
                (*heap).bury_all::<S>();
                (*heap).flush_all(words, Kind::Plain);
                (*heap).flush_all(words, Kind::Tracked);
                (*heap).gate.leave();
            }
        }
    });
}

/// Gives `f` the state that the tracker keeps for this thread; a thread that has ended has a new one each time.
pub(crate) fn with_tracker<S: SlowPath, T>(config: &Config, f: impl FnOnce(&mut Tracker) -> T) -> T {
    super::words(|words| match Heap::of::<S>(config, words) {
        // SAFETY: this thread is the owner, and on no other slow path; `f` has the only reference.
        Some(heap) => f(unsafe { heap.tracker() }),
        None => {
            let mut tracker = Tracker::default();
            let result = f(&mut tracker);
            S::ended(&mut tracker);
            result
        }
    })
}

/// This thread adopts the mode that its tracker wants, at once.
pub(crate) fn adopt<S: SlowPath>() {
    super::words(|words| {
        if let Some(heap) = Heap::of::<S>(&Config::DEFAULT, words) {
            heap.gate.enter();
            // SAFETY: inside the gate.
            unsafe { heap.adopt_mode::<S>(words) };
            heap.gate.leave();
        }
    });
}

/// Whether this thread was interrupted, by a signal, in the middle of a slow path: whoever allocates then may wait for itself.
/// Large blocks and collections have no gate: of them, it is known where the process has one thread, whose all locks are.
pub(crate) fn is_interrupted() -> bool {
    let inside = super::words(|words| {
        let heap = words.heap.load(Ordering::Relaxed); // Relaxed: this thread's own
        // SAFETY: heaps live for ever.
        !heap.is_null() && heap != Heap::ENDED && unsafe { (*heap).gate.is_inside() }
    });
    let locked = || shard::is_busy() || depot::is_busy() || loose::is_busy() || slices::is_busy() || private::is_busy();
    inside || process::is_alone() && (REGISTRY.try_lock().is_none() || locked())
}

/// Threads that have a heap.
pub(crate) fn count() -> usize {
    REGISTRY.lock().threads
}

/// Whether the fork under way is of a process with one thread: see `before_fork`.
static ALONE: AtomicBool = AtomicBool::new(false);

/// With one thread, nobody changes anything during the fork, and nobody is missing after it. Then no lock is taken: a signal's handler
/// that forks may have interrupted this very thread while it had some, and both processes go on with them.
extern "C" fn before_fork<S: SlowPath>() {
    let alone = process::is_alone();
    ALONE.store(alone, Ordering::Relaxed); // Relaxed: read by this thread, and by the only one of the child
    if alone {
        return;
    }
    loader::before_fork();
    super::steal::before_fork();
    REGISTRY.acquire();
    depot::before_fork();
    shard::before_fork();
    super::fence::before_fork();
    crate::arena::slices::before_fork();
    S::before_fork();
    private::before_fork();
}

extern "C" fn after_fork_in_parent<S: SlowPath>() {
    if ALONE.load(Ordering::Relaxed) {
        return;
    }
    private::after_fork();
    S::after_fork();
    crate::arena::slices::after_fork_in_parent();
    super::fence::after_fork();
    shard::after_fork();
    depot::after_fork();
    REGISTRY.release();
    super::steal::after_fork();
    loader::after_fork_in_parent();
}

extern "C" fn after_fork_in_child<S: SlowPath>() {
    if ALONE.load(Ordering::Relaxed) {
        return S::after_fork_in_child(true);
    }
    private::after_fork();
    S::after_fork();
    crate::arena::slices::after_fork_in_child();
    super::fence::after_fork();
    shard::after_fork();
    depot::after_fork();
    REGISTRY.release();
    super::steal::after_fork();
    loader::after_fork_in_child();
    // The other threads do not exist here. Each may have been in the middle of a pop or a push, and memory was not
    // copied at one instant: what their magazines hold is left alone for ever.
    let mine = super::words(|words| words.heap.load(Ordering::Relaxed));
    each_ever(|heap| {
        if !std::ptr::eq(heap, mine) {
            heap.words.store(null_mut(), Ordering::Relaxed); // Relaxed: there is no other thread
        }
    });
    let mut registry = REGISTRY.lock();
    // SAFETY: heaps live for ever.
    let mine = (!mine.is_null() && mine != Heap::ENDED).then(|| unsafe { (*mine).shard() });
    registry.threads = mine.is_some() as usize;
    drop(registry);
    shard::after_fork_in_child(mine);
    S::after_fork_in_child(false);
}

const _: () = assert!(size_of::<Heap>() <= 16 << 10);
