//! An allocator beside a naive account of what it must have done: whatever the two disagree on is a [`Fault`].

use crate::{pattern, shadow::Shadow};
use std::alloc::{GlobalAlloc, Layout};
use std::fmt;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

/// A live block, full of its pattern. Any thread may have it. One that is dropped is leaked.
#[derive(Debug)]
#[must_use = "a block is given back to `Oracle::free`"]
pub struct Block {
    start: NonNull<u8>,
    layout: Layout,
    key: u64,
}

// SAFETY: a block belongs to whoever has the value, and its memory is bound to no thread.
unsafe impl Send for Block {}

impl Block {
    /// Where it starts.
    pub fn address(&self) -> usize {
        self.start.as_ptr() as usize
    }

    /// As it was asked for.
    pub fn layout(&self) -> Layout {
        self.layout
    }
}

/// What an allocator did wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Null. Whether that is wrong is the test's to say.
    Refused(Layout),
    /// The address is no multiple of the alignment.
    Misaligned(Layout, usize),
    /// The block shares bytes with one that is live.
    Overlaps(Layout, usize, (usize, usize)),
    /// A byte of a zeroed block is not zero.
    NotZeroed(Layout, usize, usize),
    /// A byte, at this offset, of a block that nobody wrote to has changed.
    Damaged(Layout, usize, usize),
    /// The same, for a byte that `realloc` to this layout should have kept.
    NotKept(Layout, Layout, usize),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |layout: &Layout| format!("{} bytes aligned to {}", layout.size(), layout.align());
        match self {
            Fault::Refused(layout) => write!(f, "{} were refused", of(layout)),
            Fault::Misaligned(layout, address) => write!(f, "{} are at {address:#x}", of(layout)),
            Fault::Overlaps(layout, address, (start, end)) => {
                write!(f, "{} at {address:#x} overlap the live block {start:#x}..{end:#x}", of(layout))
            }
            Fault::NotZeroed(layout, address, offset) => {
                write!(f, "{} at {address:#x}, asked for as zeroed, are not zero at offset {offset}", of(layout))
            }
            Fault::Damaged(layout, address, offset) => {
                write!(f, "{} at {address:#x} have changed at offset {offset}", of(layout))
            }
            Fault::NotKept(old, new, offset) => {
                write!(f, "realloc from {} to {} lost the contents at offset {offset}", of(old), of(new))
            }
        }
    }
}

impl std::error::Error for Fault {}

/// Watches over all that is allocated through it.
#[derive(Debug)]
pub struct Oracle<'a, A> {
    allocator: &'a A,
    shadow: Shadow,
    keys: AtomicU64,
}

impl<'a, A: GlobalAlloc> Oracle<'a, A> {
    /// An oracle that knows of no block yet.
    pub const fn new(allocator: &'a A) -> Self {
        Oracle { allocator, shadow: Shadow::new(), keys: AtomicU64::new(1) }
    }

    /// A new block, checked and filled.
    ///
    /// # Errors
    /// What is wrong with it; it is leaked then.
    pub fn allocate(&self, layout: Layout, zeroed: bool) -> Result<Block, Fault> {
        assert_ne!(layout.size(), 0, "GlobalAlloc is never asked for nothing");
        // SAFETY: the size is not 0.
        let start = unsafe { if zeroed { self.allocator.alloc_zeroed(layout) } else { self.allocator.alloc(layout) } };
        let start = NonNull::new(start).ok_or(Fault::Refused(layout))?;
        // Relaxed because the numbers only need to differ.
        let block = Block { start, layout, key: self.keys.fetch_add(1, Ordering::Relaxed) };
        self.enter(&block)?;
        if zeroed {
            // SAFETY: `alloc_zeroed` initialises the block, and `enter` found nobody else in it.
            if let Some(offset) = unsafe { pattern::not_zero(start.as_ptr(), layout.size()) } {
                return Err(Fault::NotZeroed(layout, block.address(), offset));
            }
        }
        // SAFETY: the block is ours, and layout.size() bytes long.
        unsafe { pattern::fill(start.as_ptr(), 0, layout.size(), block.key) };
        Ok(block)
    }

    fn enter(&self, block: &Block) -> Result<(), Fault> {
        let (address, layout) = (block.address(), block.layout);
        if !address.is_multiple_of(layout.align()) {
            return Err(Fault::Misaligned(layout, address));
        }
        self.shadow.insert(address, address + layout.size()).map_err(|other| Fault::Overlaps(layout, address, other))
    }

    /// Whether the block still holds what was written to it.
    ///
    /// # Errors
    /// [`Fault::Damaged`].
    pub fn check(&self, block: &Block) -> Result<(), Fault> {
        // SAFETY: the block is live and was filled when it was handed out.
        match unsafe { pattern::damage(block.start.as_ptr(), block.layout.size(), block.key) } {
            Some(offset) => Err(Fault::Damaged(block.layout, block.address(), offset)),
            None => Ok(()),
        }
    }

    /// `realloc`, with the contents checked before and after, and the new part filled.
    ///
    /// # Errors
    /// What went wrong. On [`Fault::Refused`] the block is as before, which was checked.
    pub fn resize(&self, block: &mut Block, size: usize) -> Result<(), Fault> {
        self.check(block)?;
        let old = block.layout;
        let new = Layout::from_size_align(size, old.align()).expect("the test asks for a layout that exists");
        assert_ne!(size, 0, "GlobalAlloc is never asked for nothing");
        // Out of the account first: in the middle of `realloc` the old addresses may go to another thread.
        self.shadow.remove(block.address(), block.address() + old.size());
        // SAFETY: the block is live and has this layout; the size is not 0 and was checked against the alignment.
        let start = unsafe { self.allocator.realloc(block.start.as_ptr(), old, size) };
        let Some(start) = NonNull::new(start) else {
            self.enter(block)?;
            self.check(block)?;
            return Err(Fault::Refused(new));
        };
        block.start = start;
        block.layout = new;
        self.enter(block)?;
        let kept = old.size().min(size);
        // SAFETY: realloc keeps the smaller of the two sizes; the rest, up to `size`, is ours to write to.
        unsafe {
            if let Some(offset) = pattern::damage(start.as_ptr(), kept, block.key) {
                return Err(Fault::NotKept(old, new, offset));
            }
            pattern::fill(start.as_ptr(), kept, size, block.key);
        }
        Ok(())
    }

    /// Checks a block and gives it back.
    ///
    /// # Errors
    /// [`Fault::Damaged`]; the block is leaked then.
    pub fn free(&self, block: Block) -> Result<(), Fault> {
        self.check(&block)?;
        self.shadow.remove(block.address(), block.address() + block.layout.size());
        // SAFETY: the block is live, has this layout, and is moved into this call: nobody has it any more.
        unsafe { self.allocator.dealloc(block.start.as_ptr(), block.layout) };
        Ok(())
    }

    /// Whether every block has been given back.
    pub fn is_idle(&self) -> bool {
        self.shadow.is_empty()
    }
}
