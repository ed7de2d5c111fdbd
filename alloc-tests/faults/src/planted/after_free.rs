//! Uses of a block that was freed: CWE-416.

use super::memory::{fill, get, peek, peek_word, poke, poke_word, put, work};
use super::{Ended, Fault, harmless_if, planted};
use std::hint::black_box;

/// A block is freed; so many others are allocated and freed; then a byte of it is written. What comes after gives the
/// allocator time to notice.
fn write(size: usize, offset: isize, between: usize, value: u8) -> Ended {
    let (block, keep) = (get(size), get(size));
    put(block, size);
    work(between, size);
    if planted() {
        poke(block, offset, value);
    }
    work(2000 / (1 + size / 4096), size);
    put(keep, size);
    Ended::Unnoticed
}

fn write_and_exit(size: usize) -> Ended {
    let block = get(size);
    put(block, size);
    if planted() {
        poke(block, 0, 1);
    }
    Ended::Unnoticed
}

fn write_by_another_thread() -> Ended {
    let block = get(96);
    let address = block.expose_provenance();
    put(block, 96);
    let write = move || {
        if planted() {
            poke(std::ptr::with_exposed_provenance_mut(address), 8, 1);
        }
    };
    std::thread::spawn(write).join().expect("no panic");
    work(1000, 96);
    Ended::Unnoticed
}

/// Allocated here, freed and written by a thread that ends.
fn write_of_an_ended_thread() -> Ended {
    let address = get(112).expose_provenance();
    let run = move || {
        let block: *mut u8 = std::ptr::with_exposed_provenance_mut(address);
        put(block, 112);
        if planted() {
            poke(block, 0, 1);
        }
    };
    std::thread::spawn(run).join().expect("no panic");
    work(1000, 112);
    Ended::Unnoticed
}

fn fill_all(size: usize) -> Ended {
    let block = get(size);
    put(block, size);
    if planted() {
        fill(block, size, 0x41);
    }
    work(500, size);
    Ended::Unnoticed
}

/// The freed object holds a pointer, which is followed.
fn follow(size: usize, offset: isize, between: usize) -> Ended {
    let (target, block) = (get(64), get(size));
    poke_word(block, offset, target.expose_provenance());
    put(block, size);
    work(between, size);
    if planted() {
        let p: *mut u8 = std::ptr::with_exposed_provenance_mut(peek_word(block, offset));
        black_box(peek(p, 8));
    }
    put(target, 64);
    Ended::Unnoticed
}

fn call(size: usize, offset: isize) -> Ended {
    fn hello() {
        black_box(());
    }
    let block = get(size);
    poke_word(block, offset, hello as fn() as usize);
    put(block, size);
    if planted() {
        // SAFETY: none: that is the fault.
        let f: fn() = unsafe { std::mem::transmute(peek_word(block, offset)) };
        black_box(f)();
    }
    Ended::Unnoticed
}

/// A list whose nodes were freed is walked.
fn list() -> Ended {
    let nodes: Vec<*mut u8> = (0..10).map(|_| get(32)).collect();
    for pair in nodes.windows(2) {
        poke_word(pair[0], 8, pair[1].expose_provenance());
    }
    poke_word(nodes[9], 8, 0);
    let mut node = nodes[0];
    while !node.is_null() {
        if planted() {
            put(node, 32);
        }
        let next = std::ptr::with_exposed_provenance_mut(peek_word(node, 8));
        if !planted() {
            put(node, 32);
        }
        node = next;
    }
    Ended::Unnoticed
}

/// What it holds is used as a length.
fn index() -> Ended {
    let block = get(24);
    poke_word(block, 16, 3);
    put(block, 24);
    let numbers = vec![1, 2, 3, 4];
    if planted() {
        let i = peek_word(block, 16);
        // A program in C would read there.
        black_box(peek(numbers.as_ptr().cast_mut().cast(), (i as isize).wrapping_mul(4)));
    }
    black_box(numbers);
    Ended::Unnoticed
}

/// Plain data is read; it is harmless if the contents are gone.
fn read(size: usize, offset: isize) -> Ended {
    let block = get(size);
    fill(block, size, 0x77);
    put(block, size);
    harmless_if(planted() && peek(block, offset) != 0x77)
}

/// The old pointer is used when somebody else has allocated: it must not reach the new object.
fn confusion(between: usize) -> Ended {
    let old = get(64);
    put(old, 64);
    work(between, 64);
    let new = get(64);
    fill(new, 64, 0x11);
    if planted() && old == new {
        poke(old, 0, 0x99);
    }
    let reached = peek(new, 0) == 0x99;
    put(new, 64);
    harmless_if(!reached)
}

/// Who sprays the heap gets the freed block at once.
fn spray() -> Ended {
    let old = get(48);
    put(old, 48);
    let all: Vec<*mut u8> = (0..16).map(|_| get(48)).collect();
    let got = all.contains(&old);
    all.into_iter().for_each(|block| put(block, 48));
    harmless_if(planted() && !got)
}

/// A new block shows what the last one held.
fn uninitialised(size: usize) -> Ended {
    let secret = get(size);
    fill(secret, size, 0x77);
    put(secret, size);
    let mut seen = false;
    for _ in 0..2000 {
        // SAFETY: the size is not 0; what is read was never written, which is the fault.
        let block = unsafe { std::alloc::alloc(black_box(super::memory::layout(size, 8))) };
        seen |= peek(block, size as isize / 2) == 0x77;
        fill(block, size, 0);
        put(block, size);
    }
    harmless_if(planted() && !seen)
}

pub(crate) const ALL: &[Fault] = &[
    Fault { name: "write-after-free-at-once", run: || write(48, 0, 0, 1) },
    Fault { name: "write-after-free-middle", run: || write(160, 80, 0, 1) },
    Fault { name: "write-after-free-last-byte", run: || write(60, 59, 0, 1) },
    Fault { name: "write-after-free-null", run: || write(64, 8, 0, 0) },
    Fault { name: "write-after-free-16-later", run: || write(72, 4, 16, 1) },
    Fault { name: "write-after-free-100-later", run: || write(40, 0, 100, 1) },
    Fault { name: "write-after-free-of-8", run: || write(8, 0, 0, 1) },
    Fault { name: "write-after-free-of-2000-middle", run: || write(2000, 1000, 0, 1) },
    Fault { name: "write-after-free-of-20000-middle", run: || write(20_000, 9_000, 0, 1) },
    Fault { name: "write-after-free-of-200000", run: || write(200_000, 100_000, 0, 1) },
    Fault { name: "write-after-free-of-1-MiB-later", run: || write(1 << 20, 5000, 3, 1) },
    Fault { name: "write-after-free-all-of-it", run: || fill_all(128) },
    Fault { name: "write-after-free-and-exit", run: || write_and_exit(104) },
    Fault { name: "write-after-free-other-thread", run: write_by_another_thread },
    Fault { name: "write-after-free-ended-thread", run: write_of_an_ended_thread },
    Fault { name: "read-after-free-a-pointer", run: || follow(80, 16, 0) },
    Fault { name: "read-after-free-a-pointer-later", run: || follow(80, 0, 50) },
    Fault { name: "read-after-free-a-pointer-of-400", run: || follow(400, 200, 0) },
    Fault { name: "read-after-free-a-function", run: || call(56, 24) },
    Fault { name: "read-after-free-a-list", run: list },
    Fault { name: "read-after-free-an-index", run: index },
    Fault { name: "read-after-free-data", run: || read(88, 40) },
    Fault { name: "read-after-free-data-of-1-MiB", run: || read(1 << 20, 70_000) },
    Fault { name: "reuse-confusion-at-once", run: || confusion(0) },
    Fault { name: "reuse-confusion-later", run: || confusion(20) },
    Fault { name: "reuse-by-a-spray", run: spray },
    Fault { name: "uninitialised-small", run: || uninitialised(120) },
    Fault { name: "uninitialised-medium", run: || uninitialised(3000) },
];
