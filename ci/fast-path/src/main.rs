//! Allocates and frees 32 bytes, as often as its argument says.

use std::alloc::{Layout, alloc, dealloc};
use std::hint::black_box;

#[cfg(not(feature = "planted"))]
#[global_allocator]
static ALLOC: tenure::Tenure = tenure::Tenure::new();

#[cfg(feature = "planted")]
#[global_allocator]
static ALLOC: planted::Counting = planted::Counting(tenure::Tenure::new());

#[cfg(feature = "planted")]
mod planted {
    use std::alloc::{GlobalAlloc, Layout};
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    pub struct Counting(pub tenure::Tenure);
    static COUNT: AtomicUsize = AtomicUsize::new(0);

    // SAFETY: as `Tenure`, whose functions these are.
    unsafe impl GlobalAlloc for Counting {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            COUNT.store(COUNT.load(Relaxed) + 1, Relaxed);
            // SAFETY: by the caller's promise.
            unsafe { self.0.alloc(layout) }
        }
        unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
            // SAFETY: by the caller's promise.
            unsafe { self.0.dealloc(block, layout) }
        }
    }
}

fn main() {
    let n: usize = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(1);
    // A layout that the compiler does not know, as where a function of std allocates for its caller.
    let layout = black_box(Layout::new::<[u64; 4]>());
    for _ in 0..n {
        // SAFETY: the layout is not empty, and the block is freed once.
        unsafe {
            let block = alloc(layout);
            // So that the compiler does not leave out the pair.
            black_box(block);
            dealloc(block, layout);
        }
    }
}
