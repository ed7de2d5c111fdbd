//! A snapshot and a report of retention as text.

use super::Symbols;
use crate::snapshot::{Retention, Snapshot};
use std::fmt;

/// The ten lines of code that hold most, as a table for people: see [`Groups`](crate::snapshot::Groups).
///
/// Looks the names up anew each time: to print often, keep a [`Symbols`], and use [`Snapshot::top`].
impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.top(10, &mut Symbols::new()).fmt(f)
    }
}

/// The answer in a sentence, where memory lies, the ten costliest survivors, and what to do:
/// [`report`](Retention::report) with names that are looked up anew each time.
impl fmt::Display for Retention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.report(&mut Symbols::new()).fmt(f)
    }
}
