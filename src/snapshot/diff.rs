//! What changed from one snapshot to another.

use super::group::Heading;
use super::keys::{Keyed, Label};
use super::{By, Difference, Frame, Names, Snapshot, Sum};
use std::collections::HashMap;
use std::ops::Deref;

/// How the live blocks of a group changed.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Change {
    /// As in [`Group::name`](super::Group::name).
    pub name: String,
    /// As in [`Group::location`](super::Group::location).
    pub location: String,
    /// As in [`Group::stack`](super::Group::stack).
    pub stack: Vec<Frame>,
    /// Live bytes, as requested: later less earlier.
    pub bytes: Difference,
    /// Live blocks: later less earlier.
    pub blocks: Difference,
    /// What lived at the earlier snapshot.
    pub earlier: Sum,
    /// What lived at the later one.
    pub later: Sum,
}

/// The changes from one snapshot to another, the largest first, whether more or less: what [`Snapshot::diff`] gives.
///
/// Prints as a table like [`Groups`](super::Groups).
#[derive(Clone, Debug, PartialEq)]
pub struct Diff {
    pub(super) by: By,
    pub(super) changes: Vec<Change>,
    pub(super) total: Change,
    pub(super) others: (usize, f64),
    pub(super) heading: Heading,
    pub(super) notes: Vec<String>,
}

impl Snapshot {
    /// What changed since an earlier snapshot, by what blocks have in common, in order of the change in bytes.
    ///
    /// **Errors.** Of two snapshots of one process, a sampled block that lives in both is the same sample, and adds
    /// nothing to the error of the difference; what was born or died in between does. The blocks' epochs tell which are
    /// which, but for those born in the epoch of the earlier snapshot: they count as two samples, so that the error
    /// stated is too large rather than too small. Snapshots of two processes (which cannot be told by [`By::Site`]) are
    /// independent: their errors are added in full.
    ///
    /// Looks up names and allocates, as [`group_by`](Snapshot::group_by) does.
    pub fn diff(&self, earlier: &Snapshot, by: By, names: &mut dyn Names) -> Diff {
        crate::track::read::untracked(|| diff(self, earlier, by, names))
    }
}

#[derive(Default)]
struct Both {
    label: Label,
    earlier: Sum,
    later: Sum,
    /// Of the difference, in blocks and in bytes.
    variance: (f64, f64),
}

fn diff(later: &Snapshot, earlier: &Snapshot, by: By, names: &mut dyn Names) -> Diff {
    let one_process = later.parts.pid == earlier.parts.pid;
    let (before, after) = (Keyed::new(earlier, by, names), Keyed::new(later, by, names));
    let mut groups: Vec<Both> = Vec::new();
    let mut known = HashMap::new();
    for keyed in [&after, &before] {
        for (key, label) in keyed.keys.iter().zip(&keyed.labels) {
            known.entry(key.as_str()).or_insert_with(|| {
                groups.push(Both { label: label.clone(), ..Both::default() });
                groups.len() - 1
            });
        }
    }
    // In epochs that were over when the earlier snapshot was taken, nothing was born since: what lives of them later is
    // a part of what lived earlier, and the difference is what died.
    let then = earlier.epoch().min(later.epoch());
    let step = later.epoch_step().max(earlier.epoch_step());
    let over = |epoch: u64| one_process && (epoch & !(step - 1)).saturating_add(step) <= then;
    for (row, &g) in later.rows().iter().zip(&after.rows) {
        let group = &mut groups[known[after.keys[g as usize].as_str()]];
        group.later += row.live;
        let sign = if over(row.epoch) { -1.0 } else { 1.0 };
        group.variance.0 += sign * row.live.blocks_variance;
        group.variance.1 += sign * row.live.bytes_variance;
    }
    for (row, &g) in earlier.rows().iter().zip(&before.rows) {
        let group = &mut groups[known[before.keys[g as usize].as_str()]];
        group.earlier += row.live;
        group.variance.0 += row.live.blocks_variance;
        group.variance.1 += row.live.bytes_variance;
    }
    let mut all = Both { label: Label::default(), ..Both::default() };
    for g in &groups {
        all.earlier += g.earlier;
        all.later += g.later;
        all.variance = (all.variance.0 + g.variance.0, all.variance.1 + g.variance.1);
    }
    let mut changes: Vec<Change> = groups.into_iter().map(Both::change).collect();
    changes.retain(|c| c.bytes.value != 0.0 || c.blocks.value != 0.0);
    let names_in_order = |a: &Change, b: &Change| a.name.cmp(&b.name).then_with(|| a.location.cmp(&b.location));
    changes.sort_by(|a, b| b.bytes.value.abs().total_cmp(&a.bytes.value.abs()).then_with(|| names_in_order(a, b)));
    names.finish();
    Diff { by, changes, total: all.change(), others: (0, 0.0), heading: Heading::new(later), notes: names.notes() }
}

impl Both {
    fn change(self) -> Change {
        Change {
            name: self.label.name,
            location: self.label.location,
            stack: self.label.stack,
            bytes: Difference::new(self.later.bytes - self.earlier.bytes, self.variance.1),
            blocks: Difference::new(self.later.blocks - self.earlier.blocks, self.variance.0),
            earlier: self.earlier,
            later: self.later,
        }
    }
}

impl Diff {
    /// What the groups have in common.
    pub fn by(&self) -> By {
        self.by
    }

    /// The change of everything, also of what [`top`](Diff::top) left out; without a name.
    pub fn total(&self) -> &Change {
        &self.total
    }

    /// Why names are missing, and what to set; a sentence each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The `n` largest changes.
    pub fn top(mut self, n: usize) -> Diff {
        let n = n.min(self.changes.len());
        let rest = self.changes.drain(n..);
        self.others.0 += rest.len();
        self.others.1 += rest.map(|c| c.bytes.value).sum::<f64>();
        self
    }
}

impl Deref for Diff {
    type Target = [Change];
    fn deref(&self) -> &[Change] {
        &self.changes
    }
}
