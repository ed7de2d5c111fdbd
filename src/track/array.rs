//! Something for each small number, in pieces of private memory that are made as they are needed and never unmapped.

use crate::arena::private;
use crate::sync::{AtomicPtr, Ordering};
use std::ops::Range;
use std::ptr::null_mut;

/// Bytes of a piece.
const PIECE: usize = 64 << 10;

/// Pieces for so many elements of a type.
pub(crate) const fn pieces<T>(elements: usize) -> usize {
    elements.div_ceil(PIECE / size_of::<T>())
}

/// Whoever uses one sees to it that zeroes are valid for `T`, which is why elements are atomics and made of such.
pub(crate) struct Array<T: 'static, const PIECES: usize> {
    pieces: [AtomicPtr<T>; PIECES],
}

impl<T, const PIECES: usize> Array<T, PIECES> {
    const EACH: usize = PIECE / size_of::<T>();

    pub(crate) const fn new() -> Self {
        Array { pieces: [const { AtomicPtr::new(null_mut()) }; PIECES] }
    }

    /// The element; `None` where no piece is yet, or none can be.
    #[inline(always)]
    pub(crate) fn get(&self, i: u32) -> Option<&T> {
        let (piece, i) = (i as usize / Self::EACH, i as usize % Self::EACH);
        // Acquire because the piece must be seen zeroed.
        let p = self.pieces.get(piece)?.load(Ordering::Acquire);
        // SAFETY: a piece has that many elements, which zeroes are valid for, and is never unmapped.
        (!p.is_null()).then(|| unsafe { &*p.add(i) })
    }

    /// The element, in a piece that is made if need be. `None` if memory is out.
    #[inline(always)]
    pub(crate) fn make(&self, i: u32) -> Option<&T> {
        match self.get(i) {
            Some(element) => Some(element),
            None => self.make_piece(i),
        }
    }

    #[cold]
    fn make_piece(&self, i: u32) -> Option<&T> {
        let piece = self.pieces.get(i as usize / Self::EACH)?;
        let p: *mut T = private::take(PIECE).cast();
        // Release because readers must see the piece zeroed. Of two makers the second gives its piece back.
        let was = piece.compare_exchange(null_mut(), p, Ordering::Release, Ordering::Relaxed);
        if was.is_err() && !p.is_null() {
            // SAFETY: just taken, and nobody has seen it.
            unsafe { private::give(p.cast(), PIECE) };
        }
        self.get(i)
    }

    /// Whether there is a piece with any of these.
    pub(crate) fn any_in(&self, range: Range<u32>) -> bool {
        let pieces = range.start as usize / Self::EACH..(range.end as usize).div_ceil(Self::EACH).min(PIECES);
        // Relaxed: nothing of it is read.
        self.pieces[pieces].iter().any(|piece| !piece.load(Ordering::Relaxed).is_null())
    }

    /// Every element of every piece that there is, with its number.
    pub(crate) fn each(&self, f: impl FnMut(u32, &T)) {
        self.each_in(0..(PIECES * Self::EACH) as u32, f);
    }

    /// The same for a range of numbers.
    pub(crate) fn each_in(&self, range: Range<u32>, mut f: impl FnMut(u32, &T)) {
        let (begin, end) = (range.start as usize, range.end as usize);
        for piece in begin / Self::EACH..end.div_ceil(Self::EACH).min(PIECES) {
            let p = self.pieces[piece].load(Ordering::Acquire); // Acquire: see `get`
            if p.is_null() {
                continue;
            }
            let first = piece * Self::EACH;
            for i in begin.max(first)..end.min(first + Self::EACH) {
                // SAFETY: as in `get`.
                f(i as u32, unsafe { &*p.add(i - first) });
            }
        }
    }
}
