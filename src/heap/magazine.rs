//! Magazines: arrays of pointers to free blocks of one class.
//!
//! ```text
//!   slot 0   ...            start                                     127
//!   | link |  (not used)  | null | block | block | ... | block | block |
//!                          pop <-----------------------------  pop goes down, a null ends it
//!                                push ----------------------------->     push goes up, alignment ends it
//! ```
//!
//! 128 slots, aligned to their size. A magazine of a class uses the last `cap` slots and a null below them. As the
//! thread's pop magazine it is read downwards; as its push magazine it is filled upwards, and full when the next slot
//! would be the first of another magazine.

use crate::arena::private;
use crate::pages::classes::{CLASSES, block_size};
use crate::sync::AtomicPtr;
use std::ptr::null_mut;
use std::sync::atomic::Ordering::Relaxed;

/// A slot of a magazine. Atomic because an idle thread's magazines are taken from outside ([`super::steal`]);
/// all accesses are relaxed: the owner's are ordinary loads and stores, and who takes them has passed a barrier.
pub(crate) type Slot = AtomicPtr<u8>;

/// Slots of a magazine.
pub(crate) const SLOTS: usize = 128;
/// Bytes of a magazine.
pub(crate) const BYTES: usize = SLOTS * size_of::<Slot>();

/// Blocks that a magazine of a class holds: up to [`BLOCK_BYTES`] of them, but a few of the large ones too.
pub(crate) const fn capacity(class: usize) -> usize {
    let size = block_size(class);
    let least = if size <= 8 << 10 {
        4
    } else if size <= 32 << 10 {
        2
    } else {
        1
    };
    let n = BLOCK_BYTES / size;
    if n > SLOTS - 2 {
        SLOTS - 2
    } else if n < least {
        least
    } else {
        n
    }
}
const BLOCK_BYTES: usize = 8 << 10;

pub(crate) static CAPACITY: [u8; CLASSES] = {
    let mut table = [0; CLASSES];
    let mut i = 0;
    while i < CLASSES {
        table[i] = capacity(i) as u8;
        i += 1;
    }
    table
};

/// A magazine, by the address of its first slot.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Magazine(*mut Slot);

impl Magazine {
    pub(crate) const NONE: Magazine = Magazine(null_mut());

    /// An empty magazine, or [`Self::NONE`] if memory is out.
    pub(crate) fn new() -> Self {
        Magazine(private::take(BYTES).cast())
    }

    /// Gives the magazine's own memory back.
    ///
    /// # Safety
    /// Nobody uses it.
    #[cfg(test)]
    pub(crate) unsafe fn discard(self) {
        // SAFETY: it came from `new`.
        unsafe { private::give(self.0.cast(), BYTES) }
    }

    /// The magazine that a slot belongs to.
    pub(crate) fn of(slot: *mut Slot) -> Self {
        Magazine(slot.map_addr(|a| a & !(BYTES - 1)))
    }

    pub(crate) fn is_none(self) -> bool {
        self.0.is_null()
    }

    /// The slot of the null that ends a full magazine.
    pub(crate) fn start(self, class: usize) -> *mut Slot {
        self.0.wrapping_add(SLOTS - 1 - CAPACITY[class] as usize)
    }

    /// The last slot: where a full magazine is popped first.
    pub(crate) fn top(self) -> *mut Slot {
        self.0.wrapping_add(SLOTS - 1)
    }

    /// The magazine that the link leads to.
    ///
    /// # Safety
    /// This and what follows: the magazine exists, and belongs to the caller.
    pub(crate) unsafe fn next(self) -> Self {
        // SAFETY: by the caller's promise.
        Magazine(unsafe { (*self.0).load(Relaxed) }.cast())
    }

    /// # Safety
    /// As for [`Self::next`].
    pub(crate) unsafe fn set_next(self, next: Self) {
        // SAFETY: by the caller's promise.
        unsafe { (*self.0).store(next.0.cast(), Relaxed) }
    }

    /// Makes it a push magazine without blocks. Returns the first slot to push to.
    ///
    /// # Safety
    /// As for [`Self::next`].
    pub(crate) unsafe fn begin_push(self, class: usize) -> *mut Slot {
        let start = self.start(class);
        // SAFETY: by the caller's promise.
        unsafe { (*start).store(null_mut(), Relaxed) };
        start.wrapping_add(1)
    }

    /// The blocks from a slot down to the null below them.
    ///
    /// # Safety
    /// As for [`Self::next`]; the slot belongs to the magazine.
    pub(crate) unsafe fn blocks(from: *mut Slot) -> impl Iterator<Item = *mut u8> {
        let mut at = from;
        std::iter::from_fn(move || {
            // SAFETY: a null stands below the blocks.
            let p = unsafe { (*at).load(Relaxed) };
            at = at.wrapping_sub(1);
            (!p.is_null()).then_some(p)
        })
    }
}

/// A list of magazines, linked through their first slots.
pub(crate) struct Magazines {
    first: Magazine,
    len: usize,
}

impl Magazines {
    pub(crate) const EMPTY: Magazines = Magazines { first: Magazine::NONE, len: 0 };

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn first(&self) -> Option<Magazine> {
        (!self.first.is_none()).then_some(self.first)
    }

    /// # Safety
    /// The magazine is the caller's, and in no list.
    pub(crate) unsafe fn push(&mut self, m: Magazine) {
        // SAFETY: by the caller's promise.
        unsafe { m.set_next(self.first) };
        self.first = m;
        self.len += 1;
    }

    /// Takes the one that came first.
    pub(crate) fn pop_last(&mut self) -> Option<Magazine> {
        let mut before = Magazine::NONE;
        let mut last = self.first()?;
        // SAFETY: magazines in a list are the list's.
        unsafe {
            while !last.next().is_none() {
                (before, last) = (last, last.next());
            }
            if before.is_none() {
                self.first = Magazine::NONE;
            } else {
                before.set_next(Magazine::NONE);
            }
        }
        self.len -= 1;
        Some(last)
    }

    pub(crate) fn pop(&mut self) -> Option<Magazine> {
        let m = self.first;
        if m.is_none() {
            return None;
        }
        // SAFETY: magazines in a list are the list's.
        self.first = unsafe { m.next() };
        self.len -= 1;
        Some(m)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Magazine> + use<> {
        let mut at = self.first;
        std::iter::from_fn(move || {
            let m = at;
            // SAFETY: as in `pop`; the caller keeps the list from changing meanwhile.
            (!m.is_none()).then(|| unsafe {
                at = m.next();
                m
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capacities() {
        for class in 0..CLASSES {
            let cap = capacity(class);
            assert!((1..=SLOTS - 2).contains(&cap));
            assert!(cap * block_size(class) <= 64 << 10, "a magazine of class {class} holds too much");
        }
    }

    #[test]
    fn a_list_is_last_in_first_out() {
        let all = [Magazine::new(), Magazine::new(), Magazine::new()];
        let mut list = Magazines::EMPTY;
        // SAFETY: the magazines are ours.
        all.iter().for_each(|&m| unsafe { list.push(m) });
        assert_eq!(list.iter().count(), 3);
        for &m in all.iter().rev() {
            assert!(list.pop() == Some(m));
            // SAFETY: nobody uses it.
            unsafe { m.discard() };
        }
        assert!(list.pop().is_none() && list.len() == 0);
    }
}
