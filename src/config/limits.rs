//! How much memory the process may hold: what the builder and the environment say of it.

use super::Size;
use std::fmt;

/// How much physical memory the allocator may hold: for [`Tenure::limits`](crate::Tenure::limits) and
/// [`limits::set_limits`](crate::limits::set_limits). In the environment: `TENURE=limit=2GiB,soft_limit=80%`.
///
/// [`tenure::limits`](crate::limits) says what counts, and what happens at each.
///
/// ```
/// use tenure::{Limits, Tenure};
///
/// #[global_allocator]
/// static ALLOC: Tenure = Tenure::new().limits(Limits::new().soft(1536 << 20).hard(2 << 30));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub(crate) soft: Soft,
    pub(crate) hard: Hard,
}

/// Where collections are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Soft {
    /// Nowhere, or with the cgroup's limit at [`SHARE`] of that.
    Unset,
    Never,
    Bytes(u64),
    /// Of the hard limit.
    Percent(u32),
}

/// Where allocations fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hard {
    Never,
    Bytes(u64),
    Cgroup,
}

/// No limit is below this: the allocator's own tables take about 1 MiB, and a program that has hardly begun some more.
pub(crate) const LEAST: u64 = 8 << 20;
/// Percents of the cgroup's limit at which the soft one stands, if nothing else is said.
pub(crate) const SHARE: u32 = 80;

impl Limits {
    /// No limits.
    pub const fn new() -> Limits {
        Limits { soft: Soft::Unset, hard: Hard::Never }
    }

    /// Collections are asked for as so many bytes come near: at least 8 MiB, and no more than the hard limit. A soft limit above
    /// the hard one, which another source has set, stands at the hard one.
    ///
    /// # Panics
    /// If it is below 8 MiB; in a `static`, at compile time.
    pub const fn soft(mut self, bytes: u64) -> Limits {
        assert!(bytes >= LEAST, "a limit is at least 8 MiB");
        self.soft = Soft::Bytes(bytes);
        self
    }

    /// The same at so many percents of the hard limit, 1 to 100, whatever that comes to be: for the cgroup's, which may change.
    ///
    /// # Panics
    /// If it is out of range; in a `static`, at compile time.
    pub const fn soft_percent(mut self, percent: u32) -> Limits {
        assert!(1 <= percent && percent <= 100, "1 to 100 percents");
        self.soft = Soft::Percent(percent);
        self
    }

    /// Allocations that would need more than so many bytes fail: they return null. At least 8 MiB.
    ///
    /// # Panics
    /// If it is below 8 MiB; in a `static`, at compile time.
    pub const fn hard(mut self, bytes: u64) -> Limits {
        assert!(bytes >= LEAST, "a limit is at least 8 MiB");
        self.hard = Hard::Bytes(bytes);
        self
    }

    /// The hard limit is what the cgroup of the process leaves it, looked at about once a second; and the soft one, if it is not
    /// set, 80 % of that. Without a limit on the cgroup there is none here.
    pub const fn cgroup(mut self) -> Limits {
        self.hard = Hard::Cgroup;
        self
    }

    /// What is wrong with the two together.
    pub(crate) const fn check(&self) -> Result<(), Contradiction> {
        match (self.soft, self.hard) {
            (Soft::Bytes(soft), Hard::Bytes(hard)) if soft > hard => Err(Contradiction::SoftAboveHard),
            (Soft::Percent(_), Hard::Never) => Err(Contradiction::PercentOfNothing),
            _ => Ok(()),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits::new()
    }
}

/// Two limits that do not go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contradiction {
    SoftAboveHard,
    PercentOfNothing,
}

/// In the words of the environment.
impl fmt::Display for Hard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Hard::Never => f.pad("none"),
            Hard::Cgroup => f.pad("cgroup"),
            Hard::Bytes(bytes) => write!(f, "{}", Size(bytes)),
        }
    }
}

/// In the words of the environment.
impl fmt::Display for Soft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Soft::Unset | Soft::Never => f.pad("none"),
            Soft::Bytes(bytes) => write!(f, "{}", Size(bytes)),
            Soft::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}
