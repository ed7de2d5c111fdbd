//! From the registers of an allocation to the site of its call stack.

#[cfg(feature = "symbols")]
use super::Ending;
use super::last::MOST;
use super::predict::Predictor;
use super::sites;
use super::state::State;
#[cfg(feature = "symbols")]
use super::unwind::Method;
use super::unwind::{self, Frame, Registers};
use crate::os::die;
use crate::sync::{AtomicU32, Ordering};
use std::ptr::null_mut;

/// Frames of a stack that are kept.
static DEPTH: AtomicU32 = AtomicU32::new(64);

pub(super) fn set_depth(frames: u32) {
    DEPTH.store(frames, Ordering::Relaxed); // Relaxed: set before the first block
}

#[inline(always)]
fn depth() -> usize {
    DEPTH.load(Ordering::Relaxed) as usize // Relaxed: as above
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
            let site = unsafe { predictor.as_mut().and_then(|predictor| predict(predictor, from)) };
            // Debug builds walk every stack all the same.
            if let (true, Some(site)) = (cfg!(debug_assertions), site)
                && walk(from) != site
            {
                die!("a call stack was guessed wrong: site {site}");
            }
            match site {
                Some(site) => site,
                #[cfg(feature = "symbols")]
                None if !again && unwind::method() == Method::None => backtrace(from, depth()),
                None => walk(from),
            }
        })
        .unwrap_or(sites::UNKNOWN)
}

/// # Safety
/// The registers are of a function that has not returned.
#[inline(always)]
unsafe fn predict(predictor: &mut Predictor, from: Registers) -> Option<u32> {
    // SAFETY: by the caller's promise.
    unsafe {
        match predictor.guess(from) {
            Ok(site) => Some(site),
            Err(miss) => predictor.walk(miss, from, depth()),
        }
    }
}

/// A full walk, for which there is room on the stack: 2 KiB, unless stacks are to be deeper than by default.
#[inline(never)]
fn walk(from: Registers) -> u32 {
    let depth = depth();
    if depth > 64 {
        return walk_deep(from, depth);
    }
    intern(from, &mut [Frame::NONE; 64][..depth])
}

#[cold]
#[inline(never)]
fn walk_deep(from: Registers, depth: usize) -> u32 {
    intern(from, &mut [Frame::NONE; MOST][..depth])
}

/// Where the code has no rules, samples are few enough for the system's unwinder, which takes microseconds. It may take the
/// loader's lock at its first use.
#[cfg(feature = "symbols")]
#[cold]
#[inline(never)]
fn backtrace(from: Registers, depth: usize) -> u32 {
    let mut frames = [0; MOST];
    let (mut n, mut more) = (0, false);
    // SAFETY: `trace` is synchronized for the sake of symbols, which are not asked for here.
    unsafe {
        backtrace::trace_unsynchronized(|frame| {
            // What stands further in is ours, and the unwinder's own.
            if frame.sp().addr() <= from.sp {
                return true;
            }
            more = n == depth;
            if !more {
                frames[n] = (frame.ip() as usize).wrapping_sub(1);
                n += 1;
            }
            !more
        });
    }
    sites::intern(frames[..n].iter().copied(), if more { Ending::Depth } else { Ending::Complete })
}

#[inline(always)]
fn intern(from: Registers, frames: &mut [Frame]) -> u32 {
    let (n, ending) = unwind::walk(from, frames);
    sites::intern(frames[..n].iter().map(|frame| frame.address), ending)
}
