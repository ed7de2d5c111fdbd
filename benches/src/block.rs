//! Blocks of memory as safe Rust values, without a cost of their own.

use std::mem::MaybeUninit;

/// A block whose size is known only at run time. The empty one holds no memory.
pub type Block = Box<[MaybeUninit<u8>]>;

/// Allocates a block and writes its first byte, as every real user does at once.
#[inline]
pub fn block(size: usize) -> Block {
    let mut block = Box::new_uninit_slice(size);
    block[0].write(size as u8);
    block
}

/// Frees what is in the slot and puts a new block there: in this order, so that the new block may be the old one.
#[inline]
pub fn replace(slot: &mut Block, size: usize) {
    *slot = Block::default();
    *slot = block(size);
}

/// Slots without blocks, in memory that is resident already: what a workload measures later is not its own slots.
pub fn empty_slots(n: usize) -> Vec<Block> {
    (0..n).map(|_| Block::default()).collect()
}
