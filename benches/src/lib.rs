//! What a global allocator costs: workloads, one worker binary for each allocator, and the table that compares them.
//!
//! | module | holds |
//! | --- | --- |
//! | [`rng`], [`block`], [`rss`] | random numbers, memory to allocate, readings of resident memory |
//! | [`workloads`] | what is measured; each runs on whichever global allocator its process has |
//! | [`sources`] | the Rust files that the `syn` workload parses |
//! | [`worker`] | `main` of every worker binary: runs one workload, prints one line |
//! | [`allocators`] | who is compared, and where its worker is |
//! | [`compare`] | medians, and the ratio to the best peer |
//! | [`modes`] | tenure against itself: what tracking costs |
//! | [`service`] | the dispatcher under load: what a service pays for its allocator and its instruments |
//! | [`programs`] | real programs with a preloaded allocator |
//! | [`table`] | runs the workers in shuffled order and prints the tables |
//!
//! A process has one allocator, always: two in one process share address space, page cache and kernel state,
//! and neither's memory can be told from the other's.

pub mod allocators;
pub mod block;
pub mod compare;
pub mod modes;
pub mod programs;
pub mod rng;
pub mod rss;
pub mod service;
pub mod sources;
pub mod table;
pub mod worker;
pub mod workloads;
