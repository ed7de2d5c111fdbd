//! The last stack that a thread walked: most of the next one is the same.
//!
//! A walk that comes to a frame at the same place, with the same return address, as one of the last stack has joined it: if
//! every word that steered the last walk from there on outward still holds what it held, a walk would go the same way
//! (see [`super::unwind`] for the proof). Those words are loaded one after the other, outward, up to the first that differs:
//! each proves where the next one is. Without that check two callers with frames of equal size would be taken for one
//! another.
//!
//! What is joined are stacks that ended by themselves. A stack that was cut off at the depth limit is another one when it
//! begins elsewhere, so it joins nothing; nor does one with a signal's frame, or on more than one stack.

use super::Ending;
use super::sites::{self, Id};
use super::unwind::{self, By, Frame, How, Registers};

/// Frames of a stack at most.
pub(super) const MOST: usize = 256;
/// Children that a thread remembers.
const CHILDREN: usize = 4096;

/// What a thread knows of its last walk. Zeroed memory is one that knows nothing.
pub(super) struct Last {
    stack: Stack,
    /// Where a walk writes its new frames, leaf first.
    new: [Step; MOST],
    /// The children of nodes that were asked for last.
    children: [Child; CHILDREN],
}

/// The frames of a stack, outermost first.
struct Stack {
    steps: [Step; MOST],
    nodes: [Id; MOST],
    len: usize,
    ending: Ending,
}

/// A frame, and RBP as it was in the function that the frame is of.
#[derive(Clone, Copy)]
struct Step {
    frame: Frame,
    bp: usize,
}

#[derive(Clone, Copy)]
struct Child {
    address: usize,
    parent: Id,
    id: Id,
}

/// Where a walk came to.
enum End {
    /// So many outer frames of the last stack are this one's too. The innermost of them, as it was found now, and where the RBP
    /// in force there was loaded from.
    Joined(usize, Step, usize),
    Ended(Ending),
}

impl Last {
    /// Forgets the stack.
    pub(super) fn forget(&mut self) {
        self.stack.len = 0;
    }

    /// The frames of the stack that was captured last, leaf first, and how it ended.
    pub(super) fn stack(&self) -> (impl Iterator<Item = &Frame> + Clone, Ending) {
        (self.stack.steps[..self.stack.len].iter().rev().map(|step| &step.frame), self.stack.ending)
    }

    #[inline(always)]
    fn child(&mut self, parent: Id, address: usize) -> Id {
        if parent == 0 {
            return 0;
        }
        let h = (address ^ (parent as usize) << 40).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let known = &mut self.children[h >> (usize::BITS - CHILDREN.ilog2())];
        if known.address != address || known.parent != parent || known.id == 0 {
            *known = Child { address, parent, id: sites::child(parent, address) };
        }
        known.id
    }

    /// Walks from the registers until the stack joins the last one or ends. Returns the site; `None` if the stack is one of
    /// those that only a full walk follows, or deeper than `depth`.
    ///
    /// # Safety
    /// The registers are of a function that has not returned.
    #[inline(always)]
    pub(super) unsafe fn capture(&mut self, from: Registers, depth: usize) -> Option<u32> {
        // SAFETY: by the caller's promise.
        let (n, end) = unsafe { self.stack.walk(from, &mut self.new[..depth]) }?;
        let mut node = match end {
            End::Joined(outer, joint, bp_slot) => {
                if outer + n > depth {
                    return None;
                }
                self.stack.keep(outer, joint, bp_slot);
                self.stack.nodes[outer - 1]
            }
            End::Ended(ending) => {
                self.stack.len = 0;
                self.stack.ending = ending;
                sites::root(ending)
            }
        };
        for i in (0..n).rev() {
            node = self.child(node, self.new[i].frame.address);
            let at = self.stack.len;
            self.stack.steps[at] = self.new[i];
            self.stack.nodes[at] = node;
            self.stack.len = at + 1;
        }
        Some(sites::of(node))
    }
}

impl Stack {
    /// Writes the new frames, leaf first. Returns how many, and what they stand on.
    ///
    /// # Safety
    /// See [`Last::capture`].
    #[inline(always)]
    unsafe fn walk(&self, from: Registers, new: &mut [Step]) -> Option<(usize, End)> {
        let (mut lookup, mut sp, mut bp, mut bp_slot) = (from.pc, from.sp, from.bp, 0);
        let mut left = self.len;
        let mut n = 0;
        loop {
            let rule = unwind::rule(lookup);
            if !rule.is_plain() {
                return Some((n, End::Ended(rule.ending()?)));
            }
            let cfa = if rule.is_by_bp() { bp } else { sp }.wrapping_add(rule.offset());
            if !unwind::is_near(cfa, sp) {
                return None;
            }
            let slot = cfa - 8;
            // SAFETY: as in a full walk, a word of the stack, where a rule says that a frame ends.
            let address = unsafe { unwind::load(slot) }.wrapping_sub(1);
            let frame = Frame { slot, address, bp_slot, how: How::plain(rule.is_by_bp()) };
            if rule.bp_below_cfa() != 0 {
                bp_slot = cfa - rule.bp_below_cfa();
                // SAFETY: as above.
                bp = unsafe { unwind::load(bp_slot) };
            }
            while left > 0 && self.steps[left - 1].frame.slot < slot {
                left -= 1;
            }
            if left > 0 && self.steps[left - 1].frame.slot == slot && self.steps[left - 1].frame.address == address {
                // SAFETY: the frame is proven: it was just walked to.
                if unsafe { self.still_holds(left, bp) } {
                    return Some((n, End::Joined(left, Step { frame, bp }, bp_slot)));
                }
                left = 0;
            }
            if unwind::is_beyond(address) || n == new.len() {
                return None; // it ends at a word, not by a rule; or is too deep
            }
            new[n] = Step { frame, bp };
            n += 1;
            (sp, lookup) = (cfa, address);
        }
    }

    /// Whether the `outer` outermost frames are as they were, given that the innermost of them is, and RBP there is `bp`.
    ///
    /// # Safety
    /// The innermost of them is proven.
    #[inline(always)]
    unsafe fn still_holds(&self, outer: usize, bp: usize) -> bool {
        let joint = &self.steps[outer - 1];
        let mut checked = 0;
        for i in (0..outer - 1).rev() {
            let frame = &self.steps[i].frame;
            if frame.how.by() == By::Rbp {
                if frame.bp_slot <= joint.frame.slot {
                    // The RBP that this frame follows from is the one in force at the joint.
                    if joint.bp != bp {
                        return false;
                    }
                } else if frame.bp_slot != checked {
                    checked = frame.bp_slot;
                    // SAFETY: a word of a frame further in, which is proven.
                    if unsafe { unwind::load(frame.bp_slot) } != self.steps[i + 1].bp {
                        return false;
                    }
                }
            }
            // SAFETY: the frames further in are proven, and with them where this one's return address stands.
            if unsafe { unwind::load(frame.slot) }.wrapping_sub(1) != frame.address {
                return false;
            }
        }
        true
    }

    /// Keeps the outer frames. The joint's own was found by another rule, if the same call called another function. Those that
    /// follow from the RBP at the joint do so from where it was loaded now.
    #[inline(always)]
    fn keep(&mut self, outer: usize, joint: Step, bp_slot: usize) {
        for step in self.steps[..outer - 1].iter_mut().rev().filter(|step| step.frame.how.by() == By::Rbp) {
            if step.frame.bp_slot > joint.frame.slot {
                break;
            }
            step.frame.bp_slot = bp_slot;
        }
        self.steps[outer - 1] = joint;
        self.len = outer;
    }
}
