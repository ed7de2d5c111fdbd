//! What belongs to one thread: its magazines. The fast paths of allocation and free, and the words that they stand on.
//!
//! For each size class a thread has two words: where to pop the next block, and where to push the next freed one.
//! A null slot ends the first, alignment ends the second ([`magazine`]). Two sentinels send every operation to the
//! slow path without a test of their own: a pop word that points at a null, and a push word that is 0. They serve a
//! thread's first operation, tracked and large blocks, exact tracking, and the time after a thread's end.

#[cfg(not(loom))]
pub(crate) mod census;
#[cfg(not(loom))]
pub(crate) mod depot;
#[cfg(not(loom))]
mod dying;
#[cfg(not(loom))]
pub(crate) mod fence;
pub(crate) mod gate;
#[cfg(not(loom))]
pub(crate) mod guarded;
#[cfg(all(feature = "c-interface", not(loom)))]
mod initial_exec;
#[cfg(not(loom))]
pub(crate) mod large;
#[cfg(not(loom))]
pub(crate) mod magazine;
#[cfg(all(test, loom))]
mod model;
#[cfg(not(loom))]
pub(crate) mod refill;
#[cfg(not(loom))]
pub(crate) mod slow;
#[cfg(not(loom))]
pub(crate) mod steal;
#[cfg(not(loom))]
pub(crate) mod thread;

#[cfg(not(loom))]
pub(crate) use fast::*;

#[cfg(not(loom))]
mod fast {
    use super::magazine::{BYTES, Slot};
    use super::slow;
    use super::thread::Heap;
    use crate::arena;
    use crate::config::Config;
    use crate::pages::classes::CLASSES;
    use crate::pages::page::Word;
    use crate::sync::{AtomicPtr, Ordering, compiler_fence};
    use std::ptr::null_mut;

    /// How a thread tracks.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Mode {
        /// Blocks come from plain pages, but for the samples.
        Plain,
        /// Every block is tracked: the sentinels stand, and every operation takes the slow path.
        Exact,
    }

    /// The rate at which blocks are tracked that a thread tracks all of.
    pub(crate) const EVERY: u16 = u16::MAX;

    /// What a tracker keeps for a thread. Opaque to the heap; zero when the thread begins.
    pub(crate) type Tracker = [u64; 8];

    /// What the heap calls upward, from slow paths only. The allocator implements it; dispatch is static.
    ///
    /// No function may allocate from the global allocator, block, or unwind.
    pub(crate) trait SlowPath: 'static {
        /// Before the process' first operation: this is what it runs with, and whether somebody wants to read it.
        fn configured(config: &Config, help: bool);
        /// How the thread should track from here on. Called at each slow path.
        fn mode(tracker: &mut Tracker) -> Mode;
        /// Whether the death of a tracked block that this thread frees may be told later. Only if the mode is exact.
        fn may_wait(tracker: &mut Tracker) -> bool;
        /// How many blocks of this size are allocated until the next sampled one, itself included; `u64::MAX` for
        /// none. Called when the last one was taken, or when what was left of it is void.
        fn draw(tracker: &mut Tracker, block_size: usize) -> u64;
        /// The rate that samples are drawn at now. What was drawn at another one is void.
        fn rate() -> u16;
        /// Whether so many bytes of a large block have it tracked: one trial, or the thread tracks every block. If so, the
        /// rate for [`Self::born`].
        fn draw_large(tracker: &mut Tracker, bytes: usize) -> Option<u16>;
        /// A tracked block was allocated: fills its word. `rate` is [`Self::rate`] when it was chosen, or [`EVERY`]. No
        /// lock is held.
        fn born(tracker: &mut Tracker, word: &Word, requested: usize, block_size: usize, rate: u16);
        /// The time, for [`Self::died`].
        fn now() -> u64;
        /// A tracked block is about to be freed, and was at a time. `false` if it was freed before. No lock is held.
        fn died(tracker: &mut Tracker, word: &Word, block_size: usize, at: u64) -> bool;
        /// A tracked block was resized in place. Returns whether it is still tracked. No lock is held.
        fn resized(tracker: &mut Tracker, word: &Word, requested: usize, before: usize, after: usize) -> bool;
        /// The site of the call stack that calls this.
        fn site(tracker: &mut Tracker) -> u32;
        /// The site that a tracked block was allocated at.
        fn site_of(word: &Word) -> u32;
        /// Prints the frames of a site. In a signal handler.
        fn stack(site: u32);
        /// The thread has ended: what the state leads to is free for others.
        fn ended(tracker: &mut Tracker);
        /// Takes the tracker's locks before a fork, and frees them after it. The allocator's for its own tables' memory is
        /// taken after them.
        fn before_fork();
        /// Frees them, in both processes.
        fn after_fork();
        /// The thread has allocated so many more bytes, in block bytes, since it said so last: in magazines, or one large block.
        fn allocated(bytes: usize, large: bool);
        /// So many bytes are free and due to be purged. No lock is held.
        fn due(bytes: usize);
        /// So many bytes of slices are not to be had: makes room, and says whether to try once more. No lock is held, and the
        /// thread is on no side of its gate.
        fn short(bytes: usize) -> bool;
        /// There is no memory for so many bytes, which would have taken so many of slices: null will be returned. No lock is
        /// held.
        fn failed(bytes: usize, slices: usize);
        /// In a forked child, after everything below is in order again.
        /// `alone`: the process had one thread, and no lock was taken for the fork: this thread may have some.
        fn after_fork_in_child(alone: bool);
    }

    /// The words of a thread that the fast paths use: first, and in two arrays, so that a class is an index scaled by 8.
    #[repr(C)]
    pub(crate) struct Words {
        pub(super) pop: [AtomicPtr<Slot>; CLASSES],
        /// One more than there are classes: the push word of the class byte `COLD` is always 0.
        push: [AtomicPtr<Slot>; CLASSES + 1],
        /// Null before the thread's first slow path; [`Heap::ENDED`] after its end.
        pub(super) heap: AtomicPtr<Heap>,
    }

    /// What a pop word points at when there is nothing to pop.
    pub(super) static NOTHING: Slot = Slot::new(null_mut());

    #[cfg(feature = "c-interface")]
    use super::initial_exec::WORDS;

    #[cfg(not(feature = "c-interface"))]
    thread_local! {
        // `const` and without `Drop`: no registration, no lazy initialisation, valid until the thread's last instruction.
        static WORDS: Words = const {
            Words {
                pop: [const { AtomicPtr::new((&raw const NOTHING).cast_mut()) }; CLASSES],
                push: [const { AtomicPtr::new(null_mut()) }; CLASSES + 1],
                heap: AtomicPtr::new(null_mut()),
            }
        };
    }

    /// The two words of a class.
    #[derive(Clone, Copy)]
    pub(crate) struct Pair<'a> {
        pub(crate) pop: &'a AtomicPtr<Slot>,
        pub(crate) push: &'a AtomicPtr<Slot>,
    }

    impl Words {
        /// Takes the next block of a class out of this thread's pop magazine; null if that has none.
        ///
        /// # Safety
        /// `class` is below [`CLASSES`].
        #[inline(always)]
        unsafe fn pop(&self, class: usize) -> *mut u8 {
            // All relaxed: the words and slots are this thread's, until a barrier says otherwise (`steal`).
            // SAFETY: by the caller's promise; a pop word points at a slot, at worst at the one that is always null.
            unsafe {
                let pop = self.pop.get_unchecked(class);
                let slot = pop.load(Ordering::Relaxed);
                let block = (*slot).load(Ordering::Relaxed);
                if !block.is_null() {
                    pop.store(slot.sub(1), Ordering::Relaxed);
                    // No instruction: the next pop's loads stay behind this store, which `steal` counts on.
                    compiler_fence(Ordering::SeqCst);
                }
                block
            }
        }

        /// Puts a block of a class into this thread's push magazine; `false` if that has no room.
        ///
        /// # Safety
        /// `class` is at most [`CLASSES`], and the block one of it that is nobody's.
        #[inline(always)]
        unsafe fn push(&self, class: usize, block: *mut u8) -> bool {
            // SAFETY: by the caller's promise; a push word that is not at a magazine's end points at a slot.
            unsafe {
                let push = self.push.get_unchecked(class);
                let slot = push.load(Ordering::Relaxed); // Relaxed: as above
                if slot.addr() & (BYTES - 1) == 0 {
                    return false;
                }
                (*slot).store(block, Ordering::Relaxed);
                // Release because whoever takes from outside reads the slots below the word. No cost on x86-64.
                push.store(slot.add(1), Ordering::Release);
                true
            }
        }

        pub(super) fn pair(&self, class: usize) -> Pair<'_> {
            Pair { pop: &self.pop[class], push: &self.push[class] }
        }
    }

    impl Pair<'_> {
        /// Everything to the slow path.
        pub(super) fn reset(self) {
            self.pop.store((&raw const NOTHING).cast_mut(), Ordering::Relaxed); // Relaxed: this thread's own
            self.push.store(null_mut(), Ordering::Relaxed);
        }

        /// Whether there is a pop magazine.
        pub(super) fn has_pop(self) -> bool {
            is_magazine(self.pop.load(Ordering::Relaxed)) // Relaxed: as above
        }
    }

    /// Whether a pop word points into a magazine, and not at the sentinel.
    pub(super) fn is_magazine(pop: *mut Slot) -> bool {
        !std::ptr::eq(pop, &NOTHING)
    }

    /// This thread's words.
    pub(super) fn words<T>(f: impl FnOnce(&Words) -> T) -> T {
        WORDS.with(f)
    }

    /// A block of a class, for a request of `size` bytes. Null if memory is out.
    ///
    /// # Safety
    /// `class` is below [`CLASSES`].
    #[inline(always)]
    pub(crate) unsafe fn alloc<S: SlowPath>(config: &Config, class: usize, size: usize) -> *mut u8 {
        WORDS.with(|words| {
            // SAFETY: by the caller's promise.
            let block = unsafe { words.pop(class) };
            if block.is_null() {
                return slow::alloc::<S>(config, words, class, size);
            }
            block
        })
    }

    /// Frees a block of any kind.
    ///
    /// # Safety
    /// The block came from this allocator, and is the caller's to free.
    #[inline(always)]
    pub(crate) unsafe fn free<S: SlowPath>(config: &Config, block: *mut u8) {
        if cfg!(debug_assertions) {
            slow::check_free(block);
        }
        WORDS.with(|words| {
            // SAFETY: a class byte is at most `COLD`.
            unsafe {
                let class = *arena::class_byte(block) as usize;
                if !words.push(class, block) {
                    slow::free::<S>(config, words, block);
                }
            }
        })
    }

    /// The two halves of [`alloc`] and [`free`], for whoever has something to do in between: the C interface, and builds with
    /// `hardened`.
    pub(crate) mod halves {
        use super::*;

        /// A block that lies ready; null if there is none.
        ///
        /// # Safety
        /// `class` is below [`CLASSES`].
        #[inline(always)]
        pub(crate) unsafe fn pop(class: usize) -> *mut u8 {
            // SAFETY: by the caller's promise.
            WORDS.with(|words| unsafe { words.pop(class) })
        }

        /// What [`alloc`] does when there is none.
        pub(crate) fn alloc<S: SlowPath>(config: &Config, class: usize, size: usize) -> *mut u8 {
            WORDS.with(|words| slow::alloc::<S>(config, words, class, size))
        }

        /// Frees a block, unless that takes the slow path; returns whether it did.
        ///
        /// # Safety
        /// `class` is the block's class byte, and the block the caller's to free.
        #[inline(always)]
        pub(crate) unsafe fn push(class: usize, block: *mut u8) -> bool {
            if cfg!(debug_assertions) {
                slow::check_free(block);
            }
            // SAFETY: by the caller's promise.
            WORDS.with(|words| unsafe { words.push(class, block) })
        }

        /// What [`free`] does then.
        ///
        /// # Safety
        /// The block is the caller's to free.
        pub(crate) unsafe fn free<S: SlowPath>(config: &Config, block: *mut u8) {
            WORDS.with(|words| slow::free::<S>(config, words, block))
        }
    }
}
