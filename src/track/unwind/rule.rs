//! One unwind rule in 29 bits: how the caller's registers follow from those at one address of the code.
//!
//! ```text
//! bits  0..3   kind
//! bits  3..23  Rsp, Rbp:     CFA = register + 8 * offset
//!              Interrupted:  bit 3: from RBP; bits 4..23: as above
//!              Loaded:       bits 3..9: a; 9..15: b; 15..18: r; 18: interrupted.
//!                            CFA = *(RBP - 8 * a) + 8 * b, return address at CFA - 8 * r
//! bits 23..29  the caller's RBP: 0 unchanged; 1..=61 at CFA - 8 * it; 62 lost; 63 at RBP
//! ```
//!
//! The CFA (canonical frame address) is the value of RSP before the call; the return address stands right below it.

use crate::track::Ending;

/// What [`Rule::kind`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// The CFA follows from RSP. Together with the next one nearly all code.
    Rsp = 0,
    /// The CFA follows from RBP.
    #[allow(dead_code)] // made from its bits
    Rbp = 1,
    /// The outermost function.
    End = 2,
    /// Nothing is known of this address.
    NoRules = 3,
    /// A rule that does not fit in here.
    Complex = 4,
    /// A signal's frame: the kernel's `ucontext` stands at RSP.
    Signal = 5,
    /// The CFA is loaded from memory: frames that realign the stack, and coroutines.
    Loaded = 6,
    /// As `Rsp` or `Rbp`, but the return address that is found is no call's.
    Interrupted = 7,
}

/// Where the caller's RBP is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SavedBp {
    /// In RBP, still.
    Unchanged,
    /// So many words below the CFA.
    BelowCfa(usize),
    /// Nowhere that a rule could say.
    Lost,
    /// At the address in RBP.
    AtBp,
}

/// How the caller's registers follow. Never all zero.
///
/// The three bits above may be anything, so that what comes out of the cache is used without another operation.
#[derive(Clone, Copy)]
pub(crate) struct Rule(u32);

impl PartialEq for Rule {
    fn eq(&self, other: &Rule) -> bool {
        self.bits() == other.bits()
    }
}

/// Bits of a rule.
pub(super) const BITS: u32 = 29;
const OFFSET: u32 = 20;
const BP: u32 = 23;
const BP_LOST: u32 = 62;
const BP_AT_BP: u32 = 63;
const _: () = assert!(BP + 6 == BITS && 3 + OFFSET == BP);

impl SavedBp {
    fn pack(self) -> u32 {
        match self {
            SavedBp::Unchanged => 0,
            SavedBp::BelowCfa(words) if (1..BP_LOST as usize).contains(&words) => words as u32,
            SavedBp::BelowCfa(_) | SavedBp::Lost => BP_LOST,
            SavedBp::AtBp => BP_AT_BP,
        }
    }
}

impl Rule {
    pub(super) const END: Rule = Rule(Kind::End as u32);
    pub(super) const NO_RULES: Rule = Rule(Kind::NoRules as u32);
    pub(super) const COMPLEX: Rule = Rule(Kind::Complex as u32);
    pub(super) const SIGNAL: Rule = Rule(Kind::Signal as u32);

    /// CFA = RSP or RBP + `offset`.
    pub(super) fn plain(from_bp: bool, offset: i64, bp: SavedBp, interrupted: bool) -> Rule {
        let bits = OFFSET - u32::from(interrupted);
        let words = (offset / 8) as u64;
        if offset <= 0 || offset % 8 != 0 || words >= 1 << bits || bp == SavedBp::AtBp {
            return Rule::COMPLEX;
        }
        let (words, from_bp) = (words as u32, u32::from(from_bp));
        Rule(match interrupted {
            true => Kind::Interrupted as u32 | from_bp << 3 | words << 4 | bp.pack() << BP,
            false => from_bp | words << 3 | bp.pack() << BP,
        })
    }

    /// CFA = *(RBP + `inner`) + `outer`, return address at CFA - `ra`.
    pub(super) fn loaded(inner: i64, outer: i64, ra: i64, bp: SavedBp, interrupted: bool) -> Rule {
        let (a, b, r) = (-inner / 8, outer / 8, ra / 8);
        let fits = inner % 8 == 0 && outer % 8 == 0 && ra % 8 == 0;
        if !fits || !(0..64).contains(&a) || !(0..64).contains(&b) || !(1..8).contains(&r) {
            return Rule::COMPLEX;
        }
        let (a, b, r) = (a as u32, b as u32, r as u32);
        Rule(Kind::Loaded as u32 | a << 3 | b << 9 | r << 15 | u32::from(interrupted) << 18 | bp.pack() << BP)
    }

    /// # Safety
    /// The lowest [`BITS`] bits are those of a rule.
    #[inline(always)]
    pub(super) unsafe fn from_bits(bits: u32) -> Rule {
        Rule(bits)
    }

    #[inline(always)]
    pub(super) fn bits(self) -> u32 {
        self.0 & ((1 << BITS) - 1)
    }

    #[inline(always)]
    pub(crate) fn kind(self) -> Kind {
        // SAFETY: three bits, and each of their values is a kind.
        unsafe { std::mem::transmute((self.0 & 7) as u8) }
    }

    /// How a walk ends here, if it does.
    pub(crate) fn ending(self) -> Option<Ending> {
        match self.kind() {
            Kind::End => Some(Ending::Complete),
            Kind::NoRules => Some(Ending::NoRules),
            Kind::Complex => Some(Ending::Complex),
            _ => None,
        }
    }

    /// Whether it is [`Kind::Rsp`] or [`Kind::Rbp`] and says plainly where RBP is. These can be followed by
    /// [`Self::offset`] and [`Self::bp_below_cfa`] alone.
    #[inline(always)]
    pub(crate) fn is_plain(self) -> bool {
        self.0 & 7 <= 1 && self.bits() < BP_LOST << BP
    }

    /// Of a plain rule: whether the CFA follows from RBP.
    #[inline(always)]
    pub(crate) fn is_by_bp(self) -> bool {
        self.0 & 1 != 0
    }

    /// Of a plain rule: what is added to the register, in bytes.
    #[inline(always)]
    pub(crate) fn offset(self) -> usize {
        (self.0 & ((1 << BP) - 1) & !7) as usize
    }

    /// Of a plain rule: how many bytes below the CFA the caller's RBP stands; 0 if it is still in RBP.
    #[inline(always)]
    pub(crate) fn bp_below_cfa(self) -> usize {
        (self.0 >> (BP - 3) & 63 << 3) as usize
    }

    pub(crate) fn saved_bp(self) -> SavedBp {
        match self.bits() >> BP {
            0 => SavedBp::Unchanged,
            BP_LOST => SavedBp::Lost,
            BP_AT_BP => SavedBp::AtBp,
            words => SavedBp::BelowCfa(words as usize),
        }
    }

    /// Of [`Kind::Interrupted`]: whether the CFA follows from RBP, and what is added.
    pub(super) fn interrupted(self) -> (bool, usize) {
        (self.0 & 8 != 0, ((self.0 & ((1 << BP) - 1)) >> 4) as usize * 8)
    }

    /// Of [`Kind::Loaded`]: a, b and r in bytes, and whether it is interrupted.
    pub(super) fn load(self) -> (usize, usize, usize, bool) {
        let bytes = |at: u32, bits: u32| (self.0 >> at & ((1 << bits) - 1)) as usize * 8;
        (bytes(3, 6), bytes(9, 6), bytes(15, 3), self.0 >> 18 & 1 != 0)
    }
}

impl std::fmt::Debug for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.kind() {
            kind @ (Kind::Rsp | Kind::Rbp) => write!(f, "{kind:?} + {}, {:?}", self.offset(), self.saved_bp()),
            kind @ Kind::Interrupted => write!(f, "{kind:?} {:?}, {:?}", self.interrupted(), self.saved_bp()),
            kind @ Kind::Loaded => write!(f, "{kind:?} {:?}, {:?}", self.load(), self.saved_bp()),
            kind => write!(f, "{kind:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out() {
        let saved = [SavedBp::Unchanged, SavedBp::BelowCfa(1), SavedBp::BelowCfa(61), SavedBp::Lost];
        for bp in saved {
            for offset in [8, 16, 4096, 8 * ((1 << 20) - 1)] {
                for from_bp in [false, true] {
                    let rule = Rule::plain(from_bp, offset, bp, false);
                    assert_eq!(rule.kind(), if from_bp { Kind::Rbp } else { Kind::Rsp });
                    assert_eq!((rule.is_by_bp(), rule.offset() as i64, rule.saved_bp()), (from_bp, offset, bp));
                    assert_eq!(rule.is_plain(), bp != SavedBp::Lost);
                    assert!(rule.bits() != 0 && rule.bits() >> BITS == 0);
                    let rule = Rule::plain(from_bp, offset.min((4 << 20) - 16) & !15, bp, true);
                    if offset >= 16 {
                        assert_eq!(rule.kind(), Kind::Interrupted);
                        assert_eq!(rule.interrupted(), (from_bp, (offset.min((4 << 20) - 16) & !15) as usize));
                    }
                    assert!(!rule.is_plain());
                }
            }
        }
        assert_eq!(Rule::plain(true, 16, SavedBp::BelowCfa(2), false).bp_below_cfa(), 16);
        let rule = Rule::loaded(-8, 24, 16, SavedBp::AtBp, true);
        assert_eq!((rule.kind(), rule.load(), rule.saved_bp()), (Kind::Loaded, (8, 24, 16, true), SavedBp::AtBp));
    }

    #[test]
    fn what_does_not_fit_is_complex() {
        for offset in [0, -8, 12, 8 << 20, i64::MAX, i64::MIN] {
            assert_eq!(Rule::plain(false, offset, SavedBp::Unchanged, false), Rule::COMPLEX, "{offset}");
        }
        assert_eq!(Rule::plain(false, 4 << 20, SavedBp::Unchanged, true), Rule::COMPLEX);
        for (a, b, r) in [(8, 0, 8), (-512, 0, 8), (-4, 0, 8), (0, -8, 8), (0, 512, 8), (0, 0, 0), (0, 0, 64)] {
            assert_eq!(Rule::loaded(a, b, r, SavedBp::Unchanged, false), Rule::COMPLEX, "{a} {b} {r}");
        }
        assert_eq!(Rule::plain(true, 16, SavedBp::BelowCfa(62), false).saved_bp(), SavedBp::Lost);
        assert_eq!(Rule::plain(true, 16, SavedBp::BelowCfa(0), false).saved_bp(), SavedBp::Lost);
    }
}
