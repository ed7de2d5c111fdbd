//! A cdylib that brings `Tenure` into a process which has another allocator: loaded, used from many threads, closed,
//! again and again.
//!
//! This process has std's allocator, on purpose; `dlopen_beside.rs` is the same with `Tenure` on both sides.

include!("dlopen/scenarios.rs");
