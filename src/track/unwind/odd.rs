//! The steps of a walk that are not an ordinary call's: signals, other stacks, frames that realign the stack, and what
//! ends a walk. Every address that is not near the stack pointer is read only after the kernel has said that it can be.

use super::rule::{Kind, Rule, SavedBp};
use super::walk::{At, NEAR, is_near, load};
use super::{By, Frame, How};
use crate::os::objects::is_readable;
use crate::track::Ending;

/// Changes to another stack in one walk: each takes a system call or two, and a walk must not go round in circles.
pub(super) const SWITCHES: u32 = 4;
/// What RBP holds when nothing says where it went. Not aligned, so that no frame follows from it.
const LOST: usize = 1;
/// So much below its stack pointer belongs to a function, too.
const RED_ZONE: usize = 128;

/// Where the kernel's `ucontext` of x86-64 has the registers.
const CONTEXT_RBP: usize = 120;
pub(super) const CONTEXT_RSP: usize = 160;
const CONTEXT_RIP: usize = 168;

/// The step by a rule that is not plain, or leads out of the ordinary.
#[cold]
#[inline(never)]
pub(super) fn odd(at: &mut At, rule: Rule) -> Result<Frame, Ending> {
    match rule.kind() {
        Kind::End => Err(Ending::Complete),
        Kind::NoRules => Err(Ending::NoRules),
        Kind::Complex => Err(Ending::Complex),
        Kind::Signal => signal(at),
        Kind::Rsp | Kind::Rbp => based(at, rule.is_by_bp(), rule.offset(), rule.saved_bp(), false),
        Kind::Interrupted => {
            let (from_bp, offset) = rule.interrupted();
            based(at, from_bp, offset, rule.saved_bp(), true)
        }
        Kind::Loaded => {
            let (inner, outer, ra, interrupted) = rule.load();
            let pointer = bp_in_force(at)?.wrapping_sub(inner);
            let cfa = read(at, pointer)?.wrapping_add(outer);
            step(at, cfa, ra, rule.saved_bp(), By::Loaded, interrupted)
        }
    }
}

fn bp_in_force(at: &At) -> Result<usize, Ending> {
    if at.bp == LOST { Err(Ending::Complex) } else { Ok(at.bp) }
}

fn based(at: &mut At, from_bp: bool, offset: usize, bp: SavedBp, interrupted: bool) -> Result<Frame, Ending> {
    let (base, by) = if from_bp { (bp_in_force(at)?, By::Rbp) } else { (at.sp, By::Rsp) };
    step(at, base.wrapping_add(offset), 8, bp, by, interrupted)
}

/// Goes on at the CFA, whose return address stands `ra` bytes below it.
fn step(at: &mut At, cfa: usize, ra: usize, bp: SavedBp, by: By, interrupted: bool) -> Result<Frame, Ending> {
    let switched = !is_near(cfa, at.sp);
    if switched {
        if !cfa.is_multiple_of(8) || at.switches == 0 {
            return Err(Ending::Foreign);
        }
        at.switches -= 1;
        // From here on, `read` takes words near the CFA for this stack's.
        if !is_readable(cfa.wrapping_sub(8)) {
            return Err(Ending::Foreign);
        }
        at.sp = cfa - 8;
    }
    let slot = cfa.wrapping_sub(ra);
    let word = read(at, slot)?;
    let address = word.wrapping_sub(usize::from(!interrupted));
    let frame = Frame { slot, address, bp_slot: at.bp_slot, how: How::new(by, switched, interrupted) };
    let bp_slot = match bp {
        SavedBp::Unchanged => None,
        SavedBp::BelowCfa(words) => Some(cfa.wrapping_sub(words * 8)),
        SavedBp::AtBp => Some(bp_in_force(at)?),
        SavedBp::Lost => {
            at.bp = LOST;
            None
        }
    };
    if let Some(bp_slot) = bp_slot {
        at.bp = read(at, bp_slot)?;
        at.bp_slot = bp_slot;
    }
    at.sp = cfa;
    at.lookup = address;
    Ok(frame)
}

/// The function whose rule this is was called by the kernel, which has put all registers onto the stack.
fn signal(at: &mut At) -> Result<Frame, Ending> {
    let context = at.sp;
    let bp = read(at, context.wrapping_add(CONTEXT_RBP))?;
    let sp = read(at, context.wrapping_add(CONTEXT_RSP))?;
    let slot = context.wrapping_add(CONTEXT_RIP);
    let pc = read(at, slot)?;
    let switched = !is_near(sp, at.sp);
    if switched {
        if at.switches == 0 {
            return Err(Ending::Foreign);
        }
        at.switches -= 1;
    }
    // Its own red zone lies below; what an interrupted function has at RSP can be anything but must be there.
    if !sp.is_multiple_of(8) || !is_readable(sp) {
        return Err(Ending::Foreign);
    }
    let frame = Frame { slot, address: pc, bp_slot: at.bp_slot, how: How::new(By::Signal, switched, true) };
    (at.sp, at.bp, at.bp_slot, at.lookup) = (sp, bp, context.wrapping_add(CONTEXT_RBP), pc);
    Ok(frame)
}

/// A word of the stack that `at` stands on, or of any readable memory.
fn read(at: &At, address: usize) -> Result<usize, Ending> {
    let low = at.sp.saturating_sub(RED_ZONE);
    if !address.is_multiple_of(8) || !((low..at.sp.saturating_add(NEAR)).contains(&address) || is_readable(address)) {
        return Err(Ending::Foreign);
    }
    // SAFETY: near the stack pointer, see the head of `walk`; or the kernel could read it a moment ago.
    Ok(unsafe { load(address) })
}
