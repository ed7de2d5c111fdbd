//! A refill that got fewer blocks than a magazine holds leaves slots of another time below the null: nobody may take
//! those for free blocks.

use std::alloc::{GlobalAlloc, Layout};
use std::collections::HashSet;
use tenure::internals;
use tenure_alloc_tests::Tenure;

#[global_allocator]
static ALLOC: Tenure = Tenure::new();

#[test]
fn taken_after_a_refusal() {
    let layout = Layout::from_size_align(8192, 8).expect("a layout");
    let mut live = HashSet::with_capacity(100_000);
    // SAFETY: the size is not zero.
    let alloc = || unsafe { ALLOC.alloc(layout) };
    for _ in 0..1000 {
        assert!(live.insert(alloc()));
    }
    internals::refuse_after(0);
    loop {
        let block = alloc();
        if block.is_null() {
            break;
        }
        assert!(live.insert(block));
    }
    internals::refuse_after(usize::MAX);
    internals::take_idle();
    internals::take_idle();
    for _ in 0..1000 {
        let block = alloc();
        assert!(live.insert(block), "{block:p} is live and was handed out again");
    }
    internals::check();
}
