//! stub
#![allow(missing_docs, clippy::undocumented_unsafe_blocks)]
use std::alloc::{GlobalAlloc, Layout, System};
pub struct Tenure(());
impl Tenure { pub const fn new() -> Self { Tenure(()) } }
unsafe impl GlobalAlloc for Tenure {
    unsafe fn alloc(&self, l: Layout) -> *mut u8 { unsafe { System.alloc(l) } }
    unsafe fn dealloc(&self, p: *mut u8, l: Layout) { unsafe { System.dealloc(p, l) } }
}
