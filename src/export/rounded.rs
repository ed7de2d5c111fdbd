//! Estimates as whole numbers, for formats that have no others.

/// Rounds a run of numbers so that their sum stays right: the sum over any part of the run is off by less than 1.
#[derive(Clone, Copy, Default)]
pub(super) struct Rounded {
    exact: f64,
    given: u64,
}

impl Rounded {
    pub(super) fn next(&mut self, value: f64) -> u64 {
        self.exact += value;
        let now = (self.exact.round() as u64).saturating_sub(self.given);
        self.given += now;
        now
    }
}

/// The same for changes, which may be negative.
#[cfg(feature = "pprof")]
#[derive(Clone, Copy, Default)]
pub(super) struct RoundedChange {
    exact: f64,
    given: i64,
}

#[cfg(feature = "pprof")]
impl RoundedChange {
    pub(super) fn next(&mut self, value: f64) -> i64 {
        self.exact += value;
        let now = (self.exact.round() as i64).saturating_sub(self.given);
        self.given = self.given.saturating_add(now);
        now
    }
}
