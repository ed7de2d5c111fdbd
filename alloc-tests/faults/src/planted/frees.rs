//! Frees of what is not the caller's to free: CWE-415, 590, 761, 763.

use super::memory::{get, get_aligned, put, put_aligned, work};
use super::{Ended, Fault, planted};
use std::hint::black_box;

fn twice(size: usize, between: usize) -> Ended {
    let (block, others) = (get(size), (0..between).map(|_| get(size)).collect::<Vec<_>>());
    put(block, size);
    others.into_iter().for_each(|other| put(other, size));
    if planted() {
        put(block, size);
    }
    Ended::Unnoticed
}

fn twice_aligned() -> Ended {
    let block = get_aligned(256, 256);
    put_aligned(block, 256, 256);
    if planted() {
        put_aligned(block, 256, 256);
    }
    Ended::Unnoticed
}

fn twice_by_another_thread() -> Ended {
    let address = get(64).expose_provenance();
    let free = move || put(std::ptr::with_exposed_provenance_mut(address), 64);
    std::thread::spawn(free).join().expect("no panic");
    if planted() {
        free();
    }
    Ended::Unnoticed
}

fn twice_by_two_threads() -> Ended {
    let address = get(64).expose_provenance();
    let free = move || put(std::ptr::with_exposed_provenance_mut(address), 64);
    free();
    if planted() {
        std::thread::spawn(free).join().expect("no panic");
    }
    Ended::Unnoticed
}

fn twice_with_work_between(size: usize) -> Ended {
    let block = get(size);
    put(block, size);
    // Another size: the block itself is not handed out again.
    work(500, size * 2);
    if planted() {
        put(block, size);
    }
    Ended::Unnoticed
}

fn inside(size: usize, offset: usize) -> Ended {
    let block = get(size);
    put(if planted() { block.wrapping_add(offset) } else { block }, size);
    Ended::Unnoticed
}

fn stack() -> Ended {
    let mut here = black_box([0u64; 8]);
    if planted() {
        put(here.as_mut_ptr().cast(), 64);
    }
    black_box(&mut here);
    Ended::Unnoticed
}

fn a_static() -> Ended {
    static HERE: [u64; 8] = [0; 8];
    if planted() {
        put(black_box((&raw const HERE).cast_mut().cast()), 64);
    }
    Ended::Unnoticed
}

fn code() -> Ended {
    if planted() {
        let here = code as fn() -> Ended as *mut u8;
        put(here.map_addr(|a| a & !7), 64);
    }
    Ended::Unnoticed
}

fn mapped() -> Ended {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a fresh mapping disturbs nobody.
    let p = unsafe {
        libc::mmap(std::ptr::null_mut(), 64 << 20, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0).cast::<u8>()
    };
    if planted() {
        put(p.wrapping_add(33 << 20), 64);
    }
    Ended::Unnoticed
}

/// The system allocator's block.
fn foreign() -> Ended {
    // SAFETY: no preconditions.
    let p: *mut u8 = unsafe { libc::malloc(64).cast() };
    if planted() {
        put(p, 64);
    }
    // SAFETY: the block is malloc's.
    unsafe { libc::free(p.cast()) };
    Ended::Unnoticed
}

fn number(address: usize) -> Ended {
    if planted() {
        put(std::ptr::without_provenance_mut(address), 64);
    }
    Ended::Unnoticed
}

/// Near a block, but never handed out.
fn never_allocated(distance: usize) -> Ended {
    let block = get(64);
    if planted() {
        put(block.wrapping_add(distance), 64);
    }
    put(block, 64);
    Ended::Unnoticed
}

/// The second of two equal halves: a block's address in another page's grid.
fn of_another_class() -> Ended {
    let (small, large) = (get(64), get(640));
    if planted() {
        put(large.wrapping_add(128), 64);
    }
    put(small, 64);
    put(large, 640);
    Ended::Unnoticed
}

pub(crate) const ALL: &[Fault] = &[
    Fault { name: "double-free-at-once", run: || twice(32, 0) },
    Fault { name: "double-free-another-between", run: || twice(32, 1) },
    Fault { name: "double-free-20-between", run: || twice(48, 20) },
    Fault { name: "double-free-300-between", run: || twice(48, 300) },
    Fault { name: "double-free-of-8", run: || twice(8, 0) },
    Fault { name: "double-free-of-1000", run: || twice(1000, 2) },
    Fault { name: "double-free-of-30000", run: || twice(30_000, 1) },
    Fault { name: "double-free-of-1-MiB", run: || twice(1 << 20, 0) },
    Fault { name: "double-free-of-1-MiB-another-between", run: || twice(1 << 20, 1) },
    Fault { name: "double-free-aligned", run: twice_aligned },
    Fault { name: "double-free-first-by-a-thread", run: twice_by_another_thread },
    Fault { name: "double-free-then-by-a-thread", run: twice_by_two_threads },
    Fault { name: "double-free-work-between", run: || twice_with_work_between(80) },
    Fault { name: "free-inside-8", run: || inside(64, 8) },
    Fault { name: "free-inside-16", run: || inside(320, 16) },
    Fault { name: "free-inside-by-1", run: || inside(64, 1) },
    Fault { name: "free-inside-middle", run: || inside(4096, 2048) },
    Fault { name: "free-inside-large", run: || inside(1 << 20, 4096) },
    Fault { name: "free-inside-large-at-a-slice", run: || inside(1 << 20, 64 << 10) },
    Fault { name: "free-the-stack", run: stack },
    Fault { name: "free-a-static", run: a_static },
    Fault { name: "free-code", run: code },
    Fault { name: "free-a-mapping", run: mapped },
    Fault { name: "free-what-malloc-gave", run: foreign },
    Fault { name: "free-a-small-number", run: || number(8) },
    Fault { name: "free-a-wild-number", run: || number(0x5A5A_5A5A_5A58) },
    Fault { name: "free-a-number-that-is-no-address", run: || number(0xDEAD_BEEF_DEAD_BEE8) },
    Fault { name: "free-past-the-end", run: || never_allocated(64) },
    Fault { name: "free-never-allocated", run: || never_allocated(20 << 20) },
    Fault { name: "free-in-another-class", run: of_another_class },
];
