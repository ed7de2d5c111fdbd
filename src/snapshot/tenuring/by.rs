//! The same for what blocks have in common.

use super::{Dead, Tenuring};
use crate::snapshot::keys::Keyed;
use crate::snapshot::{By, Lifetimes, Mode, Names, Row, Snapshot, Sum};
use std::ops::Deref;

/// Blocks that have something in common, and how old they are and became.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct TenuredGroup {
    /// What they have in common, as [`Group::name`](crate::snapshot::Group::name).
    pub name: String,
    /// `file:line`, as [`Group::location`](crate::snapshot::Group::location).
    pub location: String,
    /// How old they are and became.
    pub tenuring: Tenuring,
}

/// What [`Snapshot::tenuring_by`] gives, in order of the live bytes that are not young.
///
/// Prints as a table of the first ten for people, 118 columns wide; of all with `{:#}`.
#[derive(Clone, Debug, PartialEq)]
pub struct TenuringGroups {
    by: By,
    groups: Vec<TenuredGroup>,
    /// How many `top` left out, and what lives of them.
    others: (usize, Sum),
    chosen: bool,
    mode: Mode,
    notes: Vec<String>,
}

impl Snapshot {
    /// How old blocks are and became, by what they have in common. `None` where that is not known of the dead: by size, and by
    /// tag of a [filtered](Snapshot::filter) snapshot.
    ///
    /// Looks up names as far as it needs them: see [`Names`]. Allocates, untracked, some KiB a group.
    pub fn tenuring_by(&self, by: By, names: &mut dyn Names) -> Option<TenuringGroups> {
        if by == By::SizeClass || by == By::Tag && self.is_filtered() {
            return None;
        }
        Some(crate::reading::untracked(|| {
            let keyed = Keyed::new(self, by, true, names);
            names.finish();
            self.tenured(by, keyed, names.notes())
        }))
    }

    fn tenured(&self, by: By, keyed: Keyed, notes: Vec<String>) -> TenuringGroups {
        let parts = &self.parts;
        let mut dead = vec![Dead::default(); keyed.labels.len()];
        let mut add = |g: u32, freed: &Sum, lifetimes: &Lifetimes| dead[g as usize].add(freed, lifetimes);
        parts.sites.iter().zip(&keyed.sites).for_each(|(s, &g)| add(g, &s.freed, &s.lifetimes));
        parts.tags.iter().zip(&keyed.tags).for_each(|(t, &g)| add(g, &t.freed, &t.lifetimes));
        let mut rows: Vec<(u32, &Row)> = keyed.rows.iter().copied().zip(&parts.rows).collect();
        rows.sort_by_key(|row| row.0);
        let mut rows = &rows[..];
        let mut groups = Vec::with_capacity(dead.len());
        for ((g, dead), label) in (0..).zip(&dead).zip(keyed.labels) {
            let own = rows.split_off(..rows.partition_point(|row| row.0 == g)).unwrap_or(&[]);
            let tenuring = Tenuring::new(self, own.iter().map(|row| row.1), dead);
            if tenuring.young.reached.blocks > 0.0 || tenuring.died_at_unknown_age.blocks > 0.0 {
                groups.push(TenuredGroup { name: label.name, location: label.location, tenuring });
            }
        }
        let aged = |g: &TenuredGroup| g.tenuring.middle.live.bytes + g.tenuring.old.live.bytes;
        let rank = |g: &TenuredGroup| (aged(g), g.tenuring.live().bytes);
        groups.sort_by(|a, b| {
            let names = || (&a.name, &a.location).cmp(&(&b.name, &b.location));
            let (x, y) = (rank(a), rank(b));
            y.0.total_cmp(&x.0).then_with(|| y.1.total_cmp(&x.1)).then_with(names)
        });
        TenuringGroups { by, groups, others: (0, Sum::default()), chosen: false, mode: parts.mode, notes }
    }
}

impl TenuringGroups {
    /// What the groups have in common.
    pub fn by(&self) -> By {
        self.by
    }

    /// How many groups [`top`](TenuringGroups::top) left out, and what lives of them.
    pub fn others(&self) -> (usize, Sum) {
        self.others
    }

    /// Why names are missing, and what to set; a sentence each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The first `n`.
    pub fn top(mut self, n: usize) -> TenuringGroups {
        self.chosen = true;
        let rest = self.groups.drain(n.min(self.groups.len())..);
        self.others.0 += rest.len();
        self.others.1 += rest.map(|g| g.tenuring.live()).sum();
        self
    }

    pub(super) fn mode(&self) -> Mode {
        self.mode
    }

    pub(super) fn is_chosen(&self) -> bool {
        self.chosen
    }
}

impl Deref for TenuringGroups {
    type Target = [TenuredGroup];
    fn deref(&self) -> &[TenuredGroup] {
        &self.groups
    }
}
