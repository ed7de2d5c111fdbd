//! The measures of a build with the feature `hardened`: which there are, each by itself.
//!
//! All are constants, so that a build without the feature has none of their instructions. To measure some, build with their
//! names in `TENURE_MEASURES`, with commas between them; the others are left out then (`ci/hardened-prices.sh`).
//!
//! Prices, on 2026-11-22: processor time to that of the ordinary build, the fastest of one or two runs on a machine that had other work,
//! so that a tenth says nothing. Each measure beside the canaries, which all of them but the guard pages stand on.
//!
//! | | json | btree | hashmap | syn | large | pair32 |
//! | --- | --- | --- | --- | --- | --- | --- |
//! | all | 1.35 | 1.36 | 1.27 | 1.73 | 2.61 | 3.51 |
//!
//! What each costs by itself is not known well enough to be written down; with one run of each, random order, the delay and the guard
//! pages of small blocks were within the noise of the canaries alone, poison costs a fifth of `pair32`, and the fences of
//! large blocks with their delay are what `large` pays. Programs under the preloaded library: 1.10 over python3, gcc, perl, git and sort.

const CHOSEN: Option<&str> = option_env!("TENURE_MEASURES");

/// Whether a build has a measure.
const fn on(name: &str) -> bool {
    let Some(chosen) = CHOSEN else { return cfg!(feature = "hardened") };
    let (list, name) = (chosen.as_bytes(), name.as_bytes());
    let (mut at, mut same) = (0, 0);
    while at <= list.len() {
        if at == list.len() || list[at] == b',' {
            if same == name.len() {
                return cfg!(feature = "hardened");
            }
            same = 0;
        } else if same < name.len() && list[at] == name[same] {
            same += 1;
        } else {
            same = name.len() + 1;
        }
        at += 1;
    }
    false
}

/// The last eight bytes of each block say how long and how aligned it is, or that it is free, under a secret; what lies
/// between the requested size and them is filled. Both are looked at when the block is freed or resized.
pub(crate) const CANARY: bool = on("canary") || on("poison") || on("at_exit");

/// A freed block is filled with a pointer to where nothing is; that is looked at when it is handed out again. Needs
/// [`CANARY`], which says that the block is free.
pub(crate) const POISON: bool = on("poison");

/// Blocks leave pages, and magazines, in random order.
pub(crate) const RANDOM_ORDER: bool = on("random_order");

/// Two full magazines of each class wait in each thread before their blocks are handed out again.
pub(crate) const DELAY: bool = on("delay");

/// An inaccessible OS page ends each page of small blocks, and what a large block does not need of its slices is
/// inaccessible.
pub(crate) const GUARD_PAGES: bool = on("guard_pages");

/// Large blocks are inaccessible for a while when they are freed.
pub(crate) const DELAY_LARGE: bool = on("delay_large");

/// What is freed is looked up first: an address that is not in an arena, or not a block's, ends the process.
pub(crate) const CHECK_ADDRESS: bool = on("check_address") || CANARY;

/// At exit, blocks that were never freed, and freed ones that were not handed out again, are looked at too.
pub(crate) const CHECK_AT_EXIT: bool = on("at_exit");

/// Whether any measure changes what a block is.
pub(crate) const ON: bool = CHECK_ADDRESS;
