#![doc = include_str!("../../docs/testing.md")]

mod guard;
mod limits;
mod measure;
mod report;

pub use crate::track::watch::Count;
pub use guard::{NoAlloc, no_alloc, no_alloc_or_abort, permit};
pub use limits::{Limits, assert_no_alloc, assert_no_leak};
#[cfg(feature = "http")]
pub(crate) use measure::is_global;
pub use measure::{Measure, Measured, Scope, Site, measure, measure_async};
