//! What the layers above read of tracked blocks.

use super::rate::Rate;
use super::{Ending, Live, Totals};

/// Each tracked live block once, while threads run. `f` may allocate.
pub(crate) fn each_live(_: &mut dyn FnMut(Live)) {}

/// What each site has done since the start, summed over threads. Sites are numbered densely from 0; 0 is what was not
/// captured, 1 is what came when the site table was full.
pub(crate) fn each_site(_: &mut dyn FnMut(u32, Totals)) {}

/// The addresses to look up for a site's stack, leaf first: of a call, the return address less one. And how it ended.
pub(crate) fn stack(_: u32, _: &mut dyn FnMut(usize)) -> Ending {
    Ending::Complete
}

/// Each tag, its name, and what it has done since the start. Tag 0 is no tag, 1 is "other".
pub(crate) fn each_tag(_: &mut dyn FnMut(u16, &str, Totals)) {}

/// How the process' blocks come to be tracked now.
pub(crate) fn rate() -> Rate {
    Rate::NONE
}

/// Runs `f`; what it allocates is not tracked.
pub(crate) fn untracked<R>(f: impl FnOnce() -> R) -> R {
    f()
}
