//! What samples say of ages, against what is true.

use super::estimates::Figures;
use crate::generation::Generation;
use crate::snapshot::testing::{Made, Random, names, random};
use crate::snapshot::{By, Estimate, Filter, Sum, Tenuring};
use crate::track::ages::{Ages, Limits};
use crate::track::rate::Rate;
use crate::track::word::Birth;
use crate::track::{Estimate as Counted, Live, Totals};
use std::collections::BTreeMap;

const SEEDS: u64 = 600;
const NOW: u64 = 64;
const LIMITS: Limits = Limits { middle: 4, old: 16 };

/// A block: its size, when it was born, and when it died, if it did.
#[derive(Clone, Copy)]
struct Block {
    size: u64,
    birth: u64,
    death: Option<u64>,
}

/// Blocks born over all epochs, most of which die young, in few sizes or in many.
fn population(n: usize, sizes: &[u64], random: &mut Random) -> Vec<Block> {
    let block = |_| {
        let birth = random.below(NOW + 1);
        // Seven of ten die at once or soon, others by and by.
        let mean = if random.below(10) < 7 { 0.7 } else { 20.0 };
        let life = (-random.uniform().ln() * mean) as u64;
        let death = Some(birth + life).filter(|&death| death <= NOW);
        Block { size: sizes[random.below(sizes.len() as u64) as usize], birth, death }
    };
    (0..n).map(block).collect()
}

/// The tenuring table that a process would have which tracks blocks at a rate.
fn tenuring(blocks: &[Block], rate: Rate, random: &mut Random) -> Tenuring {
    let mut made = Made::default();
    made.stats.epoch = NOW;
    (made.bands.middle, made.bands.old) = (LIMITS.middle, LIMITS.old);
    let mut totals = Totals::NONE;
    for block in blocks {
        if random.uniform() > rate.probability(block.size) {
            continue;
        }
        let birth = Birth { site: 2, tag: 0, rate, requested: block.size, epoch: block.birth };
        totals.allocated.add(&birth, block.size);
        match block.death {
            Some(death) => {
                totals.freed.add(&birth, block.size);
                totals.ages.add(&birth, block.size, death, LIMITS);
            }
            None => made.blocks.push(Live {
                site: 2,
                tag: 0,
                rate,
                requested: block.size,
                block_size: block.size,
                epoch: block.birth,
            }),
        }
    }
    made.sites.push((2, totals));
    made.snapshot().tenuring()
}

/// All estimates of sums in a table, by name.
fn sums(t: &Tenuring) -> BTreeMap<String, Sum> {
    let mut all = BTreeMap::new();
    for generation in Generation::ALL {
        let of = t.generation(generation);
        all.insert(format!("{generation} live"), of.live);
        all.insert(format!("{generation} died"), of.died);
        all.insert(format!("{generation} reached"), of.reached);
    }
    for band in &t.ages {
        all.insert(format!("{} died", band.from), band.died);
        all.insert(format!("{} living", band.from), band.living);
    }
    all
}

/// Whether a block is meant of an age, that is dead or not.
type Which<'a> = dyn Fn(u64, bool) -> bool + 'a;

#[test]
fn what_is_tracked_exactly_is_what_it_is() {
    let mut random = Random(3);
    let blocks = population(5_000, &[8, 24, 400, 70_000], &mut random);
    let t = tenuring(&blocks, Rate::EXACT, &mut random);
    let count = |f: &Which<'_>| {
        let age = |b: &&Block| f(b.death.unwrap_or(NOW) - b.birth, b.death.is_some());
        let those = || blocks.iter().filter(age);
        (those().count() as f64, those().map(|b| b.size as f64).sum::<f64>())
    };
    let of = |sum: Sum| (sum.blocks, sum.bytes);
    let all: [(Sum, &Which<'_>); 8] = [
        (t.young.live, &|age, dead| !dead && age < 4),
        (t.middle.live, &|age, dead| !dead && (4..16).contains(&age)),
        (t.old.live, &|age, dead| !dead && age >= 16),
        (t.young.died, &|age, dead| dead && age < 4),
        (t.middle.died, &|age, dead| dead && (4..16).contains(&age)),
        (t.old.died, &|age, dead| dead && age >= 16),
        (t.middle.reached, &|age, _| age >= 4),
        (t.old.reached, &|age, _| age >= 16),
    ];
    for (sum, truth) in all {
        assert_eq!(of(sum), count(truth));
    }
    assert_eq!(t.ages.len(), 8, "the oldest is of 64 to 127 epochs");
    for band in &t.ages {
        let here = |age: u64| band.from <= age && band.until.is_none_or(|until| age < until);
        assert_eq!(of(band.died), count(&|age, dead| dead && here(age)), "{}", band.from);
        assert_eq!(of(band.living), count(&|age, dead| !dead && here(age)), "{}", band.from);
    }
    assert!(t.die_young.is_exact());
    let (young, promoted, undecided) = (t.young.died.blocks, t.middle.reached.blocks, t.young.live.blocks);
    assert!((t.die_young.value - young / (young + promoted + undecided / 2.0)).abs() < 1e-12);
}

#[test]
fn sampled_ages_are_unbiased_and_cover_what_they_say() {
    for sizes in [&[64u64][..], &[64, 96, 160, 512]] {
        let blocks = population(20_000, sizes, &mut Random(11));
        let rate = Rate::sampled(1024);
        let truth = tenuring(&blocks, Rate::EXACT, &mut Random(0));
        let of_truth = sums(&truth);
        let mut figures: BTreeMap<String, Figures> = BTreeMap::new();
        for seed in 0..SEEDS {
            let t = tenuring(&blocks, rate, &mut Random(seed * 7919 + 5));
            let sampled = sums(&t);
            for (name, truth) in &of_truth {
                let sum = sampled.get(name).copied().unwrap_or_default();
                type Of = fn(&Sum) -> Estimate;
                for (unit, of) in [("blocks", Sum::blocks as Of), ("bytes", Sum::bytes as Of)] {
                    let (e, truth) = (of(&sum), of(truth).value);
                    if truth > 0.0 {
                        let figures = figures.entry(format!("{name} {unit}")).or_default();
                        figures.count(e.value, e.standard_error, e.interval(0.95), truth);
                    }
                }
            }
            for (name, share, truth) in [
                ("blocks die young", t.die_young, truth.die_young),
                ("bytes die young", t.bytes_die_young, truth.bytes_die_young),
            ] {
                let figures = figures.entry(name.into()).or_default();
                figures.count(share.value, share.standard_error, share.interval(0.95), truth.value);
            }
        }
        for (name, figures) in figures {
            let (bias, covered, variance) = figures.read();
            let spread = figures.spread();
            let said = format!("{name}, {sizes:?}: bias {bias:.4} ± {spread:.4}, covered {covered:.3}, {variance:.3}");
            // Five standard errors of the mean over the seeds. What is a ratio has a bias of its own, far below its error.
            let allowed = 5.0 * spread + if name.ends_with("young") { 0.002 } else { 0.0 };
            assert!(bias.abs() <= allowed, "{said}");
            // With few samples the limits cover more than they say; where a seed may have none, nothing.
            let relative = spread * (SEEDS as f64).sqrt();
            if relative < 0.25 {
                let most = if relative < 0.17 { 0.98 } else { 1.0 };
                assert!((0.915..=most).contains(&covered), "{said}");
            }
            assert!((0.8..=1.2).contains(&variance), "{said}");
        }
    }
}

/// Programs that differ by chance, each seen by samples: how far the estimate is from what holds of all programs like it.
#[test]
fn the_survival_curve_covers_what_it_says() {
    for rate in [Rate::EXACT, Rate::sampled(1024)] {
        let mut figures: BTreeMap<u64, Figures> = BTreeMap::new();
        // The truth: 7 of 10 lives have a mean of 0.7 epochs, 3 one of 20; cut to whole epochs.
        let survives = |age: f64| 0.7 * (-age / 0.7f64).exp() + 0.3 * (-age / 20.0f64).exp();
        for seed in 0..SEEDS {
            let mut random = Random(seed * 104_729 + 1);
            let blocks = population(2_000, &[64, 128], &mut random);
            let t = tenuring(&blocks, rate, &mut random);
            for band in t.ages.iter().filter(|b| (1..=16).contains(&b.from)) {
                let share = band.come_to_it;
                let figures = figures.entry(band.from).or_default();
                figures.count(share.value, share.standard_error, share.interval(0.95), survives(band.from as f64));
            }
        }
        for (age, figures) in figures {
            let (bias, covered, variance) = figures.read();
            let said = format!("{age}, {rate:?}: bias {bias:.4}, covered {covered:.3}, variance {variance:.3}");
            // Who lives is taken to be at risk for half of an interval, which is not quite so.
            assert!(bias.abs() < 0.03, "{said}");
            assert!((0.9..=0.985).contains(&covered), "{said}");
            assert!((0.8..=1.25).contains(&variance), "{said}");
        }
    }
}

#[test]
fn nothing_is_counted_twice_by_a_part() {
    let birth = |epoch| Birth { site: 2, tag: 0, rate: Rate::sampled(1024), requested: 10, epoch };
    let mut ages = Ages::NONE;
    let mut part = Ages::NONE;
    for age in [0, 1, 3, 4, 16, 1 << 30] {
        ages.add(&birth(0), 16, age, LIMITS);
        if age > 3 {
            part.add(&birth(0), 16, age, LIMITS);
        }
    }
    let samples = |a: &Ages| a.ages.iter().map(|e| e.samples).collect::<Vec<_>>();
    assert_eq!(samples(&ages), [1, 1, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    assert_eq!((ages.middle.samples, ages.old.samples), (1, 2));
    ages.less(&part);
    assert_eq!(samples(&ages), [1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!((ages.middle, ages.old.samples), (Counted::default(), 0));
    ages.join(&part);
    assert_eq!((ages.middle.samples, ages.counted().len()), (1, 14));
}

/// What a person reads.
#[test]
fn tables_print() {
    let mut random = Random(3);
    let blocks = population(5_000, &[8, 24, 400, 70_000], &mut random);
    for rate in [Rate::EXACT, Rate::sampled(4096)] {
        let text = tenuring(&blocks, rate, &mut random).to_string();
        println!("{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
        assert_eq!(text.contains("95 % interval"), rate != Rate::EXACT);
        for line in ["young ", "middle ", "old ", "       2 to 3 ", "     32 to 63 "] {
            assert!(text.contains(&format!("\n{line}")), "{line} is not in\n{text}");
        }
        assert!(!text.contains("permanent") && !text.contains("NaN"), "{text}");
    }
    let mut made = Made::default();
    let empty = made.snapshot().tenuring().to_string();
    assert!(empty.contains("- of all blocks die young, and - of all bytes.") && !empty.contains("NaN"), "{empty}");
    made.stats.epoch = 3;
    made.block(2, 0, 1000, 0);
    let early = made.snapshot().tenuring();
    assert!(early.die_young.value.is_nan() && early.to_string().contains("too early to say how many"), "{early}");
    made.stats.epoch = 10;
    made.blocks.clear();
    made.bands.permanent = 5;
    made.block(2, 0, 1000, 4).block(2, 0, 10, 5);
    let t = made.snapshot().tenuring();
    assert_eq!((t.permanent.bytes, t.middle.live.bytes, t.middle.reached.bytes), (1000.0, 10.0, 1010.0), "{t}");
    assert!(t.to_string().contains("\npermanent "), "{t}");
}

#[test]
fn groups_add_up_to_all() {
    let made = random(5);
    let snapshot = made.snapshot();
    let all = snapshot.tenuring();
    for by in [By::Line, By::Function, By::Crate, By::Site, By::Tag] {
        let groups = snapshot.tenuring_by(by, &mut names()).expect("it is known");
        let near = |a: f64, b: f64| (a - b).abs() <= 1e-9 * b.abs().max(1.0);
        let sum = |f: fn(&Tenuring) -> Sum| groups.iter().map(|g| f(&g.tenuring)).sum::<Sum>();
        assert!(near(sum(Tenuring::live).bytes, all.live().bytes), "{by:?}");
        if by != By::Tag {
            assert!(near(sum(|t| t.old.reached).blocks, all.old.reached.blocks), "{by:?}");
            assert!(near(sum(|t| t.young.died).bytes, all.young.died.bytes), "{by:?}");
            assert!(all.old.died.blocks > 0.0 && all.young.died.blocks > 0.0);
        }
        let (n, text) = (groups.len(), format!("{groups:#}"));
        assert!(text.lines().count() == n + 3 && text.lines().all(|line| line.chars().count() <= 118), "{text}");
        let first = groups.clone().top(1);
        assert_eq!((first.len(), first.others().0), (1, n - 1));
        assert_eq!(first[0], groups[0]);
    }
    assert!(snapshot.tenuring_by(By::SizeClass, &mut names()).is_none());
    let filtered = snapshot.filter(&Filter::new().include("shop::*"), &mut names());
    assert!(filtered.tenuring_by(By::Tag, &mut names()).is_none());
    assert!(filtered.tenuring().old.reached.blocks < all.old.reached.blocks);
}
