//! Guard pages: the last OS page of a page of small blocks is inaccessible, so that what runs over its blocks' ends stops
//! there. All of the first pages have one, and one in [`ONE_IN`] after that: each is two system calls and a mapping of the
//! kernel's. Which have one follows from their addresses, so nothing is kept.

use super::classes::{block_size, capacity, page_slices};
use crate::arena::{SEGMENT, SLICE};
use crate::config::hardened::{GUARD_PAGES, POISON};
use crate::os::{self, die, fault};
use crate::sync::{AtomicUsize, Ordering};

/// Pages, and large blocks, that have one at the same time; of either. A process has some 65,000 mappings.
pub(crate) const MOST: usize = 8 << 10;

/// After the first ones, one page, and one large block, in so many has one.
pub(crate) const ONE_IN: usize = 16;
/// Slices of the first segment where all pages have one: 16 MiB.
const FIRST: usize = 256;

/// Pages that could have one.
static PAGES: AtomicUsize = AtomicUsize::new(0);
/// The segment of the process' first page; 0 before there is one.
static FIRST_SEGMENT: AtomicUsize = AtomicUsize::new(0);

/// Whether the page at an address has one.
fn chosen(at: *mut u8) -> bool {
    let segment = at.addr() & !(SEGMENT - 1);
    let slice = (at.addr() - segment) / SLICE;
    // Relaxed: pages of another segment come long after it was written, whoever wrote it.
    let first = match FIRST_SEGMENT.compare_exchange(0, segment, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => segment,
        Err(first) => first,
    };
    slice.is_multiple_of(ONE_IN) || segment == first && slice < FIRST
}

fn of(at: *mut u8, class: usize) -> Option<(*mut u8, usize)> {
    let bytes = page_slices(class) * SLICE;
    let os_page = os::page_size();
    let room = bytes - capacity(class) * block_size(class);
    (GUARD_PAGES && page_slices(class) == 1 && room >= os_page && chosen(at)).then(|| (at.wrapping_add(bytes - os_page), os_page))
}

/// A page of a class begins at this address.
///
/// # Safety
/// Its slices are the caller's, and nobody has a block of them.
pub(super) unsafe fn set(at: *mut u8, class: usize) {
    if GUARD_PAGES || POISON {
        fault::install();
    }
    if let Some((guard, len)) = of(at, class)
        && PAGES.fetch_add(1, Ordering::Relaxed) < MOST
    {
        // Relaxed: a bound, which need not be exact.
        // SAFETY: by the caller's promise; no block lies there. If the system refuses, there is none.
        unsafe { os::protect(guard, len, true) };
    }
}

/// It is gone.
///
/// # Safety
/// As for [`set`].
pub(super) unsafe fn clear(at: *mut u8, class: usize) {
    if let Some((guard, len)) = of(at, class) {
        PAGES.fetch_sub(1, Ordering::Relaxed); // Relaxed: as above
        // SAFETY: by the caller's promise.
        if !unsafe { os::protect(guard, len, false) } {
            die!("the system does not give the guard page at {guard:p} back");
        }
    }
}
