//! A snapshot that is put together from what was read somewhere: in any order, in parts, and not yet believed.

use super::check::{check, near};
use super::take::{sum_up, untracked};
use super::{Ending, Lifetimes, Mode, Module, Parts, Peak, Row, Site, Snapshot, Sum, Suspect, Tag, Untracked};
use crate::generation::Generations;
use crate::generation::clock::Bands;
use crate::stats::Stats;

/// What will be a snapshot if [`check`](Unchecked::check) finds nothing wrong.
pub(crate) struct Unchecked {
    pub(crate) unix_nanos: u64,
    pub(crate) began_unix_nanos: u64,
    pub(crate) pid: u32,
    pub(crate) mode: Mode,
    pub(crate) rows: Vec<Row>,
    pub(crate) modules: Vec<Module>,
    pub(crate) generations: Generations,
    pub(crate) suspects: Vec<Suspect>,
    pub(crate) suspects_left_out: u64,
    /// What follows from the rows, unless it is given.
    pub(crate) tracked: Option<Sum>,
    pub(crate) untracked: Option<Untracked>,
    stats: Stats,
    epoch_step: u64,
    bands: Bands,
    sites: Vec<(Site, Said)>,
    tags: Vec<(Tag, Said)>,
}

/// What a source said of what follows from the rows, or that cannot be known from them.
#[derive(Clone, Copy, Default)]
pub(crate) struct Said {
    pub(crate) live: Option<Sum>,
    /// If it is not known: what lives.
    pub(crate) peak: Option<Peak>,
}

impl Unchecked {
    pub(crate) fn new(stats: Stats, epoch_step: u64, bands: Bands) -> Unchecked {
        Unchecked {
            unix_nanos: 0,
            began_unix_nanos: 0,
            pid: 0,
            mode: Mode::Off,
            rows: Vec::new(),
            modules: Vec::new(),
            generations: Generations::default(),
            suspects: Vec::new(),
            suspects_left_out: 0,
            tracked: None,
            untracked: None,
            stats,
            epoch_step,
            bands,
            sites: Vec::new(),
            tags: Vec::new(),
        }
    }

    pub(crate) fn site(
        &mut self,
        number: u32,
        (stack, ending): (Vec<u64>, Ending),
        (allocated, freed, lifetimes): (Sum, Sum, Lifetimes),
        (smallest, largest): (u64, u64),
        said: Said,
    ) {
        let (live, peak) = Default::default();
        let site = Site { number, stack, ending, live, allocated, freed, lifetimes, smallest, largest, peak };
        self.sites.push((site, said));
    }

    pub(crate) fn tag(
        &mut self,
        number: u16,
        name: String,
        (allocated, freed, lifetimes): (Sum, Sum, Lifetimes),
        said: Said,
    ) {
        let (live, peak) = Default::default();
        self.tags.push((Tag { number, name, live, allocated, freed, lifetimes, peak }, said));
    }

    /// Puts everything in order, adds up what comes in parts, and refuses what contradicts itself.
    pub(crate) fn check(mut self) -> Result<Snapshot, String> {
        let finite = |sum: &Sum| sum.is_sound();
        if !(self.rows.iter().all(|r| finite(&r.live))
            && self.sites.iter().all(|(s, _)| finite(&s.allocated) && finite(&s.freed) && s.lifetimes.is_sound())
            && self.tags.iter().all(|(t, _)| finite(&t.allocated) && finite(&t.freed) && t.lifetimes.is_sound()))
        {
            return Err("what should be a sum is none".into());
        }
        self.rows.sort_by_key(Row::key);
        self.rows.dedup_by(|later, kept| {
            let same = later.key() == kept.key();
            if same {
                kept.live += later.live;
            }
            same
        });
        self.sites.sort_by_key(|s| s.0.number);
        if let Some(two) = self.sites.windows(2).find(|two| two[0].0.number == two[1].0.number) {
            return Err(format!("there are two sites {}", two[0].0.number));
        }
        self.tags.sort_by_key(|t| t.0.number);
        if let Some(two) = self.tags.windows(2).find(|two| two[0].0.number == two[1].0.number) {
            return Err(format!("there are two tags {}", two[0].0.number));
        }
        let (sites, said_of_sites): (Vec<_>, Vec<_>) = self.sites.into_iter().unzip();
        let (tags, said_of_tags): (Vec<_>, Vec<_>) = self.tags.into_iter().unzip();
        let tracked = self.tracked.unwrap_or_else(|| self.rows.iter().map(|r| r.live).sum());
        let mut parts = Parts {
            unix_nanos: self.unix_nanos,
            began_unix_nanos: self.began_unix_nanos,
            pid: self.pid,
            mode: self.mode,
            epoch_step: self.epoch_step,
            bands: self.bands,
            generations: self.generations,
            suspects: self.suspects,
            suspects_left_out: self.suspects_left_out,
            tracked,
            untracked: self.untracked.unwrap_or_else(|| untracked(&self.stats, &self.rows)),
            stats: self.stats,
            sites,
            tags,
            rows: self.rows,
            modules: self.modules,
        };
        sum_up(&mut parts);
        check(&parts)?;
        for (site, said) in parts.sites.iter_mut().zip(&said_of_sites) {
            site.peak = said
                .believed(&site.live)
                .ok_or_else(|| format!("the sums of site {} are not those of its rows", site.number))?;
        }
        for (tag, said) in parts.tags.iter_mut().zip(&said_of_tags) {
            tag.peak = said
                .believed(&tag.live)
                .ok_or_else(|| format!("the sums of tag {} are not those of its rows", tag.number))?;
        }
        Ok(Snapshot { parts })
    }
}

impl Said {
    /// The peak, if what was said fits what lives.
    fn believed(&self, live: &Sum) -> Option<Peak> {
        let fits = self.live.is_none_or(|said| near(said.bytes, live.bytes) && near(said.blocks, live.blocks));
        fits.then(|| self.peak.unwrap_or(Peak { blocks: live.blocks, bytes: live.bytes }))
    }
}
