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
use crate::arena::private;
use crate::os;

/// Frames of a stack at most.
pub(super) const MOST: usize = 256;
/// Children that a thread remembers.
const CHILDREN: usize = 64 << 10;
/// They stand in pieces, because private memory comes in no larger ones.
const PIECE: usize = 16 << 10;

/// What a thread knows of its last walk. Zeroed memory is one that knows nothing.
pub(super) struct Last {
    stack: Stack,
    /// Where a walk writes its new frames, leaf first.
    new: [Step; MOST],
    /// The children of nodes that were asked for last.
    children: [*mut [Child; PIECE]; CHILDREN / PIECE],
}

/// The frames of a stack, outermost first.
struct Stack {
    steps: [Step; MOST],
    /// The node of each frame, and a hash of its address and those further out.
    nodes: [(Id, usize); MOST],
    len: usize,
}

/// A frame, and where the walk stood then: RBP as it was in the function that the frame is of, and the address of the word
/// that it was loaded from; 0 if it was the live register.
#[derive(Clone, Copy)]
struct Step {
    frame: Frame,
    bp: usize,
    bp_at: usize,
}

#[derive(Clone, Copy)]
struct Child {
    address: usize,
    parent: Id,
    id: Id,
}

/// A walk by plain rules alone.
pub(super) struct Walker {
    lookup: usize,
    sp: usize,
    bp: usize,
    bp_at: usize,
    pub(super) steps: usize,
}

impl Walker {
    #[inline(always)]
    pub(super) fn new(from: Registers) -> Self {
        Walker { lookup: from.pc, sp: from.sp, bp: from.bp, bp_at: 0, steps: 0 }
    }

    /// The next outer frame; `None` where the stack ends, or where only a full walk goes on.
    ///
    /// # Safety
    /// The registers are of a function that has not returned, and every step since was on the same stack.
    #[inline(always)]
    pub(super) unsafe fn step(&mut self) -> Option<Frame> {
        let rule = unwind::rule(self.lookup);
        let cfa = if rule.is_by_bp() { self.bp } else { self.sp }.wrapping_add(rule.offset());
        if !rule.is_plain() || !unwind::is_near(cfa, self.sp) {
            return None;
        }
        let slot = cfa - 8;
        // SAFETY: as in a full walk, a word of the stack, where a rule says that a frame ends.
        let address = unsafe { unwind::load(slot) }.wrapping_sub(1);
        if unwind::is_beyond(address) {
            return None;
        }
        let frame = Frame { slot, address, bp_slot: self.bp_at, how: How::plain(rule.is_by_bp()) };
        if rule.bp_below_cfa() != 0 {
            self.bp_at = cfa - rule.bp_below_cfa();
            // SAFETY: as above.
            self.bp = unsafe { unwind::load(self.bp_at) };
        }
        (self.sp, self.lookup) = (cfa, address);
        self.steps += 1;
        Some(frame)
    }
}

/// Where a walk came to.
enum End {
    /// So many outer frames of the last stack are this one's too. The innermost of them as it was found now: the same call may
    /// call another function than before, whose rule leads to the frame in another way.
    Joined(usize, Step),
    Ended(Ending),
}

impl Last {
    /// Forgets the stack.
    pub(super) fn forget(&mut self) {
        self.stack.len = 0;
    }

    /// The frames of the stack that was captured last, leaf first.
    pub(super) fn frames(&self) -> impl Iterator<Item = &Frame> {
        self.stack.steps[..self.stack.len].iter().rev().map(|step| &step.frame)
    }

    /// Memory for the children. `false` if there is none.
    pub(super) fn prepare(&mut self) -> bool {
        for piece in &mut self.children {
            if piece.is_null() {
                *piece = private::take(size_of::<[Child; PIECE]>()).cast();
            }
        }
        self.children.iter().all(|piece| !piece.is_null())
    }

    #[inline(always)]
    fn child_at(&self, path: usize) -> *mut Child {
        children(&self.children, path)
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
        let (mut node, mut path) = match end {
            End::Joined(outer, joint) => {
                if outer + n > depth {
                    return None;
                }
                self.stack.keep(outer, joint);
                self.stack.nodes[outer - 1]
            }
            End::Ended(ending) => {
                self.stack.len = 0;
                (sites::root(ending), sites::root(ending) as usize)
            }
        };
        // Where a child is remembered follows from the addresses alone, so that all are fetched at the same time.
        let first = self.stack.len;
        for i in (0..n).rev() {
            let step = self.new[i];
            path = (path ^ step.frame.address).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
            let at = self.stack.len;
            os::prefetch(self.child_at(path));
            self.stack.steps[at] = step;
            self.stack.nodes[at] = (0, path);
            self.stack.len = at + 1;
        }
        for i in first..first + n {
            let address = self.stack.steps[i].frame.address;
            // SAFETY: of this thread; no other reference to it is held.
            let remembered = unsafe { &mut *self.child_at(self.stack.nodes[i].1) };
            if (remembered.address, remembered.parent) != (address, node) {
                let id = sites::known(node, address);
                if id == 0 {
                    return Some(self.make(i, node));
                }
                *remembered = Child { address, parent: node, id };
            }
            node = remembered.id;
            self.stack.nodes[i].0 = node;
        }
        Some(sites::of(node))
    }

    /// Makes nodes for the frames from `first` on, under a node. Returns the site.
    #[cold]
    fn make(&mut self, first: usize, mut node: Id) -> u32 {
        let mut i = first;
        let (stack, pieces) = (&mut self.stack, &self.children);
        sites::make(node, stack.steps[first..stack.len].iter().map(|step| step.frame.address), |id| {
            if id != 0 {
                let child = Child { address: stack.steps[i].frame.address, parent: node, id };
                // SAFETY: as in `capture`.
                unsafe { *children(pieces, stack.nodes[i].1) = child };
            }
            stack.nodes[i].0 = id;
            node = id;
            i += 1;
        });
        if node == 0 {
            stack.len = 0; // nothing joins a stack that has no site
        }
        sites::of(node)
    }
}

/// Where the child with this hash is remembered.
#[inline(always)]
fn children(pieces: &[*mut [Child; PIECE]; CHILDREN / PIECE], path: usize) -> *mut Child {
    pieces[path / PIECE % (CHILDREN / PIECE)].cast::<Child>().wrapping_add(path % PIECE)
}

impl Stack {
    /// Writes the new frames, leaf first. Returns how many, and what they stand on.
    ///
    /// # Safety
    /// See [`Last::capture`].
    #[inline(always)]
    unsafe fn walk(&self, from: Registers, new: &mut [Step]) -> Option<(usize, End)> {
        let mut at = Walker::new(from);
        let mut left = self.len;
        let mut n = 0;
        loop {
            // SAFETY: by the caller's promise; the steps that are copied below were verified.
            let Some(frame) = (unsafe { at.step() }) else {
                // By a rule, or by a word in memory; the latter is for a full walk.
                return Some((n, End::Ended(unwind::rule(at.lookup).ending()?)));
            };
            while left > 0 && self.steps[left - 1].frame.slot < frame.slot {
                left -= 1;
            }
            let same =
                |i: usize| (self.steps[i].frame.slot, self.steps[i].frame.address) == (frame.slot, frame.address);
            if left > 0 && same(left - 1) {
                // SAFETY: the frame is proven: it was just walked to.
                let holds = unsafe { self.still_holds(left, at.bp) };
                if holds == 0 {
                    return Some((n, End::Joined(left, Step { frame, bp: at.bp, bp_at: at.bp_at })));
                }
                // Frames from the joint out to the first that differs are the same, and need no rules.
                *new.get_mut(n)? = Step { frame, bp: at.bp, bp_at: at.bp_at };
                n += 1;
                let joint = frame.slot;
                for i in (holds..left - 1).rev() {
                    let mut step = self.steps[i];
                    if step.frame.bp_slot <= joint {
                        step.frame.bp_slot = at.bp_at;
                    }
                    if step.bp_at > joint {
                        at.bp_at = step.bp_at;
                        // SAFETY: a word of a frame that was verified.
                        at.bp = unsafe { unwind::load(step.bp_at) };
                    }
                    (step.bp, step.bp_at) = (at.bp, at.bp_at);
                    (at.sp, at.lookup) = (step.frame.slot + 8, step.frame.address);
                    *new.get_mut(n)? = step;
                    n += 1;
                }
                left = holds - 1;
                continue;
            }
            *new.get_mut(n)? = Step { frame, bp: at.bp, bp_at: at.bp_at };
            n += 1;
        }
    }

    /// How many of the `outer` outermost frames may differ from what they were, given that the innermost of them does not,
    /// and RBP there is `bp`: 0, or the number of the outermost up to and including the first, going outward, that does.
    ///
    /// # Safety
    /// The innermost of them is proven.
    #[inline(always)]
    unsafe fn still_holds(&self, outer: usize, bp: usize) -> usize {
        let joint = &self.steps[outer - 1];
        let mut checked = 0;
        for i in (0..outer - 1).rev() {
            let frame = &self.steps[i].frame;
            if frame.how.by() == By::Rbp {
                if frame.bp_slot <= joint.frame.slot {
                    // The RBP that this frame follows from is the one in force at the joint.
                    if joint.bp != bp {
                        return i + 1;
                    }
                } else if frame.bp_slot != checked {
                    checked = frame.bp_slot;
                    // SAFETY: a word of a frame further in, which is proven.
                    if unsafe { unwind::load(frame.bp_slot) } != self.steps[i + 1].bp {
                        return i + 1;
                    }
                }
            }
            // SAFETY: the frames further in are proven, and with them where this one's return address stands.
            if unsafe { unwind::load(frame.slot) }.wrapping_sub(1) != frame.address {
                return i + 1;
            }
        }
        0
    }

    /// Keeps the outer frames. Those that follow from the RBP at the joint do so from where it was loaded now.
    #[inline(always)]
    fn keep(&mut self, outer: usize, joint: Step) {
        self.steps[outer - 1] = joint;
        for step in self.steps[..outer - 1].iter_mut().rev() {
            if step.frame.bp_slot > joint.frame.slot {
                break; // it was loaded again since
            }
            step.frame.bp_slot = joint.bp_at;
            if step.bp_at <= joint.frame.slot {
                (step.bp, step.bp_at) = (joint.bp, joint.bp_at);
            }
        }
        self.len = outer;
    }
}
