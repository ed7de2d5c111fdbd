//! Which sizes and alignments are worth trying.

use crate::rng::Rng;
use std::alloc::Layout;

/// The largest alignment that the tests ask for: more than an arena's own.
pub const LARGEST_ALIGNMENT: usize = 64 << 20;

/// Sizes at which a size class may end, with the sizes just below and above, ascending, up to `limit`.
///
/// The tests do not ask the allocator for its classes, so that they cannot share its mistakes: every
/// eighth of every power of two is taken for a boundary, which contains the classes of all the usual schemes
/// (steps of 25 % and of 12.5 %, multiples of an OS page, of a slice, of an arena).
pub fn boundaries(limit: usize) -> Vec<usize> {
    let mut sizes: Vec<usize> = (3..usize::BITS - 2)
        .map(|exponent| 1usize << exponent)
        .take_while(|&power| power <= limit)
        .flat_map(|power| (0..8).map(move |eighth| power + power / 8 * eighth))
        .flat_map(|size| [size - 1, size, size + 1])
        .filter(|&size| size <= limit)
        .collect();
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

/// Random layouts: what real programs ask for, and what they ask for once in a year.
#[derive(Clone, Debug)]
pub struct Sizes {
    largest: usize,
    boundaries: Vec<usize>,
    natural: bool,
}

impl Sizes {
    /// Sizes from 1 to `largest`.
    pub fn up_to(largest: usize) -> Self {
        Sizes { largest, boundaries: boundaries(largest), natural: false }
    }

    /// No alignments but those that ordinary types have, up to 16.
    pub fn naturally_aligned(self) -> Self {
        Sizes { natural: true, ..self }
    }

    /// Log-uniform; a third at a boundary; three of four at most 64 KiB, so that large blocks do not take all the
    /// time.
    pub fn size(&self, rng: &mut Rng) -> usize {
        let largest = if rng.one_in(4) { self.largest } else { self.largest.min(64 << 10) };
        if rng.one_in(3) {
            let end = self.boundaries.partition_point(|&size| size <= largest);
            self.boundaries[rng.below(end)]
        } else {
            rng.log_uniform(largest)
        }
    }

    /// Half are what ordinary types have, half any power of two up to 64 KiB, and rarely one up to
    /// [`LARGEST_ALIGNMENT`].
    pub fn alignment(&self, rng: &mut Rng) -> usize {
        if self.natural {
            1 << rng.below(5)
        } else if rng.one_in(1000) {
            1 << (17 + rng.below(LARGEST_ALIGNMENT.ilog2() as usize - 16))
        } else if rng.one_in(2) {
            1 << rng.below(17)
        } else {
            1 << rng.below(5)
        }
    }

    /// A size and an alignment that know nothing of each other: `align > size` is frequent.
    pub fn layout(&self, rng: &mut Rng) -> Layout {
        Layout::from_size_align(self.size(rng), self.alignment(rng)).expect("far below isize::MAX")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boundaries_are_ascending_and_hold_the_usual_classes() {
        let all = boundaries(1 << 20);
        assert!(all.is_sorted() && all[0] > 0 && *all.last().unwrap() <= 1 << 20);
        for class in [8, 16, 48, 1024, 1152, 1280, 3072, 4096, 10240, 65536, 65537, 1 << 20] {
            assert!(all.binary_search(&class).is_ok(), "{class}");
        }
    }

    #[test]
    fn every_power_of_two_is_drawn() {
        let (sizes, mut rng) = (Sizes::up_to(8 << 20), Rng::new(3));
        let drawn: std::collections::BTreeSet<usize> = (0..200_000).map(|_| sizes.alignment(&mut rng)).collect();
        assert_eq!(drawn.len(), LARGEST_ALIGNMENT.ilog2() as usize + 1);
    }
}
