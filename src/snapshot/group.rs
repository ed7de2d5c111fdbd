//! Live blocks by what they have in common.

use super::keys::Keyed;
use super::{By, Frame, Mode, Names, Row, Snapshot, Sum, Untracked, Value};
use crate::generation::Generation;
use std::ops::Deref;

/// Live blocks that have something in common.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Group {
    /// What they have in common: the function, module, crate, file, tag or size. For lines and stacks, the function.
    pub name: String,
    /// `file:line` of that function's call, for lines, functions and stacks, as far as it is known.
    pub location: String,
    /// For stacks, the frames that a report shows, leaf first; for lines and functions the one frame.
    pub stack: Vec<Frame>,
    /// What lives.
    pub live: Sum,
    /// What was allocated since the start; `None` where it is not known: by size, and by tag after a filter.
    pub allocated: Option<Sum>,
    /// What was freed since the start; `None` likewise.
    pub freed: Option<Sum>,
    /// How many sites it has: call stacks that something lives of, or that something was allocated by.
    pub sites: usize,
    /// How old what lives is.
    pub ages: LiveAges,
}

/// Live bytes, as requested, by how old they are; without their errors, which are those of [`Group::live`] at most.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct LiveAges {
    /// Bytes of the young generation.
    pub young: f64,
    /// Of the middle one.
    pub middle: f64,
    /// Of the old one.
    pub old: f64,
    /// Of what was [frozen](crate::generation::freeze).
    pub permanent: f64,
    /// The age of the oldest block, in epochs.
    pub oldest: u64,
    /// The mean age of a byte, in epochs; 0 if nothing lives.
    pub mean: f64,
}

impl LiveAges {
    fn add(&mut self, snapshot: &Snapshot, row: &Row) {
        let (age, bytes) = (snapshot.age(row), row.live.bytes);
        *match snapshot.generation(row) {
            Some(Generation::Young) => &mut self.young,
            Some(Generation::Middle) => &mut self.middle,
            Some(Generation::Old) => &mut self.old,
            None => &mut self.permanent,
        } += bytes;
        self.oldest = self.oldest.max(age);
        let all = self.young + self.middle + self.old + self.permanent;
        // The mean as it goes (Welford, 1962). Blocks may have been requested with no bytes.
        self.mean += if all > 0.0 { (age as f64 - self.mean) * bytes / all } else { 0.0 };
    }
}

/// The groups of a snapshot, the largest first: what [`Snapshot::group_by`] gives.
///
/// Prints as a table of the first ten for people, 118 columns wide; of all with `{:#}`, and the stacks where there are
/// any.
#[derive(Clone, Debug, PartialEq)]
pub struct Groups {
    pub(super) by: By,
    pub(super) groups: Vec<Group>,
    /// What was cut off by `top`.
    pub(super) others: (usize, Sum),
    /// Whether `top` chose how many there are.
    pub(super) chosen: bool,
    pub(super) heading: Heading,
    pub(super) notes: Vec<String>,
}

/// What stands above a table.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Heading {
    pub(super) mode: Mode,
    /// What the table is made of, and all that is tracked.
    pub(super) total: Sum,
    pub(super) tracked: Sum,
    pub(super) untracked: Untracked,
    /// All live bytes, in whole blocks.
    pub(super) live: usize,
}

impl Heading {
    pub(super) fn new(snapshot: &Snapshot) -> Heading {
        let parts = &snapshot.parts;
        Heading {
            mode: parts.mode,
            total: parts.rows.iter().map(|r| r.live).sum(),
            tracked: parts.tracked,
            untracked: parts.untracked,
            live: parts.stats.live,
        }
    }
}

impl Snapshot {
    /// Sums the live blocks up by what they have in common, in order of their bytes.
    ///
    /// Looks up names as far as it needs them, which takes time at first: see [`Names`]. Allocates, untracked; the
    /// result belongs to the caller.
    pub fn group_by(&self, by: By, names: &mut dyn Names) -> Groups {
        crate::reading::untracked(|| {
            let keyed = Keyed::new(self, by, true, names);
            let mut groups = sums(self, &keyed);
            for (group, label) in groups.iter_mut().zip(keyed.labels) {
                (group.name, group.location, group.stack) = (label.name, label.location, label.stack);
            }
            groups.retain(|g| g.live.samples > 0 || g.allocated.is_some_and(|a| a.blocks > 0.0));
            names.finish();
            let mut all = Groups {
                by,
                groups,
                others: (0, Sum::default()),
                chosen: false,
                heading: Heading::new(self),
                notes: names.notes(),
            };
            all.sort(Value::LiveBytes);
            all
        })
    }

    /// The `n` lines of code that hold most: `group_by(By::Line, names).held().top(n)`.
    pub fn top(&self, n: usize, names: &mut dyn Names) -> Groups {
        self.group_by(By::Line, names).held().top(n)
    }

    /// Whether sites were left out.
    pub(super) fn is_filtered(&self) -> bool {
        self.parts.rows.iter().map(|r| r.live).sum::<Sum>().samples != self.parts.tracked.samples
    }
}

/// A group for each label, still without its names.
fn sums(snapshot: &Snapshot, keyed: &Keyed) -> Vec<Group> {
    let parts = &snapshot.parts;
    let totals = !keyed.sites.is_empty() || !keyed.tags.is_empty() && !snapshot.is_filtered();
    let none = totals.then(Sum::default);
    let group = || Group {
        name: String::new(),
        location: String::new(),
        stack: Vec::new(),
        live: Sum::default(),
        allocated: none,
        freed: none,
        sites: 0,
        ages: LiveAges::default(),
    };
    let mut groups: Vec<Group> = keyed.labels.iter().map(|_| group()).collect();
    let mut last_site = vec![None; groups.len()];
    for (row, &g) in parts.rows.iter().zip(&keyed.rows) {
        let group = &mut groups[g as usize];
        group.live += row.live;
        group.ages.add(snapshot, row);
        // Rows are in the order of sites.
        group.sites += usize::from(last_site[g as usize].replace(row.site) != Some(row.site));
    }
    if !keyed.sites.is_empty() {
        groups.iter_mut().for_each(|g| g.sites = 0);
    }
    let mut total = |g: u32, allocated: Sum, freed: Sum, sites: usize| {
        let group = &mut groups[g as usize];
        group.sites += sites;
        if let (Some(a), Some(f)) = (&mut group.allocated, &mut group.freed) {
            *a += allocated;
            *f += freed;
        }
    };
    parts.sites.iter().zip(&keyed.sites).for_each(|(s, &g)| total(g, s.allocated, s.freed, 1));
    parts.tags.iter().zip(&keyed.tags).for_each(|(t, &g)| total(g, t.allocated, t.freed, 0));
    groups
}

impl Groups {
    /// What the groups have in common.
    pub fn by(&self) -> By {
        self.by
    }

    /// The sum over all groups, also over those that [`top`](Groups::top) left out.
    pub fn total(&self) -> Sum {
        self.heading.total
    }

    /// How many groups [`top`](Groups::top) left out, and what lives of them.
    pub fn others(&self) -> (usize, Sum) {
        self.others
    }

    /// Why names are missing, and what to set; a sentence each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Without the groups that hold nothing.
    pub fn held(mut self) -> Groups {
        self.groups.retain(|group| group.live.samples > 0);
        self
    }

    /// Of each stack at most so many frames, the innermost, and how many more there are.
    pub fn innermost(mut self, frames: usize) -> Groups {
        for group in &mut self.groups {
            let more = group.stack.len().saturating_sub(frames);
            if more > 1 {
                group.stack.truncate(frames);
                group.stack.push(Frame::instead(&format!("(and {more} frames further out)")));
            }
        }
        self
    }

    /// In another order.
    pub fn order_by(mut self, order: Value) -> Groups {
        self.sort(order);
        self
    }

    /// The first `n`.
    pub fn top(mut self, n: usize) -> Groups {
        self.chosen = true;
        let n = n.min(self.groups.len());
        let rest = self.groups.drain(n..);
        self.others.0 += rest.len();
        self.others.1 += rest.map(|g| g.live).sum();
        self
    }

    fn sort(&mut self, order: Value) {
        let rank = |g: &Group| match order {
            Value::LiveBytes => g.live.bytes,
            Value::LiveBlocks => g.live.blocks,
            Value::AllocatedBytes => g.allocated.map_or(0.0, |a| a.bytes),
            Value::AllocatedBlocks => g.allocated.map_or(0.0, |a| a.blocks),
        };
        // By name where they are equal, so that two reports of the same read alike.
        let names = |a: &Group, b: &Group| a.name.cmp(&b.name).then_with(|| a.location.cmp(&b.location));
        self.groups.sort_by(|a, b| rank(b).total_cmp(&rank(a)).then_with(|| names(a, b)));
    }
}

impl Deref for Groups {
    type Target = [Group];
    fn deref(&self) -> &[Group] {
        &self.groups
    }
}
