//! The measures of a build with the feature `hardened`: which there are, each by itself.
//!
//! All are constants, so that a build without the feature has none of their instructions. To measure some, build with their
//! names in `TENURE_MEASURES`, with commas between them; the others are left out then (`ci/hardened-prices.sh`). `delay` and
//! `shuffled` are there only if they are named. All stand on
//! the check of addresses; `poison` and `at_exit` on the canaries, too. What they cost: `docs/hardened.md`.

const CHOSEN: Option<&str> = option_env!("TENURE_MEASURES");

/// Whether a build has a measure that is on by default.
const fn on(name: &str) -> bool {
    match CHOSEN {
        Some(_) => asked_for(name),
        None => cfg!(feature = "hardened"),
    }
}

/// Whether a build has a measure that must be named.
const fn asked_for(name: &str) -> bool {
    let Some(chosen) = CHOSEN else { return false };
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

/// Blocks leave pages in their order, but each magazine of them from a random one on.
pub(crate) const RANDOM_ORDER: bool = on("random_order") || SHUFFLED;

/// In random order instead, and magazines that were freed, too. Only if it is asked for: no planted fault was found by it, and it costs a sixth of the time of a
/// program that walks through what it allocated in a row.
pub(crate) const SHUFFLED: bool = asked_for("shuffled");

/// A full magazine of each class waits in each thread before its blocks are handed out again. Only if it is asked for: no
/// planted fault was found by it, and a thread whose blocks fitted into the processor's own cache has twice as many.
pub(crate) const DELAY: bool = asked_for("delay");

/// An inaccessible OS page ends pages of small blocks, and what a large block does not need of its slices is
/// inaccessible: at the beginning of the process all, then one in so many.
pub(crate) const GUARD_PAGES: bool = on("guard_pages");

/// Large blocks are inaccessible for a while when they are freed: the first ones, then one in so many.
pub(crate) const DELAY_LARGE: bool = on("delay_large");

/// At exit, blocks that were never freed, and freed ones that were not handed out again, are looked at too.
pub(crate) const CHECK_AT_EXIT: bool = on("at_exit");

/// Whether there is any measure.
pub(crate) const ON: bool = CANARY || RANDOM_ORDER || DELAY || GUARD_PAGES || DELAY_LARGE || on("check_address");

/// What is freed is looked up first: an address that is not in an arena, or not a block's, ends the process. Of an access that
/// a guard page stops, that says what lies there.
pub(crate) const CHECK_ADDRESS: bool = ON;
