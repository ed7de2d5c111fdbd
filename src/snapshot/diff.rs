//! What changed from one snapshot to another.

use super::group::Heading;
use super::keys::{Keyed, Label};
use super::{By, Difference, Frame, Names, Snapshot, Sum};
use std::collections::HashMap;
use std::ops::Deref;

/// How the live blocks of a group changed.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
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
    /// stated is too large rather than too small. Snapshots of two processes are independent: their errors are added in
    /// full.
    ///
    /// Looks up names and allocates, as [`group_by`](Snapshot::group_by) does.
    pub fn diff(&self, earlier: &Snapshot, by: By, names: &mut dyn Names) -> Diff {
        crate::reading::untracked(|| {
            let by_number = self.same_process(earlier);
            let (before, after) = (Keyed::new(earlier, by, by_number, names), Keyed::new(self, by, by_number, names));
            names.finish();
            diff(self, earlier, by, (after, before), names.notes())
        })
    }

    /// The same where each snapshot has names of its own: snapshots from files, of two processes or two builds of a program.
    /// What has the same name is the same: of two builds, [`By::Function`] says more than [`By::Line`], whose lines move.
    pub fn diff_of_two(
        &self,
        earlier: &Snapshot,
        by: By,
        names: &mut dyn Names,
        names_of_earlier: &mut dyn Names,
    ) -> Diff {
        crate::reading::untracked(|| {
            let by_number = self.same_process(earlier);
            let after = Keyed::new(self, by, by_number, names);
            let before = Keyed::new(earlier, by, by_number, names_of_earlier);
            names.finish();
            names_of_earlier.finish();
            let mut notes = names.notes();
            for note in names_of_earlier.notes() {
                if !notes.contains(&note) {
                    notes.push(note);
                }
            }
            diff(self, earlier, by, (after, before), notes)
        })
    }
}

/// What is known of a group in both snapshots.
#[derive(Clone, Default)]
struct Both {
    label: Label,
    earlier: Sum,
    later: Sum,
    /// The part that was born in epochs that were over at the first of the two snapshots.
    old_earlier: Sum,
    old_later: Sum,
}

fn diff(later: &Snapshot, earlier: &Snapshot, by: By, (after, before): (Keyed, Keyed), notes: Vec<String>) -> Diff {
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
    let one_process = later.same_process(earlier);
    let first = earlier.epoch().min(later.epoch());
    let step = later.epoch_step().max(earlier.epoch_step());
    let is_old = |epoch: u64| one_process && (epoch & !(step - 1)).saturating_add(step) <= first;
    for (row, &g) in later.rows().iter().zip(&after.rows) {
        let group = &mut groups[known[after.keys[g as usize].as_str()]];
        group.later += row.live;
        group.old_later += if is_old(row.epoch) { row.live } else { Sum::default() };
    }
    for (row, &g) in earlier.rows().iter().zip(&before.rows) {
        let group = &mut groups[known[before.keys[g as usize].as_str()]];
        group.earlier += row.live;
        group.old_earlier += if is_old(row.epoch) { row.live } else { Sum::default() };
    }
    let mut all = Both::default();
    for g in &groups {
        all.earlier += g.earlier;
        all.later += g.later;
        all.old_earlier += g.old_earlier;
        all.old_later += g.old_later;
    }
    // Whichever was asked for, one was taken first.
    let backward = one_process && later.parts.unix_nanos < earlier.parts.unix_nanos;
    let mut changes: Vec<Change> = groups.into_iter().map(|g| g.change(backward)).collect();
    changes.retain(|c| c.bytes.value != 0.0 || c.blocks.value != 0.0);
    let names_in_order = |a: &Change, b: &Change| a.name.cmp(&b.name).then_with(|| a.location.cmp(&b.location));
    changes.sort_by(|a, b| b.bytes.value.abs().total_cmp(&a.bytes.value.abs()).then_with(|| names_in_order(a, b)));
    let heading = Heading::new(later);
    Diff { by, changes, total: all.change(backward), others: (0, 0.0), heading, notes }
}

impl Both {
    fn change(self, backward: bool) -> Change {
        let Both { label, earlier, later, old_earlier, old_later } = self;
        let variance = |of: fn(&Sum) -> f64| {
            let (all, mut begin, mut end) = (of(&earlier) + of(&later), of(&old_earlier), of(&old_later));
            if backward {
                std::mem::swap(&mut begin, &mut end);
            }
            // In epochs that were over nothing was born since: what lives of them at the end is a part of what lived at
            // the beginning, and the difference is what died. If it is no part, one of the two was filtered.
            if end <= begin { all - 2.0 * end } else { all }
        };
        Change {
            bytes: Difference::new(later.bytes - earlier.bytes, variance(|s| s.bytes_variance)),
            blocks: Difference::new(later.blocks - earlier.blocks, variance(|s| s.blocks_variance)),
            name: label.name,
            location: label.location,
            stack: label.stack,
            earlier,
            later,
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

    /// How many groups [`top`](Diff::top) left out, and by how many bytes these changed.
    pub fn others(&self) -> (usize, f64) {
        self.others
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
