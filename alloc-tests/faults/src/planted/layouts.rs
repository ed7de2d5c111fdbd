//! Frees with a layout that the block does not have.

use super::memory::{get, get_aligned, put, put_aligned};
use super::{Ended, Fault, planted};
use std::hint::black_box;

fn size(right: usize, wrong: usize) -> Ended {
    let block = get(right);
    put(block, if planted() { wrong } else { right });
    Ended::Unnoticed
}

fn align(size: usize, right: usize, wrong: usize) -> Ended {
    let block = get_aligned(size, right);
    put_aligned(block, size, if planted() { wrong } else { right });
    Ended::Unnoticed
}

/// `Vec::from_raw_parts` with a capacity that is not the vector's.
fn a_vector_with_another_capacity() -> Ended {
    let mut v = std::mem::ManuallyDrop::new(Vec::<u64>::with_capacity(20));
    let capacity = if planted() { 10 } else { v.capacity() };
    // SAFETY: none, where the capacity is wrong.
    drop(unsafe { Vec::from_raw_parts(black_box(v.as_mut_ptr()), 0, black_box(capacity)) });
    Ended::Unnoticed
}

/// A box of bytes becomes a box of numbers.
fn a_box_of_another_type() -> Ended {
    let p = black_box(Box::into_raw(Box::new([0u8; 16])));
    if planted() {
        // SAFETY: none: the alignment is another one.
        drop(unsafe { Box::from_raw(p.cast::<[u8; 8]>()) });
    } else {
        // SAFETY: it is that box.
        drop(unsafe { Box::from_raw(p) });
    }
    Ended::Unnoticed
}

pub(crate) const ALL: &[Fault] = &[
    Fault { name: "layout-one-byte-less", run: || size(64, 63) },
    Fault { name: "layout-one-byte-more", run: || size(33, 34) },
    Fault { name: "layout-another-class", run: || size(200, 100) },
    Fault { name: "layout-much-more", run: || size(48, 4096) },
    Fault { name: "layout-large-for-small", run: || size(100, 1 << 20) },
    Fault { name: "layout-small-for-large", run: || size(1 << 20, 100) },
    Fault { name: "layout-of-a-large-block", run: || size(1 << 20, 1 << 19) },
    Fault { name: "layout-alignment-more", run: || align(128, 8, 64) },
    Fault { name: "layout-alignment-less", run: || align(128, 64, 8) },
    Fault { name: "layout-capacity", run: a_vector_with_another_capacity },
    Fault { name: "layout-another-type", run: a_box_of_another_type },
];
