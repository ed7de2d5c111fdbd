//! The walk along a stack, from the leaf outward.
//!
//! What is read without a question: words between the stack pointer and 1 MiB above it, where a rule says that a frame
//! ends. Rules are the compiler's own, so this is the live part of a stack; the bound is for rules that are wrong
//! because a library was replaced by another since (see [`refresh`](super::refresh)). Whatever leads further, or
//! downward, or elsewhere, is followed only if the kernel says that it can be read, and a few times in a walk.

use super::cache::{self, ADDRESSES};
use super::odd::{SWITCHES, odd};
use super::{By, Frame, How, Registers};
use crate::track::Ending;

/// A frame larger than this is taken for another stack's.
pub(super) const NEAR: usize = 1 << 20;

/// Walks from the registers outward; returns how many frames it wrote, and why it ended. The function that `from.pc`
/// lies in is no frame: the first one is its caller.
///
/// No lock, no allocation, no panic, at any time. `from` comes from [`Registers::here`] in the function that calls
/// this (or from what a signal interrupted), whose frame must last until this returns. That is why part of this is
/// inlined there: what stands behind the call keeps it from being a tail call, which gives the frame up.
#[inline(always)]
pub(crate) fn walk(from: Registers, frames: &mut [Frame]) -> (usize, Ending) {
    let result = outward(from, frames);
    // SAFETY: nothing is done. It is there so that the call above is not the caller's last act.
    unsafe { std::arch::asm!("", options(nomem, nostack, preserves_flags)) };
    result
}

/// Where a walk stands.
#[derive(Clone, Copy)]
pub(super) struct At {
    pub(super) lookup: usize,
    /// Above this, the stack is somebody's; the word at it is mapped.
    pub(super) sp: usize,
    pub(super) bp: usize,
    /// Where `bp` was loaded from; 0: it is live.
    pub(super) bp_slot: usize,
    /// Changes of stacks that are still allowed.
    pub(super) switches: u32,
}

#[inline(never)]
fn outward(from: Registers, frames: &mut [Frame]) -> (usize, Ending) {
    let Registers { mut sp, mut bp, .. } = from;
    let (mut lookup, mut bp_slot, mut switches) = (from.pc, 0, SWITCHES);
    if !cfg!(target_arch = "x86_64") || !sp.is_multiple_of(8) || sp < 4096 {
        return (0, Ending::NoRules);
    }
    let mut n = 0;
    loop {
        let rule = cache::rule(lookup);
        let by_bp = rule.is_by_bp();
        // A branch, guessed right nearly always, while a choice by data would wait for the rule.
        let base = if by_bp { std::hint::black_box(bp) } else { sp };
        let cfa = base.wrapping_add(rule.offset());
        let frame = if rule.is_plain() && is_near(cfa, sp) {
            let slot = cfa - 8;
            // SAFETY: a word of the stack, see the head of this file.
            lookup = unsafe { load(slot) }.wrapping_sub(1);
            let how = How::new(if by_bp { By::Rbp } else { By::Rsp }, false, false);
            let frame = Frame { slot, address: lookup, bp_slot, how };
            if rule.bp_below_cfa() != 0 {
                bp_slot = cfa - rule.bp_below_cfa();
                // SAFETY: a word of the same frame, at most 480 bytes below it, where our own frames are.
                bp = unsafe { load(bp_slot) };
            }
            sp = cfa;
            frame
        } else {
            // A copy: what a call gets the address of cannot stay in registers.
            let mut at = At { lookup, sp, bp, bp_slot, switches };
            match odd(&mut at, rule) {
                Ok(frame) => {
                    At { lookup, sp, bp, bp_slot, switches } = at;
                    frame
                }
                Err(ending) => return (n, ending),
            }
        };
        if lookup >= ADDRESSES {
            return (n, beyond(lookup));
        }
        match frames.get_mut(n) {
            Some(place) => *place = frame,
            None => return (n, Ending::Depth),
        }
        n += 1;
    }
}

/// Whether a CFA is aligned, above the stack pointer, and not too far: in one comparison, because rotation makes bits
/// that should be 0 the highest ones.
#[inline(always)]
pub(crate) fn is_near(cfa: usize, sp: usize) -> bool {
    cfa.wrapping_sub(sp).wrapping_sub(8).rotate_right(3) < NEAR / 8
}

/// # Safety
/// The word is mapped.
#[inline(always)]
pub(crate) unsafe fn load(address: usize) -> usize {
    // SAFETY: by the caller's promise. Volatile because it is not a Rust object of ours.
    unsafe { std::ptr::with_exposed_provenance::<usize>(address).read_volatile() }
}

/// Whether a lookup address is none: the stack ends there.
#[inline(always)]
pub(crate) fn is_beyond(lookup: usize) -> bool {
    lookup >= ADDRESSES
}

/// A lookup address that no code has: 0 - 1 is how the outermost frames of some threads end.
#[cold]
fn beyond(lookup: usize) -> Ending {
    if lookup == usize::MAX { Ending::Complete } else { Ending::NoRules }
}
