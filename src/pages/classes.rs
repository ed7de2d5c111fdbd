//! Size classes: which there are, which one serves a request, and how many slices a page of each has.
//!
//! Eight to a doubling, so that adjacent classes differ by at most 12.5 %; below 64 bytes in steps of 8.

use crate::arena::SLICE;
use crate::config::hardened::GUARD_PAGES;

/// How many size classes there are.
pub(crate) const CLASSES: usize = 88;
/// The class byte of slices without blocks of a class: tracked, large, or nobody's.
pub(crate) const COLD: usize = CLASSES;
const _: () = assert!(COLD == crate::arena::slices::COLD as usize);
/// The largest block of a class, in bytes.
pub(crate) const LARGEST: usize = 64 << 10;
/// Requests up to this size find their class in a table.
pub(crate) const TABLED: usize = 8 << 10;

/// The block size of a class in bytes.
pub(crate) const fn block_size(class: usize) -> usize {
    if class < 8 {
        8 * (class + 1)
    } else {
        let doubling = (class - 8) / 8;
        (64 << doubling) + ((class - 8) % 8 + 1) * (8 << doubling)
    }
}

/// [`block_size`], for paths where a table is faster.
pub(crate) static BLOCK_SIZE: [u32; CLASSES] = BLOCK_SIZES;
/// The same as a constant: see [`TABLE`].
pub(crate) const BLOCK_SIZES: [u32; CLASSES] = {
    let mut table = [0; CLASSES];
    let mut i = 0;
    while i < CLASSES {
        table[i] = block_size(i) as u32;
        i += 1;
    }
    table
};

/// The smallest class whose blocks hold `size` bytes; `size` is from 1 to [`LARGEST`].
///
/// For a `size` that is a multiple of a power of two, the blocks of the class are too: all classes of a doubling are
/// multiples of its step, and a multiple of more than the step is a class itself. So rounding a size up to a multiple
/// of its alignment is all that an alignment needs.
pub(crate) const fn class_of(size: usize) -> usize {
    let last = size - 1;
    if last < 64 {
        last / 8
    } else {
        let log = last.ilog2() as usize;
        (log - 6) * 8 + 8 + ((last >> (log - 3)) & 7)
    }
}

/// Blocks of more than 8 bytes lie at multiples of 16, though nobody asks for it: with musl, Rust's unwinder is LLVM's, which
/// takes for granted that an exception does (`movaps`), and std allocates its exceptions, of 56 bytes, aligned to 8.
const BY_16: bool = cfg!(target_env = "musl");

/// The class of a size from 0 to [`TABLED`] is `TABLE[(size + 7) / 8]`.
// A `const`, not a `static`: a static of another crate is reached through the GOT, one more load on each allocation.
pub(crate) const TABLE: [u8; TABLED / 8 + 1] = {
    let mut table = [0; TABLED / 8 + 1];
    let mut i = 1;
    while i < table.len() {
        let size = if BY_16 && i > 1 { (i * 8).next_multiple_of(16) } else { i * 8 };
        table[i] = class_of(size) as u8;
        i += 1;
    }
    table
};

/// The same of C's blocks, of which each lies at a multiple of 16: the class of a size is `TABLE_BY_16[(size + 15) / 16]`.
#[cfg(feature = "c-interface")]
pub(crate) const TABLE_BY_16: [u8; TABLED / 16 + 1] = {
    let mut table = [class_of(16) as u8; TABLED / 16 + 1];
    let mut i = 1;
    while i < table.len() {
        table[i] = class_of(i * 16) as u8;
        i += 1;
    }
    table
};

/// Slices of a page: one, or enough for eight blocks.
pub(crate) const fn page_slices(class: usize) -> usize {
    (block_size(class) * 8).div_ceil(SLICE)
}

/// Bytes at a page's end that no block may have: for a guard page, where there is one and the blocks are small enough that it
/// costs little.
const fn guard(class: usize) -> usize {
    if GUARD_PAGES && page_slices(class) == 1 { 4 << 10 } else { 0 }
}

/// Blocks of a page.
pub(crate) const fn capacity(class: usize) -> usize {
    (page_slices(class) * SLICE - guard(class)) / block_size(class)
}

const SHIFT: u32 = 42;

/// 2^42 / block size, rounded up: with it, a multiplication and a shift divide an offset by the block size.
/// Exact for offsets below 2^22 (Granlund and Montgomery, "Division by Invariant Integers", 1994): the error of the
/// reciprocal is less than the block size, at most 2^16, and 2^22 * 2^16 < 2^42.
static RECIPROCAL: [u64; CLASSES] = {
    let mut table = [0; CLASSES];
    let mut i = 0;
    while i < CLASSES {
        table[i] = (1u64 << SHIFT).div_ceil(block_size(i) as u64);
        i += 1;
    }
    table
};

/// The number of the block that holds the byte at this offset of a page.
#[inline]
pub(crate) fn block_index(class: usize, offset: usize) -> usize {
    ((offset as u64 * RECIPROCAL[class]) >> SHIFT) as usize
}

const _: () = assert!(block_size(CLASSES - 1) == LARGEST && page_slices(CLASSES - 1) * SLICE < 1 << 22);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waste_is_bounded_for_every_size() {
        for size in 1..=LARGEST {
            let class = class_of(size);
            let block = block_size(class);
            assert!(block >= size);
            assert!(class == 0 || block_size(class - 1) < size, "{size} would fit a smaller class");
            // Within a block: a quarter of the block at 64 bytes and below, but for the rounding to 8; an eighth above.
            let most = if size <= 64 { 7 } else { block / 8 };
            assert!(block - size <= most, "{size} in {block}");
            if size <= TABLED {
                let served = TABLE[size.div_ceil(8)] as usize;
                match BY_16 && size > 8 {
                    false => assert_eq!(served, class),
                    true => assert!(block_size(served).is_multiple_of(16) && (class..=class + 1).contains(&served)),
                }
            }
        }
        for class in 0..CLASSES {
            // At a page's end: address space, which nobody touches. A guard page is a sixteenth of a page by itself.
            let page = page_slices(class) * SLICE;
            let tail = page - capacity(class) * block_size(class);
            assert!(tail * if GUARD_PAGES { 7 } else { 10 } <= page, "class {class} loses {tail} of {page}");
            if class > 0 {
                let (a, b) = (block_size(class - 1), block_size(class));
                assert!(if b <= 64 { b - a == 8 } else { (b - a) * 8 <= a }, "{a} and {b}");
            }
        }
    }

    #[test]
    fn alignment_needs_no_more_than_rounding() {
        for align in (0..=16).map(|log| 1usize << log) {
            for size in (align..=LARGEST).step_by(align) {
                assert_eq!(block_size(class_of(size)) % align, 0, "{size} at {align}");
            }
        }
    }

    #[test]
    fn reciprocal_divides_exactly() {
        for class in 0..CLASSES {
            for offset in 0..page_slices(class) * SLICE {
                assert_eq!(block_index(class, offset), offset / block_size(class));
            }
        }
    }
}
