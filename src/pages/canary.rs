//! Canaries: the last eight bytes of a block say what it is.
//!
//! ```text
//!   | requested bytes | filled | address, alignment, size |                  a block that lives
//!   | a pointer to where nothing is | as it was           | address, freed |  a free one
//! ```
//!
//! The word is made of the block's address, what it says, and a number that the process has drawn; so a word that was
//! overwritten, and one that is read where no block begins, is told from a right one. It is no defence against somebody who
//! reads it: a hash was, and cost ten nanoseconds a pair. What a freed block holds is one
//! pointer, to a range that is reserved and never mapped: who reads a pointer from it and follows that is stopped there.
//!
//! A word of 0 belongs to a block that was never handed out, or whose memory was given back meanwhile.

use super::classes::block_size;
use super::page::page_of;
use crate::config::hardened::{CANARY, POISON};
use crate::os::{self, die};
use crate::sync::{AtomicU64, Ordering};
use std::alloc::Layout;

/// Bytes of a block that are not the caller's.
pub(crate) const BYTES: usize = if CANARY { size_of::<u64>() } else { 0 };

/// Bits for the bytes between the requested size and the word, and for the logarithm of the alignment.
const SLACK: u32 = 17;
const ALIGN: u32 = 5;
/// Bits of the word below them: of the address, less three that are 0. The first byte behind a block is one of these.
const ADDRESS: u32 = u64::BITS - SLACK - ALIGN;
/// So that it does not end a string.
const NEVER_ZERO: u64 = 0x80;
/// What stands for the alignment in a freed block.
const FREED: u64 = (1 << ALIGN) - 1;

/// What fills the bytes between the requested size and the word.
const FILL: u64 = 0xB7B7_B7B7_B7B7_B7B7;

/// Bytes of a block that are poisoned, its first: all of them would be as many as the program reads and writes itself.
const POISONED: usize = 64;

/// Address space where nothing is.
const NOWHERE: usize = 1 << 20;
/// About the middle of it. Where it is written as a pointer, its first two bytes are not zero.
const MIDDLE: usize = NOWHERE / 2 + 0x118;

static SECRET: AtomicU64 = AtomicU64::new(0);
static POISON_WORD: AtomicU64 = AtomicU64::new(0);

/// Before the process' first block.
pub(crate) fn begin() {
    if CANARY {
        SECRET.store(os::seed(), Ordering::Relaxed); // Relaxed, here and below: written before the first block
        let nowhere = os::reserve(0, NOWHERE);
        // Where there is no room even for that, an address that no program can have.
        let poison = if nowhere.is_null() { 0xDEAD_D1ED_DEAD_D1E8 } else { (nowhere.addr() + MIDDLE) as u64 };
        POISON_WORD.store(poison, Ordering::Relaxed);
    }
}

/// Whether an address is what a pointer from a freed block leads to.
pub(crate) fn is_nowhere(address: usize) -> bool {
    let middle = POISON_WORD.load(Ordering::Relaxed) as usize;
    CANARY && middle != 0 && address.wrapping_sub(middle - MIDDLE) < NOWHERE
}

#[inline(always)]
fn word(block: *mut u8, said: u64) -> u64 {
    let secret = SECRET.load(Ordering::Relaxed);
    let address = (block.addr() as u64) << (SLACK + ALIGN - 3) >> (SLACK + ALIGN);
    (address ^ said << ADDRESS ^ secret) | NEVER_ZERO
}

fn freed(block: *mut u8) -> u64 {
    word(block, pack(0, FREED))
}

#[inline(always)]
fn pack(slack: usize, align: u64) -> u64 {
    slack as u64 | align << SLACK
}

/// What a word says, if it is one.
#[inline(always)]
fn said_by(word: u64) -> u64 {
    (word ^ SECRET.load(Ordering::Relaxed)) >> ADDRESS
}

/// The slack and the alignment.
#[inline(always)]
fn unpack(said: u64) -> (usize, u64) {
    ((said & ((1 << SLACK) - 1)) as usize, said >> SLACK)
}

#[inline(always)]
fn at(block: *mut u8, bytes: usize) -> *mut u64 {
    block.wrapping_add(bytes - BYTES).cast()
}

/// What stands in a word that is about to be written. Fresh memory is faulted in by a write: by a read, the system would first map
/// its page of zeroes there, and another one at the write that follows, which doubled the page faults of programs.
///
/// # Safety
/// The word is the caller's.
#[inline(always)]
unsafe fn read_to_write(word: *mut u64) -> u64 {
    #[cfg(target_arch = "x86_64")]
    {
        let mut was = 0u64;
        // SAFETY: by the caller's promise; adds nothing. Without a lock, which nobody needs.
        unsafe {
            std::arch::asm!("xadd [{word}], {was}", word = in(reg) word, was = inout(reg) was, options(nostack));
        }
        was
    }
    #[cfg(not(target_arch = "x86_64"))]
    // SAFETY: by the caller's promise.
    unsafe {
        word.read()
    }
}

/// What a block that lives says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    /// Bytes that were asked for.
    pub(crate) requested: usize,
    /// The alignment, as a logarithm.
    pub(crate) align: u32,
}

/// A block of so many bytes was handed out, for a request of `size`. Looks whether somebody has written to it while it was
/// free. What it holds is undefined from here on.
///
/// # Safety
/// For all of these: the block is one of ours, the caller's, and that long.
#[inline(always)]
pub(crate) unsafe fn hand_out(block: *mut u8, bytes: usize, size: usize, align: usize) {
    // SAFETY: by the caller's promise; blocks are multiples of 8.
    unsafe {
        let was = read_to_write(at(block, bytes));
        if was != 0 {
            if was != freed(block) {
                written_while_free(block, bytes, bytes - BYTES);
            }
            if POISON {
                look_for_writes(block, bytes);
            }
        }
        // Whole words: what the caller asked for is undefined anyway.
        let mut w = block.wrapping_add(size & !7).cast::<u64>();
        while w < at(block, bytes) {
            w.write(FILL);
            w = w.wrapping_add(1);
        }
        say(block, bytes, size, align);
    }
}

/// # Safety
/// See [`hand_out`].
#[inline(always)]
unsafe fn say(block: *mut u8, bytes: usize, size: usize, align: usize) {
    let said = pack(bytes - BYTES - size, align.trailing_zeros() as u64);
    // SAFETY: by the caller's promise.
    unsafe { at(block, bytes).write(word(block, said)) };
}

/// A block that lives stays where it is, and has another size: see [`check`] first.
///
/// # Safety
/// See [`hand_out`].
pub(crate) unsafe fn resize(block: *mut u8, bytes: usize, size: usize, align: usize) {
    // SAFETY: by the caller's promise. The bytes that were asked for are the caller's: only what is behind them is written.
    unsafe {
        block.wrapping_add(size).write_bytes(FILL as u8, bytes - BYTES - size);
        say(block, bytes, size, align);
    }
}

/// Looks whether a block lives and nobody has written behind its end; ends the process otherwise. `layout` is what the caller
/// takes it for.
///
/// # Safety
/// The address lies in a page with blocks of so many bytes, or else only what is read may be wrong, not the reading.
#[inline(always)]
pub(crate) unsafe fn check(block: *mut u8, bytes: usize, layout: Option<Layout>) -> Said {
    // SAFETY: by the caller's promise.
    unsafe {
        let found = at(block, bytes).read();
        let said = said_by(found);
        let (slack, align) = unpack(said);
        if found != word(block, said) || align == FREED {
            no_block(block, bytes, found);
        }
        let requested = bytes - BYTES - slack;
        if slack > 0 {
            // The first word holds bytes of the caller's below: they may be anything.
            let first = block.wrapping_add(requested & !7).cast::<u64>();
            let mut wrong = (first.read() ^ FILL) >> (requested % 8 * 8);
            let mut w = first.wrapping_add(1);
            while w < at(block, bytes) {
                wrong |= w.read() ^ FILL;
                w = w.wrapping_add(1);
            }
            if wrong != 0 {
                written_behind(block, bytes, requested);
            }
        }
        if let Some(layout) = layout
            && (layout.size() != requested || layout.align().trailing_zeros() as u64 != align)
        {
            wrong_layout(block, requested, align, layout);
        }
        Said { requested, align: align as u32 }
    }
}

/// A block that was looked at is freed.
///
/// # Safety
/// See [`hand_out`].
#[inline(always)]
pub(crate) unsafe fn bury(block: *mut u8, bytes: usize) {
    // SAFETY: by the caller's promise.
    unsafe {
        if POISON {
            let poison = POISON_WORD.load(Ordering::Relaxed);
            each_poisoned(bytes, |at, words| {
                let mut w = block.wrapping_add(at).cast::<u64>();
                let end = w.wrapping_add(words);
                while w < end {
                    w.write(poison);
                    w = w.wrapping_add(1);
                }
            });
        }
        at(block, bytes).write(freed(block));
    }
}

/// Gives `f` each part of a block that is poisoned: its offset, and how many words.
#[inline(always)]
fn each_poisoned(bytes: usize, mut f: impl FnMut(usize, usize)) {
    f(0, (bytes - BYTES).min(POISONED) / 8);
}

/// # Safety
/// See [`hand_out`].
#[inline(always)]
unsafe fn look_for_writes(block: *mut u8, bytes: usize) {
    let poison = POISON_WORD.load(Ordering::Relaxed);
    let mut wrong = 0;
    each_poisoned(bytes, |at, words| {
        let mut w = block.wrapping_add(at).cast::<u64>();
        let end = w.wrapping_add(words);
        while w < end {
            // SAFETY: by the caller's promise.
            wrong |= unsafe { w.read() } ^ poison;
            w = w.wrapping_add(1);
        }
    });
    if wrong != 0 {
        // SAFETY: as above.
        unsafe { look_closely(block, bytes, poison) };
    }
}

/// So many blocks of that many bytes are new ones, in memory that has been something else.
///
/// # Safety
/// They are the caller's.
pub(crate) unsafe fn forget(first: *mut u8, bytes: usize, blocks: usize) {
    if CANARY {
        // SAFETY: by the caller's promise.
        (0..blocks).for_each(|i| unsafe { at(first.wrapping_add(i * bytes), bytes).write(0) });
    }
}

/// Not all of it is poison. What lies on other OS pages than the word may have been given back, and reads as zero then.
///
/// # Safety
/// See [`hand_out`].
#[cold]
#[inline(never)]
unsafe fn look_closely(block: *mut u8, bytes: usize, poison: u64) {
    let os_page = os::page_size();
    let page = |offset: usize| (block.addr() + offset) / os_page;
    let mut last = (usize::MAX, 0);
    each_poisoned(bytes, |at, words| {
        for offset in (at..at + words * 8).step_by(8) {
            // SAFETY: by the caller's promise.
            let found = unsafe { block.wrapping_add(offset).cast::<u64>().read() };
            if page(offset) != last.0 {
                // What the first word of an OS page is, the others are: poison, or nothing.
                let gone = page(offset) != page(bytes - BYTES) && found == 0;
                last = (page(offset), if gone { 0 } else { poison });
            }
            if found != last.1 {
                let byte = (found ^ last.1).trailing_zeros() as usize / 8;
                written_while_free(block, bytes, offset + byte);
            }
        }
    });
}

/// What [`wrong_with`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) what: &'static str,
    /// Of the bytes that say so: if it stays the same, nobody was in the middle of writing them.
    seen: u64,
}

/// What is wrong with a block of so many bytes that nobody should be using or freeing at this moment; `None` if nothing is. For
/// whoever looks at all of them, while threads run.
///
/// # Safety
/// The block lies in a page with blocks of so many bytes, which stays one meanwhile.
pub(crate) unsafe fn wrong_with(block: *mut u8, bytes: usize) -> Option<Wrong> {
    // SAFETY: by the caller's promise.
    unsafe {
        let found = at(block, bytes).read_volatile();
        let said = said_by(found);
        if found == 0 {
            return None;
        }
        let mut seen = found;
        let mut see = |more: u64| seen = (seen.rotate_left(5) ^ more).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let behind = "bytes behind its end were overwritten";
        if found != word(block, said) {
            return Some(Wrong { what: behind, seen });
        }
        let (slack, align) = unpack(said);
        if align == FREED {
            let poison = POISON_WORD.load(Ordering::Relaxed);
            let mut wrong = false;
            each_poisoned(bytes, |at, words| {
                // Zeroes only where memory may have been given back while the word's stayed.
                let os_page = os::page_size();
                let page = |offset: usize| (block.addr() + offset) / os_page;
                for at in (at..at + words * 8).step_by(8) {
                    let word = block.wrapping_add(at).cast::<u64>().read_volatile();
                    let gone = word == 0 && page(at) != page(bytes - BYTES);
                    wrong |= word != poison && !gone;
                    see(word);
                }
            });
            return (POISON && wrong).then_some(Wrong { what: "it was written to after it was freed", seen });
        }
        let mut wrong = false;
        for i in bytes - BYTES - slack..bytes - BYTES {
            let byte = block.wrapping_add(i).read_volatile();
            wrong |= byte != FILL as u8;
            see(byte.into());
        }
        wrong.then_some(Wrong { what: behind, seen })
    }
}

#[cold]
#[inline(never)]
fn written_while_free(block: *mut u8, bytes: usize, offset: usize) -> ! {
    die!("{block:p}, {} bytes, was written to after it was freed, at byte {offset}", bytes - BYTES)
}

#[cold]
#[inline(never)]
fn written_behind(block: *mut u8, bytes: usize, requested: usize) -> ! {
    let byte = |i: &usize| {
        // SAFETY: a byte of the block.
        unsafe { block.wrapping_add(*i).read() != FILL as u8 }
    };
    let first = (requested..bytes - BYTES).find(byte).unwrap_or(requested);
    die!("{block:p} was written to behind its end: it is {requested} bytes long, and byte {first} was overwritten")
}

/// The word is no living block's.
#[cold]
#[inline(never)]
fn no_block(block: *mut u8, bytes: usize, found: u64) -> ! {
    // SAFETY: the address lies in a segment of ours.
    let page = unsafe { &*page_of(block) };
    let offset = block.addr() - page.base().addr();
    if bytes == block_size(page.class()) && !offset.is_multiple_of(bytes) {
        die!(
            "free of {block:p}, which is not the beginning of a block: it lies {} bytes inside of one of {}",
            offset % bytes,
            bytes - BYTES
        );
    }
    if found == freed(block) {
        die!("{block:p} was freed twice");
    }
    if found == 0 {
        die!("free of {block:p}, which nobody was given");
    }
    die!("{block:p} was written to behind its end: what stands behind its {} bytes was overwritten", bytes - BYTES)
}

#[cold]
#[inline(never)]
fn wrong_layout(block: *mut u8, requested: usize, align: u64, layout: Layout) -> ! {
    die!(
        "free of {block:p} as {} bytes aligned to {}: it has {requested} bytes aligned to {}",
        layout.size(),
        layout.align(),
        1u64 << align
    )
}

#[cfg(all(test, feature = "hardened"))]
mod tests {
    use super::*;

    #[test]
    fn a_word_says_what_was_said() {
        let mut room = [0u64; 32];
        let block: *mut u8 = room.as_mut_ptr().cast();
        for (bytes, size, align) in [(256, 248, 1), (256, 1, 64), (16, 8, 8), (24, 13, 4), (128, 100, 16)] {
            // SAFETY: the room is that long, and a page of ours to all that is read of it.
            unsafe {
                at(block, bytes).write(0);
                hand_out(block, bytes, size, align);
                let layout = Layout::from_size_align(size, align).expect("a layout");
                assert_eq!(check(block, bytes, Some(layout)), Said { requested: size, align: align.trailing_zeros() });
                assert_eq!(wrong_with(block, bytes), None);
                if size < bytes - BYTES {
                    block.add(size).write(0);
                    assert!(wrong_with(block, bytes).is_some(), "{size} of {bytes}");
                }
                bury(block, bytes);
                assert_eq!(wrong_with(block, bytes), None);
                block.write(1);
                assert!(wrong_with(block, bytes).is_some());
            }
        }
    }
}
