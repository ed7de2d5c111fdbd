//! Words of tracked blocks that lie in no tracked page: large ones. They stand in memory of their own, which is never
//! used for anything else, so that a reader that comes too late finds a word and nothing else.

use super::page::Word;
use crate::arena::private;
use crate::os::lock::Lock;
use crate::sync::{AtomicPtr, AtomicUsize, Ordering};
use std::ptr::null_mut;

/// The word of a large block, and its size. The word must come first: page headers point at it.
#[repr(C, align(32))]
pub(crate) struct Loose {
    pub(crate) word: Word,
    /// Bytes of the block.
    pub(crate) bytes: AtomicUsize,
    /// The next free one, while this is free.
    next: AtomicPtr<Loose>,
}

const PIECE: usize = 4 << 10;
/// The first element of a piece leads to the next piece.
const EACH: usize = PIECE / size_of::<Loose>();

struct Words {
    first: *mut Loose,
    free: *mut Loose,
}

// SAFETY: elements are atomics, and live for ever.
unsafe impl Send for Words {}

static WORDS: Lock<Words> = Lock::new(Words { first: null_mut(), free: null_mut() });

/// Whether somebody has the lock of these words.
pub(crate) fn is_busy() -> bool {
    WORDS.try_lock().is_none()
}

/// A word that is no block's, for one of so many bytes. Null if memory is out.
pub(crate) fn take(bytes: usize) -> *mut Word {
    let mut words = WORDS.lock();
    if words.free.is_null() {
        let piece: *mut Loose = private::take(PIECE).cast();
        if piece.is_null() {
            return null_mut();
        }
        for i in 1..EACH {
            let loose = piece.wrapping_add(i);
            // SAFETY: zeroed memory is valid, and ours.
            unsafe { (*loose).next.store(words.free, Ordering::Relaxed) }; // Relaxed, throughout: under the lock
            words.free = loose;
        }
        // SAFETY: as above.
        unsafe { (*piece).next.store(words.first, Ordering::Relaxed) };
        words.first = piece;
    }
    let loose = words.free;
    // SAFETY: elements live for ever.
    unsafe {
        words.free = (*loose).next.load(Ordering::Relaxed);
        (*loose).bytes.store(bytes, Ordering::Relaxed);
    }
    loose.cast()
}

/// Gives a word back, which says that no block lives.
///
/// # Safety
/// It came from [`take`], and no header points at it.
pub(crate) unsafe fn give(word: *mut Word) {
    let loose: *mut Loose = word.cast();
    let mut words = WORDS.lock();
    // SAFETY: by the caller's promise.
    unsafe { (*loose).next.store(words.free, Ordering::Relaxed) };
    words.free = loose;
}

/// The block has another size now.
///
/// # Safety
/// As for [`give`], but that a header points at it.
pub(crate) unsafe fn set_bytes(word: *mut Word, bytes: usize) {
    // SAFETY: by the caller's promise.
    unsafe { (*word.cast::<Loose>()).bytes.store(bytes, Ordering::Relaxed) }; // Relaxed: a statistic
}

/// Every word, those that are no block's too, while threads run.
pub(crate) fn each(mut f: impl FnMut(&Word, usize)) {
    let mut walk = Walk::new();
    while walk.some(&mut f) {}
}

/// [`each`] in steps.
#[derive(Clone, Copy)]
pub(crate) struct Walk {
    piece: *mut Loose,
}

// SAFETY: pieces live for ever.
unsafe impl Send for Walk {}

impl Walk {
    /// From the first of those that there are now.
    pub(crate) fn new() -> Walk {
        Walk { piece: WORDS.lock().first }
    }

    /// Some hundred more. `false` if there were none left.
    pub(crate) fn some(&mut self, mut f: impl FnMut(&Word, usize)) -> bool {
        if self.piece.is_null() {
            return false;
        }
        // SAFETY: pieces live for ever.
        unsafe {
            for i in 1..EACH {
                let loose = &*self.piece.add(i);
                f(&loose.word, loose.bytes.load(Ordering::Relaxed)); // Relaxed: as above
            }
            self.piece = (*self.piece).next.load(Ordering::Relaxed); // Relaxed: written before the piece was linked
        }
        true
    }
}

pub(super) fn before_fork() {
    WORDS.acquire();
}

pub(super) fn after_fork() {
    WORDS.release();
}
