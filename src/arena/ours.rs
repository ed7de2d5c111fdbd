//! Which segments of the address space are ours, for whoever is given an address, any at all, and must know before it reads
//! metadata: a load, without a lock.

use super::SEGMENT;
use crate::config::hardened::CHECK_ADDRESS;
use crate::sync::{AtomicU8, Ordering};

/// Bits of the addresses that a process may have.
const ADDRESS_BITS: u32 = if cfg!(target_arch = "x86_64") { 47 } else { 48 };
const SEGMENTS: usize = 1 << (ADDRESS_BITS - SEGMENT.trailing_zeros());

/// What a segment of the address space is. A few MiB of zeroes, of which an OS page or two are ever touched.
pub(super) static TABLE: [AtomicU8; SEGMENTS] = [const { AtomicU8::new(Segment::Foreign as u8) }; SEGMENTS];

/// Whether anybody asks.
const ON: bool = cfg!(feature = "c-interface") || CHECK_ADDRESS;

/// What a segment of the address space is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Segment {
    /// Not ours, or a part of a huge block but the first.
    Foreign = 0,
    /// It has metadata and, with the C interface, marks.
    Marked,
    /// A huge block begins with it. It has metadata and no marks.
    Huge,
}

/// A segment is this from now on. Under the arena's lock.
pub(super) fn note(base: *mut u8, segment: Segment) {
    if ON {
        // Release because whoever finds it marked reads marks. It finds so at an address that it was given, which came later.
        TABLE[base.addr() / SEGMENT].store(segment as u8, Ordering::Release);
    }
}

/// What the segment of an address is.
#[cfg(feature = "c-interface")]
#[inline(always)]
pub(crate) fn segment(p: *mut u8) -> Segment {
    // Acquire: see `note`. On x86-64 it is an ordinary load.
    match TABLE.get(p.addr() / SEGMENT).map(|s| s.load(Ordering::Acquire)) {
        Some(1) => Segment::Marked,
        Some(2) => Segment::Huge,
        _ => Segment::Foreign,
    }
}

/// Whether the class byte and the header of an address, any address, may be read. Null is nobody's.
#[inline(always)]
pub(crate) fn has(p: *mut u8) -> bool {
    // Acquire: see `note`. On x86-64 it is an ordinary load.
    TABLE.get(p.addr() / SEGMENT).is_some_and(|s| s.load(Ordering::Acquire) != Segment::Foreign as u8)
}
