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
//! The price is a sixteenth of what pages of blocks hold, beside them: 4 KiB for each slice that blocks have been in.

use super::{SEGMENT, SLICE};
use crate::os;
use crate::sync::{AtomicU8, Ordering};

/// Blocks of the C interface begin at multiples of this.
pub(crate) const GRAIN: usize = 16;
/// Slices of a segment that hold its marks: enough for every address of it, so that no look leaves them.
pub(crate) const SLICES: usize = SEGMENT / GRAIN / SLICE;
/// Where they begin.
const AT: usize = super::USABLE * SLICE;
const _: () = assert!(AT + SLICES * SLICE == SEGMENT - SLICE);

/// Bits of the addresses that a process may have.
const ADDRESS_BITS: u32 = if cfg!(target_arch = "x86_64") { 47 } else { 48 };
const SEGMENTS: usize = 1 << (ADDRESS_BITS - SEGMENT.trailing_zeros());

/// What a segment of the address space is. A few MiB of zeroes, of which an OS page or two are ever touched.
static SEGMENT_TABLE: [AtomicU8; SEGMENTS] = [const { AtomicU8::new(Segment::Foreign as u8) }; SEGMENTS];

/// What a segment of the address space is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Segment {
    /// Not ours, or a part of a huge block but the first.
    Foreign = 0,
    /// It has marks.
    Marked,
    /// A huge block begins with it. It has metadata and no marks.
    Huge,
}

/// Commits the marks of a segment, which are zero then.
///
/// # Safety
/// The segment is reserved and ours, and nobody uses it.
pub(super) unsafe fn commit(base: *mut u8) -> bool {
    // SAFETY: by the caller's promise.
    unsafe { os::commit(base.wrapping_add(AT), SLICES * SLICE) }
}

/// A segment is this from now on.
pub(super) fn note(base: *mut u8, segment: Segment) {
    // Release because whoever finds it marked reads marks. It finds so at an address that it was given, which came later.
    SEGMENT_TABLE[base.addr() / SEGMENT].store(segment as u8, Ordering::Release);
}

/// What the segment of an address is.
pub(crate) fn segment(p: *mut u8) -> Segment {
    match SEGMENT_TABLE.get(p.addr() / SEGMENT).map(|s| s.load(Ordering::Acquire)) {
        Some(1) => Segment::Marked,
        Some(2) => Segment::Huge,
        _ => Segment::Foreign,
    }
}

/// Whether an address, any at all, is a multiple of [`GRAIN`] in a segment that has marks.
#[inline(always)]
pub(crate) fn has(p: *mut u8) -> bool {
    // Bits that should be 0 come to stand at the top, where one comparison sees them, together with those of no address.
    let turned = p.addr().rotate_right(GRAIN.trailing_zeros());
    let segment = SEGMENT_TABLE.get(turned / (SEGMENT / GRAIN));
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
    let i = p.addr() % SEGMENT / GRAIN;
    // SAFETY: by the caller's promise; the segment has a mark for each such address.
    unsafe { &*p.map_addr(|a| (a & !(SEGMENT - 1)) + AT).wrapping_add(i).cast() }
}
