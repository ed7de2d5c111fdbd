//! Which segments are ours, for whoever must know before it reads their metadata: a load, without a lock.
//!
//! With the C interface, its marks know.

#[cfg(feature = "c-interface")]
pub(super) fn mark(_: *mut u8, _: bool) {}

/// Whether the class byte and the header of an address, any address, may be read. Null is nobody's.
#[cfg(feature = "c-interface")]
#[inline(always)]
pub(crate) fn has(p: *mut u8) -> bool {
    use super::marks::{Segment, segment};
    segment(p) != Segment::Foreign
}

#[cfg(not(feature = "c-interface"))]
pub(crate) use table::has;
#[cfg(not(feature = "c-interface"))]
pub(super) use table::mark;

#[cfg(not(feature = "c-interface"))]
mod table {
    use crate::arena::SEGMENT;
    use crate::config::hardened::CHECK_ADDRESS;
    use crate::sync::{AtomicU8, Ordering};

    /// Bits of an address that a program can have.
    const ADDRESS: u32 = if cfg!(target_arch = "x86_64") { 47 } else { 48 };
    const SEGMENTS: usize = 1 << (ADDRESS - SEGMENT.trailing_zeros());

    /// A byte for each segment that there can be. Of these 4 MiB the system keeps the few OS pages that are touched.
    static OURS: [AtomicU8; SEGMENTS] = [const { AtomicU8::new(0) }; SEGMENTS];

    /// The segment at this base has metadata that may be read; or has no more. Under the arena's lock.
    pub(in crate::arena) fn mark(base: *mut u8, is: bool) {
        if CHECK_ADDRESS {
            // Relaxed: whoever holds a block of the segment got it from somebody who has seen the mark.
            OURS[base.addr() / SEGMENT].store(u8::from(is), Ordering::Relaxed);
        }
    }

    /// Whether the class byte and the header of an address, any address, may be read. Null is nobody's.
    #[inline(always)]
    pub(crate) fn has(p: *mut u8) -> bool {
        OURS.get(p.addr() / SEGMENT).is_some_and(|is| is.load(Ordering::Relaxed) != 0) // Relaxed: see `mark`
    }
}
