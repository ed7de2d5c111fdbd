//! Captured stacks, compared frame for frame with those that libgcc's unwinder sees: at every allocation of programs
//! as they are, and at each odd place by itself.
//!
//! The allocator of this process captures every block's birth both ways, and aborts with both stacks if they differ.
//! Run it with `--release`, too: only there are frame pointers missing.
#![cfg(all(target_arch = "x86_64", target_env = "gnu"))]

#[path = "unwind/compare.rs"]
mod compare;
#[path = "unwind/foreign_code.rs"]
mod foreign_code;
#[path = "unwind/programs.rs"]
mod programs;
#[path = "unwind/signals.rs"]
mod signals;
#[path = "unwind/stacks.rs"]
mod stacks;

#[global_allocator]
static ALLOC: compare::Comparing = compare::Comparing;
