//! The measures of a build with the feature `hardened`: which there are, each by itself.
//!
//! All are constants, so that a build without the feature has none of their instructions. To measure one, build with
//! `RUSTFLAGS='--cfg tenure_measure --cfg tenure_measure="canary"'`, which leaves the others out.

const fn on(named: bool) -> bool {
    cfg!(feature = "hardened") && (named || !cfg!(tenure_measure))
}

/// The last eight bytes of each block say how long and how aligned it is, or that it is free, under a secret; what lies
/// between the requested size and them is filled. Both are looked at when the block is freed or resized.
pub(crate) const CANARY: bool =
    on(cfg!(tenure_measure = "canary") || cfg!(tenure_measure = "poison") || cfg!(tenure_measure = "at_exit"));

/// A freed block is filled with a pointer to where nothing is; that is looked at when it is handed out again. Needs
/// [`CANARY`], which says that the block is free.
pub(crate) const POISON: bool = on(cfg!(tenure_measure = "poison"));

/// Blocks leave pages, and magazines, in random order.
pub(crate) const RANDOM_ORDER: bool = on(cfg!(tenure_measure = "random_order"));

/// Full magazines of a class that wait in each thread before their blocks are handed out again.
pub(crate) const DELAY: usize = if on(cfg!(tenure_measure = "delay")) { 2 } else { 0 };

/// An inaccessible OS page ends each page of small blocks, and what a large block does not need of its slices is
/// inaccessible.
pub(crate) const GUARD_PAGES: bool = on(cfg!(tenure_measure = "guard_pages"));

/// Large blocks are inaccessible for a while when they are freed.
pub(crate) const DELAY_LARGE: bool = on(cfg!(tenure_measure = "delay_large"));

/// What is freed is looked up first: an address that is not in an arena, or not a block's, ends the process.
pub(crate) const CHECK_ADDRESS: bool = on(cfg!(tenure_measure = "check_address")) || CANARY;

/// At exit, blocks that were never freed, and freed ones that were not handed out again, are looked at too.
pub(crate) const CHECK_AT_EXIT: bool = on(cfg!(tenure_measure = "at_exit"));

/// Whether any measure changes what a block is.
pub(crate) const ON: bool = CHECK_ADDRESS;
