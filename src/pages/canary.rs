//! Canaries: the last eight bytes of a block say what it is.
//!
//! ```text
//!   | requested bytes | filled, up to eight | not used | address, alignment, size |   a block that lives
//!   | a pointer to where nothing is, up to four times  | as it was | that pointer |   a free one
//! ```
//!
//! The word is made of the block's address, its layout, and a number that the process has drawn; so a word that was
//! overwritten, one that is read where no block begins, and one of another layout are told from the right one by one
//! comparison, and why it is wrong is looked for afterwards. It is no defence against somebody who
//! reads it: a hash was, and cost ten nanoseconds a pair. What a freed block holds is one
//! pointer, to a range that is reserved and never mapped: who reads a pointer from it and follows that is stopped there.
//!
//! A word of 0 belongs to a block that was never handed out, or whose memory was given back meanwhile.
//!
//! No loop runs over a block: to fill all that was not requested, and to poison eight words, was most of 400 instructions a pair.

use super::checked;
use super::classes::{LARGEST, block_size};
use super::page::page_of;
use crate::config::hardened::{CANARY, POISON};
use crate::os::{self, die};
use crate::sync::{AtomicU64, Ordering};
use std::alloc::Layout;

/// Bytes of a block that are not the caller's.
pub(crate) const BYTES: usize = if CANARY { size_of::<u64>() } else { 0 };

/// Where a word has the size and the alignment: bits 30 and 47. Below, only the address and the secret are left.
const SIZE_AT: u32 = 30;
const ALIGN_AT: u32 = 47;
const SIZE_BITS: u32 = ALIGN_AT - SIZE_AT;
const _: () = assert!(LARGEST < 1 << SIZE_BITS && LARGEST as u64 <= u64::MAX >> ALIGN_AT);

/// What fills the bytes between the requested size and the word.
const FILL: u64 = 0xB7B7_B7B7_B7B7_B7B7;

/// Words at a block's beginning that are poisoned, and looked at when it is handed out again: 64 bytes instead of 32
/// found 4 of 201 planted faults more, 16 found 7 fewer.
const POISONED: usize = 4;

/// Address space where nothing is.
const NOWHERE: usize = 1 << 20;
/// About the middle of it. Where it is written as a pointer, its first two bytes are not zero.
const MIDDLE: usize = NOWHERE / 2 + 0x118;

/// What was drawn for this process. In one place: whoever inlines this has one address to find.
struct Drawn {
    secret: AtomicU64,
    poison: AtomicU64,
}

static DRAWN: Drawn = Drawn { secret: AtomicU64::new(0), poison: AtomicU64::new(0) };

/// Before the process' first block.
pub(crate) fn begin() {
    if CANARY && freed() == 0 {
        // Addresses of blocks end with three zeroes: the first byte behind a block is never 0, which would end a string.
        DRAWN.secret.store(os::seed() | 1, Ordering::Relaxed); // Relaxed, here and below: written before the first block
        let nowhere = os::reserve(0, NOWHERE);
        // Where there is no room even for that, an address that no program can have.
        let poison = if nowhere.is_null() { 0xDEAD_D1ED_DEAD_D1E8 } else { (nowhere.addr() + MIDDLE) as u64 };
        DRAWN.poison.store(poison, Ordering::Relaxed);
    }
}

/// Whether an address is what a pointer from a freed block leads to.
pub(crate) fn is_nowhere(address: usize) -> bool {
    let middle = DRAWN.poison.load(Ordering::Relaxed) as usize;
    CANARY && middle != 0 && address.wrapping_sub(middle - MIDDLE) < NOWHERE
}

/// The word of a block that lives.
#[inline(always)]
fn word(block: *mut u8, size: usize, align: usize) -> u64 {
    let layout = (size as u64) << SIZE_AT ^ (align as u64) << ALIGN_AT;
    DRAWN.secret.load(Ordering::Relaxed) ^ block.addr() as u64 ^ layout
}

/// That of a free one: the pointer that it is poisoned with.
#[inline(always)]
fn freed() -> u64 {
    DRAWN.poison.load(Ordering::Relaxed)
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
    pub(crate) align: usize,
}

/// What the word of a block says; `None` if it is no word of a living one's.
#[inline(always)]
fn said_by(word: u64, block: *mut u8, bytes: usize) -> Option<Said> {
    let said = word ^ DRAWN.secret.load(Ordering::Relaxed) ^ block.addr() as u64;
    let requested = (said >> SIZE_AT) as usize & ((1 << SIZE_BITS) - 1);
    let align = (said >> ALIGN_AT) as usize;
    let right = said & ((1 << SIZE_AT) - 1) == 0 && requested <= bytes - BYTES && align.is_power_of_two();
    right.then_some(Said { requested, align })
}

/// A block of so many bytes was handed out, for a request of `size`. Looks whether somebody has written to it while it was
/// free. What it holds is undefined from here on.
///
/// # Safety
/// For all of these: the block is one of ours, the caller's, and that long.
pub(crate) unsafe fn hand_out(block: *mut u8, bytes: usize, size: usize, align: usize) {
    // SAFETY: by the caller's promise.
    unsafe {
        if !take_over(block, bytes) {
            look_closely(block, bytes);
        }
        say(block, bytes, size, align);
    }
}

/// The first half of [`hand_out`]: whether nothing is to be seen of a write. If something is, [`hand_out_suspect`] looks closely.
///
/// # Safety
/// See [`hand_out`].
#[inline(always)]
pub(crate) unsafe fn take_over(block: *mut u8, bytes: usize) -> bool {
    // SAFETY: by the caller's promise; blocks are multiples of 8.
    unsafe {
        let was = read_to_write(at(block, bytes));
        if was == freed() { !POISON || is_poisoned(block, bytes) } else { was == 0 }
    }
}

/// Returns the block.
///
/// # Safety
/// See [`hand_out`].
#[cold]
#[inline(never)]
pub(crate) unsafe fn hand_out_suspect(block: *mut u8, bytes: usize, size: usize, align: usize) -> *mut u8 {
    // SAFETY: by the caller's promise.
    unsafe {
        look_closely(block, bytes);
        say(block, bytes, size, align);
    }
    block
}

/// Whether the first words of a block are poison. The last that is looked at may be that of the canary, which is poison, too.
///
/// # Safety
/// See [`hand_out`].
#[inline(always)]
unsafe fn is_poisoned(block: *mut u8, bytes: usize) -> bool {
    let poison = freed();
    // SAFETY: by the caller's promise.
    unsafe {
        if bytes >= POISONED * 8 {
            let [a, b, c, d] = block.cast::<[u64; POISONED]>().read();
            (a ^ poison) | (b ^ poison) | (c ^ poison) | (d ^ poison) == 0
        } else {
            let [a, b] = block.cast::<[u64; 2]>().read();
            (a ^ poison) | (b ^ poison) == 0
        }
    }
}

/// Writes the word of a block, and fills up to eight of the bytes that were not asked for, the first.
///
/// # Safety
/// See [`hand_out`]. The bytes before the block's size, down to a multiple of 8, may be anything from here on.
#[inline(always)]
pub(crate) unsafe fn say(block: *mut u8, bytes: usize, size: usize, align: usize) {
    // SAFETY: by the caller's promise. Where all bytes were asked for, the first write is at the word's place.
    unsafe {
        block.wrapping_add(size & !7).cast::<u64>().write(FILL);
        at(block, bytes).write(word(block, size, align));
    }
}

/// A block that lives stays where it is, and has another size: see [`check`] first.
///
/// # Safety
/// See [`hand_out`].
pub(crate) unsafe fn resize(block: *mut u8, bytes: usize, size: usize, align: usize) {
    // SAFETY: by the caller's promise. The bytes that were asked for are the caller's: only what is behind them is written.
    unsafe {
        let filled = (size + 1).next_multiple_of(8).min(bytes - BYTES) - size;
        block.wrapping_add(size).write_bytes(FILL as u8, filled);
        at(block, bytes).write(word(block, size, align));
    }
}

/// Whether a block lives, has this layout, and nobody has written behind its end. [`check`] says what is wrong.
///
/// # Safety
/// See [`check`].
#[inline(always)]
pub(crate) unsafe fn is_right(block: *mut u8, bytes: usize, layout: Layout) -> bool {
    // SAFETY: by the caller's promise.
    unsafe {
        at(block, bytes).read() == word(block, layout.size(), layout.align())
            && (layout.size() == bytes - BYTES || is_filled(block, layout.size()))
    }
}

/// Whether what is filled of a block that was requested with this size is as it was. More was.
///
/// # Safety
/// See [`check`].
#[inline(always)]
unsafe fn is_filled(block: *mut u8, size: usize) -> bool {
    // SAFETY: by the caller's promise.
    let word = unsafe { block.wrapping_add(size & !7).cast::<u64>().read_volatile() };
    // The word holds bytes of the caller's below: they may be anything.
    (word ^ FILL) >> (size % 8 * 8) == 0
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
        let Some(said) = said_by(found, block, bytes) else { no_block(block, bytes, found) };
        if let Some(layout) = layout
            && (layout.size(), layout.align()) != (said.requested, said.align)
        {
            wrong_layout(block, said, layout);
        }
        if said.requested < bytes - BYTES && !is_filled(block, said.requested) {
            written_behind(block, said.requested);
        }
        said
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
        let poison = freed();
        if POISON {
            if bytes >= POISONED * 8 {
                block.cast::<[u64; POISONED]>().write([poison; POISONED]);
            } else {
                block.cast::<[u64; 2]>().write([poison; 2]);
            }
        }
        at(block, bytes).write(poison);
    }
}

/// Offsets of the words that are poisoned, without the block's last.
fn poisoned(bytes: usize) -> impl Iterator<Item = usize> {
    (0..bytes - BYTES).step_by(8).take(POISONED)
}

/// So many blocks of that many bytes are new ones, in memory that has been something else.
///
/// # Safety
/// They are the caller's.
pub(crate) unsafe fn forget(first: *mut u8, bytes: usize, blocks: usize) {
    if CANARY {
        let all = (0..blocks).map(|i| first.wrapping_add(i * bytes)).filter(|block| checked::has(*block));
        // SAFETY: by the caller's promise.
        all.for_each(|block| unsafe { at(block, bytes).write(0) });
    }
}

/// Not all of it is poison. What lies on other OS pages than the word may have been given back, and reads as zero then.
///
/// # Safety
/// See [`hand_out`].
#[cold]
#[inline(never)]
unsafe fn look_closely(block: *mut u8, bytes: usize) {
    let poison = freed();
    // SAFETY: by the caller's promise.
    if unsafe { at(block, bytes).read() } != poison {
        written_while_free(block, bytes, bytes - BYTES);
    }
    let page = |offset: usize| (block.addr() + offset) / os::page_size();
    let mut last = (usize::MAX, 0);
    for offset in poisoned(bytes) {
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
        if found == 0 {
            return None;
        }
        let mut seen = found;
        let mut see = |more: u64| seen = (seen.rotate_left(5) ^ more).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        if found == freed() {
            // Zeroes only where memory may have been given back while the word's stayed.
            let page = |offset: usize| (block.addr() + offset) / os::page_size();
            let mut wrong = false;
            for at in poisoned(bytes) {
                let word = block.wrapping_add(at).cast::<u64>().read_volatile();
                let gone = word == 0 && page(at) != page(bytes - BYTES);
                wrong |= word != found && !gone;
                see(word);
            }
            return (POISON && wrong).then_some(Wrong { what: "it was written to after it was freed", seen });
        }
        let what = "bytes behind its end were overwritten";
        let Some(said) = said_by(found, block, bytes) else { return Some(Wrong { what, seen }) };
        see(block.wrapping_add(said.requested & !7).cast::<u64>().read_volatile());
        (said.requested < bytes - BYTES && !is_filled(block, said.requested)).then_some(Wrong { what, seen })
    }
}

#[cold]
#[inline(never)]
fn written_while_free(block: *mut u8, bytes: usize, offset: usize) -> ! {
    die!("{block:p}, {} bytes, was written to after it was freed, at byte {offset}", bytes - BYTES)
}

#[cold]
#[inline(never)]
fn written_behind(block: *mut u8, requested: usize) -> ! {
    let byte = |i: &usize| {
        // SAFETY: a byte of the block.
        unsafe { block.wrapping_add(*i).read() != FILL as u8 }
    };
    let first = (requested..requested + 8).find(byte).unwrap_or(requested);
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
    if found == freed() {
        die!("{block:p} was freed twice");
    }
    if found == 0 {
        die!("free of {block:p}, which nobody was given");
    }
    die!("{block:p} was written to behind its end: what stands behind its {} bytes was overwritten", bytes - BYTES)
}

fn wrong_layout(block: *mut u8, said: Said, layout: Layout) -> ! {
    die!(
        "free of {block:p} as {} bytes aligned to {}: it has {} bytes aligned to {}",
        layout.size(),
        layout.align(),
        said.requested,
        said.align
    )
}

#[cfg(all(test, feature = "hardened"))]
mod tests {
    use super::*;

    #[test]
    fn a_word_says_what_was_said() {
        begin();
        let mut room = [0u64; 32];
        let block: *mut u8 = room.as_mut_ptr().cast();
        for (bytes, size, align) in [(256, 248, 1), (256, 1, 64), (16, 8, 8), (24, 13, 4), (128, 100, 16)] {
            // SAFETY: the room is that long, and a page of ours to all that is read of it.
            unsafe {
                at(block, bytes).write(0);
                hand_out(block, bytes, size, align);
                let layout = Layout::from_size_align(size, align).expect("a layout");
                assert_eq!(check(block, bytes, Some(layout)), Said { requested: size, align });
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
