//! From the registers of an allocation to the site of its call stack.

use super::state::State;
use super::unwind::{self, Frame, Registers};
use super::{Ending, sites};
use crate::sync::{AtomicU32, Ordering};

/// Frames of a stack that are kept.
static DEPTH: AtomicU32 = AtomicU32::new(64);

pub(super) fn set_depth(frames: u32) {
    DEPTH.store(frames, Ordering::Relaxed); // Relaxed: set before the first block
}

/// The site of the stack that begins at these registers, which are of the function that this is inlined into.
#[inline]
pub(super) fn site(state: &mut State, from: Registers) -> u32 {
    state.capturing(|_| walk_and_intern(from)).unwrap_or(sites::UNKNOWN)
}

/// A full walk, for which there is room on the stack: 2 KiB, unless stacks are to be deeper than by default.
#[inline(never)]
fn walk_and_intern(from: Registers) -> u32 {
    let depth = DEPTH.load(Ordering::Relaxed) as usize; // Relaxed: as above
    if depth > 64 { walk_deep(from, depth) } else { intern(from, &mut [Frame::NONE; 64][..depth]) }
}

#[cold]
#[inline(never)]
fn walk_deep(from: Registers, depth: usize) -> u32 {
    intern(from, &mut [Frame::NONE; 256][..depth])
}

#[inline(always)]
fn intern(from: Registers, frames: &mut [Frame]) -> u32 {
    let (n, ending) = unwind::walk(from, frames);
    if n == 0 && ending == Ending::NoRules {
        return sites::UNKNOWN;
    }
    sites::intern(frames[..n].iter().map(|frame| frame.address), ending)
}
