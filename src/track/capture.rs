//! From the registers of an allocation to the site of its call stack.

use super::predict::{Miss, Predictor};
use super::state::State;
use super::unwind::{self, Frame, Registers};
use super::{Ending, sites};
use crate::os::die;
use crate::sync::{AtomicU32, Ordering};
use std::ptr::null_mut;

/// Frames of a stack that are kept.
static DEPTH: AtomicU32 = AtomicU32::new(64);

pub(super) fn set_depth(frames: u32) {
    DEPTH.store(frames, Ordering::Relaxed); // Relaxed: set before the first block
}

/// The site of the stack that begins at these registers, which are of the function that this is inlined into. `again`: the
/// thread captures every stack, so that it is worth while to learn them.
#[inline(always)]
pub(super) fn site(state: &mut State, from: Registers, again: bool) -> u32 {
    state
        .capturing(|state| {
            let predictor = if again { state.predictor() } else { null_mut() };
            // SAFETY: the predictor is this thread's, and nothing further out uses it; the registers are of a function that
            // has not returned.
            unsafe {
                match predictor.as_mut().map(|predictor| predictor.guess(from)) {
                    Some(Ok(site)) => {
                        // Debug builds walk every stack all the same.
                        if cfg!(debug_assertions) && walk(from, None) != site {
                            die!("a call stack was guessed wrong: site {site}");
                        }
                        site
                    }
                    Some(Err(miss)) => walk(from, Some((&mut *predictor, miss))),
                    None => walk(from, None),
                }
            }
        })
        .unwrap_or(sites::UNKNOWN)
}

/// A full walk, for which there is room on the stack: 2 KiB, unless stacks are to be deeper than by default.
#[inline(never)]
fn walk(from: Registers, learner: Option<(&mut Predictor, Miss)>) -> u32 {
    let depth = DEPTH.load(Ordering::Relaxed) as usize; // Relaxed: as above
    if depth > 64 {
        return walk_deep(from, learner, depth);
    }
    intern(from, learner, &mut [Frame::NONE; 64][..depth])
}

#[cold]
#[inline(never)]
fn walk_deep(from: Registers, learner: Option<(&mut Predictor, Miss)>, depth: usize) -> u32 {
    intern(from, learner, &mut [Frame::NONE; 256][..depth])
}

#[inline(always)]
fn intern(from: Registers, learner: Option<(&mut Predictor, Miss)>, frames: &mut [Frame]) -> u32 {
    let (n, ending) = unwind::walk(from, frames);
    let frames = &frames[..n];
    if n == 0 && ending == Ending::NoRules {
        return sites::UNKNOWN;
    }
    let site = sites::intern(frames.iter().map(|frame| frame.address), ending);
    if let Some((predictor, miss)) = learner {
        predictor.learn(miss, from, frames, ending, site);
    }
    site
}
