//! A cdylib with `Tenure` as its own allocator, for the tests that load it by `dlopen`. See `src/plugin.rs` for its
//! functions.

use std::alloc::{GlobalAlloc, Layout};
use tenure_alloc_tests::{Tenure, oracle::Oracle, pattern, player, sizes::Sizes};

#[global_allocator]
static ALLOC: Tenure = Tenure::new();

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 16).expect("a size that exists")
}

#[unsafe(no_mangle)]
extern "C" fn plugin_work(seed: u64) -> u64 {
    let oracle = Oracle::new(&ALLOC);
    player::play_random(&oracle, None, &Sizes::up_to(256 << 10), seed, 300, 1 << 20).is_err() as u64
}

#[unsafe(no_mangle)]
extern "C" fn plugin_work_on_threads(seed: u64) -> u64 {
    let threads: Vec<_> = (0..3).map(|thread| std::thread::spawn(move || plugin_work(seed + thread))).collect();
    threads.into_iter().map(|thread| thread.join().unwrap_or(1)).sum()
}

#[unsafe(no_mangle)]
extern "C" fn plugin_allocate(size: usize, key: u64) -> *mut u8 {
    // SAFETY: the tests ask for at least a byte, and the block is `size` long.
    unsafe {
        let block = ALLOC.alloc(layout(size));
        if !block.is_null() {
            pattern::fill(block, 0, size, key);
        }
        block
    }
}

/// # Safety
/// The block came from `plugin_allocate` with the same arguments, and is given back once.
#[unsafe(no_mangle)]
unsafe extern "C" fn plugin_free(block: *mut u8, size: usize, key: u64) -> u64 {
    // SAFETY: the caller's promise.
    unsafe {
        let damaged = pattern::damage(block, size, key).is_some();
        ALLOC.dealloc(block, layout(size));
        damaged as u64
    }
}

/// Calls back from some calls further down, so that the library's own frames are on the stack.
#[unsafe(no_mangle)]
extern "C" fn plugin_call_back(depth: usize, f: extern "C" fn()) -> usize {
    let local = std::hint::black_box([depth; 9]);
    if depth == 0 {
        f()
    } else {
        _ = std::hint::black_box(plugin_call_back(depth - 1, f))
    }
    local[8]
}
