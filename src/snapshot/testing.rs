//! Snapshots made up for tests.

use super::aggregate::Aggregate;
use super::{Births, Culprit, Frame, Mode, Module, Names, Place, Snapshot, Suspect, take};
use crate::generation::clock::Bands;
use crate::generation::{Alive, Census, Collection, Generation, Generations, Reclaimed};
use crate::stats::{Stats, stats};
use crate::track::ages::Limits;
use crate::track::rate::Rate;
use crate::track::word::Birth;
use crate::track::{self, Live, Totals};
use std::collections::HashMap;
use std::sync::Arc;

/// A snapshot in the making.
pub(crate) struct Made {
    pub(crate) blocks: Vec<Live>,
    pub(crate) sites: Vec<(u32, Totals)>,
    pub(crate) tags: Vec<(u16, String, Totals)>,
    pub(crate) stacks: HashMap<u32, Vec<u64>>,
    pub(crate) stats: Stats,
    pub(crate) bands: Bands,
    pub(crate) mode: Mode,
    pub(crate) modules: Vec<Module>,
    pub(crate) unix_nanos: u64,
    pub(crate) generations: Generations,
    pub(crate) suspects: Vec<Suspect>,
}

impl Default for Made {
    fn default() -> Self {
        let stats = Stats { epoch: 10, live: 0, live_blocks: 0, ..stats() };
        let (blocks, sites, stacks, modules) = Default::default();
        let tags = vec![(0, String::new(), Totals::default()), (1, "other".into(), Totals::default())];
        let unix_nanos = 1_790_000_000_123_456_789;
        let bands = Bands { middle: 4, old: 8, permanent: 0 };
        let (generations, suspects) = Default::default();
        let mode = Mode::Exact;
        Made { blocks, sites, tags, stacks, stats, bands, mode, modules, unix_nanos, generations, suspects }
    }
}

impl Made {
    /// A block of an exact site.
    pub(crate) fn block(&mut self, site: u32, tag: u16, requested: u64, epoch: u64) -> &mut Self {
        let block_size = requested.next_power_of_two().max(8);
        self.blocks.push(Live { site, tag, rate: Rate::EXACT, requested, block_size, epoch });
        self
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut blocks = Aggregate::new(Births::new(self.stats.epoch, &self.bands));
        self.blocks.iter().for_each(|b| blocks.add(*b));
        let mut parts = take::assemble(
            self.stats.clone(),
            self.bands,
            blocks,
            self.sites.iter().map(|(number, totals)| take::new_site(*number, totals)).collect(),
            self.tags.iter().map(|(number, name, totals)| take::new_tag(*number, name, totals)).collect(),
        );
        (parts.pid, parts.mode, parts.unix_nanos) = (4711, self.mode, self.unix_nanos);
        parts.modules = self.modules.clone();
        (parts.generations, parts.suspects) = (self.generations, self.suspects.clone());
        for site in &mut parts.sites {
            site.stack = self.stacks.get(&site.number).cloned().unwrap_or_default();
            site.peak = super::Peak { blocks: site.live.blocks, bytes: site.live.bytes };
        }
        super::check::check(&parts).expect("a sound snapshot");
        Snapshot { parts }
    }
}

/// Names by table.
#[derive(Default)]
pub(crate) struct Table(pub(crate) HashMap<u64, Vec<Frame>>);

impl Table {
    /// `function file:line`, several at one address where calls were inlined.
    pub(crate) fn with(mut self, address: u64, frames: &[&str]) -> Table {
        let frame = |text: &&str| {
            let (function, place) = text.rsplit_once(' ').expect("a place");
            let (file, line) = place.split_once(':').expect("a line");
            Frame::new(function, Some(file), line.parse().ok())
        };
        self.0.insert(address, frames.iter().map(frame).collect());
        self
    }
}

impl Names for Table {
    fn frames(&mut self, place: &Place<'_>) -> Arc<[Frame]> {
        self.0.get(&place.address).map_or_else(|| [Frame::unnamed(place)].into(), |f| f.clone().into())
    }
}

/// splitmix64 (Steele, Lea and Flood, 2014).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// In (0, 1].
    pub(crate) fn uniform(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1u64 << 53) as f64
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// A suspect that grows by so many bytes a minute.
pub(crate) fn suspect(culprit: Culprit, bytes_per_minute: f64) -> Suspect {
    Suspect {
        culprit,
        old_bytes: 1000.5,
        old_bytes_error: 7.25,
        bytes_per_epoch: bytes_per_minute / 3.0,
        bytes_per_minute,
        since_epoch: 3,
        since_unix_nanos: 1_790_000_000_000_000_001,
        collections: 20,
        confidence: 0.999,
    }
}

/// Collections of each generation, none of whose figures is 0.
fn collections() -> Generations {
    let mut all = Generations::default();
    let reclaimed = Reclaimed { sent_home: 1, retired: 2, adopted: 3, purged: u64::MAX };
    let alive = |x: f64| Alive { blocks: x, bytes: x * 10.5, bytes_error: x / 3.0 };
    for (generation, stats) in Generation::ALL.into_iter().zip(&mut all.stats) {
        let census = Census { young: alive(1.0), middle: alive(2.0), old: alive(3.5), permanent: alive(4.0) };
        (stats.collections, stats.automatic, stats.reclaimed) = (40, 39, reclaimed);
        (stats.pause_ns, stats.longest_pause_ns) = (5, 4);
        stats.last = Some(Collection {
            number: 40,
            automatic: true,
            began_ns: 6 + generation as u64,
            reclaimed,
            pinned: 7,
            committed_before: 8,
            committed: 9,
            census: (generation == Generation::Old).then_some(census),
            wall_ns: 10,
            steps: 11,
            pause_ns: 12,
            longest_pause_ns: 13,
            ..Collection::none(generation, 14)
        });
    }
    (all.counts.young_bytes, all.counts.young, all.counts.middle) = (1, 2, 3);
    all
}

/// A shop: two lines in one function, one function in two files by inlining, a recursive one, and a second crate.
pub(crate) fn names() -> Table {
    Table::default()
        .with(1, &["alloc::alloc::alloc /rustc/x/library/alloc/src/alloc.rs:95"])
        .with(
            2,
            &["alloc::vec::Vec<T,A>::push /rustc/x/library/alloc/src/vec/mod.rs:7", "shop::cart::add src/cart.rs:10"],
        )
        .with(3, &["shop::cart::add src/cart.rs:20"])
        .with(4, &["<shop::cart::Cart as core::clone::Clone>::clone src/cart.rs:30"])
        .with(5, &["parser::expr::parse parser/src/expr.rs:5"])
        .with(6, &["parser::expr::nested parser/src/expr.rs:6"])
        .with(7, &["shop::main src/main.rs:3"])
        .with(8, &["std::rt::lang_start /rustc/x/library/std/src/rt.rs:9"])
}

/// So many blocks allocated, none freed.
pub(crate) fn totals(blocks: u64, bytes: u64) -> Totals {
    let allocated =
        track::Estimate { blocks: blocks as f64, bytes: bytes as f64, samples: blocks, ..Default::default() };
    Totals { allocated, smallest: 8, largest: 4096, ..Totals::NONE }
}

/// Ten blocks of eight sites.
pub(crate) fn shop() -> Made {
    let mut made = Made::default();
    for (site, stack) in [
        (0, vec![]),
        (2, vec![1, 2, 7, 8]),
        (3, vec![1, 3, 7, 8]),
        (4, vec![1, 4, 7, 8]),
        (5, vec![1, 5, 6, 7, 8]),
        (6, vec![1, 5, 6, 5, 6, 7, 8]),
        (7, vec![1, 5, 6, 5, 6, 5, 6, 7, 8]),
        (8, vec![0xBAD]),
    ] {
        made.stacks.insert(site, stack);
        made.sites.push((site, totals(10, 10_000)));
    }
    made.tags.push((2, "checkout".into(), totals(50, 50_000)));
    made.block(2, 0, 100, 1).block(2, 2, 100, 3).block(2, 2, 30, 3).block(3, 2, 1000, 4).block(4, 0, 50, 5);
    made.block(5, 0, 7, 6).block(6, 0, 7, 7).block(7, 0, 7, 9).block(0, 0, 1, 9).block(8, 1, 2, 9);
    made
}

/// Up to 3,000 blocks of the shop, exact or sampled in two ways.
pub(crate) fn random(seed: u64) -> Made {
    let mut random = Random(seed);
    let mut made = Made { stacks: shop().stacks, ..Made::default() };
    made.stats.epoch = 20;
    for i in 0..random.below(3000) {
        let most = 1 << random.below(16);
        let requested = 1 + random.below(most);
        let rate = [Rate::EXACT, Rate::sampled(4096), Rate::sampled(512)][random.below(3) as usize];
        let (site, tag) = ([0, 2, 3, 4, 5, 6, 7, 8][random.below(8) as usize], random.below(3) as u16);
        made.tags.extend((i == 0).then(|| (2, "checkout".into(), totals(1, 1))));
        let block_size = requested.next_multiple_of(64);
        made.blocks.push(Live { site, tag, rate, requested, block_size, epoch: random.below(20) });
    }
    for site in [0, 2, 3, 4, 5, 6, 7] {
        let mut totals = totals(3000, 300_000);
        for _ in 0..random.below(40) {
            let rate = [Rate::EXACT, Rate::sampled(512)][random.below(2) as usize];
            let birth = Birth { site, tag: 0, rate, requested: 1 + random.below(90), epoch: random.below(20) };
            totals.freed.add(&birth, 96);
            totals.ages.add(&birth, 96, birth.epoch + random.below(20), Limits { middle: 4, old: 8 });
        }
        made.sites.push((site, totals));
    }
    made.tags[0].2.ages = made.sites[3].1.ages;
    made.generations = collections();
    let culprits = [Culprit::Site(2), Culprit::Site(6), Culprit::Site(7), Culprit::Tag(1), Culprit::Site(0)];
    made.suspects = culprits.into_iter().zip(1..).map(|(who, i)| suspect(who, 600.0 / f64::from(i))).collect();
    made
}
