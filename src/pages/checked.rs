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

static CHOSEN: Chosen = Chosen::new();

impl Chosen {
    const fn new() -> Chosen {
        Chosen { mask: AtomicUsize::new(0), which: AtomicUsize::new(0), first: AtomicUsize::new(usize::MAX) }
    }

    /// One page in so many.
    fn choose(&self, one_in: u32, drawn: u64) {
        let mask = one_in.next_power_of_two() as usize - 1;
        self.mask.store(mask, Ordering::Relaxed); // Relaxed, here and below: before the first block
        self.which.store(drawn as usize & mask, Ordering::Relaxed);
    }

    fn note(&self, slice: usize) {
        // Relaxed: whoever is given a block of the page is given it by somebody who knows. If another thread was faster, its
        // page is the first.
        if self.first.load(Ordering::Relaxed) == usize::MAX {
            let _ = self.first.compare_exchange(usize::MAX, slice, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    #[inline(always)]
    fn has(&self, slice: usize) -> bool {
        let slice = slice.wrapping_sub(self.first.load(Ordering::Relaxed)); // Relaxed, all: as above
        slice & self.mask.load(Ordering::Relaxed) == self.which.load(Ordering::Relaxed) || slice < FIRST
    }
}

/// Before the process' first block. One page in so many is checked, rounded up to a power of two.
pub(crate) fn begin(one_in: u32) {
    if ON {
        CHOSEN.choose(one_in, os::seed());
    }
}

/// A page begins at this address.
pub(super) fn note(page: *mut u8) {
    if ON {
        CHOSEN.note(page.addr() / SLICE);
    }
}

/// Whether the block at an address is checked.
#[inline(always)]
pub(crate) fn has(block: *mut u8) -> bool {
    CHOSEN.has(block.addr() / SLICE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_ones_and_then_one_in_so_many() {
        for (one_in, drawn) in [(1, 7), (2, 0), (16, 0), (16, 3), (9, 15), (1 << 16, 12345)] {
            let chosen = Chosen::new();
            chosen.choose(one_in, drawn);
            let first = 1_000_003;
            chosen.note(first);
            chosen.note(7); // not the first one
            assert!((first..first + FIRST).all(|slice| chosen.has(slice)));
            // As many in any range as long as the period, behind the first page and before it.
            let period = one_in.next_power_of_two() as usize;
            for from in [first + FIRST, first + FIRST + 5, first - period] {
                let n = (from..from + period).filter(|slice| chosen.has(*slice)).count();
                assert_eq!(n, 1, "one in {one_in}, {drawn}, from {from}");
            }
        }
    }
}
