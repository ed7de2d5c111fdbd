//! Limits on the memory that the allocator holds: a soft one, before which it collects harder, and a hard one, which it does not
//! exceed.
//!
//! They are chosen with [`Tenure::limits`](crate::Tenure::limits), with `TENURE=limit=2GiB,soft_limit=80%` in the environment, and at
//! run time with [`set_limits`]. By default there are none.
//!
//! **What counts** is what holds physical memory as far as the allocator knows: [`Stats::committed`](crate::Stats::committed), which is
//! pages in use and free ones that were not purged yet, without holes; and [`Stats::own`](crate::Stats::own), its tables.
//! [`Stats::limits`](crate::Stats::limits) has the sum as `held`. Memory of a page counts from the moment the page is made, touched or
//! not. Stacks, code, and what else the process maps do not count; nor do 64 KiB of metadata for each 32 MiB of addresses in use.
//!
//! **The hard limit.** It is looked at where pages are made, never on the fast path. Where the next page would exceed it, the allocator
//! purges what is free, takes home what threads and depots hold, and digs holes, as far as is needed; then it tries once more; then the
//! allocation returns null, after a dump was written if [`Dumps::on_failure`](crate::Dumps::on_failure) asks for one. A `realloc` that
//! fails leaves the old block as it was; one that can move memory instead of copying it needs room for the difference only. The
//! allocator's own tables cannot be refused, because it could not even free without them: they may go beyond the limit, by 64 KiB at a
//! time, and whatever comes next is refused. A limit that is set below what is held refuses every new page until enough was freed.
//!
//! Most Rust programs end when an allocation returns null; those that use [`Vec::try_reserve`] and the like go on.
//!
//! **The soft limit.** At 3/4 of it a young collection is asked for, at 7/8 a middle one, at 15/16 and beyond an old one: each
//! halves what was left. At the limit itself the functions of [`on_pressure`] are called, as soon as no allocation is in the way. After a
//! collection was asked for, none is at the same level or a lower one before a sixteenth of the limit, at least 1 MiB, was allocated: a
//! process that lives just below its limit does not collect all the time.
//!
//! **The cgroup's limit**, with [`Limits::cgroup`], is that of the group of the process or of one above it, whichever leaves
//! least: version 2's `memory.max`, or version 1's `memory.limit_in_bytes`. It concerns all that is in the group, so what others have
//! there (stacks, libraries, other processes; not the cache of files, which the kernel drops) is left to them: the hard limit is the
//! group's less what the group uses beyond what the allocator holds, or less a sixteenth if that is more. The soft limit is 80 % of it, or
//! what was chosen, and never above `memory.high`, from where on the kernel slows processes down. Both are read again after a
//! second, when the process allocates. Where they cannot be read, what was known stays.

use crate::config::limits::Contradiction;
use crate::generation::{limits as in_force, pressure};
use std::fmt;

pub use crate::config::Limits;
pub use crate::generation::pressure::Pressure;
pub use crate::stats::LimitStats;

/// The limits that were chosen last. What they come to in bytes, and what happened at them, is in
/// [`Stats::limits`](crate::Stats::limits). Does not allocate; takes a lock for a moment, and waits while somebody reads the cgroup's
/// files.
pub fn limits() -> Limits {
    in_force::chosen()
}

/// From now on these are the limits of the process. May be called from any thread at any time.
///
/// A limit below what is held takes nothing away: new pages are refused until enough was freed. Counts of refusals go on; how near
/// the limit came is forgotten. Does not allocate. With [`Limits::cgroup`] it reads the files of the cgroups, some 20 system calls for
/// each.
///
/// # Errors
/// If the two limits contradict each other; nothing is changed then.
pub fn set_limits(limits: Limits) -> Result<(), LimitsError> {
    limits.check().map_err(|contradiction| match contradiction {
        Contradiction::SoftAboveHard => LimitsError::SoftAboveHard { limits },
        Contradiction::PercentOfNothing => LimitsError::PercentOfNothing,
    })?;
    in_force::set(limits);
    Ok(())
}

/// Calls a function when the soft limit was reached: once, until it is reached again.
///
/// It runs at no allocation, but at the next of these: on the helper thread, in [`generation::poll`](crate::generation::poll), or in
/// [`generation::collect`](crate::generation::collect); outside of all locks of the allocator. It may allocate and free. A panic in it goes no
/// further. The place for it is to drop caches, or to take no more work.
///
/// # Errors
/// If there are 16 already. They are never taken away.
pub fn on_pressure(hook: fn(&Pressure)) -> Result<(), LimitsError> {
    if pressure::add_hook(hook) { Ok(()) } else { Err(LimitsError::TooManyHooks) }
}

/// Why something about limits was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LimitsError {
    /// The soft limit is above the hard one.
    SoftAboveHard {
        /// What was to be set.
        limits: Limits,
    },
    /// The soft limit is a part of a hard one, and there is none.
    PercentOfNothing,
    /// There is no room for another function.
    TooManyHooks,
}

impl fmt::Display for LimitsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LimitsError::SoftAboveHard { limits: Limits { soft, hard } } => {
                write!(f, "the soft limit of {soft} is above the hard one of {hard}: choose one that is not")
            }
            LimitsError::PercentOfNothing => {
                write!(f, "a soft limit in percents is a part of the hard one: choose that too, or a soft one in bytes")
            }
            LimitsError::TooManyHooks => {
                write!(
                    f,
                    "there are {} functions for the soft limit already: call several from one",
                    pressure::MOST_HOOKS
                )
            }
        }
    }
}

impl std::error::Error for LimitsError {}

/// In the words of the environment: `limit=2GiB,soft_limit=80%`.
impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "limit={},soft_limit={}", self.hard, self.soft)
    }
}
