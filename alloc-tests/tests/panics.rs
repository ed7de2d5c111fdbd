//! Panics, whose exceptions the unwinder wants at addresses that std does not ask for.

use std::hint::black_box;
use std::panic::{catch_unwind, resume_unwind};
use tenure_alloc_tests::Tenure;

#[global_allocator]
static ALLOC: Tenure = Tenure::new();

/// From blocks at odd and even places of a page, on threads of their own and with others held in between.
#[test]
fn many_are_caught() {
    let mut held = Vec::new();
    for n in 0..200usize {
        held.push(black_box(vec![0u8; 8 * (n % 8)]));
        let caught = std::thread::spawn(move || {
            // Without a message for each.
            let caught = catch_unwind(|| resume_unwind(Box::new(n))).expect_err("it unwinds");
            caught.downcast_ref::<usize>().copied()
        });
        assert_eq!(caught.join().expect("it was caught"), Some(n));
        let caught = catch_unwind(|| resume_unwind(Box::new([n; 7]))).expect_err("it unwinds");
        assert_eq!(caught.downcast_ref(), Some(&[n; 7]));
    }
}
