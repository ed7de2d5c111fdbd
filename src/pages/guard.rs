//! Guard pages: the last OS page of a page of small blocks is inaccessible, so that what runs over its blocks' ends stops
//! there. Pages that are [`checked`] have one: each is two system calls and a mapping of the kernel's.

use super::checked;
use super::classes::{block_size, capacity, page_slices};
use crate::arena::SLICE;
use crate::config::hardened::{GUARD_PAGES, POISON};
use crate::os::{self, die, fault};
use crate::sync::{AtomicUsize, Ordering};

/// Pages, and large blocks, that have one at the same time; of either. A process has some 65,000 mappings.
pub(crate) const MOST: usize = 8 << 10;

/// Pages that could have one.
static PAGES: AtomicUsize = AtomicUsize::new(0);
fn of(at: *mut u8, class: usize) -> Option<(*mut u8, usize)> {
    let bytes = page_slices(class) * SLICE;
    let os_page = os::page_size();
    let room = bytes - capacity(class) * block_size(class);
    (GUARD_PAGES && page_slices(class) == 1 && room >= os_page && checked::has(at))
        .then(|| (at.wrapping_add(bytes - os_page), os_page))
}

/// A page of a class begins at this address.
///
/// # Safety
/// Its slices are the caller's, and nobody has a block of them.
pub(super) unsafe fn set(at: *mut u8, class: usize) {
    checked::note(at);
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
