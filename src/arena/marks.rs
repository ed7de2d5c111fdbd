//! For the C interface: which addresses are ours, and at which of them a block begins that the program holds.
//!
//! C's `free` gets an address and nothing else, and programs that nobody compiled for this allocator hand it wrong ones. So
//! there is a table of all segments of the address space, one byte each, and in each of our segments one byte for each 16 bytes,
//! a *mark*: 0, or one more than the class byte of the block that begins there and is the program's. A free reads the mark where
//! it would read the class byte, and takes it away. Whatever is not the beginning of a live block has none: addresses inside
//! blocks, blocks that were freed, that were never handed out, that lie in a page which is gone.
//!
//! The marks of what is live, not of what is free: a block that lies in a magazine has never been touched, perhaps, and shall not be.
//! And bytes, not bits: neighbours are allocated and freed by different threads at the same time, with ordinary stores.
//!
//! ```text
//!   base                                  base + 479 slices      base + 511 slices
//!   | slice 0 | slice 1 | ... | slice 478 | marks                | metadata of the next segment
//! ```
//!
//! The price is a sixteenth of what pages of blocks hold, beside them; less for larger blocks ([`ROTATED`]).

use super::ours::{self, Segment};
use super::{SEGMENT, SLICE};
use crate::os;
use crate::sync::{AtomicU8, Ordering};

/// Blocks of the C interface begin at multiples of this.
pub(crate) const GRAIN: usize = 16;
/// Slices of a segment that hold its marks: enough for every address of it, so that no look leaves them.
pub(crate) const SLICES: usize = SEGMENT / GRAIN / SLICE;
/// Marks do not stand in the order of their addresses: those of addresses that only differ in the lowest [`ROTATED`] bits of their number
/// stand in as many quarters of an area. So blocks whose sizes are multiples of 64, most of the larger ones, have their marks in one
/// quarter, where those of four slices share an OS page; in order, each slice has 4 KiB of marks for perhaps three blocks.
const ROTATED: u32 = 2;
/// Marks that stand among each other, those of a MiB.
const AREA: usize = 1 << 16;
/// Where they begin.
const AT: usize = super::USABLE * SLICE;
const _: () = assert!(AT + SLICES * SLICE == SEGMENT - SLICE);

/// Commits the marks of a segment, which are zero then.
///
/// # Safety
/// The segment is reserved and ours, and nobody uses it.
pub(super) unsafe fn commit(base: *mut u8) -> bool {
    // SAFETY: by the caller's promise.
    unsafe { os::commit(base.wrapping_add(AT), SLICES * SLICE) }
}

/// Gives back the memory of marks that are all 0, of each four slices of the range that share OS pages.
///
/// # Safety
/// The range lies in a segment that has marks, and no block in it is anybody's.
pub(super) unsafe fn purge(from: *mut u8, len: usize) {
    pages_of(from.addr(), len, os::page_size(), |i, len| {
        let marks = from.map_addr(|a| (a & !(SEGMENT - 1)) + AT + i);
        // SAFETY: by the caller's promise: committed, and read as 0 before and after.
        unsafe { os::purge(marks, len) };
    });
}

/// Calls `f` with the first mark and the number of marks of ranges of whole OS pages that are of addresses of the range only: all that
/// there are, if four slices have an OS page in each quarter of an area; otherwise those of whole areas.
fn pages_of(from: usize, len: usize, os_page: usize, mut f: impl FnMut(usize, usize)) {
    const QUARTER: usize = AREA >> ROTATED;
    const SHARED: usize = SLICE / GRAIN;
    // Addresses whose marks share OS pages.
    let group = if os_page == SHARED { SLICE << ROTATED } else { AREA * GRAIN };
    let (mut at, end) = (from.next_multiple_of(group), (from + len) & !(group - 1));
    while at < end {
        let area = at & !(AREA * GRAIN - 1);
        let to = end.min(area + AREA * GRAIN);
        let marks = area % SEGMENT / GRAIN;
        if to - at == AREA * GRAIN {
            f(marks, AREA);
        } else {
            let (first, n) = (((at - area) / GRAIN) >> ROTATED, ((to - at) / GRAIN) >> ROTATED);
            (0..1 << ROTATED).for_each(|quarter| f(marks + quarter * QUARTER + first, n));
        }
        at = to;
    }
}

/// Whether an address, any at all, is a multiple of [`GRAIN`] in a segment that has marks.
#[inline(always)]
pub(crate) fn has(p: *mut u8) -> bool {
    // Bits that should be 0 come to stand at the top, where one comparison sees them, together with those of no address.
    let turned = p.addr().rotate_right(GRAIN.trailing_zeros());
    let segment = ours::TABLE.get(turned / (SEGMENT / GRAIN));
    // Relaxed: whoever holds a block got it after its segment was noted; who holds none is told so in any case.
    segment.is_some_and(|segment| segment.load(Ordering::Relaxed) == Segment::Marked as u8)
}

/// The mark of an address, any at all, if it has one.
pub(crate) fn of(p: *mut u8) -> Option<&'static AtomicU8> {
    // SAFETY: the address has a mark.
    has(p).then(|| unsafe { at(p) })
}

/// The mark of a block's beginning.
///
/// # Safety
/// The address is a multiple of [`GRAIN`], in a segment that has marks.
#[inline(always)]
pub(crate) unsafe fn at(p: *mut u8) -> &'static AtomicU8 {
    // SAFETY: by the caller's promise; the segment has a mark for each such address.
    unsafe { &*p.map_addr(|a| (a & !(SEGMENT - 1)) + AT).wrapping_add(index(p.addr())).cast() }
}

/// Which of its segment's marks an address has.
#[inline(always)]
fn index(address: usize) -> usize {
    const { assert!(AREA == 1 << u16::BITS && ROTATED < u16::BITS) };
    let i = (address / GRAIN) as u32;
    #[cfg(target_arch = "x86_64")]
    let i = {
        let mut i = i;
        // SAFETY: touches the register only. The compiler takes three instructions for this one.
        unsafe {
            std::arch::asm!("ror {i:x}, {by}", i = inout(reg) i, by = const ROTATED, options(pure, nomem, nostack));
        }
        i
    };
    #[cfg(not(target_arch = "x86_64"))]
    let i = i & !0xFFFF | u32::from((i as u16).rotate_right(ROTATED));
    i as usize % (SEGMENT / GRAIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_of_a_segment_has_its_own() {
        let mut had = vec![false; SEGMENT / GRAIN];
        for i in 0..SEGMENT / GRAIN {
            let at = index(7 * SEGMENT + i * GRAIN);
            assert_eq!(at, i & !(AREA - 1) | usize::from((i as u16).rotate_right(ROTATED)));
            assert!(!std::mem::replace(&mut had[at], true), "two addresses have mark {at}");
        }
    }

    #[test]
    fn what_is_given_back_is_of_the_range_and_of_nothing_else() {
        const SLICES: usize = 48;
        let lengths = [1, 3, 4, 5, 8, 16, 19, 20];
        for (from, slices) in (0..20).flat_map(|from| lengths.map(|n| (from, n))) {
            for (os_page, group) in [(4096, 4), (16384, 16)] {
                let mut given = vec![false; SLICES * SLICE / GRAIN];
                pages_of(5 * SEGMENT + from * SLICE, slices * SLICE, os_page, |i, len| {
                    assert!(i % os_page == 0 && len % os_page == 0 && len > 0);
                    given[i..i + len].fill(true);
                });
                for slice in 0..SLICES {
                    let first = slice / group * group;
                    let whole = first >= from && first + group <= from + slices;
                    for i in (0..SLICE).step_by(GRAIN) {
                        let mark = index(5 * SEGMENT + slice * SLICE + i);
                        assert_eq!(given[mark], whole, "{slices} slices from {from}: slice {slice}, {i}");
                    }
                }
            }
        }
    }

    #[test]
    fn larger_blocks_of_four_slices_share_an_os_page() {
        let at = |address: usize| index(3 * SEGMENT + address) / 4096;
        assert!((0..4 * super::super::SLICE).step_by(64).all(|address| at(address) == at(0)));
        assert_ne!(at(0), at(GRAIN));
    }
}
