//! Which epochs of birth are taken together where they are too many to be told apart.

use crate::generation::clock::Bands;
use crate::track::ages::AGES;

/// How epochs are taken together: in steps of a power of two, but never across an age at which a generation or a row of the
/// [life table](super::LifeBand) begins. So what is said by age is as exact as if every epoch were told apart.
#[derive(Clone, Debug)]
pub(crate) struct Births {
    /// In ascending order: the first epochs of a generation or a row.
    begins: [u64; AGES + 3],
    step: u64,
}

impl Births {
    /// Epochs as they are, at a moment: [`Births::coarser`] takes some together.
    pub(crate) fn new(now: u64, bands: &Bands) -> Births {
        // Births from this epoch on are younger than an age.
        let younger = |age: u64| (now + 1).saturating_sub(age);
        let mut begins = [0; AGES + 3];
        (0..AGES).for_each(|i| begins[i] = younger(1 << i));
        begins[AGES..].copy_from_slice(&[younger(bands.middle), younger(bands.old), bands.permanent]);
        begins.sort_unstable();
        Births { begins, step: 1 }
    }

    /// Takes so many epochs together, a power of two.
    pub(crate) fn coarser(mut self, step: u64) -> Births {
        self.step = step;
        self
    }

    /// The first of the epochs that this one is taken together with.
    #[inline]
    pub(crate) fn first(&self, epoch: u64) -> u64 {
        if self.step == 1 { epoch } else { self.first_of_many(epoch, epoch & !(self.step - 1)) }
    }

    fn first_of_many(&self, epoch: u64, first: u64) -> u64 {
        let before = self.begins.partition_point(|&begin| begin <= epoch);
        first.max(before.checked_sub(1).map_or(0, |i| self.begins[i]))
    }

    /// The same as if all epochs were one step.
    pub(crate) fn coarsest(&self, epoch: u64) -> u64 {
        self.first_of_many(epoch, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::track::ages::bucket;

    #[test]
    fn nothing_is_taken_together_across_an_age_that_counts() {
        let (now, bands) = (100_000, Bands { middle: 5, old: 77, permanent: 99_333 });
        for step in [1, 2, 64, 1 << 20] {
            let births = Births::new(now, &bands).coarser(step);
            let mut firsts = std::collections::BTreeSet::new();
            for epoch in 0..now + 3 {
                for first in [births.first(epoch), births.coarsest(epoch)] {
                    let (age, age_of_first) = (now.saturating_sub(epoch), now.saturating_sub(first));
                    assert!(first <= epoch);
                    assert_eq!(bands.of(first, now), bands.of(epoch, now), "{epoch} {step}");
                    assert_eq!((bucket(age), age == 0), (bucket(age_of_first), age_of_first == 0), "{epoch} {step}");
                }
                firsts.insert(births.first(epoch));
            }
            assert!(firsts.len() as u64 <= (now + 3).div_ceil(step) + AGES as u64 + 3);
        }
    }
}
