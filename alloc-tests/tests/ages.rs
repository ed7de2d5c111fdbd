//! How old blocks are and became, against an account of the test's own: exact and by samples, over threads, forks, changes of
//! mode and refused memory.

#[allow(dead_code, reason = "each file uses a part of it")]
mod hooks_support;

use hooks_support::{Raw, alone, exact, rng, size_in};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use tenure::generation::{self, Generation};
use tenure::internals::{self, tracker};
use tenure::snapshot::{By, Lifetimes, Snapshot, Sum};
use tenure::{Mode, Symbols, Thresholds};
use tenure_alloc_tests::Tenure;

#[global_allocator]
static ALLOC: Tenure = Tenure::new();

const MIB: usize = 1 << 20;

/// An epoch is a MiB, and generations begin at these ages; time ends no epoch.
fn begin_at(young_per_middle: u32, middle_per_old: u32) {
    generation::set_thresholds(Thresholds {
        young_bytes: MIB as u64,
        young_per_middle,
        middle_per_old,
        idle_ms: 86_400_000,
        ..generation::thresholds()
    })
    .expect("they are within their bounds");
    epochs(1); // one that begins now
}

/// So many epochs pass, one for each large block.
fn epochs(n: u64) {
    let to = internals::epoch() + n;
    for _ in 0..n {
        Raw::new(2 * MIB).free();
    }
    assert_eq!(internals::epoch(), to, "a block of two MiB ends an epoch");
}

/// What the test knows of a block.
struct Known {
    raw: Raw,
    site: u32,
    tag: u16,
    epoch: u64,
}

/// What was freed of a site or a tag, by age; blocks and bytes.
#[derive(Clone, Debug, Default, PartialEq)]
struct Freed {
    ages: BTreeMap<u64, (u64, u64)>,
    middle: (u64, u64),
    old: (u64, u64),
}

impl Freed {
    fn add(&mut self, age: u64, (middle, old): (u64, u64), blocks: u64, bytes: u64) {
        let add = |to: &mut (u64, u64)| *to = (to.0 + blocks, to.1 + bytes);
        add(self.ages.entry(if age == 0 { 0 } else { 1 << age.ilog2().min(13) }).or_default());
        if age >= old {
            add(&mut self.old);
        } else if age >= middle {
            add(&mut self.middle);
        }
    }
}

/// What the test has freed.
#[derive(Default)]
struct Account {
    sites: BTreeMap<u32, Freed>,
    tags: BTreeMap<u16, Freed>,
}

impl Account {
    fn died(&mut self, known: &Known, limits: (u64, u64), blocks: u64, bytes: u64) {
        let age = internals::epoch() - known.epoch;
        self.sites.entry(known.site).or_default().add(age, limits, blocks, bytes);
        self.tags.entry(known.tag).or_default().add(age, limits, blocks, bytes);
    }
}

fn figures(sum: &Sum) -> (u64, u64) {
    assert!(sum.blocks().is_exact() && sum.bytes().is_exact());
    (sum.blocks as u64, sum.bytes as u64)
}

/// What the snapshot says, in the same form.
fn said(freed: &Sum, lifetimes: &Lifetimes) -> Freed {
    let all = lifetimes.sum();
    let mut said =
        Freed { middle: figures(&lifetimes.died_middle()), old: figures(&lifetimes.died_old()), ..Freed::default() };
    assert_eq!(figures(&lifetimes.unknown()), (0, 0));
    assert!(all.blocks <= freed.blocks && all.bytes <= freed.bytes, "{all:?} of {freed:?}");
    said.ages.insert(0, ((freed.blocks - all.blocks) as u64, (freed.bytes - all.bytes) as u64));
    said.ages.extend((0..).zip(lifetimes.died()).map(|(i, sum)| (1 << i, figures(sum))));
    said.ages.retain(|_, n| *n != (0, 0));
    said
}

/// All that was allocated lives or died, at some age.
fn assert_conserved(snapshot: &Snapshot) {
    let check = |what: String, allocated: &Sum, freed: &Sum, live: &Sum, lifetimes: &Lifetimes| {
        let said = said_of_all(&what, freed, lifetimes);
        assert_eq!(figures(allocated), (said.0 + live.blocks as u64, said.1 + live.bytes as u64), "{what}");
    };
    for s in snapshot.sites() {
        check(format!("site {}", s.number), &s.allocated, &s.freed, &s.live, &s.lifetimes);
    }
    for t in snapshot.tags() {
        check(format!("tag {:?}", t.name), &t.allocated, &t.freed, &t.live, &t.lifetimes);
    }
    let of_sites: Sum = snapshot.sites().iter().map(|s| s.lifetimes.sum()).sum();
    let of_tags: Sum = snapshot.tags().iter().map(|t| t.lifetimes.sum()).sum();
    assert_eq!(figures(&of_sites), figures(&of_tags), "tags, none included, are all");
    let table = snapshot.tenuring();
    let reached = figures(&(table.young.reached + table.died_at_unknown_age));
    assert_eq!(reached, figures(&snapshot.sites().iter().map(|s| s.allocated).sum()));
    let rows: Sum = table.ages.iter().map(|band| band.died + band.living).sum();
    assert_eq!(figures(&rows), figures(&table.young.reached));
}

fn said_of_all(what: &str, freed: &Sum, lifetimes: &Lifetimes) -> (u64, u64) {
    let aged = figures(&lifetimes.sum());
    let (blocks, bytes) = figures(freed);
    assert!(aged.0 <= blocks && aged.1 <= bytes, "{what}: {lifetimes:?} of {freed:?}");
    let generations = figures(&(lifetimes.died_middle() + lifetimes.died_old()));
    assert!(generations.0 <= aged.0 && generations.1 <= aged.1);
    (blocks, bytes)
}

#[inline(never)]
fn here(size: usize) -> Raw {
    black_box(Raw::new(black_box(size)))
}

#[inline(never)]
fn there(size: usize) -> Raw {
    black_box(Raw::new(black_box(size)))
}

#[test]
fn every_death_has_its_age() {
    alone("every_death_has_its_age", || {
        begin_at(3, 4);
        let mut limits = (3, 12);
        exact(true);
        let mut rng = rng(1);
        let mut live: Vec<Known> = Vec::with_capacity(2000);
        let mut account = Account::default();
        for round in 0..40_000 {
            if round == 20_000 {
                begin_at(5, 2);
                limits = (5, 10);
            }
            match rng.below(100) {
                0..45 if live.len() < 1500 => {
                    let large = rng.one_in(50);
                    let size = if large { size_in(&mut rng, 70_000..400_000) } else { size_in(&mut rng, 1..3000) };
                    let _in = tenure::scope(TAGS[rng.below(3)]);
                    let raw = if rng.one_in(2) { here(size) } else { there(size) };
                    let birth = raw.birth().expect("every block is tracked");
                    assert_eq!(birth.epoch, internals::epoch().min(birth.epoch), "{birth:?}");
                    live.push(Known { raw, site: birth.site, tag: birth.tag, epoch: birth.epoch });
                }
                0..90 if !live.is_empty() => {
                    // The young more often than the old.
                    let at = live.len() - 1 - rng.below(live.len()).min(rng.below(live.len()));
                    let known = live.swap_remove(at);
                    account.died(&known, limits, 1, known.raw.layout.size() as u64);
                    known.raw.free();
                }
                _ if !live.is_empty() => {
                    let at = rng.below(live.len());
                    let (before, address) = (live[at].raw.layout.size(), live[at].raw.at);
                    // A little smaller or larger, so that it may stay where it is.
                    let size = (before * (60 + rng.below(60)) / 100).max(1);
                    let epoch = internals::epoch();
                    {
                        let _in = tenure::scope(TAGS[rng.below(3)]);
                        live[at].raw.resize(size);
                    }
                    let known = &live[at];
                    if known.raw.at == address {
                        account.died(known, limits, 0, before.saturating_sub(size) as u64);
                    } else {
                        // Another block: allocated by the resize, and then the old one died.
                        let birth = known.raw.birth().expect("it is tracked too");
                        assert!(birth.epoch == internals::epoch() || birth.epoch == epoch);
                        account.died(known, limits, 1, before as u64);
                        live[at] = Known { site: birth.site, tag: birth.tag, epoch: birth.epoch, ..*known };
                    }
                }
                _ => (),
            }
            if round % 5000 != 4999 {
                continue;
            }
            let snapshot = tenure::snapshot();
            for site in snapshot.sites().iter().filter(|s| account.sites.contains_key(&s.number)) {
                let mut expected = account.sites.get(&site.number).cloned().unwrap_or_default();
                expected.ages.retain(|_, n| *n != (0, 0));
                assert_eq!(said(&site.freed, &site.lifetimes), expected, "site {} in round {round}", site.number);
            }
            for tag in snapshot.tags().iter().filter(|t| TAGS.contains(&&*t.name)) {
                let mut expected = account.tags.get(&tag.number).cloned().unwrap_or_default();
                expected.ages.retain(|_, n| *n != (0, 0));
                assert_eq!(said(&tag.freed, &tag.lifetimes), expected, "tag {:?} in round {round}", tag.name);
            }
            assert_conserved(&snapshot);
            let tables = snapshot.tenuring_by(By::Tag, &mut Symbols::new()).expect("it is not filtered");
            let of_test = || tables.iter().filter(|group| TAGS.contains(&&*group.name));
            let now = snapshot.epoch();
            for generation in Generation::ALL {
                let of = |known: &&Known| {
                    let age = now - known.epoch;
                    generation == Generation::ALL[usize::from(age >= limits.0) + usize::from(age >= limits.1)]
                };
                let those = || live.iter().filter(of);
                let bytes = those().map(|known| known.raw.layout.size() as u64).sum();
                let expected = (those().count() as u64, bytes);
                let live = of_test().map(|group| group.tenuring.generation(generation).live).sum();
                assert_eq!(figures(&live), expected, "{generation} in round {round}");
            }
            println!("{}\n{tables}", snapshot.tenuring());
        }
        assert!(internals::epoch() > 40, "{}", internals::epoch());
        let tags = &account.tags;
        assert!(tags.values().all(|t| t.old.0 > 0 && t.middle.0 > 0), "{tags:?}");
        live.iter().for_each(|known| known.raw.free());
    });
}

/// What the test itself keeps has none of these.
const TAGS: [&str; 3] = ["a", "b", "c"];

/// A block that waits for its burial is as old as it was when it was freed.
#[test]
fn the_dead_grow_no_older() {
    alone("the_dead_grow_no_older", || {
        begin_at(2, 2);
        exact(true);
        let blocks: Vec<Raw> = {
            let _in = tenure::scope("held");
            (0..10).map(|_| Raw::new(40)).collect()
        };
        epochs(1);
        blocks.iter().for_each(|block| block.free());
        for _ in 0..2 {
            // Large blocks do not wait, so the ten still do at the first look; at the second they are buried.
            epochs(9);
            let snapshot = tenure::snapshot();
            let held = snapshot.tags().iter().find(|t| t.name == "held").expect("it has allocated");
            assert_eq!(held.lifetimes.died().iter().map(|s| s.blocks).collect::<Vec<_>>(), [10.0]);
            assert_eq!((held.lifetimes.died_middle(), held.lifetimes.died_old()), Default::default());
            (0..100).for_each(|_| Raw::new(40).free());
        }
    });
}

#[test]
fn whoever_frees_and_whatever_mode_it_is() {
    alone("whoever_frees_and_whatever_mode_it_is", || {
        begin_at(2, 3);
        exact(true);
        let stop = AtomicBool::new(false);
        let table: Mutex<Vec<Raw>> = Mutex::new(Vec::with_capacity(10_000));
        thread::scope(|scope| {
            let threads: Vec<_> = (0..3)
                .map(|seed| {
                    let (stop, table) = (&stop, &table);
                    scope.spawn(move || {
                        let mut rng = rng(seed);
                        while !stop.load(SeqCst) {
                            let _in = rng.one_in(2).then(|| tenure::scope("a"));
                            let size = size_in(&mut rng, 1..5000);
                            let other = {
                                let mut table = table.lock().expect("no panic");
                                let n = table.len();
                                let take = n > 9000 || n > 0 && rng.one_in(2);
                                take.then(|| table.swap_remove(rng.below(n)))
                            };
                            match other {
                                Some(block) => block.free(),
                                None => {
                                    let block = Raw::new(size);
                                    table.lock().expect("no panic").push(block);
                                }
                            }
                        }
                    })
                })
                .collect();
            for round in 0..if cfg!(debug_assertions) { 40 } else { 200 } {
                epochs_at_least(1);
                let snapshot = tenure::snapshot();
                for site in snapshot.sites() {
                    said_of_all("a site", &site.freed, &site.lifetimes);
                    assert!(site.freed.blocks <= site.allocated.blocks, "{site:?}");
                }
                for tag in snapshot.tags() {
                    said_of_all(&tag.name, &tag.freed, &tag.lifetimes);
                }
                // Blocks that were born untracked die so, and the other way round.
                if round % 10 == 5 {
                    tenure::set_mode(Mode::Off);
                } else if round % 10 == 7 {
                    tenure::set_mode(Mode::Exact);
                }
            }
            stop.store(true, SeqCst);
            threads.into_iter().for_each(|thread| thread.join().expect("it ends"));
        });
        table.lock().expect("no panic").drain(..).for_each(Raw::free);
        drop(table);
        let snapshot = tenure::snapshot();
        assert_conserved(&snapshot);
        let all = snapshot.tenuring();
        assert!(all.old.died.blocks > 0.0 && all.middle.died.blocks > 0.0 && all.ages.len() > 3, "{all}");
    });
}

/// While other threads allocate too.
fn epochs_at_least(n: u64) {
    let to = internals::epoch() + n;
    while internals::epoch() < to {
        Raw::new(2 * MIB).free();
    }
}

#[test]
fn a_child_goes_on() {
    alone("a_child_goes_on", || {
        begin_at(2, 2);
        exact(true);
        let blocks: Vec<Raw> = (0..3000).map(|i| Raw::new(1 + i % 200)).collect();
        epochs(3);
        blocks[..1000].iter().for_each(|block| block.free());
        // SAFETY: the other threads of this process sleep; the child only allocates, and ends by `_exit`.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: an alarm ends a child that hangs.
            unsafe { libc::alarm(20) };
            epochs(2);
            blocks[1000..].iter().for_each(|block| block.free());
            let checked = std::panic::catch_unwind(|| {
                let snapshot = tenure::snapshot();
                assert_conserved(&snapshot);
                let table = snapshot.tenuring();
                assert_eq!((table.middle.died.blocks, table.old.died.blocks), (1000.0, 2000.0), "{table}");
            });
            let right = checked.is_ok();
            // SAFETY: ends the child.
            unsafe { libc::_exit(if right { 0 } else { 1 }) };
        }
        let mut status = 0;
        // SAFETY: `status` is ours.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        assert_eq!(status, 0, "the child has counted right");
        blocks[1000..].iter().for_each(|block| block.free());
        let snapshot = tenure::snapshot();
        assert_conserved(&snapshot);
        assert_eq!(snapshot.tenuring().middle.died.blocks, 3000.0);
    });
}

/// A dump, and the file of a snapshot, say what the snapshot says.
#[test]
fn files_say_the_same() {
    alone("files_say_the_same", || {
        begin_at(2, 3);
        exact(true);
        let mut blocks: Vec<Vec<Raw>> = Vec::new();
        for _ in 0..40 {
            let _in = tenure::scope("held");
            blocks.push((0..50).map(|i| if i % 2 == 0 { here(10 + i) } else { there(10 + i) }).collect());
            for (age, old) in blocks.iter_mut().rev().enumerate() {
                old.drain(..old.len() / (2 + age)).for_each(Raw::free);
            }
            epochs(1);
        }
        let path = std::env::temp_dir().join(format!("tenure-ages-{}", std::process::id()));
        tenure::internals::adopt_mode();
        exact(false);
        let snapshot = tenure::snapshot();
        tenure::dump::to(&path).expect("written");
        let dump = tenure::export::from_file(&path).expect("a dump").0;
        std::fs::remove_file(&path).expect("removed");
        let file = tenure::export::from_json(&tenure::export::raw(&snapshot)).expect("a snapshot").0;
        assert_eq!(file, snapshot);
        // The path that the file is named by was freed meanwhile, and no more.
        let tag = |s: &Snapshot| s.tags().iter().find(|t| t.name == "held").expect("it has allocated").clone();
        assert_eq!(tag(&dump).lifetimes, tag(&snapshot).lifetimes);
        let of = |s: &Snapshot| {
            let groups = s.tenuring_by(By::Tag, &mut Symbols::new()).expect("it is not filtered");
            groups.iter().find(|g| g.name == "held").expect("a tag").tenuring.clone()
        };
        assert_eq!(of(&dump), of(&snapshot));
        assert!(of(&snapshot).ages.len() > 5 && of(&snapshot).old.live.blocks > 0.0, "{}", of(&snapshot));
        blocks.drain(..).flatten().for_each(Raw::free);
    });
}

/// Blocks of many sites.
#[inline(never)]
fn tree(path: usize, levels: usize, blocks: &mut Vec<Raw>) {
    if levels == 0 {
        blocks.push(Raw::new(20));
    } else if path & 1 == 0 {
        tree(path >> 1, levels - 1, blocks);
    } else {
        // Not the same code as above, or the compiler would make one call of both.
        tree(black_box(path) >> 1, levels - 1, blocks);
        black_box(levels);
    }
    black_box(path);
}

#[test]
fn an_age_that_finds_no_room_is_said_to_be_unknown() {
    alone("an_age_that_finds_no_room_is_said_to_be_unknown", || {
        begin_at(2, 2);
        exact(true);
        const LEVELS: usize = 14;
        let mut blocks: Vec<Raw> = Vec::with_capacity(1 << LEVELS);
        {
            let _in = tenure::scope("held");
            (0..black_box(1) << LEVELS).for_each(|path| tree(path, LEVELS, &mut blocks));
        }
        epochs(1);
        // There is room for the ages of some sites, and not of all.
        internals::refuse_after(0);
        blocks.drain(..).for_each(Raw::free);
        let refused = internals::refuse_after(usize::MAX);
        assert!(refused > 0, "the test refuses something");
        let snapshot = tenure::snapshot();
        assert_conserved(&snapshot);
        let table = snapshot.tenuring();
        let unknown = table.died_at_unknown_age.blocks;
        let known = table.ages[1].died.blocks;
        println!("{known} of known age, {unknown} of unknown, {refused} refused\n{table}");
        assert!(known > 0.0 && unknown > 0.0 && known + unknown >= f64::from(1 << LEVELS), "{table}");
        assert!(table.to_string().contains("blocks whose age was not counted"), "{table}");
        // What is known of a block is known of its site and of its tag.
        let held = snapshot.tags().iter().find(|t| t.name == "held").expect("it has allocated");
        assert_eq!(figures(&held.lifetimes.sum()).0, 1 << LEVELS);
        assert_eq!(held.lifetimes.unknown().blocks, unknown);
    });
}

/// What sampling says of ages is right on average, and off by as much as it says: 600 times the same life.
#[test]
fn samples_of_ages_are_unbiased() {
    alone("samples_of_ages_are_unbiased", || {
        const ROUNDS: usize = 600;
        begin_at(2, 2);
        tracker::set_mean(2048);
        internals::collect();
        // Sizes, and how many of each die with 0, 1, 2 and 4 epochs and live on for ever.
        const SIZES: [usize; 3] = [24, 200, 5000];
        const DIE: [usize; 4] = [160, 50, 30, 20];
        const EACH: usize = 160 + 50 + 30 + 20 + 20;
        let mut blocks: Vec<(usize, Raw)> = Vec::with_capacity(SIZES.len() * EACH);
        // Of what died by age 0, 1, 2 to 3, 4 to 7, in the middle and in the old generation: sums over the rounds.
        let (mut sum, mut squares, mut variance) = ([0.0f64; 6], [0.0f64; 6], [0.0f64; 6]);
        let mut last: Option<(Sum, Lifetimes)> = None;
        for _ in 0..ROUNDS {
            let scope = tenure::scope("sampled");
            for i in 0..EACH {
                // In turn, so that no magazine is of blocks with the same fate.
                blocks.extend(SIZES.iter().map(|&size| (i * 37 % EACH, Raw::new(size))));
            }
            drop(scope);
            let mut first = 0;
            let mut age = 0;
            for (&die, next) in DIE.iter().zip([1, 2, 4, 5]) {
                blocks.iter().filter(|b| (first..first + die).contains(&b.0)).for_each(|b| b.1.free());
                first += die;
                epochs(next - age);
                age = next;
            }
            let snapshot = tenure::snapshot();
            let tag = snapshot.tags().iter().find(|t| t.name == "sampled").expect("it has allocated");
            let (freed, lifetimes) = last.replace((tag.freed, tag.lifetimes.clone())).unwrap_or_default();
            let of = |freed: &Sum, l: &Lifetimes| {
                let aged = |i: usize| l.died().get(i).copied().unwrap_or_default();
                let rest = |of: fn(&Sum) -> f64| of(freed) - of(&l.sum());
                let at_once = (rest(|s| s.blocks), rest(|s| s.blocks_variance));
                let all = [aged(0), aged(1), aged(2), l.died_middle(), l.died_old()];
                let mut figures = [at_once; 6];
                figures[1..].iter_mut().zip(all).for_each(|(to, s)| *to = (s.blocks, s.blocks_variance));
                figures
            };
            let (now, before) = (of(&tag.freed, &tag.lifetimes), of(&freed, &lifetimes));
            for i in 0..6 {
                let blocks = now[i].0 - before[i].0;
                sum[i] += blocks;
                squares[i] += blocks * blocks;
                variance[i] += now[i].1 - before[i].1;
            }
            // Those that would live for ever: older than the deaths that are looked at. Freed under no count of this round.
            let rest: Vec<Raw> = blocks.drain(..).filter(|b| b.0 >= first).map(|b| b.1).collect();
            rest.iter().for_each(|block| block.free());
            let snapshot = tenure::snapshot();
            let tag = snapshot.tags().iter().find(|t| t.name == "sampled").expect("it has allocated");
            assert!(tag.live.samples == 0 && tag.allocated.samples == tag.freed.samples);
            last = Some((tag.freed, tag.lifetimes.clone()));
        }
        let n = ROUNDS as f64;
        let truth = [DIE[0], DIE[1], DIE[2], DIE[3], DIE[2], DIE[3]].map(|blocks| (blocks * SIZES.len()) as f64);
        for i in 0..6 {
            let (mean, said) = (sum[i] / n, variance[i] / n);
            let spread = squares[i] / n - mean * mean;
            let off = (mean - truth[i]) / (spread / n).sqrt();
            println!(
                "{i}: {mean:.1} of {}, off by {off:+.1} standard errors; variance {spread:.0}, said {said:.0}",
                truth[i]
            );
            assert!(off.abs() < 5.0, "{i}: {mean} of {}", truth[i]);
            assert!((0.75..=1.3).contains(&(said / spread)), "{i}: variance {spread}, said {said}");
        }
    });
}
