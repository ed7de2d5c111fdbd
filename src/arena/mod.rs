//! Address space and physical memory: reserved ranges, segments, slices, and private memory for the allocator's tables.
//!
//! Address space is divided at multiples of 32 MiB. What lies between two of them is a **segment**. A segment's
//! metadata stand in the slice *before* its boundary, which is the last slice of the segment below:
//!
//! ```text
//!   base - 64 KiB          base = k * 32 MiB                                              base + 32 MiB
//!   | metadata of k        | slice 0 | slice 1 | ...                          | slice 510 | metadata of k + 1
//!   | bytes  info  headers |
//! ```
//!
//! so that a block may start at the boundary itself, whatever alignment was asked for, and the metadata of any
//! address are still found by a mask. At `base - 64 KiB` stand
//!
//! - one **class byte** for each slice, 512 of them, at an offset that depends on `k` (the same cache set for all
//!   segments would make a program of many segments miss on each free),
//! - [`slices::Info`], what the arena itself knows of the segment,
//! - one **header** of 64 bytes for each slice, for [`crate::pages`] to use; those of the first slices share an OS page with the info.

pub(crate) mod bits;
pub(crate) mod held;
#[cfg(feature = "c-interface")]
pub(crate) mod marks;
pub(crate) mod ours;
pub(crate) mod private;
pub(crate) mod slices;
pub(crate) mod space;

/// Segments stand at multiples of this.
pub(crate) const SEGMENT: usize = 32 << 20;
/// The unit that pages are made of.
pub(crate) const SLICE: usize = 64 << 10;
/// Slices of a segment; the last one holds the metadata of the next segment.
pub(crate) const SLICES: usize = SEGMENT / SLICE;
/// Slices of a segment that can hold blocks. With the C interface, some hold marks ([`marks`]).
#[cfg(not(feature = "c-interface"))]
pub(crate) const USABLE: usize = SLICES - 1;
#[cfg(feature = "c-interface")]
pub(crate) const USABLE: usize = SLICES - 1 - marks::SLICES;
/// Bytes of a slice's header.
pub(crate) const HEADER: usize = 64;

/// Bytes of the metadata for the class bytes of 32 colours, and for the info; the headers follow.
const BYTES: usize = 16 << 10;
const INFO: usize = 1 << 10;
const HEADERS_AT: usize = BYTES + INFO;
const _: () = assert!(HEADERS_AT + SLICES * HEADER <= SLICE && size_of::<slices::Info>() <= INFO);
const _: () = assert!(BYTES / SLICES == 32);

/// The class byte of the slice that holds an address. Five instructions, none of which waits for memory:
/// the low bits of the segment's number (its colour) and the slice's number are neighbours in the address.
#[inline(always)]
pub(crate) fn class_byte(p: *mut u8) -> *mut u8 {
    let slice_and_colour = (p.addr() >> 16) & (BYTES - 1);
    p.map_addr(|a| ((a & !(SEGMENT - 1)) - SLICE) + slice_and_colour)
}

/// The header of the slice that holds an address.
#[inline(always)]
pub(crate) fn header(p: *mut u8) -> *mut u8 {
    let i = (p.addr() >> 16) & (SLICES - 1);
    p.map_addr(|a| (a & !(SEGMENT - 1)) - SLICE + HEADERS_AT + i * HEADER)
}

/// The first address of the slice that a header stands for: the inverse of [`header`].
#[inline(always)]
pub(crate) fn slice_of_header(h: *mut u8) -> *mut u8 {
    let base = (h.addr() | (SLICE - 1)) + 1;
    let i = (h.addr() - (base - SLICE + HEADERS_AT)) / HEADER;
    h.map_addr(|_| base + i * SLICE)
}

/// The slice that holds an address, and those before it in its segment, backwards.
pub(crate) fn slices_before(p: *mut u8) -> impl Iterator<Item = *mut u8> {
    let slice = p.map_addr(|a| a & !(SLICE - 1));
    let before = (slice.addr() & (SEGMENT - 1)) / SLICE;
    (0..=before).map(move |i| slice.wrapping_sub(i * SLICE))
}

/// The info of the segment that holds an address.
fn info(p: *mut u8) -> *mut slices::Info {
    p.map_addr(|a| (a & !(SEGMENT - 1)) - SLICE + BYTES).cast()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_of_an_address() {
        for k in [1usize, 2, 31, 32, 33, 1000] {
            for i in [0, 1, 63, USABLE - 1] {
                let base = k * SEGMENT;
                for offset in [0, 8, SLICE - 8] {
                    let p = std::ptr::without_provenance_mut::<u8>(base + i * SLICE + offset);
                    let byte = class_byte(p).addr();
                    assert_eq!(byte, base - SLICE + (k % 32) * SLICES + i);
                    assert_eq!(header(p).addr(), base - SLICE + HEADERS_AT + i * HEADER);
                    assert_eq!(slice_of_header(header(p)).addr(), base + i * SLICE);
                    assert_eq!(info(p).addr(), base - SLICE + BYTES);
                    assert!(info(p).is_aligned());
                }
            }
        }
    }
}
