//! Snapshots made up for tests.

use super::aggregate::Aggregate;
use super::{Frame, Mode, Module, Names, Place, Snapshot, take};
use crate::stats::{Stats, stats};
use crate::track::rate::Rate;
use crate::track::{Live, Totals};
use std::collections::HashMap;
use std::sync::Arc;

/// A snapshot in the making.
pub(crate) struct Made {
    pub(crate) blocks: Vec<Live>,
    pub(crate) sites: Vec<(u32, Totals)>,
    pub(crate) tags: Vec<(u16, String, Totals)>,
    pub(crate) stacks: HashMap<u32, Vec<u64>>,
    pub(crate) stats: Stats,
    pub(crate) mode: Mode,
    pub(crate) modules: Vec<Module>,
    pub(crate) unix_nanos: u64,
}

impl Default for Made {
    fn default() -> Self {
        let stats = Stats { epoch: 10, live: 0, live_blocks: 0, ..stats() };
        let (blocks, sites, stacks, modules) = Default::default();
        let tags = vec![(0, String::new(), Totals::default()), (1, "other".into(), Totals::default())];
        let unix_nanos = 1_790_000_000_123_456_789;
        Made { blocks, sites, tags, stacks, stats, mode: Mode::Exact, modules, unix_nanos }
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
        let mut blocks = Aggregate::new();
        self.blocks.iter().for_each(|b| blocks.add(*b));
        let mut parts = take::assemble(self.stats.clone(), blocks, self.sites.clone(), self.tags.clone());
        (parts.pid, parts.mode, parts.unix_nanos) = (4711, self.mode, self.unix_nanos);
        parts.modules = self.modules.clone();
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
