//! A set of slices: one bit for each slice of a segment.

use super::SLICES;

/// A set of up to [`SLICES`] small numbers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bits([u64; SLICES / 64]);

impl Bits {
    pub(crate) const EMPTY: Bits = Bits([0; SLICES / 64]);

    #[cfg(test)]
    pub(crate) fn contains(&self, i: usize) -> bool {
        self.0[i / 64] >> (i % 64) & 1 == 1
    }

    #[cfg(any(test, debug_assertions))]
    pub(crate) fn count(&self) -> usize {
        self.0.iter().map(|w| w.count_ones() as usize).sum()
    }

    #[cfg(debug_assertions)]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|&w| w == 0)
    }

    /// Applies `f(word, mask)` to each word that `from..from + n` touches.
    fn masked(from: usize, n: usize, mut f: impl FnMut(usize, u64)) {
        let (mut at, end) = (from, from + n);
        while at < end {
            let here = (64 - at % 64).min(end - at);
            f(at / 64, (u64::MAX >> (64 - here)) << (at % 64));
            at += here;
        }
    }

    pub(crate) fn insert(&mut self, from: usize, n: usize) {
        Self::masked(from, n, |w, m| self.0[w] |= m);
    }

    pub(crate) fn remove(&mut self, from: usize, n: usize) {
        Self::masked(from, n, |w, m| self.0[w] &= !m);
    }

    /// How many of `from..from + n` are in the set.
    pub(crate) fn count_in(&self, from: usize, n: usize) -> usize {
        let mut sum = 0;
        Self::masked(from, n, |w, m| sum += (self.0[w] & m).count_ones() as usize);
        sum
    }

    pub(crate) fn and(&self, other: &Bits) -> Bits {
        Bits(std::array::from_fn(|i| self.0[i] & other.0[i]))
    }

    #[cfg(debug_assertions)]
    pub(crate) fn minus(&self, other: &Bits) -> Bits {
        Bits(std::array::from_fn(|i| self.0[i] & !other.0[i]))
    }

    /// The first member at or after `from`, or [`SLICES`].
    pub(crate) fn next_in(&self, from: usize) -> usize {
        self.next(from, 0)
    }

    /// The first number at or after `from` that is not a member, or [`SLICES`].
    pub(crate) fn next_out(&self, from: usize) -> usize {
        self.next(from, u64::MAX)
    }

    fn next(&self, from: usize, flip: u64) -> usize {
        let mut at = from;
        while at < SLICES {
            let w = (self.0[at / 64] ^ flip) >> (at % 64);
            if w != 0 {
                return at + w.trailing_zeros() as usize;
            }
            at = (at / 64 + 1) * 64;
        }
        SLICES
    }

    /// The runs of members, as (first, length).
    pub(crate) fn runs(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        let mut at = 0;
        std::iter::from_fn(move || {
            let first = self.next_in(at);
            (first < SLICES).then(|| {
                at = self.next_out(first);
                (first, at - first)
            })
        })
    }

    /// The first run of `n` members that starts at a multiple of `align`, a power of two.
    pub(crate) fn find(&self, n: usize, align: usize) -> Option<usize> {
        self.runs().find_map(|(first, len)| {
            let start = (first + align - 1) & !(align - 1);
            (start + n <= first + len).then_some(start)
        })
    }

    /// The length of the longest run.
    pub(crate) fn longest(&self) -> usize {
        self.runs().map(|(_, len)| len).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The slow and obvious set beside the fast one.
    #[test]
    fn agrees_with_a_naive_set() {
        let mut seed = 7u64;
        let mut random = move |n: usize| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed as usize % n
        };
        let (mut fast, mut slow) = (Bits::EMPTY, [false; SLICES]);
        for _ in 0..20_000 {
            let from = random(SLICES);
            let n = random((SLICES - from).min(90)) + 1;
            let put = random(2) == 0;
            slow[from..from + n].fill(put);
            if put {
                fast.insert(from, n)
            } else {
                fast.remove(from, n)
            }
            assert_eq!(fast.count(), slow.iter().filter(|&&b| b).count());
            assert_eq!(fast.count_in(from, n), if put { n } else { 0 });
            let i = random(SLICES);
            assert_eq!(fast.contains(i), slow[i]);
            assert_eq!(fast.next_in(i), (i..SLICES).find(|&j| slow[j]).unwrap_or(SLICES));
            assert_eq!(fast.next_out(i), (i..SLICES).find(|&j| !slow[j]).unwrap_or(SLICES));
            let (n, align) = (random(40) + 1, 1 << random(6));
            let found = (0..=SLICES - n).step_by(align).find(|&s| slow[s..s + n].iter().all(|&b| b));
            assert_eq!(fast.find(n, align), found);
        }
    }
}
