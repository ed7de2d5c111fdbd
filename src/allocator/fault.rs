//! What is said of an access that the processor refused, where the allocator had made memory inaccessible: in a signal
//! handler, so that nothing here allocates or waits.

use super::Hooks;
use crate::arena::{self, SLICE, ours};
use crate::config::hardened::{CHECK_ADDRESS, GUARD_PAGES};
use crate::heap::{guarded, large};
use crate::os::{objects, warn};
use crate::pages::canary;
use crate::pages::classes::block_size;
use crate::pages::page::{Kind, Page, page_of};
use crate::track::sites;

/// Says what it knows.
pub(super) fn explain(p: *mut u8) {
    if guarded::explain::<Hooks>(p) {
        return;
    }
    if canary::is_nowhere(p.addr()) {
        return warn(format_args!("use after free: the program followed a pointer that it read from a freed block"));
    }
    if !CHECK_ADDRESS || !ours::has(p) {
        return;
    }
    if let Some(block) = large::freed_around(p) {
        return warn(format_args!("use after free: the program accessed {p:p}, in the large block {block:p}"));
    }
    // SAFETY: the segment is ours, so its headers may be read.
    let page = unsafe { &*page_of(p) };
    if GUARD_PAGES && matches!(page.kind(), Kind::Plain | Kind::Tracked) {
        return warn(format_args!(
            "heap overflow: the program accessed {p:p}, behind the blocks of {} bytes of the page at {:p}",
            block_size(page.class()),
            page.base()
        ));
    }
    let first = arena::slices_before(p).find_map(|slice| {
        // SAFETY: as above.
        let page = unsafe { &*arena::header(slice).cast::<Page>() };
        (page.kind() != Kind::None).then_some(page)
    });
    if let Some(large) = first.filter(|page| page.kind() == Kind::Large) {
        let end = large.base().addr() + large.requested().0;
        if (end..large.base().addr() + large.slices() * SLICE).contains(&p.addr()) {
            return warn(format_args!(
                "heap overflow: the program accessed {p:p}, {} bytes behind the large block {:p} of {} bytes",
                p.addr() - end,
                large.base(),
                large.requested().0
            ));
        }
    }
    warn(format_args!("the program accessed {p:p}, where no block is"));
}

/// Prints the frames of a site, leaf first, as modules and offsets.
pub(super) fn stack(site: u32) {
    let mut i = 0;
    sites::stack(site, |address| {
        match objects::place(address) {
            Some(place) => warn(format_args!("  #{i} {}+{:#x}", place.name(), address - place.base)),
            None => warn(format_args!("  #{i} {address:#x}")),
        }
        i += 1;
    });
    if i == 0 {
        warn(format_args!("  (the stack is not known)"));
    }
}
