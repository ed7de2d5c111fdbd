//! Shared by the tests of this crate: each file in `tests/` is a process of its own, with `Tenure` as its global allocator.
