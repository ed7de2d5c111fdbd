//! Why resident memory does not fall: planted survivors are found, their pages are counted by class, and what is said to come
//! back does.
//!
//! No helper thread runs: what is collected is collected by the tests.

#[allow(dead_code, reason = "each file uses a part of it")]
mod hooks_support;

use hooks_support::{Raw, alone, block_size, exact, rng};
use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use tenure::internals::{self, tracker};
use tenure::snapshot::{ClassPages, Kept, Pages, Survivors};
use tenure::{Retention, Symbols, retention};
use tenure_alloc_tests::Tenure;
use tenure_alloc_tests::rss::anonymous;

#[global_allocator]
static ALLOC: Tenure = Tenure::new();

const SLICE: usize = 64 << 10;
/// Bytes of the planted blocks. Builds with debug assertions walk every stack twice: fewer of them fill a page there.
const SIZE: usize = if cfg!(debug_assertions) { 480 } else { 48 };

fn os_page() -> usize {
    // SAFETY: sysconf has no preconditions.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).expect("a size")
}

#[inline(never)]
fn allocates_half(size: usize) -> Raw {
    black_box(Raw::new(black_box(size)))
}

#[inline(never)]
fn allocates_a_third(size: usize) -> Raw {
    black_box(Raw::new(black_box(size)))
}

#[inline(never)]
fn allocates_the_rest(size: usize) -> Raw {
    black_box(Raw::new(black_box(size)))
}

/// What dies soon.
#[inline(never)]
fn allocates_for_a_moment(size: usize) -> Raw {
    black_box(Raw::new(black_box(size)))
}

/// Fills `pages` pages with blocks and frees all but one in each, which the function of its number allocated. Of a block that is
/// the first in its page to lie at `at` or behind.
fn plant(size: usize, pages: usize, at: usize, of: impl Fn(usize) -> fn(usize) -> Raw) -> Vec<Raw> {
    let per_page = page_bytes(size) / block_size(size);
    let (mut survivors, mut others) = (Vec::with_capacity(pages), Vec::with_capacity(pages * per_page));
    // Pages are known by their first slices; each block by its place in its page.
    let mut seen = std::collections::HashSet::with_capacity(2 * pages);
    while survivors.len() < pages {
        let make = of(survivors.len());
        let block = make(size);
        let (page, offset) = page_of(block.at.addr(), size);
        let here = offset >= at && !seen.contains(&page);
        if here {
            seen.insert(page);
            survivors.push(block);
        } else {
            others.push(block);
        }
    }
    others.into_iter().for_each(Raw::free);
    survivors
}

/// Bytes of a page with blocks for this size.
fn page_bytes(size: usize) -> usize {
    (block_size(size) * 8).next_multiple_of(SLICE)
}

/// The page that an address lies in, and how far, as far as that can be said from outside: for pages of one slice.
fn page_of(address: usize, size: usize) -> (usize, usize) {
    assert_eq!(page_bytes(size), SLICE, "pages of one slice");
    (address / SLICE, address % SLICE)
}

/// The figures of a class.
fn class(retention: &Retention, size: usize) -> Pages {
    let found = retention.classes.iter().find(|class: &&ClassPages| class.block_size == block_size(size));
    found.map_or_else(Pages::default, |class| class.pages)
}

/// What is always true.
fn assert_sums(r: &Retention) {
    let each = r.classes.iter().map(|class| &class.pages);
    for p in each.clone().chain([&r.pages]) {
        assert_eq!(p.resident, p.live + p.beside + p.cached + p.idle + p.room, "{p:#?}");
        let few = p.mostly_empty;
        assert!(few.live <= few.pinned && few.pinned <= few.kept && few.kept <= p.resident, "{p:#?}");
        assert!(few.pages <= p.pages && few.blocks <= p.live_blocks && few.blocks >= few.pages, "{p:#?}");
    }
    assert_eq!(each.clone().map(|p| p.resident).sum::<usize>(), r.pages.resident);
    assert_eq!(each.map(|p| p.mostly_empty.kept).sum::<usize>(), r.pages.mostly_empty.kept);
    let all: Vec<Kept> = r.survivors.iter().map(|row| row.keep).chain([r.untracked, r.samples]).collect();
    let few = r.pages.mostly_empty;
    assert_eq!(all.iter().map(|k| k.kept).sum::<usize>(), few.kept, "each byte is attributed once");
    assert_eq!(all.iter().map(|k| k.pinned).sum::<usize>(), few.pinned, "each byte is attributed once");
    assert_eq!(all.iter().map(|k| k.blocks).sum::<usize>(), few.blocks);
    assert_eq!(all.iter().map(|k| k.bytes).sum::<usize>(), few.live);
    assert!(r.survivors.is_sorted_by_key(|row| std::cmp::Reverse(row.keep.kept)));
    let ten = &r.survivors[..r.costliest.rows];
    assert_eq!(r.costliest.rows, r.survivors.len().min(10));
    assert_eq!(ten.iter().map(|row| row.keep.kept).sum::<usize>(), r.costliest.keep.kept);
    assert!(ten.iter().map(|row| row.comes_back).sum::<usize>() <= r.costliest.comes_back);
}

/// What is true of the counters while all threads rest. The report's own memory is in the later reading only.
fn assert_agrees_with_stats(r: &Retention) {
    let stats = &r.stats;
    let own = 40 * SLICE;
    let near = |a: usize, b: usize, what: &str| assert!(a.abs_diff(b) <= own, "{what}: {a} and {b}\n{r:#?}");
    near(r.pages.resident + stats.large.live + stats.due, stats.committed, "committed");
    near(r.pages.live + stats.large.live, stats.live, "live");
    near(r.pages.holes, stats.holes, "holes");
}

/// The rows of a function, which the report put down to it, by its own name.
fn row_of<'a>(r: &'a Retention, function: &str) -> &'a Survivors {
    let report = r.report(&mut Symbols::new());
    let named = |frame: &tenure::snapshot::Frame| frame.function.ends_with(&format!("::{function}"));
    let found: Vec<_> = report.lines().iter().zip(&r.survivors).filter(|(frame, _)| named(frame)).collect();
    let [(frame, row)] = found[..] else { panic!("{function} is in {} rows of\n{report}", found.len()) };
    assert!(frame.file.as_ref().is_some_and(|file| file.ends_with("tests/retention.rs")), "{frame:?}");
    let line = frame.line.expect("a line");
    let here = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/retention.rs")).expect("this file");
    let text: Vec<&str> = here.lines().collect();
    assert!(text[line as usize - 2].contains(&format!("fn {function}(")), "line {line} is not in {function}");
    row
}

#[track_caller]
fn assert_near(what: &str, found: usize, right: usize) {
    assert!(found.abs_diff(right) * 50 <= right, "{what}: {found}, and {right} is right: off by more than 2 %");
}

const THREE: [(&str, fn(usize) -> Raw, usize); 3] = [
    ("allocates_half", allocates_half, 500),
    ("allocates_a_third", allocates_a_third, 300),
    ("allocates_the_rest", allocates_the_rest, 200),
];

/// Which of the three allocates the survivor of a page.
fn of_three(page: usize) -> fn(usize) -> Raw {
    THREE[[0, 1, 0, 2, 0, 1, 0, 2, 0, 1][page % 10]].1
}

#[test]
fn planted_pins() {
    alone("planted_pins", || {
        exact(true);
        let mut survivors = plant(SIZE, 1000, 0, of_three);
        internals::check();
        let before = retention();
        assert_sums(&before);
        assert_agrees_with_stats(&before);
        println!("{before}");
        // The blocks of the last magazines still lie there.
        let few = class(&before, SIZE).mostly_empty;
        assert_near("pages", few.pages, 1000);
        assert_near("kept", few.kept, 1000 * SLICE);
        assert_near("pinned", few.pinned, 1000 * os_page());
        for (function, _, pages) in THREE {
            let row = row_of(&before, function);
            assert_eq!((row.smallest, row.largest, row.requested), (SIZE, SIZE, (SIZE * row.keep.blocks) as u64));
            assert_near(function, row.keep.blocks, pages);
            assert_near(function, row.keep.kept, pages * SLICE);
            assert_near(function, row.keep.pinned, pages * os_page());
            assert_near(function, row.comes_back, pages * os_page());
        }
        // What a collection gives back is what was said.
        let resident = anonymous();
        let back = internals::collect();
        assert_near("collected", back, before.pages.collectable() + before.stats.due);
        assert_near("resident", resident - anonymous(), back);
        let after = retention();
        assert_sums(&after);
        assert_agrees_with_stats(&after);
        println!("{after}");
        assert_eq!(class(&after, SIZE).collectable(), 0);
        for (function, _, pages) in THREE {
            let row = row_of(&after, function);
            assert_eq!((row.keep.blocks, row.keep.pages), (pages, pages));
            assert_eq!(row.keep.kept, pages * os_page(), "what they still keep is what they touch");
            assert_eq!((row.keep.pinned, row.comes_back), (row.keep.kept, row.keep.kept));
        }
        // Those of one site die, and what comes back is what was said.
        let promised = row_of(&after, "allocates_half").comes_back;
        let mut page = 0;
        survivors.retain(|survivor| {
            page += 1;
            let dies = std::ptr::fn_addr_eq(of_three(page - 1), THREE[0].1);
            if dies {
                survivor.free();
            }
            !dies
        });
        assert_eq!(survivors.len(), 500);
        let resident = anonymous();
        let back = internals::collect();
        let last = retention();
        assert_eq!(after.pages.resident - last.pages.resident, promised);
        // Whole pages were purged then, of which the rest were holes.
        assert!(back >= promised);
        assert_near("resident", resident - anonymous(), promised);
        assert!(!last.to_string().contains("allocates_half"));
        let promised = last.costliest.comes_back;
        survivors.drain(..).for_each(Raw::free);
        internals::collect();
        assert_near("all of them", last.pages.resident - retention().pages.resident, promised);
    });
}
