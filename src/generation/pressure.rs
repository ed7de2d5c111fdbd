//! The soft limit: collections that are asked for as what is held comes near it, and the hooks that hear of it.
//!
//! Levels stand at 3/4, 7/8 and 15/16 of the limit, and at the limit itself: each halves what was left, because each collection
//! costs many times what the one before it does. At the first a young one is asked for, then a middle one, then an old one;
//! at the limit an old one as well, and the hooks are due.
//!
//! **How much work that is at most.** After a collection was asked for, none is asked for at the same level or a lower one
//! before a sixteenth of the limit, and at least 1 MiB, has been allocated; whatever is held meanwhile. So a process that
//! lives just below its limit, or above it, has at most one for each sixteenth, and one more for each level that it passes meanwhile.

use super::{Generation, clock, hooks};
use crate::arena::held;
use crate::sync::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::ptr::null_mut;

static SOFT: AtomicUsize = AtomicUsize::new(usize::MAX);
/// The level at which something was asked for last, and above that: until when nothing more is, by [`clock::total`].
static STATE: AtomicU64 = AtomicU64::new(0);
const LEVEL_BITS: u32 = 3;

static ASKED: [AtomicU64; Generation::ALL.len()] = [const { AtomicU64::new(0) }; Generation::ALL.len()];
static REACHED: AtomicU64 = AtomicU64::new(0);
static HOOKS_DUE: AtomicBool = AtomicBool::new(false);
static HOOKS: [AtomicPtr<()>; MOST_HOOKS] = [const { AtomicPtr::new(null_mut()) }; MOST_HOOKS];

/// Functions that can be told.
pub(crate) const MOST_HOOKS: usize = 16;
/// No two collections at a level are closer than this, in bytes allocated, nor than a sixteenth of the limit.
const LEAST_STEP: usize = 1 << 20;
const STEPS: usize = 16;
/// The level at which the limit is reached.
const REACHES: u64 = 4;

// Relaxed throughout: one word is exchanged, and the rest are numbers.

/// `usize::MAX` for none.
pub(crate) fn set_soft(bytes: usize) {
    SOFT.store(bytes, Ordering::Relaxed);
}

/// Another limit was chosen: what was asked for near the last one is forgotten.
pub(crate) fn forget() {
    STATE.store(0, Ordering::Relaxed);
}

/// `usize::MAX` if there is none.
pub(crate) fn soft() -> usize {
    SOFT.load(Ordering::Relaxed)
}

/// Looks how near the limit is, and asks for what is due. Called after each 64 KiB of a thread and each large block, with no
/// lock held. One load where there is no soft limit.
#[inline]
pub(crate) fn look() {
    let soft = SOFT.load(Ordering::Relaxed);
    if soft < usize::MAX {
        look_at(soft, held::bytes(), clock::total());
    }
}

/// Whether what is held is near the soft limit.
pub(crate) fn is_near() -> bool {
    let soft = SOFT.load(Ordering::Relaxed);
    soft < usize::MAX && level(held::bytes(), soft) > 0
}

/// From 0, far away, to [`REACHES`].
fn level(held: usize, soft: usize) -> u64 {
    // 3/4, 7/8, 15/16 and the whole.
    [soft / 4, soft / 8, soft / 16, 0].iter().filter(|&&left| held >= soft - left).count() as u64
}

fn look_at(soft: usize, held: usize, now: u64) {
    let level = level(held, soft);
    if level == 0 {
        return;
    }
    let state = STATE.load(Ordering::Relaxed);
    let (last, until) = (state & ((1 << LEVEL_BITS) - 1), state >> LEVEL_BITS);
    if level <= last && now < until {
        return;
    }
    let next = (now + (soft / STEPS).max(LEAST_STEP) as u64) << LEVEL_BITS | level;
    // Of several threads, one asks.
    if STATE.compare_exchange(state, next, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
        ask(level);
    }
}

#[cold]
fn ask(level: u64) {
    let generation = Generation::ALL[(level as usize).min(Generation::ALL.len()) - 1];
    ASKED[generation as usize].fetch_add(1, Ordering::Relaxed);
    clock::want(generation);
    if level == REACHES {
        REACHED.fetch_add(1, Ordering::Relaxed);
        if !HOOKS[0].load(Ordering::Relaxed).is_null() {
            HOOKS_DUE.store(true, Ordering::Relaxed);
            hooks::wake();
        }
    }
}

/// Young, middle and old collections that were asked for, and how often the limit was reached.
pub(crate) fn asked() -> ([u64; 3], u64) {
    (ASKED.each_ref().map(|n| n.load(Ordering::Relaxed)), REACHED.load(Ordering::Relaxed))
}

/// What a hook is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pressure {
    /// Bytes that are held, at the moment of the call: the collection that the limit caused may be over by then.
    pub held: u64,
    /// The soft limit.
    pub soft: u64,
}

/// One more function that is told. `false` if there are [`MOST_HOOKS`].
pub(crate) fn add_hook(hook: fn(&Pressure)) -> bool {
    let free = |slot: &&AtomicPtr<()>| {
        // Release: with the Acquire in `tell`, whatever the function stands on is there.
        slot.compare_exchange(null_mut(), hook as *mut (), Ordering::Release, Ordering::Relaxed).is_ok()
    };
    HOOKS.iter().find(free).is_some()
}

/// Calls the functions if the limit was reached since they were called last, and says whether. They may do anything: the caller is
/// in no allocation, and holds no lock. A panic of one ends that one.
pub(super) fn tell() -> bool {
    if !HOOKS_DUE.load(Ordering::Relaxed) || !HOOKS_DUE.swap(false, Ordering::Relaxed) {
        return false;
    }
    let pressure = Pressure { held: held::bytes() as u64, soft: soft() as u64 };
    hooks::calling(|| {
        // Acquire: see `add_hook`.
        for hook in HOOKS.iter().map(|slot| slot.load(Ordering::Acquire)).take_while(|hook| !hook.is_null()) {
            // SAFETY: only functions of this type are stored.
            let hook: fn(&Pressure) = unsafe { std::mem::transmute(hook) };
            hooks::contained(|| hook(&pressure));
        }
    });
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_halve_what_is_left() {
        let at = |percent: usize| level(percent << 20, 100 << 20);
        assert_eq!([0, 74, 75, 87, 88, 93, 94, 99, 100, 500].map(at), [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]);
    }
}
