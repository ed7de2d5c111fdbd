//! Blocks that carry their own book-keeping, for tests that cannot afford a `Vec`: where memory is out, in a forked
//! child, in a destructor.

use crate::pattern;
use std::alloc::{GlobalAlloc, Layout};
use std::ptr::{self, NonNull};

/// The first bytes of each block; the pattern follows.
#[derive(Debug)]
struct Head {
    next: *mut Head,
    size: usize,
    key: u64,
}

const HEAD: usize = size_of::<Head>();

/// The smallest block that a [`Link`] can be.
pub const SMALLEST: usize = 32;

/// A live block that knows its size and what it should contain. One that is dropped is leaked.
#[derive(Debug)]
#[must_use = "a link is given back by `free`"]
pub struct Link(NonNull<Head>);

// SAFETY: a block belongs to whoever has the value, and its memory is bound to no thread.
unsafe impl Send for Link {}

impl Link {
    /// A block of `size` bytes, of at least [`SMALLEST`], filled; `None` if the allocator has none.
    pub fn allocate(allocator: &impl GlobalAlloc, size: usize, key: u64) -> Option<Link> {
        let layout = layout(size);
        // SAFETY: the size is not 0.
        let head = NonNull::new(unsafe { allocator.alloc(layout) }.cast::<Head>())?;
        // SAFETY: the block is ours and has room for the head, and for the pattern behind it.
        unsafe {
            head.write(Head { next: ptr::null_mut(), size, key });
            pattern::fill(head.as_ptr().cast::<u8>().add(HEAD), 0, size - HEAD, key);
        }
        Some(Link(head))
    }

    /// How large it is.
    pub fn size(&self) -> usize {
        // SAFETY: the head was written when the block was allocated.
        unsafe { self.0.as_ref() }.size
    }

    /// Whether it holds what was written to it.
    pub fn is_intact(&self) -> bool {
        // SAFETY: as in `size`; the block is live and has been filled.
        unsafe {
            let head = self.0.as_ref();
            head.size >= SMALLEST
                && pattern::damage(self.0.as_ptr().cast::<u8>().add(HEAD), head.size - HEAD, head.key).is_none()
        }
    }

    /// Gives it back, and says whether it was intact.
    pub fn free(self, allocator: &impl GlobalAlloc) -> bool {
        let intact = self.is_intact();
        // SAFETY: the block is live, has this layout if the size is intact, and is moved into this call.
        unsafe { allocator.dealloc(self.0.as_ptr().cast(), layout(self.size())) };
        intact
    }

    /// As an address, to be laid into an atomic.
    pub fn into_raw(self) -> *mut u8 {
        self.0.as_ptr().cast()
    }

    /// Back from [`into_raw`](Self::into_raw); `None` for null.
    ///
    /// # Safety
    /// The address is null, or of a link that nobody else has.
    pub unsafe fn from_raw(address: *mut u8) -> Option<Link> {
        NonNull::new(address.cast()).map(Link)
    }
}

fn layout(size: usize) -> Layout {
    assert!(size >= SMALLEST);
    Layout::from_size_align(size, 16).expect("far below isize::MAX")
}

/// Any number of links, last in, first out.
#[derive(Debug)]
pub struct Chain {
    first: *mut Head,
    count: usize,
    bytes: usize,
}

// SAFETY: as for Link.
unsafe impl Send for Chain {}

impl Chain {
    /// None.
    pub const fn new() -> Self {
        Chain { first: ptr::null_mut(), count: 0, bytes: 0 }
    }

    /// How many links.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Their sizes, summed.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a link.
    pub fn push(&mut self, mut link: Link) {
        // SAFETY: we own the link.
        unsafe { link.0.as_mut() }.next = self.first;
        self.count += 1;
        self.bytes += link.size();
        self.first = link.0.as_ptr();
    }

    /// Takes the last one.
    pub fn pop(&mut self) -> Option<Link> {
        let link = Link(NonNull::new(self.first)?);
        // SAFETY: we own all links of the chain.
        self.first = unsafe { link.0.as_ref() }.next;
        self.count -= 1;
        self.bytes -= link.size();
        Some(link)
    }

    /// Gives all of them back, and says how many were damaged.
    pub fn free(&mut self, allocator: &impl GlobalAlloc) -> usize {
        std::iter::from_fn(|| self.pop()).filter_map(|link| (!link.free(allocator)).then_some(())).count()
    }
}

impl Default for Chain {
    fn default() -> Self {
        Chain::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::alloc::System;

    #[test]
    fn damage_is_counted() {
        let mut chain = Chain::new();
        for key in 0..10 {
            chain.push(Link::allocate(&System, 100, key).unwrap());
        }
        let link = chain.pop().unwrap();
        // SAFETY: the last byte of our own block.
        unsafe { *link.0.as_ptr().cast::<u8>().add(99) ^= 1 };
        chain.push(link);
        assert_eq!((chain.count(), chain.bytes()), (10, 1000));
        assert_eq!(chain.free(&System), 1);
    }
}
