//! Blocks that an exact thread has freed, and that are not yet buried: a ring of the last few.
//!
//! A tracked block's death begins with reading its word, which for a block that has lived for long lies in no cache. So a
//! freed block waits here while its word is fetched, and what is buried is the block that was freed some frees ago.
//! Whoever counts blocks counts those here as free; whoever reads words knows them by [`Dying::each`].

use crate::pages::classes::block_size;
use crate::pages::page::Word;
use crate::sync::{AtomicPtr, AtomicUsize, Ordering};

/// Blocks that wait: as many as a processor fetches at a time.
pub(crate) const WAIT: usize = 16;
/// Classes below this may wait: those of up to 1 KiB, so that little memory does.
pub(super) const CLASSES: usize = 40;
const _: () = assert!(block_size(CLASSES - 1) == 1 << 10);

/// Written by its thread only. Zeroed memory is an empty one.
pub(super) struct Dying {
    blocks: [AtomicPtr<u8>; WAIT],
    at: AtomicUsize,
}

// Relaxed throughout: this thread's own; for others, a moment old.
impl Dying {
    /// Begins to fetch the word of a block and lets the block wait. Returns one that has waited; null for none.
    #[inline]
    pub(super) fn exchange(&self, block: *mut u8, word: *const Word) -> *mut u8 {
        prefetch(word);
        let at = self.at.load(Ordering::Relaxed) % WAIT;
        self.at.store(at + 1, Ordering::Relaxed);
        let old = self.blocks[at].load(Ordering::Relaxed);
        self.blocks[at].store(block, Ordering::Relaxed);
        old
    }

    /// Gives each block that waits to `f`; none does then.
    pub(super) fn take_all(&self, mut f: impl FnMut(*mut u8)) {
        for slot in &self.blocks {
            let block = slot.load(Ordering::Relaxed);
            if !block.is_null() {
                slot.store(std::ptr::null_mut(), Ordering::Relaxed);
                f(block);
            }
        }
    }

    /// Gives each block that waits to `f`.
    pub(super) fn each(&self, f: impl FnMut(*mut u8)) {
        self.blocks.iter().map(|slot| slot.load(Ordering::Relaxed)).filter(|block| !block.is_null()).for_each(f);
    }
}

#[inline(always)]
fn prefetch(word: *const Word) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint, at whatever address.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(word.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = word;
}
