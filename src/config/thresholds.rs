//! When generations are collected.

use std::fmt;
use std::ops::RangeInclusive;

/// When each generation is collected, and what its ages are: for [`Tenure::thresholds`](crate::Tenure::thresholds), and
/// [`generation::set_thresholds`](crate::generation::set_thresholds) at run time. In the environment:
/// `TENURE=young=16MiB,young_per_middle=4,middle_per_old=4,free_percent=50,idle=5s`.
///
/// ```
/// use tenure::{Tenure, Thresholds};
///
/// #[global_allocator]
/// static ALLOC: Tenure = Tenure::new().thresholds(Thresholds { young_bytes: 16 << 20, ..Thresholds::DEFAULT });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Thresholds {
    /// Bytes, in whole blocks, that the process allocates from one young collection to the next: an *epoch*. 1 MiB to
    /// 1 TiB; 64 MiB by default.
    pub young_bytes: u64,
    /// Young collections from one middle collection to the next; and the age in epochs at which a block is middle-aged.
    /// 1 to 1024; 8 by default.
    pub young_per_middle: u32,
    /// Middle collections from one old collection to the next. A block is old with
    /// `young_per_middle * middle_per_old` epochs. 1 to 1024; 8 by default.
    pub middle_per_old: u32,
    /// An old collection gives back all that is free if that is more than so many percent of what is committed. 1 to 100;
    /// 25 by default. Less than that only goes back when it has rested.
    pub free_percent: u32,
    /// Milliseconds after which an epoch ends though less than `young_bytes` was allocated, so that a process that
    /// allocates little, or nothing, ages too. 100 ms to a day; 10 s by default.
    pub idle_ms: u64,
}

/// Bounds of what can be chosen.
const YOUNG_BYTES: RangeInclusive<u64> = 1 << 20..=1 << 40;
const COUNTS: RangeInclusive<u64> = 1..=1024;
const PERCENT: RangeInclusive<u64> = 1..=100;
const IDLE_MS: RangeInclusive<u64> = 100..=86_400_000;

impl Thresholds {
    /// What holds where nothing else is chosen.
    pub const DEFAULT: Thresholds =
        Thresholds { young_bytes: 64 << 20, young_per_middle: 8, middle_per_old: 8, free_percent: 25, idle_ms: 10_000 };

    /// Whether each is within its bounds; if not, which is the first that is not.
    pub const fn check(&self) -> Result<(), BadThreshold> {
        const fn out(range: &RangeInclusive<u64>, value: u64) -> bool {
            value < *range.start() || value > *range.end()
        }
        let (name, value, range) = if out(&YOUNG_BYTES, self.young_bytes) {
            ("young_bytes", self.young_bytes, YOUNG_BYTES)
        } else if out(&COUNTS, self.young_per_middle as u64) {
            ("young_per_middle", self.young_per_middle as u64, COUNTS)
        } else if out(&COUNTS, self.middle_per_old as u64) {
            ("middle_per_old", self.middle_per_old as u64, COUNTS)
        } else if out(&PERCENT, self.free_percent as u64) {
            ("free_percent", self.free_percent as u64, PERCENT)
        } else if out(&IDLE_MS, self.idle_ms) {
            ("idle_ms", self.idle_ms, IDLE_MS)
        } else {
            return Ok(());
        };
        Err(BadThreshold { name, value, least: *range.start(), most: *range.end() })
    }
}

impl Default for Thresholds {
    fn default() -> Self {
        Thresholds::DEFAULT
    }
}

/// A threshold is out of its bounds; nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BadThreshold {
    /// Which field of [`Thresholds`].
    pub name: &'static str,
    /// What was asked for.
    pub value: u64,
    /// The least that it can be.
    pub least: u64,
    /// The most that it can be.
    pub most: u64,
}

impl fmt::Display for BadThreshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BadThreshold { name, value, least, most } = self;
        write!(f, "{name} is {value}, which is not between {least} and {most}; no threshold was changed")
    }
}

impl std::error::Error for BadThreshold {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds() {
        const D: Thresholds = Thresholds::DEFAULT;
        assert_eq!(D.check(), Ok(()));
        for (wrong, name, value) in [
            (Thresholds { young_bytes: 0, ..D }, "young_bytes", 0),
            (Thresholds { young_bytes: (1 << 20) - 1, ..D }, "young_bytes", (1 << 20) - 1),
            (Thresholds { young_bytes: u64::MAX, ..D }, "young_bytes", u64::MAX),
            (Thresholds { young_per_middle: 0, ..D }, "young_per_middle", 0),
            (Thresholds { middle_per_old: 1025, ..D }, "middle_per_old", 1025),
            (Thresholds { free_percent: 101, ..D }, "free_percent", 101),
            (Thresholds { idle_ms: 99, ..D }, "idle_ms", 99),
        ] {
            let error = wrong.check().expect_err(name);
            assert_eq!((error.name, error.value), (name, value));
        }
        let text = Thresholds { idle_ms: 5, ..D }.check().expect_err("too short").to_string();
        assert_eq!(text, "idle_ms is 5, which is not between 100 and 86400000; no threshold was changed");
    }
}
