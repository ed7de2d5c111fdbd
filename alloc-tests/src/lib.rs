//! Shared by the tests of this crate: each file in `tests/` is a process of its own, with `Tenure` as its global
//! allocator.
//!
//! Three kinds of tests stand on this: random operations beside an [oracle], scenarios that need a process of their
//! own ([child]) or files ([dir]), and readings of what the process occupies ([rss]). That they can fail is shown by [planted] faults.

pub mod chain;
pub mod child;
pub mod dir;
pub mod oracle;
pub mod pattern;
pub mod planted;
pub mod player;
pub mod plugin;
pub mod rng;
pub mod rss;
pub mod shadow;
pub mod sizes;

/// The allocator under test.
#[cfg(not(feature = "planted"))]
pub use tenure::Tenure;

/// The allocator under test, behind one that can be told to go wrong.
#[cfg(feature = "planted")]
pub type Tenure = planted::Faulty<tenure::Tenure>;

/// The size of the blocks that the tests free wrongly, which nothing else in the process has.
pub const BAD_FREE_SIZE: usize = 1237;
