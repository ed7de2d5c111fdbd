//! Faults around `realloc`.

use super::memory::{get, peek, peek_word, poke, poke_word, put, resize, work};
use super::{Ended, Fault, planted};
use std::hint::black_box;

fn freed(size: usize, new: usize) -> Ended {
    let block = get(size);
    put(block, size);
    if planted() {
        put(resize(block, size, new), new);
    }
    Ended::Unnoticed
}

fn wrong_size() -> Ended {
    let block = get(100);
    let new = resize(block, if planted() { 300 } else { 100 }, 600);
    put(new, 600);
    Ended::Unnoticed
}

fn inside() -> Ended {
    let block = get(256);
    let new = resize(if planted() { block.wrapping_add(32) } else { block }, 256, 512);
    put(new, 512);
    Ended::Unnoticed
}

fn stack() -> Ended {
    let mut here = black_box([0u64; 8]);
    if planted() {
        put(resize(here.as_mut_ptr().cast(), 64, 256), 256);
    }
    black_box(&mut here);
    Ended::Unnoticed
}

/// A block moves; the old pointer is used.
fn old_pointer(size: usize, use_it: fn(*mut u8)) -> Ended {
    let target = get(64);
    // The second is in the first one's way, so that it has to move.
    let (block, wall) = (get(size), get(size));
    poke_word(block, 8, target.expose_provenance());
    let new = resize(block, size, size * 4);
    if planted() && new != block {
        use_it(block);
    }
    work(500, size);
    put(new, size * 4);
    put(wall, size);
    put(target, 64);
    Ended::Unnoticed
}

fn follow(block: *mut u8) {
    black_box(peek(std::ptr::with_exposed_provenance_mut(peek_word(block, 8)), 0));
}

fn overflow(size: usize, new: usize) -> Ended {
    let block = resize(get(size), size, new);
    if planted() {
        poke(block, new as isize, 1);
    }
    put(block, new);
    Ended::Unnoticed
}

pub(crate) const ALL: &[Fault] = &[
    Fault { name: "realloc-freed", run: || freed(64, 200) },
    Fault { name: "realloc-freed-in-place", run: || freed(64, 62) },
    Fault { name: "realloc-freed-large", run: || freed(1 << 20, 1 << 21) },
    Fault { name: "realloc-wrong-size", run: wrong_size },
    Fault { name: "realloc-inside", run: inside },
    Fault { name: "realloc-the-stack", run: stack },
    Fault { name: "realloc-old-pointer-write", run: || old_pointer(80, |p| poke(p, 0, 1)) },
    Fault { name: "realloc-old-pointer-follow", run: || old_pointer(80, follow) },
    Fault { name: "realloc-old-pointer-free", run: || old_pointer(80, |p| put(p, 80)) },
    Fault { name: "realloc-old-pointer-large", run: || old_pointer(300_000, |p| poke(p, 200_000, 1)) },
    Fault { name: "realloc-overflow-grown", run: || overflow(40, 130) },
    Fault { name: "realloc-overflow-shrunk", run: || overflow(128, 101) },
    Fault { name: "realloc-overflow-large-grown", run: || overflow(100_000, 150_000) },
    Fault { name: "realloc-overflow-large-shrunk", run: || overflow(300_000, 200_000) },
];
