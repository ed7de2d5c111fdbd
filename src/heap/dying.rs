//! Blocks that an exact thread has freed, and that are not yet buried: a ring of the last few.
//!
//! A tracked block's death begins with reading its word, which for a block that has lived for long lies in no cache. So a
//! freed block waits here while its word is fetched, and what is buried is the block that was freed some frees ago.
//! Whoever counts blocks counts those here as free; whoever reads words knows them by [`Dying::each`].

use crate::os;
use crate::pages::classes::block_size;
use crate::pages::page::Word;
use crate::sync::{AtomicPtr, AtomicU8, AtomicU64, Ordering};
use std::cell::Cell;
use std::ptr::null_mut;

/// Blocks that wait: as many as a processor fetches at a time.
pub(crate) const WAIT: usize = 16;
/// Classes below this may wait: those of up to 1 KiB, so that little memory does.
pub(super) const CLASSES: usize = 40;
const _: () = assert!(block_size(CLASSES - 1) == 1 << 10);

/// A block that was freed, its word, its class, and when that was.
#[derive(Clone, Copy)]
pub(super) struct Freed {
    pub(super) block: *mut u8,
    pub(super) word: *const Word,
    pub(super) class: usize,
    pub(super) at: u64,
}

/// Written by its thread only. Zeroed memory is an empty one.
pub(super) struct Dying {
    blocks: [AtomicPtr<u8>; WAIT],
    words: [AtomicPtr<Word>; WAIT],
    classes: [AtomicU8; WAIT],
    times: [AtomicU64; WAIT],
    at: Cell<usize>,
}

// Relaxed throughout: this thread's own; for others, a moment old.
impl Dying {
    /// Begins to fetch the word of a block and lets the block wait. Returns one that has waited, if there is one.
    #[inline]
    pub(super) fn exchange(&self, freed: Freed) -> Option<Freed> {
        os::prefetch(freed.word);
        let at = self.at.get() % WAIT;
        self.at.set(at + 1);
        let old = self.get(at);
        self.words[at].store(freed.word.cast_mut(), Ordering::Relaxed);
        self.classes[at].store(freed.class as u8, Ordering::Relaxed);
        self.times[at].store(freed.at, Ordering::Relaxed);
        self.blocks[at].store(freed.block, Ordering::Relaxed);
        old
    }

    #[inline]
    fn get(&self, at: usize) -> Option<Freed> {
        let block = self.blocks[at].load(Ordering::Relaxed);
        let class = self.classes[at].load(Ordering::Relaxed) as usize;
        let time = self.times[at].load(Ordering::Relaxed);
        (!block.is_null()).then(|| Freed { block, word: self.words[at].load(Ordering::Relaxed), class, at: time })
    }

    /// Gives each block that waits to `f`; none does then.
    pub(super) fn take_all(&self, mut f: impl FnMut(Freed)) {
        for at in 0..WAIT {
            if let Some(freed) = self.get(at) {
                self.blocks[at].store(null_mut(), Ordering::Relaxed);
                f(freed);
            }
        }
    }

    /// Gives each block that waits to `f`.
    pub(super) fn each(&self, f: impl FnMut(Freed)) {
        (0..WAIT).filter_map(|at| self.get(at)).for_each(f);
    }
}
