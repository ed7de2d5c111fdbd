//! Real programs that were never recompiled, run with and without a preloaded allocator: what they do must be the same.
//!
//! | module | holds |
//! | --- | --- |
//! | [`place`] | a directory that goes when it is no longer needed |
//! | [`preload`] | the libraries that are preloaded, and how |
//! | [`process`] | one process: its end, its time, its memory; and what is done with one that hangs |
//! | [`session`] | one run of one program: what it printed, how it ended, which files it left |
//! | [`program`] | what a program needs, and how it is prepared and run once |
//! | [`table`] | the programs |
//! | [`count`] | allocations counted by a library of its own between the program and the allocator, and by valgrind |
//! | [`check`] | whether programs do the same with an allocator as without |
//!
//! `preload/tests/programs.rs` asks whether they do the same, `ci/programs-100.sh` asks it a hundred times, and
//! `cargo bench -p tenure-benches --bench programs` asks what they cost.

pub mod check;
pub mod count;
pub mod place;
pub mod preload;
pub mod process;
pub mod program;
pub mod session;
pub mod table;
mod texts;
