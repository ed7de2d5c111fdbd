//! [`Tenure`]: the allocator's face, and the only place where the heap and whoever tracks blocks meet.

#[cfg(feature = "c-interface")]
pub mod c;
mod fault;
pub(crate) mod hardened;

use crate::arena;
use crate::config::hardened::ON;
use crate::config::{self, Config, Dumps, HugePages, Limits, Mode, Thresholds, bounds};
use crate::generation::{self, clock, collector, helper, limits, pressure, relief};
use crate::heap::{self, EVERY, SlowPath, Tracker, large, thread};
use crate::os::{self, owned, process};
use crate::pages::canary;
use crate::pages::checked;
use crate::pages::classes::{BLOCK_SIZE, COLD, LARGEST, TABLE, TABLED, block_size, class_of};
use crate::pages::guarded;
use crate::pages::page::{Kind, Word, page_of};
use crate::sync::{AtomicBool, AtomicPtr, Ordering};
use crate::track::{self, State, rate::Rate, unwind};
use std::alloc::{GlobalAlloc, Layout};
use std::ffi::c_void;
use std::ptr::null_mut;

/// The allocator. Make it the program's global one:
///
/// ```
/// use tenure::Tenure;
///
/// #[global_allocator]
/// static ALLOC: Tenure = Tenure::new();
/// # fn main() { assert_eq!(vec![1, 2, 3].len(), 3) }
/// ```
///
/// All values of this type are one allocator: they share one heap, and a block of one may be freed by another. What
/// the builder chose is taken from the value that serves the process' first allocation.
///
/// It never panics and never unwinds; it returns null when memory is out. Misuse that it notices (a block freed
/// twice, a pointer that is not a block's) ends the process with one line on standard error.
#[derive(Debug)]
pub struct Tenure {
    config: Config,
}

impl Tenure {
    /// The allocator with its defaults.
    pub const fn new() -> Self {
        Tenure { config: Config::DEFAULT }
    }

    /// Whether to ask the system for transparent huge pages. Default: [`HugePages::Auto`].
    pub const fn huge_pages(mut self, huge_pages: HugePages) -> Self {
        self.config.huge_pages = huge_pages;
        self
    }

    /// Whether a helper thread may give memory back while the program makes no call. Default: `true`.
    ///
    /// The thread is started when more than 2 MiB are free, runs with all signals blocked, and ends when it has
    /// nothing left to do. Without it, frees give memory back: what has stayed free for 200 ms, and at once what is
    /// more than 32 MiB and more than is in use.
    pub const fn helper_thread(mut self, allowed: bool) -> Self {
        self.config.helper_thread = allowed;
        self
    }

    /// Which blocks are tracked. Default: [`Mode::SAMPLED`]. [`set_mode`](crate::set_mode) changes it at run time.
    pub const fn mode(mut self, mode: Mode) -> Self {
        self.config.mode = mode;
        self
    }

    /// How many frames of a call stack are kept, the innermost: 1 to 256. Default: 64. What is cut off is marked as such.
    ///
    /// # Panics
    /// If it is out of range; in a `static`, at compile time.
    pub const fn stack_depth(mut self, frames: u32) -> Self {
        assert!(1 <= frames && frames <= *bounds::DEPTH.end(), "a stack has 1 to 256 frames");
        self.config.depth = frames;
        self
    }

    /// How many different call stacks are told apart: 16 to 1,048,576. Default: 262,144. What comes after is counted in
    /// one site for all, which reports show. This bounds the memory of sites: up to 250 bytes each, when they are used, and 700 more of those whose blocks become old.
    ///
    /// # Panics
    /// If it is out of range; in a `static`, at compile time.
    pub const fn max_sites(mut self, sites: u32) -> Self {
        assert!(16 <= sites && sites <= *bounds::SITES.end(), "there are 16 to 1048576 sites");
        self.config.sites = sites;
        self
    }

    /// How many names of scopes are told apart, no name and `other` included: 2 to 4096. Default: 1024. What comes after is
    /// `other`.
    ///
    /// # Panics
    /// If it is out of range; in a `static`, at compile time.
    pub const fn max_tags(mut self, tags: u32) -> Self {
        assert!(2 <= tags && tags <= *bounds::TAGS.end(), "there are 2 to 4096 tags");
        self.config.tags = tags;
        self
    }

    /// Which samples get a guarded slot: one in so many. Default: 0, none.
    ///
    /// Such a block stands at an end of an OS page of its own, between two that are inaccessible, and so is its own while it is
    /// free. Who reads or writes beyond it, or after its free, or frees it twice, is stopped at that very access, and a report
    /// on standard error says what it was, with the call stacks of the allocation and the free as modules and offsets; then
    /// the process does what it would have done on the signal. Blocks of up to one OS page are guarded, and only
    /// in modes that take samples. What samples weigh does not change.
    ///
    /// A guarded block costs two system calls and an OS page, and less than a microsecond a sample, which is taken once in
    /// half a MiB. The 64 slots that are the default of [`guarded_slots`](Self::guarded_slots) count 576 KiB of a
    /// [limit](Self::limits), of which at most 260 KiB are resident. The handler of `SIGSEGV` is installed with the first of
    /// them, and calls the one that was there; one that the program installs later replaces it, and then nothing is said.
    pub const fn guarded(mut self, one_sample_in: u32) -> Self {
        self.config.guarded = one_sample_in;
        self
    }

    /// How many guarded slots there are, each of two OS pages: 1 to 3000. Default: 64. When all are in use, samples go without.
    ///
    /// # Panics
    /// If it is out of range; in a `static`, at compile time.
    pub const fn guarded_slots(mut self, slots: u32) -> Self {
        assert!(1 <= slots && slots <= *bounds::SLOTS.end(), "there are 1 to 3000 guarded slots");
        self.config.guarded_slots = slots;
        self
    }

    /// In a build with the feature `hardened`, which pages of small blocks have their blocks checked: all of the first MiB, and
    /// then one in so many, rounded up to a power of two. Default: 1, all of them. At most 65,536.
    ///
    /// Of a fault with a block of another page, only an address outside of this allocator's pages is seen, in C any wrong one. `docs/hardened.md` says what either costs.
    ///
    /// # Panics
    /// If it is out of range; in a `static`, at compile time.
    #[cfg(feature = "hardened")]
    pub const fn checked_pages(mut self, one_in: u32) -> Self {
        assert!(1 <= one_in && one_in <= *bounds::CHECKED.end(), "one page in 1 to 65536 is checked");
        self.config.checked_pages = one_in;
        self
    }

    /// When snapshots are written to files, and to which. Default: never.
    pub const fn dumps(mut self, dumps: Dumps) -> Self {
        self.config.dumps = dumps;
        self
    }

    /// How much memory may be held. Default: no limit. [`limits::set_limits`](crate::limits::set_limits) changes it at run time.
    ///
    /// # Panics
    /// If the soft limit is above the hard one, or a part of one that there is not; in a `static`, at compile time.
    pub const fn limits(mut self, limits: Limits) -> Self {
        assert!(limits.check().is_ok(), "the soft limit is not above the hard one, or a part of one that there is");
        self.config.limits = limits;
        self
    }

    /// Whether a report of what is held is printed on standard error when the process exits. Default: `false`.
    ///
    /// The report is [`dump::leaks`](crate::dump::leaks); names of functions are looked up for it. Exits that run no code
    /// (`_exit`, `abort`, a signal) print none.
    pub const fn leaks(mut self, wanted: bool) -> Self {
        self.config.leaks.exit = wanted;
        self
    }

    /// When each generation is collected. Default: [`Thresholds::DEFAULT`].
    /// [`set_thresholds`](crate::generation::set_thresholds) changes them at run time.
    ///
    /// # Panics
    /// If one is out of its bounds; in a `static`, at compile time.
    pub const fn thresholds(mut self, thresholds: Thresholds) -> Self {
        assert!(thresholds.check().is_ok(), "a threshold is out of its bounds, which stand at each field");
        self.config.thresholds = thresholds;
        self
    }

    /// Whether thresholds begin collections. Default: `true`. [`generation::enable`] and
    /// [`disable`](crate::generation::disable) change it at run time.
    pub const fn collect(mut self, automatically: bool) -> Self {
        self.config.collect = automatically;
        self
    }

    /// Whether each collection prints a line on standard error: [`generation`] says what is in it.
    /// Default: `false`.
    pub const fn trace(mut self, wanted: bool) -> Self {
        self.config.trace = wanted;
        self
    }

    /// Whether the environment variable `TENURE` may change what the builder chose. Default: `true`.
    ///
    /// It is read once, before the first allocation, and never where the process runs with more rights than its caller.
    pub const fn environment(mut self, allowed: bool) -> Self {
        self.config.environment = allowed;
        self
    }

    /// All that is not in the fast path: a size above the table's, or an alignment above 8.
    #[cold]
    #[inline(never)]
    fn alloc_other(&self, size: usize, align: usize) -> *mut u8 {
        match size.checked_next_multiple_of(align) {
            // SAFETY: the class of a size up to the largest is one.
            Some(rounded) if rounded <= LARGEST && align <= LARGEST => unsafe {
                heap::alloc::<Hooks>(&self.config, class_of(rounded.max(1)), size)
            },
            Some(_) => large::alloc::<Hooks>(&self.config, size, align).0,
            None => null_mut(),
        }
    }

    /// Changes the size of a tracked or large block without a copy, if that can be done. Null if memory is out.
    ///
    /// # Safety
    /// The block is the caller's.
    #[cold]
    #[inline(never)]
    unsafe fn realloc_cold(&self, block: *mut u8, layout: Layout, new_size: usize) -> Option<*mut u8> {
        // SAFETY: the block is one of ours, so its page exists.
        let page = unsafe { &*page_of(block) };
        if page.kind() == Kind::Tracked {
            let have = block_size(page.class());
            if new_size > have || new_size <= have / 2 {
                return None;
            }
            thread::with_tracker::<Hooks, _>(&self.config, |tracker| {
                // SAFETY: the word is the block's own.
                Hooks::resized(tracker, unsafe { &*page.word(block) }, new_size, have, have)
            });
            return Some(block);
        }
        if page.kind() != Kind::Large || new_size <= LARGEST && layout.align() <= LARGEST {
            return None;
        }
        // SAFETY: by the caller's promise.
        unsafe { large::realloc::<Hooks>(&self.config, block, layout.size(), new_size, layout.align()) }
    }
}

impl Default for Tenure {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: blocks are as large and as aligned as the layout says, belong to one caller at a time, and stay until freed;
// nothing here unwinds.
unsafe impl GlobalAlloc for Tenure {
    #[inline(always)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if ON {
            return hardened::alloc(&self.config, layout.size(), layout.align());
        }
        // Two statements, and a callee that is `#[cold]`: one condition becomes two setcc, an or, and a taken jump.
        if layout.align() > 8 {
            return self.alloc_other(layout.size(), layout.align());
        }
        if layout.size() > TABLED {
            return self.alloc_other(layout.size(), layout.align());
        }
        // SAFETY: the table has an entry for each size up to `TABLED`, and all are classes.
        unsafe {
            let class = *TABLE.get_unchecked((layout.size() + 7) >> 3) as usize;
            heap::alloc::<Hooks>(&self.config, class, layout.size())
        }
    }

    #[inline(always)]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: by the caller's promise.
        unsafe {
            if ON {
                return hardened::free(&self.config, block, layout);
            }
            heap::free::<Hooks>(&self.config, block)
        }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if layout.size() > LARGEST {
            let (block, zero) = large::alloc::<Hooks>(&self.config, layout.size(), layout.align());
            if !zero && !block.is_null() {
                // SAFETY: the block is that long.
                unsafe { block.write_bytes(0, layout.size()) };
            }
            return block;
        }
        // SAFETY: by the caller's promise; the block is that long.
        unsafe {
            let block = self.alloc(layout);
            if !block.is_null() {
                block.write_bytes(0, layout.size());
            }
            block
        }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: by the caller's promise the block is one of ours, and the new size fits a layout.
        unsafe {
            if ON {
                return hardened::realloc(self, block, layout, new_size);
            }
            let class = *arena::class_byte(block) as usize;
            if class < COLD {
                // In place if the block serves the new size too, unless that would leave more than half of it unused.
                let have = BLOCK_SIZE[class] as usize;
                if new_size <= have && (new_size > have / 2 || new_size >= layout.size()) {
                    return block;
                }
            } else if let Some(block) = self.realloc_cold(block, layout, new_size) {
                return block;
            }
            let new = self.alloc(Layout::from_size_align_unchecked(new_size, layout.align()));
            if !new.is_null() {
                new.copy_from_nonoverlapping(block, layout.size().min(new_size));
                self.dealloc(block, layout);
            }
            new
        }
    }
}

/// Whether this build tracks nothing at all: for checks that compare its machine code with an ordinary build's.
const UNTRACKED: bool = cfg!(tenure_untracked);

/// What the heap calls upward.
pub(crate) struct Hooks;

impl SlowPath for Hooks {
    fn configured(config: &Config, help: bool) {
        canary::begin();
        checked::begin(config.checked_pages);
        guarded::configure(config.guarded, config.guarded_slots);
        if ON || config.guarded > 0 {
            os::fault::explain_by(fault::explain);
        }
        // A library that programs are loaded with serves other libraries' first allocations before it is told that it is
        // there, and those have call stacks, too. Nobody else runs yet, nor waits for the loader.
        #[cfg(feature = "c-interface")]
        unwind::init();
        track::configure(config);
        generation::begin(config);
        limits::set(config.limits);
        NOT_BEGUN.store(true, Ordering::Relaxed); // Relaxed: whoever misses it looks again
        if help {
            config::env::help(config, track::method(), os::warn);
        }
    }

    #[inline(always)]
    fn mode(tracker: &mut Tracker) -> heap::Mode {
        let exact = !UNTRACKED && track::is_exact(State::of(tracker));
        if exact { heap::Mode::Exact } else { heap::Mode::Plain }
    }

    #[inline(always)]
    fn may_wait(tracker: &mut Tracker) -> bool {
        !UNTRACKED && track::may_wait(State::of(tracker))
    }

    fn draw(tracker: &mut Tracker, block_size: usize) -> u64 {
        if UNTRACKED { u64::MAX } else { track::draw(State::of(tracker), block_size) }
    }

    #[inline(always)]
    fn rate() -> u16 {
        if UNTRACKED { 0 } else { track::sampling_rate().0 }
    }

    fn draw_large(tracker: &mut Tracker, bytes: usize) -> Option<u16> {
        if UNTRACKED { None } else { track::draw_large(State::of(tracker), bytes).map(|rate| rate.0) }
    }

    #[inline(always)]
    fn born(tracker: &mut Tracker, word: &Word, requested: usize, block_size: usize, rate: u16) {
        track::born(State::of(tracker), word, requested, block_size, Rate(rate), clock::epoch());
    }

    #[inline(always)]
    fn now() -> u64 {
        clock::epoch()
    }

    #[inline(always)]
    fn died(tracker: &mut Tracker, word: &Word, block_size: usize, now: u64) -> bool {
        track::died(State::of(tracker), word, block_size, now, clock::limits)
    }

    fn resized(tracker: &mut Tracker, word: &Word, requested: usize, before: usize, after: usize) -> bool {
        track::resized(State::of(tracker), word, requested, (before, after), clock::epoch(), clock::limits)
    }

    #[inline(never)]
    fn site(tracker: &mut Tracker) -> u32 {
        track::site(State::of(tracker))
    }

    fn site_of(word: &Word) -> u32 {
        track::site_of(word)
    }

    fn stack(site: u32) {
        fault::stack(site);
    }

    fn ended(tracker: &mut Tracker) {
        State::of(tracker).end();
    }

    fn before_fork() {
        limits::before_fork();
        track::before_fork();
    }

    fn after_fork() {
        track::after_fork();
        limits::after_fork();
    }

    fn allocated(bytes: usize, large: bool) {
        limits::look_again();
        pressure::look();
        collector::allocated(bytes, large);
        begin_if_due();
        tell(|listener| (listener.allocated)());
    }

    fn due(bytes: usize) {
        helper::due(bytes);
    }

    fn short(bytes: usize) -> bool {
        large::give_up_freed::<Hooks>() | relief::make_room::<Hooks>(bytes)
    }

    fn failed(bytes: usize, slices: usize) {
        limits::refused(bytes, slices);
        tell(|listener| (listener.failed)(bytes));
    }

    fn after_fork_in_child(alone: bool) {
        if alone {
            owned::after_fork_in_child();
        } else {
            track::watch::after_fork_in_child();
            generation::after_fork_in_child();
        }
        NOT_BEGUN.store(true, Ordering::Relaxed); // Relaxed: there is no other thread
    }
}

/// What the tracker keeps for this thread.
pub(crate) fn with_state<T>(f: impl FnOnce(&mut State) -> T) -> T {
    thread::with_tracker::<Hooks, _>(&Config::DEFAULT, |tracker| f(State::of(tracker)))
}

/// This thread tracks every block from here on, for one scope more; or for one less.
pub(crate) fn want_exact(on: bool) {
    with_state(|state| state.want_exact(on));
    thread::adopt::<Hooks>();
}

/// Whoever stands above the allocator and is to hear of what happens in it. No lock is held when a function is called, and
/// none of them may allocate.
pub(crate) struct Listener {
    /// What the process runs with is known; or this is a forked child. Called soon after, once.
    pub(crate) begin: fn(),
    /// Memory was allocated: more of it may be in use than ever. Called for each 64 KiB of a thread, and each large block.
    pub(crate) allocated: fn(),
    /// There is no memory for so many bytes.
    pub(crate) failed: fn(usize),
}

static LISTENER: AtomicPtr<Listener> = AtomicPtr::new(null_mut());
/// Whether [`Listener::begin`] is still to be called.
static NOT_BEGUN: AtomicBool = AtomicBool::new(false);

fn tell(f: impl FnOnce(&Listener)) {
    // Relaxed: a listener is a constant of the program.
    let listener = LISTENER.load(Ordering::Relaxed);
    if !listener.is_null() {
        // SAFETY: listeners live for ever.
        f(unsafe { &*listener });
    }
}

fn begin_if_due() {
    // Relaxed: one thread exchanges it, and what is begun does not depend on others. Before there is a listener, it waits.
    let due = NOT_BEGUN.load(Ordering::Relaxed) && !LISTENER.load(Ordering::Relaxed).is_null();
    if due && NOT_BEGUN.swap(false, Ordering::Relaxed) {
        tell(|listener| (listener.begin)());
    }
}

/// Has a listener hear of things from now on.
pub(crate) fn listen(listener: &'static Listener) {
    LISTENER.store((&raw const *listener).cast_mut(), Ordering::Relaxed); // Relaxed: as above
    // Where this is the program's allocator, there is a first operation now, and what is begun is begun before `main`.
    drop(std::hint::black_box(Box::new(0u8)));
    begin_if_due();
}

/// Called by the loader. `here` is an address in the program or the library that this allocator is in.
///
/// A library with this allocator in it stays loaded for ever, though `dlclose` was called: its blocks may outlive it, and
/// so do the calls at the ends of threads, the helper thread and the handlers of `fork`. To load it again costs nothing.
pub(crate) fn init(here: *const c_void) {
    process::pin_library(here);
    hardened::begin();
    unwind::init();
}

const _: () = assert!(Rate::EXACT.0 == EVERY);
