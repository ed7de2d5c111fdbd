//! Captured stacks, for the tests that compare them with what others say.

pub use crate::snapshot::Ending;

use crate::track::{sites, unwind};

/// The registers that a walk starts from.
#[derive(Clone, Copy, Debug)]
pub struct Registers(unwind::Registers);

impl Registers {
    /// Those of the function that this is inlined into.
    #[inline(always)]
    pub fn here() -> Registers {
        Registers(unwind::Registers::here())
    }

    /// The stack pointer.
    pub fn sp(self) -> usize {
        self.0.sp
    }

    /// The same with another RBP.
    pub fn with_bp(self, bp: usize) -> Registers {
        Registers(unwind::Registers { bp, ..self.0 })
    }
}

/// A frame of a walk.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Frame(unwind::Frame);

impl Frame {
    /// Fills an array before a walk.
    pub const NONE: Frame = Frame(unwind::Frame::NONE);

    /// Where the return address or the interrupted pc stands.
    #[inline(always)]
    pub fn slot(&self) -> usize {
        self.0.slot
    }

    /// The lookup address.
    #[inline(always)]
    pub fn address(&self) -> usize {
        self.0.address
    }

    /// Whether a signal interrupted it, and whether it is on another stack than the one before.
    pub fn is_odd(&self) -> (bool, bool) {
        (self.0.how.interrupted(), self.0.how.switched())
    }
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Walks outward; returns how many frames it wrote. The function that the registers are of is no frame.
#[inline(always)]
pub fn walk(from: Registers, frames: &mut [Frame]) -> (usize, Ending) {
    // SAFETY: the one type is a transparent wrapper of the other.
    let inner = unsafe { std::slice::from_raw_parts_mut(frames.as_mut_ptr().cast::<unwind::Frame>(), frames.len()) };
    let (n, ending) = unwind::walk(from.0, inner);
    (n, ending.into())
}

/// The stack of a site: lookup addresses, leaf first, as far as there is room. Returns how many there are. Allocates nothing.
pub fn stack_of(site: u32, frames: &mut [usize]) -> (usize, Ending) {
    let mut n = 0;
    let ending = sites::stack(site, |address| {
        frames.get_mut(n).into_iter().for_each(|place| *place = address);
        n += 1;
    });
    (n, ending.into())
}

/// [`walk`] from registers that are made up.
pub fn walk_from(pc: usize, sp: usize, bp: usize, frames: &mut [Frame]) -> (usize, Ending) {
    walk(Registers(unwind::Registers { pc, sp, bp }), frames)
}

/// Whether stacks can be walked here.
pub fn works() -> bool {
    unwind::method() == unwind::Method::Rules
}

/// See there.
pub fn refresh() -> bool {
    unwind::refresh()
}

/// See there.
pub fn generation() -> u32 {
    unwind::generation()
}

/// As if the code had no rules, from here on.
pub fn disable() {
    unwind::disable();
}

/// Empties the cache of rules.
pub fn forget() {
    unwind::forget();
}

/// Looks up a rule, through the cache; what it says, in words.
#[inline(always)]
pub fn rule(lookup: usize) -> impl std::fmt::Debug {
    unwind::rule(lookup)
}
