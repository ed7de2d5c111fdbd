//! Folded stacks, a line each, as flame graphs of all makers take them.

use super::Value;
use super::rounded::Rounded;
use super::stacks::{Stacks, Texts, harmless};
use crate::reading::untracked;
use crate::snapshot::{Names, Snapshot};
use std::collections::HashMap;
use std::fmt::Write;

/// Folded stacks: `outermost;...;innermost 123`, a line for each stack, in order.
///
/// Every frame is there, inlined ones as frames of their own, by the function's name. What has the same names is one
/// line. Within a name, `;` becomes `:` and a control character `?`. What is estimated is rounded so that the sum over
/// any run of lines is off by less than 1; a stack that comes out at 0 is left out.
///
/// [Filter](Snapshot::filter) the snapshot first to see a part of it.
///
/// Looks up the names of all frames, each address once: see [`Names`]. Allocates, untracked, some 100 bytes for each
/// site and address beyond what it gives.
pub fn folded(snapshot: &Snapshot, names: &mut dyn Names, value: Value) -> String {
    untracked(|| {
        let mut merged = Merged::default();
        merged.add(snapshot, names, value, 0, |_, stack| stack);
        names.finish();
        let mut round = Rounded::default();
        let mut out = String::new();
        merged.in_order(|stack, [value, _]| {
            let count = round.next(value);
            if count > 0 {
                // Writing to a text does not fail.
                let _ = writeln!(out, "{stack} {count}");
            }
        });
        out
    })
}

/// Stacks with the same names, outermost first, and what each of up to two snapshots has of them.
#[derive(Default)]
pub(super) struct Merged {
    texts: Texts,
    values: HashMap<Vec<u32>, [f64; 2]>,
}

impl Merged {
    /// Adds all stacks of a snapshot, each as `shown` leaves it, which gets them leaf first.
    pub(super) fn add(
        &mut self,
        snapshot: &Snapshot,
        names: &mut dyn Names,
        value: Value,
        which: usize,
        mut shown: impl FnMut(&Texts, Vec<u32>) -> Vec<u32>,
    ) {
        let mut stacks = Stacks::new(snapshot, names, harmless);
        for site in snapshot.sites() {
            let amount = value.of(site);
            if amount > 0.0 {
                let stack = stacks.of(site, &mut self.texts);
                let mut stack = shown(&self.texts, stack);
                stack.reverse();
                self.values.entry(stack).or_default()[which] += amount;
            }
        }
    }

    /// The sum over all stacks, of each what the snapshot has that has more.
    #[cfg(feature = "flamegraph")]
    pub(super) fn most(&self) -> f64 {
        self.values.values().map(|[a, b]| a.max(*b)).sum()
    }

    /// Hands out the stacks in the order of their frames, so that what begins alike stands together.
    pub(super) fn in_order(self, mut each: impl FnMut(&str, [f64; 2])) {
        let texts = self.texts.all();
        let mut by_text: Vec<u32> = (0..texts.len() as u32).collect();
        by_text.sort_unstable_by_key(|&number| &texts[number as usize]);
        let mut rank = vec![0u32; texts.len()];
        by_text.iter().enumerate().for_each(|(i, &number)| rank[number as usize] = i as u32);
        let mut all: Vec<_> = self.values.into_iter().collect();
        all.sort_unstable_by(|(a, _), (b, _)| {
            a.iter().map(|&f| rank[f as usize]).cmp(b.iter().map(|&f| rank[f as usize]))
        });
        let mut line = String::new();
        for (stack, values) in all {
            line.clear();
            for (i, &frame) in stack.iter().enumerate() {
                line.push_str(if i == 0 { "" } else { ";" });
                line.push_str(&texts[frame as usize]);
            }
            each(&line, values);
        }
    }
}

#[cfg(test)]
mod tests;
