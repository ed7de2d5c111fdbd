//! Groups, differences and filters of snapshots that are made up.

use crate::snapshot::testing::{Table, names, random, shop, totals};
use crate::snapshot::{By, Filter, Mode, Snapshot, Sum, Value};
use crate::track::Live;
use crate::track::rate::Rate;

const ALL: [By; 9] =
    [By::Line, By::Function, By::Module, By::Crate, By::File, By::Tag, By::SizeClass, By::Site, By::Folded];

/// Names, bytes and sites of the groups.
fn rows(snapshot: &Snapshot, by: By) -> Vec<(String, f64, usize)> {
    let groups = snapshot.group_by(by, &mut names());
    groups.iter().map(|g| (g.name.clone(), g.live.bytes, g.sites)).collect()
}

fn row(name: &str, bytes: f64, sites: usize) -> (String, f64, usize) {
    (name.to_string(), bytes, sites)
}

#[test]
fn groups_of_every_kind() {
    let shop = shop().snapshot();
    let expected = [row("shop::cart::add", 1000.0, 1), row("shop::cart::add", 230.0, 1)];
    assert_eq!(rows(&shop, By::Line)[..2], expected);
    assert_eq!(rows(&shop, By::Function)[0], row("shop::cart::add", 1230.0, 2));
    assert_eq!(rows(&shop, By::Module)[..2], [row("shop::cart", 1280.0, 3), row("parser::expr", 21.0, 3)]);
    let expected = [row("shop", 1280.0, 3), row("parser", 21.0, 3), row("0xbad", 2.0, 1), row("(unknown)", 1.0, 1)];
    assert_eq!(rows(&shop, By::Crate), expected);
    assert_eq!(rows(&shop, By::File)[..2], [row("src/cart.rs", 1280.0, 3), row("parser/src/expr.rs", 21.0, 3)]);
    let expected = [row("checkout", 1130.0, 2), row("(no tag)", 172.0, 6), row("other", 2.0, 1)];
    assert_eq!(rows(&shop, By::Tag), expected);
    assert_eq!(rows(&shop, By::SizeClass)[..2], [row("1024 B", 1000.0, 1), row("128 B", 200.0, 1)]);
    assert_eq!(rows(&shop, By::Site).len(), 8);
    // Three depths of one recursion.
    assert!(rows(&shop, By::Folded).contains(&row("parser::expr::parse", 21.0, 3)), "{:?}", rows(&shop, By::Folded));
    let line = &shop.top(1, &mut names())[0];
    assert_eq!((line.location.as_str(), line.allocated.expect("totals").bytes), ("src/cart.rs:20", 10_000.0));
    let by_tag = shop.group_by(By::Tag, &mut names());
    assert_eq!(by_tag[0].allocated.expect("totals").bytes, 50_000.0);
    assert!(shop.group_by(By::SizeClass, &mut names())[0].allocated.is_none());
}

#[test]
fn a_report_names_only_what_it_shows() {
    struct Strict(Table);
    impl crate::snapshot::Names for Strict {
        fn frames(&mut self, place: &crate::snapshot::Place<'_>) -> std::sync::Arc<[crate::snapshot::Frame]> {
            assert!(![7, 8].contains(&place.address), "nobody needs `main` to know the line");
            self.0.frames(place)
        }
    }
    shop().snapshot().group_by(By::Line, &mut Strict(names()));
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1.0)
}

fn equal(a: Sum, b: Sum) -> bool {
    near(a.blocks, b.blocks)
        && near(a.bytes, b.bytes)
        && near(a.blocks_variance, b.blocks_variance)
        && near(a.bytes_variance, b.bytes_variance)
        && a.samples == b.samples
}

#[test]
fn groups_add_up_to_the_whole() {
    for seed in 0..50 {
        let snapshot = random(seed).snapshot();
        for by in ALL {
            let groups = snapshot.group_by(by, &mut names());
            assert!(equal(groups.iter().map(|g| g.live).sum(), snapshot.tracked()), "{seed} {by:?}");
            assert!(equal(groups.total(), snapshot.tracked()));
            let top = groups.clone().top(3);
            let shown: Sum = top.iter().map(|g| g.live).sum();
            assert!(equal(shown + top.others().1, snapshot.tracked()), "{seed} {by:?}");
            assert_eq!(top.len() + top.others().0, groups.len());
        }
        let of_sites: Sum = snapshot.sites().iter().map(|s| s.live).sum();
        let of_tags: Sum = snapshot.tags().iter().map(|t| t.live).sum();
        assert!(equal(of_sites, snapshot.tracked()) && equal(of_tags, snapshot.tracked()));
        for site in snapshot.sites() {
            let births: Sum = snapshot.births(site.number).iter().map(|b| b.1).sum();
            assert!(equal(births, site.live) && snapshot.births(site.number).is_sorted_by(|a, b| a.0 < b.0));
        }
    }
}

#[test]
fn stacks_are_shortened_from_without() {
    let whole = random(3).snapshot().group_by(By::Site, &mut names());
    let short = whole.clone().innermost(2);
    for (whole, short) in whole.iter().zip(short.iter()) {
        let n = whole.stack.len();
        if n <= 3 {
            assert_eq!(whole.stack, short.stack, "one frame is not replaced by a line that says so");
        } else {
            assert_eq!(whole.stack[..2], short.stack[..2]);
            assert_eq!(&*short.stack[2].function, format!("(and {} frames further out)", n - 2));
        }
    }
    assert!(whole.iter().any(|g| g.stack.len() > 3));
}

#[test]
fn orders() {
    let shop = shop().snapshot();
    let first = |order| shop.group_by(By::Module, &mut names()).order_by(order)[0].name.clone();
    assert_eq!(first(Value::LiveBlocks), "shop::cart");
    let mut made = self::shop();
    made.sites[5].1 = totals(1, 1 << 30);
    let by_module = made.snapshot().group_by(By::Module, &mut names());
    assert_eq!(by_module.clone().order_by(Value::AllocatedBytes)[0].name, "parser::expr");
    assert_eq!(by_module[0].name, "shop::cart");
}

#[test]
fn a_difference_turned_round_is_its_opposite() {
    for seed in 0..30 {
        let mut later = random(2 * seed + 1);
        later.unix_nanos += 1;
        let (a, b) = (random(2 * seed).snapshot(), later.snapshot());
        for by in ALL {
            let (forth, back) = (b.diff(&a, by, &mut names()), a.diff(&b, by, &mut names()));
            assert_eq!(forth.len(), back.len());
            for change in forth.iter() {
                let key = |c: &&crate::snapshot::Change| {
                    (&c.name, &c.location, &c.stack) == (&change.name, &change.location, &change.stack)
                        && near(c.bytes.value, -change.bytes.value)
                };
                let other = back.iter().find(key).unwrap_or_else(|| panic!("{seed} {by:?} {change:?}"));
                assert!(near(other.blocks.value, -change.blocks.value) && equal(other.earlier, change.later));
                assert!(near(other.bytes.standard_error, change.bytes.standard_error));
            }
            assert!(near(forth.iter().map(|c| c.bytes.value).sum(), b.tracked().bytes - a.tracked().bytes));
            assert!(near(forth.total().bytes.value, -back.total().bytes.value));
            assert!(near(forth.total().bytes.standard_error, back.total().bytes.standard_error));
            assert!(forth.is_sorted_by(|x, y| x.bytes.value.abs() >= y.bytes.value.abs()));
        }
        assert!(a.diff(&a, By::Line, &mut names()).is_empty());
    }
}

#[test]
fn filters_leave_the_rest_as_it_was() {
    let shop = shop().snapshot();
    let kept = shop.filter(&Filter::new().include("shop::cart::*"), &mut names());
    let groups = kept.group_by(By::Crate, &mut names());
    assert_eq!(groups.iter().map(|g| (g.name.as_str(), g.live.bytes)).collect::<Vec<_>>(), [("shop", 1280.0)]);
    assert_eq!((kept.tracked(), kept.untracked()), (shop.tracked(), shop.untracked()));
    assert!(kept.group_by(By::Tag, &mut names())[0].allocated.is_none(), "a tag's totals are of all sites");
    // Every frame counts, trimmed ones too.
    let with_main = shop.filter(&Filter::new().include("std::rt::*").exclude("*clone"), &mut names());
    assert_eq!(with_main.sites().iter().map(|s| s.number).collect::<Vec<_>>(), [2, 3, 5, 6, 7]);
    let unknown = shop.filter(&Filter::new().include("(unknown)"), &mut names());
    assert_eq!(unknown.sites().len(), 1);
    let both = |f: &str| {
        let of = |f: Filter| shop.filter(&f, &mut names()).group_by(By::Site, &mut names()).total();
        of(Filter::new().include(f)) + of(Filter::new().exclude(f))
    };
    assert!(["*", "shop::*", "nothing", "*.rs"].iter().all(|f| equal(both(f), shop.tracked())));
}

#[test]
fn what_is_not_tracked_is_what_is_left() {
    let mut made = shop();
    (made.stats.live, made.stats.live_blocks) = (5000, 30);
    let shop = made.snapshot();
    // Blocks of 128 128 32 1024 64 8 8 8 8 8 bytes.
    assert_eq!((shop.untracked().bytes.value, shop.untracked().blocks.value), (5000.0 - 1416.0, 20.0));
    assert!(shop.untracked().bytes.is_exact());
    // Eight blocks of 64 bytes live, one of them was sampled: it stands for 64 in all.
    let rate = Rate::sampled(64);
    made.blocks = vec![Live { site: 2, tag: 0, rate, requested: 60, block_size: 64, epoch: 0 }];
    (made.mode, made.stats.live, made.stats.live_blocks) = (Mode::Sampled { mean: 64 }, 0, 0);
    let left = made.snapshot().untracked();
    let p = rate.probability(64);
    assert!(near(left.bytes.value, -64.0 / p) && near(left.bytes.standard_error, 64.0 * (1.0 - p).sqrt() / p));
    let shown = made.snapshot().top(10, &mut names()).to_string();
    assert!(shown.contains("Not tracked: 0 B ±") && shown.contains(" 0 % of"), "clamped where it is shown: {shown}");
}

#[test]
fn tables_fit_and_say_how_they_came_to_be() {
    let mut made = shop();
    (made.stats.live, made.stats.live_blocks) = (5000, 30);
    let exact = made.snapshot();
    let mut sampled = random(3);
    sampled.mode = Mode::Sampled { mean: 4096 };
    let sampled = sampled.snapshot();
    let mut tables = Vec::new();
    let long = format!("shop::{} /home/someone/{}/src/cart.rs:10", "module::".repeat(20), "directory/".repeat(20));
    let mut names_of_both = [names(), names().with(3, &[&long]).with(7, &[&long])];
    for names in &mut names_of_both {
        for (snapshot, by) in [&exact, &sampled].into_iter().flat_map(|s| ALL.map(|by| (s, by))) {
            tables.push(format!("{}", snapshot.group_by(by, names)));
            tables.push(format!("{:#}", snapshot.group_by(by, names).top(4)));
            tables.push(format!("{}", sampled.diff(&exact, by, names).top(2)));
        }
    }
    for table in &tables {
        assert!(table.lines().all(|l| l.chars().count() <= 118), "too wide:\n{table}");
    }
    let text = exact.top(2, &mut names()).to_string();
    assert!(text.contains("every allocation is tracked") && text.contains("in 4 others"), "{text}");
    assert!(text.contains("3.5 KiB, 72 % of the 4.9 KiB") && !text.contains('±'), "{text}");
    let text = sampled.top(2, &mut names()).to_string();
    assert!(text.contains("once in 4.0 KiB") && text.contains("±: 95 %"), "{text}");
}
