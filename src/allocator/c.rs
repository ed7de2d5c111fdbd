//! C's allocation functions on the same heap, for `tenure-preload`, which exports them. Null says that memory is out, and so does
//! `errno`. No part of the crate's interface.
//!
//! Every block that these functions hand out has a mark (`arena::marks`), and every address that they are given is looked for among the
//! marks first. So an address that is no live block's ends the process with one line, whatever it is; but for what the loader allocated
//! before there was a `malloc`, which is left alone.

use super::{Hooks, Tenure, hardened};
use crate::arena::marks;
use crate::arena::ours::{Segment, segment};
use crate::arena::{self, SLICE, slices};
use crate::config::hardened::ON;
use crate::generation::relief;
use crate::heap::{halves, large};
use crate::os::{self, die, startup};
use crate::pages::classes::{BLOCK_SIZE, COLD, LARGEST, TABLE_BY_16, TABLED, block_index, block_size};
use crate::pages::guarded;
use crate::pages::page::{Kind, page_of};
use crate::sync::AtomicU64;
use crate::sync::Ordering::Relaxed;
use std::alloc::Layout;
use std::ptr::null_mut;

/// Sizes above are refused: the difference of two addresses in a block must be a number.
const MOST: usize = isize::MAX as usize;

// The mark of a block is its class byte and one. Of `Relaxed` marks: a block's is written by whoever holds the block, and handing a block
// over orders everything else that belongs to it.

/// A block of so many bytes, or more, at a multiple of 16. Each of 0 bytes is another one.
#[inline(always)]
pub fn malloc(on: &Tenure, size: usize) -> *mut u8 {
    if ON && size <= TABLED {
        return marked(hardened::alloc_by_16(&on.config, size, marks::GRAIN));
    }
    if size > TABLED {
        return aligned(on, marks::GRAIN, size);
    }
    // SAFETY: the table has an entry for each size up to `TABLED`, one more than a class; a block that lay ready is in a page.
    unsafe {
        let mark = *MARKS.get_unchecked(size.div_ceil(marks::GRAIN)) as usize;
        let block = halves::pop(mark - 1);
        if block.is_null() {
            return malloc_slowly(on, mark - 1, size);
        }
        marks::at(block).store(mark as u8, Relaxed);
        block
    }
}

/// The mark of a block for a size: `MARKS[(size + 15) / 16]`.
// A static has a name, by which the linker puts it beside other tables that each process reads.
static MARKS: [u8; TABLE_BY_16.len()] = {
    let mut marks = TABLE_BY_16;
    let mut i = 0;
    while i < marks.len() {
        marks[i] += 1;
        i += 1;
    }
    marks
};

// The slow paths are C functions because the compiler knows that those do not unwind.
#[cold]
#[inline(never)]
extern "C" fn malloc_slowly(on: &Tenure, class: usize, size: usize) -> *mut u8 {
    marked(halves::alloc::<Hooks>(&on.config, class, size))
}

/// The same at a multiple of `align`, a power of two.
#[cold]
#[inline(never)]
pub extern "C" fn aligned(on: &Tenure, align: usize, size: usize) -> *mut u8 {
    debug_assert!(align.is_power_of_two());
    if size > MOST - align.min(MOST) {
        return refused();
    }
    if ON {
        return marked(hardened::alloc_by_16(&on.config, size, align.max(marks::GRAIN)));
    }
    marked(on.alloc_other(size.max(1), align.max(marks::GRAIN)))
}

/// A block of so many zeroes.
#[inline]
pub fn zeroed(on: &Tenure, size: usize) -> *mut u8 {
    if size > LARGEST {
        return zeroed_large(on, size);
    }
    let block = malloc(on, size);
    if !block.is_null() {
        // SAFETY: the block is that long.
        unsafe { block.write_bytes(0, size) };
    }
    block
}

#[cold]
#[inline(never)]
fn zeroed_large(on: &Tenure, size: usize) -> *mut u8 {
    if size > MOST {
        return refused();
    }
    let (block, zero) = large::alloc::<Hooks>(&on.config, size, marks::GRAIN);
    if !zero && !block.is_null() {
        // SAFETY: the block is that long.
        unsafe { block.write_bytes(0, size) };
    }
    marked(block)
}

/// Memory is out.
fn refused() -> *mut u8 {
    os::set_no_memory();
    null_mut()
}

/// Marks a block that came by a slow path, if one came. A huge one has no mark.
fn marked(block: *mut u8) -> *mut u8 {
    if block.is_null() {
        return refused();
    }
    if let Some(mark) = marks::of(block) {
        // SAFETY: a block is in a segment with metadata.
        mark.store(unsafe { *arena::class_byte(block) } + 1, Relaxed);
    }
    block
}

/// Frees a block. Nothing happens at null. `errno` stays as it is.
///
/// # Safety
/// The block is the caller's, if it is one; any other address ends the process.
#[inline(always)]
pub unsafe fn free(on: &Tenure, block: *mut u8) {
    // SAFETY: an address that has a mark is a live block's, whose class byte that is; for the rest, by the caller's promise.
    unsafe {
        if !marks::has(block) {
            return free_unmarked(on, block);
        }
        let mark = marks::at(block);
        let class_and_one = mark.load(Relaxed);
        if class_and_one == 0 {
            return free_unmarked(on, block);
        }
        if ON {
            hardened::before_free(block, None);
        }
        mark.store(0, Relaxed);
        if !halves::push(class_and_one as usize - 1, block) {
            free_slowly(on, block);
        }
    }
}

/// # Safety
/// The block is the caller's to free.
#[cold]
#[inline(never)]
unsafe extern "C" fn free_slowly(on: &Tenure, block: *mut u8) {
    // SAFETY: by the caller's promise.
    os::preserving_errno(|| unsafe { halves::free::<Hooks>(&on.config, block) });
}

/// # Safety
/// As for [`free`].
#[cold]
#[inline(never)]
unsafe extern "C" fn free_unmarked(on: &Tenure, block: *mut u8) {
    if block.is_null() {
        return;
    }
    os::preserving_errno(|| match holds_huge(block) {
        // SAFETY: a large block of the caller's.
        Some(_) => unsafe {
            if ON {
                hardened::before_free(block, None);
            }
            large::free::<Hooks>(&on.config, block)
        },
        None if !slices::contains(block) && startup::is_the_loaders(block) => (),
        None => die_of("free", block),
    });
}

/// The bytes of the huge block that begins at an address; `None` if there is none.
fn holds_huge(p: *mut u8) -> Option<usize> {
    let begins = segment(p) == Segment::Huge && p.addr().is_multiple_of(arena::SEGMENT);
    // SAFETY: the segment has metadata.
    let page = unsafe { &*begins.then(|| page_of(p))? };
    (page.kind() == Kind::Large).then(|| page.slices() * SLICE)
}

/// How many bytes of a block may be used, 0 of null.
///
/// # Safety
/// As for [`free`].
#[inline]
pub unsafe fn usable_size(block: *mut u8) -> usize {
    // SAFETY: by the caller's promise.
    unsafe {
        match block.is_null() {
            true => 0,
            false => usable(block, "malloc_usable_size").0,
        }
    }
}

/// The bytes of a live block, and its class byte. `what` was called with it.
///
/// # Safety
/// As for [`free`].
#[inline]
unsafe fn usable(block: *mut u8, what: &str) -> (usize, usize) {
    // SAFETY: by the caller's promise.
    let (bytes, class) = unsafe { bytes_of(block, what) };
    // SAFETY: it is a live block.
    (if ON { unsafe { hardened::usable(block) } } else { bytes }, class)
}

/// The same, with what is not the caller's.
///
/// # Safety
/// As for [`free`].
#[inline]
unsafe fn bytes_of(block: *mut u8, what: &str) -> (usize, usize) {
    match marks::of(block).map(|mark| mark.load(Relaxed) as usize) {
        Some(mark @ 1..=COLD) => (BLOCK_SIZE[mark - 1] as usize, mark - 1),
        Some(mark) if mark != 0 => {
            // SAFETY: a live block's page exists.
            let page = unsafe { &*page_of(block) };
            let bytes = match page.kind() {
                Kind::Large => page.slices() * SLICE,
                Kind::Guarded => guarded::live_at(block).map_or(0, |known| known.requested),
                _ => block_size(page.class()),
            };
            (bytes, COLD)
        }
        _ => (holds_huge(block).unwrap_or_else(|| die_of(what, block)), COLD),
    }
}

/// A block of `size` bytes with the contents of this one, which is gone then; or null, and this one is as it was. Neither is 0
/// or null.
///
/// # Safety
/// As for [`free`].
pub unsafe fn realloc(on: &Tenure, block: *mut u8, size: usize) -> *mut u8 {
    // SAFETY: by the caller's promise; what is copied is in both blocks.
    unsafe {
        let (have, class) = usable(block, "realloc");
        if size > MOST {
            return refused();
        }
        if ON {
            let layout = Layout::from_size_align_unchecked(have, marks::GRAIN);
            let large = match hardened::resize(on, block, layout, size, false) {
                hardened::Resized::InPlace => return block,
                hardened::Resized::Not => None,
                hardened::Resized::Large => realloc_cold(on, block, have, size),
            };
            if let Some(new) = large {
                return if new.is_null() { refused() } else { new };
            }
        } else if class < COLD {
            // In place, unless that would leave more than half of it unused; of a small block, that is not worth a copy.
            if size <= have && (size > have / 2 || have <= SMALL) {
                return block;
            }
        } else if let Some(new) = realloc_cold(on, block, have, size) {
            return if new.is_null() { refused() } else { new };
        }
        let new = malloc(on, size);
        if new.is_null() {
            // Nobody expects that a block cannot become smaller.
            return if size <= have { block } else { new };
        }
        new.copy_from_nonoverlapping(block, have.min(size));
        free(on, block);
        new
    }
}

const SMALL: usize = 64;

/// # Safety
/// The block is the caller's, tracked or large, and that long.
#[cold]
#[inline(never)]
unsafe fn realloc_cold(on: &Tenure, block: *mut u8, have: usize, size: usize) -> Option<*mut u8> {
    // If the block moves, somebody else may hold one at its address, and have it marked, before the call returns.
    let mark = marks::of(block);
    let was = mark.map(|mark| mark.swap(0, Relaxed));
    // SAFETY: by the caller's promise; 16 is an alignment.
    let new = unsafe { on.realloc_cold(block, Layout::from_size_align_unchecked(have, marks::GRAIN), size) };
    match (new, mark, was) {
        (Some(new), ..) if !new.is_null() && new != block => _ = marked(new),
        (_, Some(mark), Some(was)) => mark.store(was, Relaxed),
        _ => (),
    }
    new
}

/// So many times as long as a [`trim`] took, nobody trims again; but for a second at most.
const TRIMMED_FOR: u64 = 31;
const AT_MOST: u64 = 1_000_000_000;

/// Takes home what this thread's magazines, idle threads' and depots hold, and purges what is free. Returns whether there was
/// anything. Takes as long as a collection of everything, so it does nothing for 31 times as long afterwards, a second at most: a program that
/// trims without end would do nothing else, and fault in what it uses again and again.
pub fn trim() -> bool {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let began = os::uptime_nanos();
    // Relaxed, here and below: two that trim at the same time do no harm.
    if began < NEXT.load(Relaxed) {
        return false;
    }
    let found = relief::give_all_back::<Hooks>() > 0;
    let now = os::uptime_nanos();
    NEXT.store(now + (TRIMMED_FOR * (now - began)).min(AT_MOST), Relaxed);
    found
}

/// Ends the process: `what` was called with an address that is no live block's.
#[cold]
#[inline(never)]
fn die_of(what: &str, p: *mut u8) -> ! {
    if segment(p) != Segment::Marked || p.addr() % arena::SEGMENT >= arena::USABLE * SLICE {
        let inside =
            if slices::contains(p) { "is no block's beginning" } else { "lies outside of this allocator's memory" };
        die!("{what} of {p:p}, which {inside}");
    }
    // SAFETY: a segment with marks has metadata. What is read without a lock is printed only.
    let page = unsafe { &*page_of(p) };
    match page.kind() {
        Kind::None => match inside_large(p) {
            Some(block) => die!("{what} of {p:p}, inside a large block at {block:p}"),
            None => die!("{what} of {p:p}, where there is no block, or none any more"),
        },
        Kind::Large if page.base() == p => die!("{what} of {p:p}, a large block that is not held"),
        Kind::Large => die!("{what} of {p:p}, inside a large block at {:p}", page.base()),
        Kind::Guarded => {
            // SAFETY: no block that lives begins there: this ends the process.
            unsafe { halves::free::<Hooks>(&crate::config::Config::DEFAULT, p) };
            die!("{what} of {p:p}, which nobody holds")
        }
        Kind::Plain | Kind::Tracked => {
            let size = block_size(page.class());
            let i = block_index(page.class(), p.addr() - page.base().addr());
            let block = page.base().wrapping_add(i * size);
            if block == p {
                die!("{what} of {p:p}, which nobody holds: it was freed before, or never handed out ({size} bytes)");
            }
            die!(
                "{what} of {p:p}, {} bytes after the beginning of a block of {size} bytes at {block:p}",
                p.addr() - block.addr()
            )
        }
    }
}

/// The large block that an address lies in, of which only the first slice has a header.
fn inside_large(p: *mut u8) -> Option<*mut u8> {
    let first = arena::slices_before(p).find(|&slice| {
        // SAFETY: the segment has metadata, and so have its other slices.
        unsafe { (*page_of(slice)).kind() != Kind::None }
    })?;
    // SAFETY: as above.
    let page = unsafe { &*page_of(first) };
    (page.kind() == Kind::Large && p.addr() - first.addr() < page.slices() * SLICE).then_some(first)
}
