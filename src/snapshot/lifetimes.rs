//! How old blocks became that have died, as a snapshot keeps it: next to nothing for a site none of whose blocks outlived
//! its epoch.

use super::Sum;
use crate::track::ages::{AGES, Ages};

/// How old blocks became that outlived the epoch of their birth, and died. What was freed in that epoch is the rest: all
/// that was freed, less what is here.
///
/// Ages are epochs. A block that shrinks in place gives bytes back at its age. Estimates, where blocks were sampled.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Lifetimes(Option<Box<Aged>>);

#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Aged {
    /// At 1, 2 to 3, 4 to 7, ... epochs, up to the last that there is something of.
    pub(crate) died: Vec<Sum>,
    pub(crate) died_middle: Sum,
    pub(crate) died_old: Sum,
    pub(crate) unknown: Sum,
}

impl Lifetimes {
    /// What died with 1, 2 to 3, 4 to 7, ... epochs, up to the last that there is something of; what is beyond 8,191 epochs
    /// is in the fourteenth.
    pub fn died(&self) -> &[Sum] {
        self.0.as_ref().map_or(&[], |aged| &aged.died)
    }

    /// What died in the middle generation, by the [thresholds](crate::Thresholds) of that moment.
    pub fn died_middle(&self) -> Sum {
        self.0.as_ref().map_or(Sum::default(), |aged| aged.died_middle)
    }

    /// What died in the old generation, likewise.
    pub fn died_old(&self) -> Sum {
        self.0.as_ref().map_or(Sum::default(), |aged| aged.died_old)
    }

    /// What died at an age of at least one epoch that was not counted, because there was no memory for it.
    pub fn unknown(&self) -> Sum {
        self.0.as_ref().map_or(Sum::default(), |aged| aged.unknown)
    }

    /// Everything here: what outlived the epoch of its birth, and died.
    pub fn sum(&self) -> Sum {
        self.died().iter().copied().sum::<Sum>() + self.unknown()
    }

    /// These and others.
    pub(crate) fn join(&mut self, others: &Lifetimes) {
        let Some(others) = &others.0 else { return };
        let aged = self.0.get_or_insert_default();
        if aged.died.len() < others.died.len() {
            aged.died.resize(others.died.len(), Sum::default());
        }
        aged.died.iter_mut().zip(&others.died).for_each(|(to, from)| *to += *from);
        aged.died_middle += others.died_middle;
        aged.died_old += others.died_old;
        aged.unknown += others.unknown;
    }

    pub(crate) fn aged(&self) -> Option<&Aged> {
        self.0.as_deref()
    }

    pub(super) fn is_sound(&self) -> bool {
        self.aged().is_none_or(|aged| {
            aged.died.len() <= AGES
                && aged.died.iter().chain([&aged.died_middle, &aged.died_old, &aged.unknown]).all(Sum::is_sound)
        })
    }
}

impl From<&Ages> for Lifetimes {
    fn from(ages: &Ages) -> Lifetimes {
        if ages.is_none() {
            return Lifetimes(None);
        }
        let died = ages.counted().iter().map(|&e| e.into()).collect();
        let (died_middle, died_old) = (ages.middle.into(), ages.old.into());
        Lifetimes(Some(Box::new(Aged { died, died_middle, died_old, unknown: ages.unknown.into() })))
    }
}
