//! Reserved address space, handed out in units of a segment.
//!
//! The system is asked for a gigabyte at a time; where it refuses (a limit on address space, an emulator), for less,
//! down to one segment. Reserved space is never given back: somebody may be reading what stands beside it.

use super::{SEGMENT, SLICE};
use crate::os;
use std::ptr::null_mut;

/// Free ranges that are remembered. Neighbours merge, so this many only arise when huge blocks of many sizes die in
/// an unlucky order; beyond it a range is lost to us (its physical memory is purged all the same).
const RANGES: usize = 512;
/// Reservations that are remembered, to tell our addresses from foreign ones. What comes beyond it, or is refused by
/// the system, is an allocation that fails.
const RESERVATIONS: usize = 1024;
const FIRST_ASK: usize = 1 << 30;

#[derive(Clone, Copy)]
struct Range {
    base: *mut u8,
    units: usize,
}

/// The address space that we have.
///
/// A range of `units` segments is what lies between `base - SLICE` and `base + units * SEGMENT - SLICE`, metadata of
/// its first segment included; so neighbours join without a gap.
///
/// Invariant: free ranges are disjoint, ascending, never adjacent, and lie in reservations.
pub(crate) struct Space {
    free: [Range; RANGES],
    ranges: usize,
    reservations: [Range; RESERVATIONS],
    reserved: usize,
    /// What is asked for since the system refused more; 0 before, when it is [`FIRST_ASK`]: so all of this is zeroes at first.
    ask: usize,
}

// SAFETY: the addresses in it are numbers to this type; it never looks behind them.
unsafe impl Send for Space {}

impl Space {
    pub(crate) const fn new() -> Self {
        let none = Range { base: null_mut(), units: 0 };
        Space { free: [none; RANGES], ranges: 0, reservations: [none; RESERVATIONS], reserved: 0, ask: 0 }
    }

    /// Reserved bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.reservations[..self.reserved].iter().map(|r| r.units * SEGMENT).sum()
    }

    /// Whether the address lies in a reservation of ours.
    pub(crate) fn contains(&self, p: *mut u8) -> bool {
        let of = |r: &Range| (r.base.addr()..r.base.addr() + r.units * SEGMENT - SLICE).contains(&p.addr());
        self.reservations[..self.reserved].iter().any(of)
    }

    /// Address space for `units` segments in a row, the first at a multiple of `align` bytes (at least a segment's).
    /// `None` if the system has no more.
    pub(crate) fn take(&mut self, units: usize, align: usize) -> Option<*mut u8> {
        if let Some(base) = self.take_free(units, align) {
            return Some(base);
        }
        self.reserve(units, align)?;
        self.take_free(units, align)
    }

    fn take_free(&mut self, units: usize, align: usize) -> Option<*mut u8> {
        for i in 0..self.ranges {
            let r = self.free[i];
            let skip = (r.base.addr().next_multiple_of(align) - r.base.addr()) / SEGMENT;
            if skip + units > r.units {
                continue;
            }
            let base = r.base.wrapping_add(skip * SEGMENT);
            let after = Range { base: base.wrapping_add(units * SEGMENT), units: r.units - skip - units };
            self.free[i].units = skip;
            if after.units > 0 {
                if skip > 0 { self.insert(i + 1, after) } else { self.free[i] = after }
            } else if skip == 0 {
                self.delete(i);
            }
            return Some(base);
        }
        None
    }

    /// Takes back what [`Self::take`] gave. The memory behind it is purged.
    pub(crate) fn give(&mut self, base: *mut u8, units: usize) {
        let i = self.free[..self.ranges].partition_point(|r| r.base < base);
        let end = |r: &Range| r.base.wrapping_add(r.units * SEGMENT);
        let joins_before = i > 0 && end(&self.free[i - 1]) == base;
        let joins_after = i < self.ranges && self.free[i].base == base.wrapping_add(units * SEGMENT);
        match (joins_before, joins_after) {
            (true, true) => {
                self.free[i - 1].units += units + self.free[i].units;
                self.delete(i);
            }
            (true, false) => self.free[i - 1].units += units,
            (false, true) => self.free[i] = Range { base, units: units + self.free[i].units },
            (false, false) => self.insert(i, Range { base, units }),
        }
    }

    fn insert(&mut self, i: usize, r: Range) {
        if self.ranges == RANGES {
            return; // documented at RANGES
        }
        self.free.copy_within(i..self.ranges, i + 1);
        self.free[i] = r;
        self.ranges += 1;
    }

    fn delete(&mut self, i: usize) {
        self.free.copy_within(i + 1..self.ranges, i);
        self.ranges -= 1;
    }

    fn reserve(&mut self, units: usize, align: usize) -> Option<()> {
        if self.reserved == RESERVATIONS {
            return None;
        }
        let need = units.checked_mul(SEGMENT)?.checked_add(align - SEGMENT)?;
        let mut want = need.max(if self.ask == 0 { FIRST_ASK } else { self.ask });
        loop {
            if let Some(base) = reserve_below(want).or_else(|| reserve_aligned(want)) {
                let r = Range { base, units: want / SEGMENT };
                self.reservations[self.reserved] = r;
                self.reserved += 1;
                self.give(r.base, r.units);
                return Some(());
            }
            if want == need {
                return None;
            }
            // The system is short of addresses, now and for later: ask for less from here on.
            want = (want / 4 / SEGMENT * SEGMENT).max(need);
            self.ask = want.max(SEGMENT);
        }
    }
}

/// Looks where the kernel would place `len` bytes, and reserves them at the next suitable place below: mappings grow
/// downwards, so that is free as a rule, and nothing more is asked for than is used.
fn reserve_below(len: usize) -> Option<*mut u8> {
    let raw = os::reserve(0, len);
    if raw.is_null() {
        return None;
    }
    let base = (raw.addr() + SLICE) & !(SEGMENT - 1);
    if base == raw.addr() + SLICE {
        return Some(raw.wrapping_add(SLICE));
    }
    // SAFETY: just reserved, and nobody knows of it.
    unsafe { os::release(raw, len) };
    reserve_at(base, len)
}

/// Reserves `len` bytes from one slice below this base, if the addresses are free.
fn reserve_at(base: usize, len: usize) -> Option<*mut u8> {
    let want = base - SLICE;
    let raw = os::reserve(want, len);
    if raw.is_null() || raw.addr() == want {
        return (!raw.is_null()).then(|| raw.wrapping_add(SLICE));
    }
    // SAFETY: just reserved, and nobody knows of it.
    unsafe { os::release(raw, len) };
    None
}

/// Reserves `len` bytes, a multiple of a segment, from one slice below a multiple of a segment, which is returned.
fn reserve_aligned(len: usize) -> Option<*mut u8> {
    // The kernel knows nothing of our alignment: reserve a segment more, and give the ends back.
    let raw = os::reserve(0, len.checked_add(SEGMENT)?);
    if raw.is_null() {
        return None;
    }
    let base = raw.map_addr(|a| (a + SLICE).next_multiple_of(SEGMENT));
    let before = base.addr() - SLICE - raw.addr();
    let after = SEGMENT - before;
    // SAFETY: both ends are part of the reservation, and nobody knows of them.
    unsafe {
        if before > 0 {
            os::release(raw, before);
        }
        if after > 0 {
            os::release(base.wrapping_add(len - SLICE), after);
        }
    }
    Some(base)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(k: usize) -> *mut u8 {
        std::ptr::without_provenance_mut(k * SEGMENT)
    }

    #[test]
    fn ranges_split_and_merge() {
        let mut s = Box::new(Space::new());
        s.give(at(8), 16);
        assert_eq!(s.take_free(2, SEGMENT), Some(at(8)));
        assert_eq!(s.take_free(4, 16 * SEGMENT), Some(at(16)));
        assert_eq!(s.ranges, 2); // 10..16 and 20..24
        assert_eq!(s.take_free(7, SEGMENT), None);
        s.give(at(16), 4);
        assert_eq!((s.ranges, s.free[0].units), (1, 14));
        s.give(at(8), 2);
        assert_eq!((s.ranges, s.free[0].base, s.free[0].units), (1, at(8), 16));
        assert_eq!(s.take_free(16, SEGMENT), Some(at(8)));
        assert_eq!(s.ranges, 0);
    }
}
