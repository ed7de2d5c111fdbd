//! Which pages have their blocks checked in a build with the feature `hardened`: all of the first ones, and then one in so many.
//!
//! To look at a block costs little, but for its cache misses: who frees a block that lay untouched for long would wait for
//! memory, and a program that does nothing else takes twice as long. So which pages are checked follows from where they are, by
//! a number that the process has drawn: who allocates or frees a block of another page reads nothing of it.

use crate::arena::SLICE;
use crate::config::hardened::ON;
use crate::os;
use crate::sync::{AtomicUsize, Ordering};

/// The slices from [`Chosen::first`] on that are all checked: 2 MiB.
const FIRST: usize = 32;
/// More than that is not drawn.
const SALT: usize = 15;

struct Chosen {
    /// One slice in a power of two is checked, less one.
    mask: AtomicUsize,
    /// The number of the first page's slice, less a few, which are drawn: else the same pages would be checked in all processes of
    /// a program. One that there is not before that page exists.
    first: AtomicUsize,
}

static CHOSEN: Chosen = Chosen { mask: AtomicUsize::new(0), first: AtomicUsize::new(usize::MAX) };

/// Before the process' first block. One page in so many, rounded up to a power of two.
pub(crate) fn begin(one_in: u32) {
    if ON {
        CHOSEN.mask.store(one_in.next_power_of_two() as usize - 1, Ordering::Relaxed); // Relaxed: before the first block
    }
}

/// A page begins at this address.
pub(super) fn note(page: *mut u8) {
    // Relaxed, all of it: whoever is given a block of the page is given it by somebody who knows.
    if ON && CHOSEN.first.load(Ordering::Relaxed) == usize::MAX {
        let first = page.addr() / SLICE - (os::seed() as usize & CHOSEN.mask.load(Ordering::Relaxed) & SALT);
        // If another thread was faster, its page is the first.
        let _ = CHOSEN.first.compare_exchange(usize::MAX, first, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// Whether the block at an address is checked.
#[inline(always)]
pub(crate) fn has(block: *mut u8) -> bool {
    // Relaxed: as above.
    let slice = (block.addr() / SLICE).wrapping_sub(CHOSEN.first.load(Ordering::Relaxed));
    slice & CHOSEN.mask.load(Ordering::Relaxed) == 0 || slice < FIRST
}
