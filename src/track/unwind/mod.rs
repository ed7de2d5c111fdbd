//! Call stacks of an ordinary release build, which has no frame pointers: from inside an allocation, so without
//! allocation, lock, panic, or a read where nothing may be mapped.
//!
//! The compiler writes down for each address of its code how the caller's registers follow from those there, for
//! exceptions to find their way. [`cfi`] reads that, [`rule`](mod@rule) packs it into 29 bits, [`cache`] keeps it in one word for
//! each address, and [`walk`](mod@walk) follows it. x86-64 only, for now: elsewhere [`method()`] is [`Method::None`].
//!
//! # Cost
//!
//! A frame takes 4.6 ns when its rule is in the cache (one load waits for the other: the return address, its rule, the
//! next return address). An address that is new to the process takes 220 ns, and 1.8 KiB of stack in a release build:
//! a thread with 16 KiB can afford that. Without optimisation it is 12 KiB. `cargo run --release -p tenure-alloc-tests
//! --example unwind_cost` prints all three.
//!
//! # Lookup addresses
//!
//! A return address points behind the call, where other rules may hold, or another function begin (the call may have
//! been the last instruction of one that never returns). So rules are looked up, and frames are named, by the return
//! address minus one. Where a signal interrupted a function, the saved pc is that of an instruction that has not run
//! yet: the lookup address is the pc itself.
//!
//! # What proves a stack without walking it
//!
//! A walk is a function of the three registers it starts from, of the rules, and of the words that it loads. So if a
//! recorded walk started from the same pc, and the generation of the rules is the same, and all words that steered it
//! hold the same values now, at the same distances from the stack pointer, then a walk now would go the same way. By
//! induction over the frames, for frame *i*, given that frames before *i* are the same, so that the function
//! in which the walk then stands is the same one:
//!
//! - its rule is the same, because it depends on nothing but the lookup address (and the generation);
//! - if the frame was found [`by`](How::by) [`By::Rsp`], the CFA is RSP plus a constant of the rule. RSP is the CFA of
//!   the frame before, so its distance from the first RSP is the same: [`slot`](Frame::slot) minus the first RSP is a
//!   constant of the record, and needs no check;
//! - if it was by [`By::Rbp`], the CFA is the RBP in force there plus a constant. The RBP in force is the word at
//!   [`bp_slot`](Frame::bp_slot), or the live register if that is 0. Which of the two, and at which distance, followed
//!   from rules alone, like the CFA's own. So the check is: (that word or register) minus the first RSP equals
//!   what it was in the recorded walk. The constant `slot - first RSP` then holds again;
//! - the word at the slot, which is [`word`](Frame::word), is compared: then the lookup address is the same, and so is
//!   the function in which the walk stands next.
//!
//! A record is therefore, for each frame, `(slot - rsp, word)`, and for each frame by RBP `(bp_slot - rsp, or live;
//! value - rsp)`, where value - rsp is the same for all frames that share the bp_slot. It ends before a frame that is not
//! by RSP or RBP on the same stack: distances across stacks mean nothing. Reads at these
//! distances are not proven to be mapped before the frames further in have been verified, so verify from the leaf
//! outward, or stay within OS pages that are known to be mapped.

mod cache;
mod cfi;
mod few;
mod method;
mod odd;
mod rule;
mod walk;

#[cfg(feature = "internals")]
pub(crate) use cache::forget;
pub(crate) use cache::{generation, refresh, rule};
#[cfg(feature = "internals")]
pub(crate) use method::disable;
pub(crate) use method::{Method, init, method};
pub(crate) use rule::Kind;
pub(crate) use walk::{is_beyond, is_near, load, walk};

/// The three registers at a point of a function's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Registers {
    /// The address of the instruction.
    pub(crate) pc: usize,
    /// The stack pointer.
    pub(crate) sp: usize,
    /// RBP, whatever it is used for there.
    pub(crate) bp: usize,
}

impl Registers {
    /// Those of the function that this is inlined into.
    ///
    /// The three instructions stand together, so the rules at `pc`, which is the second one's address, hold for all
    /// three values: a compiler changes its frame before or behind them. Nothing is written, the red zone stays.
    #[inline(always)]
    pub(crate) fn here() -> Registers {
        #[cfg(target_arch = "x86_64")]
        {
            let (pc, sp, bp);
            // SAFETY: copies registers. Not `pure`: two of these must not become one, nor move to where other rules hold.
            unsafe {
                std::arch::asm!(
                    "lea {pc}, [rip]",
                    "mov {sp}, rsp",
                    "mov {bp}, rbp",
                    pc = out(reg) pc,
                    sp = out(reg) sp,
                    bp = out(reg) bp,
                    options(nomem, nostack, preserves_flags),
                );
            }
            Registers { pc, sp, bp }
        }
        #[cfg(not(target_arch = "x86_64"))]
        Registers { pc: 0, sp: 0, bp: 0 }
    }
}

/// What a frame's CFA, and with it its slot, followed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum By {
    /// From the stack pointer.
    Rsp,
    /// From RBP.
    Rbp,
    /// From a word in memory, which RBP led to.
    Loaded,
    /// From what the kernel saved when a signal interrupted the function.
    Signal,
}

/// A frame of a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// The address of the stack word that holds the return address, or the pc that a signal interrupted.
    pub(crate) slot: usize,
    /// The lookup address: return address - 1, or the pc itself where a signal interrupted.
    pub(crate) address: usize,
    /// Where the RBP came from that was in force in the function called from here: the address of the
    /// word that it was loaded from; 0 if it was the live register.
    pub(crate) bp_slot: usize,
    /// How the frame was found.
    pub(crate) how: How,
}

/// How a frame was found, in one word.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct How(usize);

impl How {
    const SWITCHED: usize = 4;
    const INTERRUPTED: usize = 8;

    #[inline(always)]
    fn new(by: By, switched: bool, interrupted: bool) -> How {
        let (switched, interrupted) = (usize::from(switched), usize::from(interrupted));
        How(by as usize + switched * Self::SWITCHED + interrupted * Self::INTERRUPTED)
    }

    /// By an ordinary call's rule.
    #[inline(always)]
    pub(crate) fn plain(from_bp: bool) -> How {
        How::new(if from_bp { By::Rbp } else { By::Rsp }, false, false)
    }

    /// What the slot followed from.
    #[inline(always)]
    pub(crate) fn by(self) -> By {
        match self.0 & 3 {
            0 => By::Rsp,
            1 => By::Rbp,
            2 => By::Loaded,
            _ => By::Signal,
        }
    }

    /// Whether the slot lies on another stack than the one before.
    #[inline(always)]
    pub(crate) fn switched(self) -> bool {
        self.0 & Self::SWITCHED != 0
    }

    /// Whether the word in the slot is the lookup address itself: no call's.
    #[inline(always)]
    pub(crate) fn interrupted(self) -> bool {
        self.0 & Self::INTERRUPTED != 0
    }
}

impl std::fmt::Debug for How {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (switched, interrupted) = (self.switched(), self.interrupted());
        write!(
            f,
            "{:?}{}{}",
            self.by(),
            ["", ", switched"][usize::from(switched)],
            ["", ", interrupted"][usize::from(interrupted)]
        )
    }
}

impl Frame {
    /// Fills an array before a walk.
    pub(crate) const NONE: Frame = Frame { slot: 0, address: 0, bp_slot: 0, how: How(0) };

    /// What stands in the slot.
    #[inline(always)]
    pub(crate) fn word(&self) -> usize {
        self.address.wrapping_add(usize::from(!self.how.interrupted()))
    }
}

const _: () = assert!(size_of::<Frame>() <= 32);

#[cfg(test)]
mod tests;
