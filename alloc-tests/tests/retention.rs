//! Why resident memory does not fall: planted survivors are found, their pages are counted by class, and what is said to come
//! back does.
//!
//! No helper thread runs: what is collected is collected by the tests.

#[allow(dead_code, reason = "each file uses a part of it")]
mod hooks_support;

use hooks_support::{Raw, alone, block_size, exact, rng, size_in};
use std::alloc::{GlobalAlloc, Layout};
use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use tenure::internals;
use tenure::snapshot::{ClassPages, Frame, Kept, Pages, Survivors};
use tenure::{Mode, Retention, Symbols, Tenure, retention};
use tenure_alloc_tests::rss::{anonymous, os_page};

#[global_allocator]
static ALLOC: Tenure = Tenure::new().helper_thread(false);

const SLICE: usize = 64 << 10;
/// Bytes of the planted blocks. Builds with debug assertions walk every stack twice: fewer of them fill a page there.
const SIZE: usize = if cfg!(debug_assertions) { 480 } else { 48 };

/// Blocks of a class that the report itself holds, at most.
const OWN: usize = 4;

type Allocates = fn(usize) -> Raw;

fn layout(size: usize) -> Layout {
    Layout::from_size_align(black_box(size), 1).expect("a layout")
}

#[inline(never)]
fn allocates_half(size: usize) -> Raw {
    // SAFETY: no test asks for 0 bytes.
    let at = black_box(unsafe { ALLOC.alloc(layout(size)) });
    black_box("half"); // or the compiler makes one of the three
    Raw { at, layout: layout(size) }
}

#[inline(never)]
fn allocates_a_third(size: usize) -> Raw {
    // SAFETY: as above.
    let at = black_box(unsafe { ALLOC.alloc(layout(size)) });
    black_box("third"); // or the compiler makes one of the three
    Raw { at, layout: layout(size) }
}

#[inline(never)]
fn allocates_the_rest(size: usize) -> Raw {
    // SAFETY: as above.
    let at = black_box(unsafe { ALLOC.alloc(layout(size)) });
    black_box("rest"); // or the compiler makes one of the three
    Raw { at, layout: layout(size) }
}

/// Bytes of a page with blocks for this size, and how many they are.
fn page_of(size: usize) -> (usize, usize) {
    let bytes = (block_size(size) * 8).next_multiple_of(SLICE);
    (bytes, bytes / block_size(size))
}

/// Fills pages of a size that nobody has used yet, in turns from each of the functions, and writes to all blocks. In the order of
/// addresses, so that as many blocks follow each other as a page has; each with the number of its function.
fn fill(size: usize, pages: usize, by: &[Allocates]) -> Vec<(Raw, usize)> {
    let (bytes, capacity) = page_of(size);
    // The last pages may lie in magazines in part.
    let mut all: Vec<(Raw, usize)> = Vec::with_capacity((pages + 2) * capacity);
    for i in 0..all.capacity() {
        let mut raw = by[i % by.len()](size);
        raw.bytes().fill(1);
        all.push((raw, i % by.len()));
    }
    all.sort_unstable_by_key(|(raw, _)| raw.at.addr());
    // In pages of one slice blocks know where they are. In those of more, a whole page is what lies without a gap.
    let is_page = |blocks: &[(Raw, usize)]| {
        let at = |i: usize| blocks[i].0.at.addr();
        at(0).is_multiple_of(SLICE) && at(capacity - 1) - at(0) == (capacity - 1) * block_size(size)
    };
    let mut filled = Vec::with_capacity(all.len());
    let mut i = 0;
    while i < all.len() {
        if filled.len() < pages * capacity && i + capacity <= all.len() && is_page(&all[i..i + capacity]) {
            filled.extend_from_slice(&all[i..i + capacity]);
            i += capacity;
        } else {
            all[i].0.free();
            i += 1;
        }
    }
    assert_eq!(filled.len(), pages * capacity, "{pages} pages of {bytes} bytes");
    // The process has been larger, so that it digs no holes when the report takes memory for its tables.
    Raw::new(16 << 20).free();
    filled
}

/// Frees all but the blocks that `keep` wants, by the number of the page, of the block in it, and of its function.
fn thin_out(filled: Vec<(Raw, usize)>, mut keep: impl FnMut(usize, usize, usize) -> bool) -> Vec<(Raw, usize)> {
    let capacity = page_of(filled[0].0.layout.size()).1;
    let mut survivors = Vec::with_capacity(filled.len());
    for (i, (raw, by)) in filled.into_iter().enumerate() {
        if keep(i / capacity, i % capacity, by) { survivors.push((raw, by)) } else { raw.free() }
    }
    survivors
}

/// Keeps one block in each page, that of the function which `of` names: the first that lies behind the first OS page.
fn thin_out_to_one(filled: Vec<(Raw, usize)>, of: impl Fn(usize) -> usize) -> Vec<(Raw, usize)> {
    let size = block_size(filled[0].0.layout.size());
    let mut last = usize::MAX;
    thin_out(filled, |page, i, by| {
        let keep = last != page && i * size >= os_page() && by == of(page);
        if keep {
            last = page;
        }
        keep
    })
}

/// OS pages that a survivor of `thin_out_to_one` may touch, at most and at least, in bytes.
fn touched(survivors: &[(Raw, usize)]) -> usize {
    let pages =
        |raw: &Raw| (raw.at.addr() + block_size(raw.layout.size()) - 1) / os_page() - raw.at.addr() / os_page() + 1;
    survivors.iter().map(|(raw, _)| pages(raw) * os_page()).sum()
}

fn free_all(survivors: Vec<(Raw, usize)>) {
    survivors.into_iter().for_each(|(raw, _)| raw.free());
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
    assert!(r.survivors.is_sorted_by_key(|row| std::cmp::Reverse(row.keep.beyond())));
    let ten = &r.survivors[..r.costliest.rows];
    assert_eq!(r.costliest.rows, r.survivors.len().min(10));
    assert_eq!(ten.iter().map(|row| row.keep.kept).sum::<usize>(), r.costliest.keep.kept);
    assert!(ten.iter().map(|row| row.comes_back).sum::<usize>() <= r.costliest.comes_back);
    assert!(r.costliest.comes_back <= r.costliest.keep.pinned);
}

/// What is true while all threads rest: the counters say the same. The report's own memory is not in them.
#[track_caller]
fn assert_agrees_with_stats(r: &Retention) {
    let stats = &r.stats;
    for (class, p) in r.classes.iter().map(|class| (class.block_size, &class.pages)) {
        let counted = stats.classes.iter().find(|c| c.block_size == class).expect("a class");
        assert!(p.live_blocks.abs_diff(counted.live_blocks as usize) <= OWN, "{class}: {p:?} and {counted:?}");
        assert!(p.pages.abs_diff(counted.pages) <= 1, "{class}: {p:?} and {counted:?}");
    }
    // The report's tables are large blocks: for them holes may be dug, and they may take what was due.
    let bytes: usize = stats.classes.iter().map(|class| class.page_bytes).sum();
    assert!((r.pages.resident + r.pages.holes).abs_diff(bytes) <= 4 * SLICE, "{:?} of {bytes}", r.pages);
    assert!(r.pages.holes >= stats.holes, "{:?} and {}", r.pages, stats.holes);
    let live = r.pages.live + stats.large.live;
    assert!(live.abs_diff(stats.live) <= 2 * SLICE, "{live} and {}", stats.live);
}

/// The rows of a function, which the report puts down to it by name and line.
#[track_caller]
fn row_of<'a>(r: &'a Retention, function: &str) -> &'a Survivors {
    let report = r.report(&mut Symbols::new());
    let named = |frame: &Frame| frame.function.ends_with(&format!("::{function}"));
    let found: Vec<_> = report.lines().iter().zip(&r.survivors).filter(|(frame, _)| named(frame)).collect();
    let [(frame, row)] = found[..] else { panic!("{function} is in {} rows of\n{report}", found.len()) };
    assert!(frame.file.as_ref().is_some_and(|file| file.ends_with("tests/retention.rs")), "{frame:?}");
    let line = frame.line.expect("a line") as usize;
    let here = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/retention.rs")).expect("this file");
    let before: Vec<&str> = here.lines().take(line).collect();
    assert!(before[line - 3].contains(&format!("fn {function}(")), "line {line} is not in {function}");
    row
}

#[track_caller]
fn assert_near(what: &str, found: usize, right: usize) {
    assert!(found.abs_diff(right) * 50 <= right, "{what}: {found}, and {right} is right: off by more than 2 %");
}

const THREE: [(&str, Allocates, usize); 3] = [
    ("allocates_half", allocates_half, 500),
    ("allocates_a_third", allocates_a_third, 300),
    ("allocates_the_rest", allocates_the_rest, 200),
];

/// Which of the three allocates the survivor of a page.
fn of_three(page: usize) -> usize {
    [0, 1, 0, 2, 0, 1, 0, 2, 0, 1][page % 10]
}

#[test]
fn planted_pins() {
    alone("planted_pins", || {
        exact(true);
        let mut survivors = thin_out_to_one(fill(SIZE, 1000, &THREE.map(|t| t.1)), of_three);
        let bytes_of = |survivors: &[(Raw, usize)], which: usize| {
            touched(&survivors.iter().filter(|s| s.1 == which).copied().collect::<Vec<_>>())
        };
        // Large blocks that were not written to whole were never resident as a whole: those that are due go first.
        internals::purge();
        let before = retention();
        assert_sums(&before);
        assert_agrees_with_stats(&before);
        // What a collection gives back is what was said.
        let resident = anonymous();
        let back = internals::collect();
        // And what the report's own tables occupied.
        let said = before.pages.collectable() + before.stats.due;
        assert!(back * 50 >= said * 49 && back <= said + (4 << 20), "{back} were collected, {said} were promised");
        let fell = resident - anonymous();
        assert!(fell <= back && fell * 10 >= said * 9, "resident memory fell by {fell}, not by {said}");
        let after = retention();
        println!("{before}");
        assert_near("pages", class(&before, SIZE).mostly_empty.pages, 1000);
        assert_near("kept", class(&before, SIZE).mostly_empty.kept, 1000 * SLICE);
        assert_near("pinned", class(&before, SIZE).mostly_empty.pinned, touched(&survivors));
        for (which, (function, _, pages)) in THREE.into_iter().enumerate() {
            let row = row_of(&before, function);
            let Kept { blocks, bytes, kept, pinned, .. } = row.keep;
            assert_eq!((row.smallest, row.requested), (block_size(SIZE), (SIZE * blocks) as u64));
            assert_eq!((blocks, bytes), (pages, pages * block_size(SIZE)));
            assert_near(function, kept, pages * SLICE);
            assert_near(function, pinned, bytes_of(&survivors, which));
            assert_eq!(row.comes_back, pinned, "nobody else touches them");
        }
        assert_sums(&after);
        assert_agrees_with_stats(&after);
        println!("{after:#}");
        assert_eq!(class(&after, SIZE).collectable(), 0);
        for (which, (function, _, pages)) in THREE.into_iter().enumerate() {
            let Survivors { keep, comes_back, .. } = *row_of(&after, function);
            assert_eq!((keep.blocks, keep.pages), (pages, pages));
            assert_eq!(keep.kept, bytes_of(&survivors, which), "what they still keep is what they touch");
            assert_eq!((keep.pinned, comes_back), (keep.kept, keep.kept));
        }
        // Those of one site die, and what comes back is what was said.
        let promised = row_of(&after, "allocates_half").comes_back;
        let half = survivors.extract_if(.., |survivor| survivor.1 == 0).collect();
        free_all(half);
        let resident = anonymous();
        internals::collect();
        let fell = resident - anonymous();
        let last = retention();
        assert_eq!(class(&after, SIZE).resident - class(&last, SIZE).resident, promised);
        // And what naming them for the report has left.
        assert!(fell * 50 >= promised * 49, "resident memory fell by {fell}, and {promised} were promised");
        assert!(!last.to_string().contains("allocates_half"));
        // And then all others.
        let promised = last.costliest.comes_back;
        free_all(survivors);
        internals::collect();
        assert_near("all of them", last.pages.resident - retention().pages.resident, promised);
        // But for a few of the harness.
        assert!(class(&retention(), SIZE).live_blocks < 10);
    });
}

/// Two sites that share OS pages in one half of the pages, and pages only in the other.
#[test]
fn shared_pages() {
    alone("shared_pages", || {
        exact(true);
        const PAGES: usize = 40;
        const SIZE: usize = 480; // what nobody else allocates
        let size = block_size(SIZE);
        let filled = fill(SIZE, PAGES, &[allocates_half, allocates_a_third]);
        let within = |i: usize, os_pages: std::ops::Range<usize>| {
            os_pages.start * os_page() <= i * size && (i + 1) * size <= os_pages.end * os_page()
        };
        let mut kept = [usize::MAX; 2];
        let survivors = thin_out(filled, |page, i, by| {
            let here = if page < PAGES / 2 || by == 0 { within(i, 0..1) } else { within(i, 1..2) };
            here && std::mem::replace(&mut kept[by], page) != page
        });
        assert_eq!(survivors.len(), 2 * PAGES);
        internals::collect();
        let r = retention();
        assert_sums(&r);
        assert_agrees_with_stats(&r);
        assert_eq!(class(&r, SIZE).mostly_empty.kept, (PAGES / 2 + PAGES) * os_page());
        for function in ["allocates_half", "allocates_a_third"] {
            let Survivors { keep, comes_back, .. } = *row_of(&r, function);
            assert_eq!((keep.blocks, keep.pages), (PAGES, PAGES));
            // Half of what is shared, and all of what is not.
            assert_eq!(keep.kept, (PAGES / 2) * os_page() / 2 + (PAGES / 2) * os_page());
            assert_eq!(comes_back, (PAGES / 2) * os_page(), "what both touch stays when one dies");
        }
        let both = ["allocates_half", "allocates_a_third"].map(|f| row_of(&r, f).comes_back).iter().sum::<usize>();
        let others: usize = r.survivors[2..r.costliest.rows].iter().map(|row| row.comes_back).sum();
        assert_eq!(r.costliest.comes_back - others, both + (PAGES / 2) * os_page(), "what both touch goes with both");
        // One dies.
        let (one, other): (Vec<_>, Vec<_>) = survivors.into_iter().partition(|s| s.1 == 0);
        free_all(one);
        internals::collect();
        assert_eq!(class(&r, SIZE).resident - class(&retention(), SIZE).resident, both / 2);
        free_all(other);
        internals::collect();
        assert_eq!(class(&retention(), SIZE).live_blocks, 0);
    });
}

/// Blocks that lie across OS pages, blocks of several, and pages of several slices; tracked and plain.
#[test]
fn large_and_odd_classes() {
    alone("large_and_odd_classes", || {
        for tracked in [true, false] {
            exact(tracked);
            for size in [1500, 5000, 12_000, 24 << 10, 50_000] {
                let (bytes, capacity) = page_of(size);
                let survivors = thin_out_to_one(fill(size, 30, &[allocates_half]), |_| 0);
                assert_eq!(survivors.len(), 30);
                let before = retention();
                assert_sums(&before);
                assert_agrees_with_stats(&before);
                let few = class(&before, size).mostly_empty;
                assert_eq!((few.pages, few.blocks), (30, 30), "{size} of {capacity}");
                assert_eq!((few.kept, few.pinned), (30 * bytes, touched(&survivors)), "{size}");
                internals::collect();
                let after = retention();
                assert_eq!(class(&after, size).mostly_empty.kept, touched(&survivors), "{size}");
                assert_eq!(
                    class(&before, size).resident - class(&after, size).resident,
                    class(&before, size).collectable()
                );
                if tracked {
                    assert_eq!(row_of(&after, "allocates_half").comes_back, touched(&survivors));
                } else {
                    assert!(after.survivors.is_empty(), "plain pages do not know: {:#?}", after.survivors);
                    assert!(after.untracked.pinned >= touched(&survivors));
                }
                free_all(survivors);
                internals::collect();
                assert_eq!(class(&retention(), size), Pages::default(), "{size}");
            }
        }
    });
}

/// Pages whose blocks die slowly, between collections.
#[test]
fn slow_deaths() {
    alone("slow_deaths", || {
        let (size, mut left) = (480, fill(480, 20, &[allocates_half]));
        let capacity = page_of(size).1;
        // Not each of these is half of the one before.
        for rest in [60, 15, 8, 3, 2, 1] {
            let mut kept = [0; 20];
            let pages: Vec<usize> = left.iter().map(|(raw, _)| raw.at.addr() / SLICE).collect();
            let mut order = pages.clone();
            order.dedup();
            left = left
                .into_iter()
                .zip(pages)
                .filter_map(|((raw, by), page)| {
                    let kept = &mut kept[order.iter().position(|&p| p == page).expect("it is there")];
                    *kept += 1;
                    if *kept <= rest {
                        return Some((raw, by));
                    }
                    raw.free();
                    None
                })
                .collect();
            internals::collect();
            let pages = class(&retention(), size);
            // A list of this test may be of that size.
            assert!(
                (20..=21).contains(&pages.pages) && pages.live_blocks.abs_diff(20 * rest) <= 1,
                "{rest}: {pages:?}"
            );
            assert_eq!(
                pages.collectable(),
                0,
                "a collection leaves nothing that no block touches, at {rest} of {capacity}"
            );
        }
        free_all(left);
    });
}

/// The same without a collection: a process that grows gives back what became free.
#[test]
fn slow_deaths_and_growth() {
    alone("slow_deaths_and_growth", || {
        let grow = |bytes: usize| {
            // What lies idle in magazines since the call before goes home.
            internals::take_idle();
            internals::take_idle();
            Raw::new(bytes).free();
            class(&retention(), 480)
        };
        let all = fill(480, 20, &[allocates_half]);
        // One block in each OS page, or two.
        let apart = os_page() / 480 + 1;
        let some = thin_out(all, |_, i, _| i % apart == 0);
        let before = grow(64 << 20);
        let (mut kept, mut page_of_last) = (Vec::new(), 0);
        for (raw, _) in some {
            let first = std::mem::replace(&mut page_of_last, raw.at.addr() / SLICE) != raw.at.addr() / SLICE;
            if first { kept.push(raw) } else { raw.free() }
        }
        let after = grow(256 << 20);
        assert_eq!((before.pages, after.pages, kept.len()), (20, 20, 20));
        let few = 2 * before.pages * os_page();
        assert!(before.resident > 10 * few / 2 && after.resident <= few, "{before:?}, then {after:?}");
        kept.into_iter().for_each(Raw::free);
    });
}

/// What lies free in magazines, in those that a thread keeps, and in depots, is not live.
#[test]
fn magazines_and_depots() {
    alone("magazines_and_depots", || {
        const SIZE: usize = 1700;
        // A magazine in which a sample falls lacks a block, which is kept elsewhere: it is likely in each of ten turns.
        let sampled = Mode::Sampled { mean: 3000 };
        for mode in [Mode::Off, Mode::Exact].into_iter().chain([sampled; 10]) {
            tenure::set_mode(mode);
            internals::adopt_mode();
            let (filled, done) = (Barrier::new(2), Barrier::new(2));
            thread::scope(|scope| {
                let other = scope.spawn(|| {
                    let blocks: Vec<Raw> = (0..3001).map(|_| Raw::new(SIZE)).collect();
                    blocks.into_iter().for_each(Raw::free);
                    filled.wait();
                    done.wait();
                });
                filled.wait();
                // Whatever comes of it, the thread must end.
                let r = retention();
                done.wait();
                other.join().expect("it ends"); // to the end of its heap, for which a scope does not wait
                assert_sums(&r);
                assert_agrees_with_stats(&r);
                let pages = class(&r, SIZE);
                let cached =
                    r.stats.classes.iter().find(|c| c.block_size == block_size(SIZE)).expect("it is").cached_blocks;
                assert!(cached > 10, "{mode:?}: {cached} blocks lie in magazines");
                assert_eq!((pages.live_blocks, pages.mostly_empty.pages), (0, 0), "{mode:?}");
                assert!(pages.cached >= cached as usize * block_size(SIZE), "{mode:?}: {pages:#?}");
            });
            internals::collect();
            assert_eq!(class(&retention(), SIZE), Pages::default(), "{mode:?}: it went home");
        }
    });
}

/// Samples lie in pages of their own kind: classes are right, and no site is named by them.
#[test]
fn sampled() {
    alone("sampled", || {
        tenure::set_mode(Mode::Sampled { mean: 5000 });
        internals::adopt_mode();
        let size = 480;
        let capacity = page_of(size).1;
        let blocks: Vec<Raw> = (0..200 * capacity).map(|_| allocates_half(size)).collect();
        let all = retention();
        let (mut survivors, mut right) = (Vec::with_capacity(blocks.len()), Vec::with_capacity(blocks.len()));
        for (i, raw) in blocks.into_iter().enumerate() {
            if i % 50 == 0 { survivors.push(raw) } else { raw.free() }
        }
        internals::collect();
        right.extend(survivors.iter().map(|raw| raw.at.addr() / os_page()));
        right.extend(survivors.iter().map(|raw| (raw.at.addr() + block_size(size) - 1) / os_page()));
        right.sort_unstable();
        right.dedup();
        let r = retention();
        assert_sums(&r);
        assert_agrees_with_stats(&r);
        let few = class(&r, size).mostly_empty;
        assert!(class(&all, size).mostly_empty.pages < 3 && few.pages > 150);
        assert_eq!((few.blocks, few.pinned), (survivors.len(), right.len() * os_page()));
        let sampled = survivors.iter().filter(|raw| raw.birth().is_some()).count();
        assert!(sampled > 5, "{sampled} samples");
        assert!(r.survivors.is_empty(), "{:#?}", r.survivors);
        assert!(r.samples.blocks >= sampled && r.samples.blocks < sampled + 50, "{:#?} of {sampled}", r.samples);
        let text = r.to_string();
        assert!(text.contains("samples") && text.contains("TENURE=exact"), "{text}");
        survivors.into_iter().for_each(Raw::free);
    });
}

/// Threads allocate and free, begin and end; modes change.
#[test]
fn while_threads_run() {
    alone("while_threads_run", || {
        exact(true);
        let survivors = thin_out_to_one(fill(SIZE, 50, &[allocates_half]), |_| 0);
        internals::collect();
        let stop = &AtomicBool::new(false);
        thread::scope(|scope| {
            for seed in 0..3 {
                scope.spawn(move || {
                    let mut rng = rng(seed);
                    let mut held: Vec<Raw> = Vec::new();
                    while !stop.load(SeqCst) {
                        if held.len() < 500 && !rng.one_in(3) {
                            held.push(Raw::new(size_in(&mut rng, 1..70_000)));
                        } else if !held.is_empty() {
                            held.swap_remove(rng.below(held.len())).free();
                        }
                        if rng.one_in(500) {
                            let (mode, blocks) = ([Mode::Off, Mode::Exact][rng.below(2)], std::mem::take(&mut held));
                            tenure::set_mode(mode);
                            thread::spawn(|| blocks.into_iter().for_each(Raw::free)).join().expect("it ends");
                        }
                    }
                    held.into_iter().for_each(Raw::free);
                });
            }
            let result = std::panic::catch_unwind(|| {
                for _ in 0..if cfg!(debug_assertions) { 30 } else { 300 } {
                    let r = retention();
                    assert_sums(&r);
                    let planted =
                        r.survivors.iter().filter(|row| row.smallest == block_size(SIZE) && row.keep.pages >= 50);
                    assert!(planted.count() >= 1, "those that rest are there: {:#?}", r.survivors);
                }
            });
            stop.store(true, SeqCst);
            result.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        });
        free_all(survivors);
    });
}

/// The report of a forked child: its parent's survivors, also those of a thread that does not exist there.
#[test]
fn in_a_forked_child() {
    alone("in_a_forked_child", || {
        exact(true);
        let (ready, done) = (Barrier::new(2), Barrier::new(2));
        thread::scope(|scope| {
            let other = scope.spawn(|| {
                let survivors = thin_out_to_one(fill(SIZE, 50, &[allocates_half]), |_| 0);
                ready.wait();
                done.wait();
                survivors
            });
            ready.wait();
            let parent = retention();
            // SAFETY: the other thread sleeps and holds no lock; the child exits without running what it shares.
            let child = unsafe { libc::fork() };
            if child == 0 {
                let checked = std::panic::catch_unwind(|| {
                    let r = retention();
                    assert_sums(&r);
                    let keeps = |r: &Retention| row_of(r, "allocates_half").keep.blocks;
                    assert_eq!((keeps(&r), keeps(&parent)), (50, 50));
                });
                // SAFETY: the child ends here.
                unsafe { libc::_exit(checked.is_err() as i32) };
            }
            let mut status = 0;
            // SAFETY: the status is ours.
            assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
            done.wait();
            free_all(other.join().expect("it ends"));
            assert_eq!(status, 0, "the child failed");
        });
    });
}
