//! The site of every block is the call stack that allocated it, frame for frame as libgcc's unwinder sees it: in programs as
//! they are, where a stack looks like another one, and where there is no room for more sites.
//!
//! The allocator of this process tracks every block, and aborts with both stacks if a block's site is not its stack.
//! Run it with `--release`, too: debug builds walk every stack that was guessed, release builds believe the guess.
#![cfg(all(target_arch = "x86_64", target_env = "gnu"))]

#[path = "sites/adversaries.rs"]
mod adversaries;
#[path = "sites/checked.rs"]
mod checked;
#[path = "sites/crowded.rs"]
mod crowded;
#[path = "sites/other_stacks.rs"]
mod other_stacks;
#[path = "sites/programs.rs"]
mod programs;

#[global_allocator]
static ALLOC: checked::Checked = checked::Checked;
