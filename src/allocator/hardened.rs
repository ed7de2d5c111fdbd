//! What stands around each operation in a build with the feature `hardened`: see [`crate::config::hardened`].
//!
//! At exit, the blocks of the process that loaded this are looked at, not those of its forked children. What is wrong is a
//! fault at once if the process has one thread; while others run, if it looks the same for a quarter of a second.

use super::{Hooks, Tenure};
use crate::arena::{self, ours};
use crate::config::Config;
use crate::config::hardened::{CANARY, CHECK_AT_EXIT};
use crate::heap::{self, halves, large, thread};
use crate::os::{self, die, process};
use crate::pages::canary::Wrong;
#[cfg(feature = "c-interface")]
use crate::pages::classes::TABLE_BY_16;
use crate::pages::classes::{BLOCK_SIZES, COLD, LARGEST, TABLE, TABLED, block_size, class_of};
use crate::pages::page::{Kind, Page, page_of};
use crate::pages::{canary, checked, guarded, shard};
use crate::sync::{AtomicU32, Ordering};
use std::alloc::Layout;
use std::cell::Cell;
use std::ptr::null_mut;

/// What an address leads to.
enum Found {
    /// A block of so many bytes, its canary included.
    Block(usize),
    Large,
    /// No block, among the guarded slots.
    Guarded,
}

/// What stands at an address that somebody takes for a block.
fn find(block: *mut u8) -> Found {
    if !ours::has(block) || !block.addr().is_multiple_of(8) {
        foreign(block);
    }
    // SAFETY: the segment is ours, so its metadata may be read.
    let class = unsafe { *arena::class_byte(block) } as usize;
    if class < COLD { Found::Block(block_size(class)) } else { find_cold(block) }
}

#[cold]
#[inline(never)]
fn foreign(block: *mut u8) -> ! {
    die!("free of {block:p}, which is none of this allocator's blocks")
}

#[cold]
#[inline(never)]
fn find_cold(block: *mut u8) -> Found {
    // SAFETY: the segment is ours.
    let page = unsafe { &*page_of(block) };
    match page.kind() {
        Kind::Tracked => {
            page.index_of(block);
            Found::Block(block_size(page.class()))
        }
        Kind::Large if page.base() == block => Found::Large,
        Kind::Large => die!("free of {block:p}, inside a large block at {:p}", page.base()),
        Kind::Guarded => match guarded::live_at(block) {
            Some(known) => Found::Block(block_size(known.class)),
            None => Found::Guarded,
        },
        Kind::Plain | Kind::None => match large::freed_around(block) {
            Some(at) if at == block => die!("{block:p} was freed twice"),
            Some(at) => die!("free of {block:p}, inside a large block at {at:p} that was freed"),
            None => die!("free of {block:p}, which is not a block that anybody holds"),
        },
    }
}

/// A block for a layout. Null if memory is out.
// Whatever is not the ordinary case is a call at the end: one in the middle would have this save registers each time.
#[inline(always)]
pub(crate) fn alloc(config: &Config, size: usize, align: usize) -> *mut u8 {
    if align > 8 {
        return alloc_other(config, size, align);
    }
    if size > TABLED - canary::BYTES {
        return alloc_other(config, size, align);
    }
    // SAFETY: the table has an entry for each size up to `TABLED`, and all are classes.
    unsafe { alloc_ready(config, *TABLE.get_unchecked((size.max(1) + canary::BYTES + 7) >> 3) as usize, size, align) }
}

/// A block of a class that lies ready, or else another one.
///
/// # Safety
/// The class is one, and its blocks hold the layout and a canary.
#[inline(always)]
unsafe fn alloc_ready(config: &Config, class: usize, size: usize, align: usize) -> *mut u8 {
    // SAFETY: by the caller's promise; a block that lay ready is in a page of its class.
    unsafe {
        let block = halves::pop(class);
        if block.is_null() {
            return alloc_slowly(config, class, size, align);
        }
        if CANARY && checked::has(block) {
            let bytes = *BLOCK_SIZES.get_unchecked(class) as usize;
            if !canary::take_over(block, bytes) {
                return canary::hand_out_suspect(block, bytes, size, align);
            }
            canary::say(block, bytes, size, align);
        }
        block
    }
}

/// # Safety
/// As for [`alloc_ready`].
#[cold]
#[inline(never)]
unsafe fn alloc_slowly(config: &Config, class: usize, size: usize, align: usize) -> *mut u8 {
    // SAFETY: by the caller's promise.
    unsafe { hand_out(halves::alloc::<Hooks>(config, class, size), block_size(class), size, align) }
}

/// # Safety
/// Null, or a block of so many bytes that is the caller's.
unsafe fn hand_out(block: *mut u8, bytes: usize, size: usize, align: usize) -> *mut u8 {
    if CANARY && !block.is_null() && checked::has(block) {
        // SAFETY: by the caller's promise.
        unsafe { canary::hand_out(block, bytes, size, align) };
    }
    block
}

#[cold]
#[inline(never)]
fn alloc_other(config: &Config, size: usize, align: usize) -> *mut u8 {
    let padded = size.checked_add(canary::BYTES).and_then(|padded| padded.checked_next_multiple_of(align));
    match padded.filter(|_| size <= isize::MAX as usize) {
        // SAFETY: the class of a size up to the largest is one.
        Some(padded) if padded <= LARGEST && align <= LARGEST => unsafe {
            let class = class_of(padded.max(1));
            hand_out(heap::alloc::<Hooks>(config, class, size), block_size(class), size, align)
        },
        Some(_) => large::alloc::<Hooks>(config, size, align).0,
        None => null_mut(),
    }
}

/// Looks at a block that is about to be freed, which the caller takes for one of this layout, if it knows. It is no more than
/// memory then.
///
/// # Safety
/// The block is the caller's, or the process ends.
pub(crate) unsafe fn before_free(block: *mut u8, layout: Option<Layout>) {
    // SAFETY: what is found is a block of that many bytes.
    unsafe {
        match find(block) {
            Found::Block(bytes) if CANARY && checked::has(block) => {
                canary::check(block, bytes, layout);
                canary::bury(block, bytes);
            }
            // Among the guarded slots, who frees it says what it is.
            Found::Block(_) | Found::Guarded => (),
            Found::Large => large::check(block, layout),
        }
    }
}

/// Frees a block, which the caller takes for one of this layout.
///
/// # Safety
/// The block is the caller's, or the process ends.
#[inline(always)]
pub(crate) unsafe fn free(config: &Config, block: *mut u8, layout: Layout) {
    // SAFETY: by the caller's promise; the segment is ours where its metadata are read.
    unsafe {
        if !ours::has(block) {
            return free_other(config, block, layout);
        }
        let class = *arena::class_byte(block) as usize;
        if class >= COLD {
            return free_other(config, block, layout);
        }
        if CANARY && checked::has(block) {
            let bytes = *BLOCK_SIZES.get_unchecked(class) as usize;
            if !canary::is_right(block, bytes, layout) {
                return free_other(config, block, layout);
            }
            canary::bury(block, bytes);
        }
        if !halves::push(class, block) {
            free_slowly(config, block);
        }
    }
}

/// What is no block of a page of blocks, or not one of this layout.
///
/// # Safety
/// As for [`free`].
#[cold]
#[inline(never)]
unsafe fn free_other(config: &Config, block: *mut u8, layout: Layout) {
    // SAFETY: by the caller's promise.
    unsafe {
        before_free(block, Some(layout));
        heap::free::<Hooks>(config, block);
    }
}

/// # Safety
/// As for [`free`]; it was looked at.
#[cold]
#[inline(never)]
unsafe fn free_slowly(config: &Config, block: *mut u8) {
    // SAFETY: by the caller's promise.
    unsafe { halves::free::<Hooks>(config, block) };
}

/// What became of [`resize`].
pub(crate) enum Resized {
    /// The block is where it was.
    InPlace,
    /// It would have to move.
    Not,
    /// It is a large one.
    Large,
}

/// Gives a block another size, if it can stay where it is. `layout` is what the caller takes it for; where `known` is not set, that
/// is its alignment only.
///
/// # Safety
/// The block is the caller's, or the process ends.
pub(crate) unsafe fn resize(tenure: &Tenure, block: *mut u8, layout: Layout, new_size: usize, known: bool) -> Resized {
    let layout_known = known.then_some(layout);
    // SAFETY: what is found is a block of that many bytes.
    unsafe {
        let bytes = match find(block) {
            Found::Block(bytes) => bytes,
            Found::Large => {
                large::check(block, layout_known);
                return Resized::Large;
            }
            Found::Guarded => {
                heap::free::<Hooks>(&tenure.config, block); // which ends the process
                return Resized::Not;
            }
        };
        let checked = CANARY && checked::has(block);
        let old = if checked { canary::check(block, bytes, layout_known).requested } else { layout.size().min(bytes) };
        let fits = stays(bytes, old, new_size);
        let tracked = *arena::class_byte(block) as usize == COLD;
        if !fits || tracked && tenure.realloc_cold(block, layout, new_size).is_none() {
            return Resized::Not;
        }
        if checked {
            canary::resize(block, bytes, new_size, layout.align());
        }
        Resized::InPlace
    }
}

/// As for `GlobalAlloc`.
///
/// # Safety
/// The block is the caller's, or the process ends.
#[inline]
pub(crate) unsafe fn realloc(tenure: &Tenure, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
    // SAFETY: by the caller's promise; what is copied is in both blocks; the segment is ours where its metadata are read.
    unsafe {
        if !CANARY || !ours::has(block) {
            return realloc_other(tenure, block, layout, new_size);
        }
        let class = *arena::class_byte(block) as usize;
        if class >= COLD {
            return realloc_other(tenure, block, layout, new_size);
        }
        let bytes = *BLOCK_SIZES.get_unchecked(class) as usize;
        let checked = checked::has(block);
        if checked && !canary::is_right(block, bytes, layout) {
            return realloc_other(tenure, block, layout, new_size);
        }
        if stays(bytes, layout.size(), new_size) {
            if checked {
                canary::resize(block, bytes, new_size, layout.align());
            }
            return block;
        }
        let new = alloc(&tenure.config, new_size, layout.align());
        if !new.is_null() {
            new.copy_from_nonoverlapping(block, layout.size().min(new_size));
            if checked {
                canary::bury(block, bytes);
            }
            if !halves::push(class, block) {
                free_slowly(&tenure.config, block);
            }
        }
        new
    }
}

/// Whether a block of so many bytes, its canary included, serves another size than it was requested with: if it is large enough, and
/// would not be more than half unused from now on.
#[inline(always)]
fn stays(bytes: usize, size: usize, new_size: usize) -> bool {
    new_size <= bytes - canary::BYTES && (new_size > bytes / 2 || new_size >= size)
}

/// What is no block of a page of blocks, or not one of this layout.
///
/// # Safety
/// As for [`realloc`].
#[cold]
#[inline(never)]
unsafe fn realloc_other(tenure: &Tenure, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
    // SAFETY: by the caller's promise; what is copied is in both blocks.
    unsafe {
        match resize(tenure, block, layout, new_size, true) {
            Resized::InPlace => return block,
            Resized::Not => (),
            Resized::Large => {
                if let Some(block) = tenure.realloc_cold(block, layout, new_size) {
                    return block;
                }
            }
        }
        let new = alloc(&tenure.config, new_size, layout.align());
        if !new.is_null() {
            new.copy_from_nonoverlapping(block, layout.size().min(new_size));
            free(&tenure.config, block, layout);
        }
        new
    }
}

/// Bytes of a block that are the caller's: what it asked for.
///
/// # Safety
/// The block is the caller's, or the process ends.
#[cfg(feature = "c-interface")]
pub(crate) unsafe fn usable(block: *mut u8) -> usize {
    // SAFETY: what is found is a block of that many bytes.
    unsafe {
        match find(block) {
            Found::Block(bytes) if CANARY && checked::has(block) => canary::check(block, bytes, None).requested,
            Found::Block(bytes) => bytes - canary::BYTES,
            Found::Large => large::requested(block, (*page_of(block)).slices() * crate::arena::SLICE),
            Found::Guarded => 0,
        }
    }
}

/// [`alloc`] for C, whose blocks lie at multiples of 16; `align` is one, too.
#[cfg(feature = "c-interface")]
#[inline(always)]
pub(crate) fn alloc_by_16(config: &Config, size: usize, align: usize) -> *mut u8 {
    if align > 16 || size > TABLED - canary::BYTES {
        return alloc_other(config, size, align);
    }
    // SAFETY: the table has an entry for each size up to `TABLED`, and all are classes.
    unsafe {
        let class = *TABLE_BY_16.get_unchecked((size + canary::BYTES).div_ceil(16)) as usize;
        alloc_ready(config, class, size, align)
    }
}

/// The process that loaded this, at whose exit blocks are looked at.
static BEGAN: AtomicU32 = AtomicU32::new(0);

/// Called by the loader.
pub(super) fn begin() {
    if CHECK_AT_EXIT {
        BEGAN.store(std::process::id(), Ordering::Relaxed); // Relaxed: a lock of the C library, in `at_exit`, orders it
        process::at_exit(look_at_all);
    }
}

/// Bytes of pages that are looked at when the process exits: a few milliseconds.
const LOOKED_AT: usize = 16 << 20;

/// How often a block that is wrong must look the same while other threads run, and the milliseconds between.
const LOOKS: usize = 10;
const BETWEEN_LOOKS: u64 = 25;

/// A block that is wrong.
struct Suspect {
    page: *mut u8,
    class: usize,
    block: *mut u8,
    wrong: Wrong,
}

impl Suspect {
    fn first_of(page: &Page) -> Option<Suspect> {
        let size = block_size(page.class());
        let all = (0..page.capacity()).map(|i| page.base().wrapping_add(i * size));
        let mut blocks = all.filter(|block| checked::has(*block));
        // SAFETY: a block of the page, which stays one while the lock of its shard is held.
        let (block, wrong) = blocks.find_map(|block| Some((block, unsafe { canary::wrong_with(block, size) }?)))?;
        Some(Suspect { page: page.base(), class: page.class(), block, wrong })
    }

    /// Whether the same is wrong with the same block of the same class now.
    fn is_still_wrong(&self) -> bool {
        let seen = shard::with_page(self.page, |page| {
            let same = page.is_first() && page.base() == self.page && page.class() == self.class;
            // SAFETY: a block of the page, as above.
            same.then(|| unsafe { canary::wrong_with(self.block, block_size(self.class)) }).flatten()
        });
        seen.flatten() == Some(self.wrong)
    }

    /// Whether no other thread can be in the middle of handing it out, resizing or burying it, which are several writes each.
    fn is_a_fault(&self) -> bool {
        for _ in 0..LOOKS {
            // In this order: who is alone was alone while it looked again.
            let alone = process::is_single_threaded();
            if !self.is_still_wrong() {
                return false;
            }
            if alone {
                return true;
            }
            os::nap(BETWEEN_LOOKS);
        }
        self.is_still_wrong()
    }
}

/// Looks at the blocks that nobody frees any more: at exit, threads or not.
extern "C" fn look_at_all() {
    // In a forked child, what a thread of the parent was in the middle of stays so for ever.
    // And a signal's handler that ends the process may have interrupted whoever holds what a look needs.
    if BEGAN.load(Ordering::Relaxed) != std::process::id() || thread::is_interrupted() {
        return; // Relaxed: see `begin`
    }
    // What is found wrong first, in each page.
    let mut suspect: Option<Suspect> = None;
    let left = Cell::new(LOOKED_AT);
    shard::each_page(
        &mut suspect,
        |suspect, page| {
            *suspect = None;
            let bytes = page.capacity() * block_size(page.class());
            if let Some(rest) = left.get().checked_sub(bytes) {
                left.set(rest);
                *suspect = Suspect::first_of(page);
            }
        },
        |suspect| {
            if let Some(found) = suspect
                && found.is_a_fault()
            {
                let bytes = block_size(found.class) - canary::BYTES;
                die!("{:p}, {bytes} bytes: {}; seen at exit", found.block, found.wrong.what);
            }
        },
    );
}
