//! Which pages have their blocks checked in a build with the feature `hardened`: all of the first ones, and then one in so many.
//!
//! To look at a block costs little, but for its cache misses: who frees a block that lay untouched for long would wait for
//! memory, and a program that does nothing else takes twice as long. So which pages are checked follows from where they are, by
//! a number that the process has drawn: who allocates or frees a block of another page reads nothing of it.

use crate::arena::SLICE;
use crate::config::hardened::ON;
use crate::os;
use crate::sync::{AtomicUsize, Ordering};

/// The slices that begin with the process' first page and are all checked: 1 MiB.
const FIRST: usize = 16;

struct Chosen {
    /// One slice in a power of two is checked, less one, and which of them: drawn, or else the same pages would be checked in all
    /// processes of a program.
    mask: AtomicUsize,
    which: AtomicUsize,
    /// The number of the first page's slice; one that there is not before it exists.
    first: AtomicUsize,
}

static CHOSEN: Chosen =
    Chosen { mask: AtomicUsize::new(0), which: AtomicUsize::new(0), first: AtomicUsize::new(usize::MAX) };

/// Before the process' first block. One page in so many, rounded up to a power of two.
pub(crate) fn begin(one_in: u32) {
    if ON {
        let mask = one_in.next_power_of_two() as usize - 1;
        CHOSEN.mask.store(mask, Ordering::Relaxed); // Relaxed, here and below: before the first block
        CHOSEN.which.store(os::seed() as usize & mask, Ordering::Relaxed);
    }
}

/// A page begins at this address.
pub(super) fn note(page: *mut u8) {
    if ON && CHOSEN.first.load(Ordering::Relaxed) == usize::MAX {
        let slice = page.addr() / SLICE;
        // Relaxed: whoever is given a block of the page is given it by somebody who knows. If another thread was faster, its
        // page is the first.
        let _ = CHOSEN.first.compare_exchange(usize::MAX, slice, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// Whether the block at an address is checked.
#[inline(always)]
pub(crate) fn has(block: *mut u8) -> bool {
    // Relaxed: as above.
    let slice = (block.addr() / SLICE).wrapping_sub(CHOSEN.first.load(Ordering::Relaxed));
    slice & CHOSEN.mask.load(Ordering::Relaxed) == CHOSEN.which.load(Ordering::Relaxed) || slice < FIRST
}
