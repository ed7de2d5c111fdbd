//! One small block that stays, in each page: little is held, and the memory of all that has gone cannot be given back.

use super::{About, Lesson};
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

static ABOUT: About = About {
    name: "pinned",
    title: "Small blocks that pin their pages",
    what: "A burst allocates many entries, and one in a hundred stays when the others go: each keeps a page for itself.",
    right: "What stays is copied side by side, and keeps no more than it needs.",
    seen: "Audit entries, sessions and metrics that are made in the middle of a burst; strings kept from parsed input.",
    look: "Retention: survivors keep many times their own bytes, and the line of leak() comes first. No suspect: the same \
           number of entries is held all the time.",
    pause: Duration::from_secs(2),
    exact: true,
};

/// Of a burst.
const ENTRIES: usize = 80_000;
/// One in so many stays: with 240 bytes each, one in six OS pages of 4 KiB has one.
const KEPT: usize = 100;
/// Bursts whose entries are held; those before are forgotten.
const BURSTS: usize = 4;

type Text = [u8; 240];

/// A block of its own.
struct Entry(Box<Text>);

#[derive(Default)]
pub(super) struct Pinned {
    scattered: Mutex<VecDeque<Vec<Entry>>>,
    together: Mutex<VecDeque<Vec<Text>>>,
}

impl Lesson for Pinned {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn leak(&self) {
        let mut entries = Vec::new();
        for _ in 0..ENTRIES {
            entries.push(Entry(Box::new([1; 240])));
        }
        let mut number = 0;
        entries.retain(|_| {
            number += 1;
            number % KEPT == 0
        });
        entries.shrink_to_fit();
        keep(&self.scattered, entries);
    }

    fn right(&self) {
        let mut entries = Vec::new();
        for _ in 0..ENTRIES {
            entries.push(Entry(Box::new([2; 240])));
        }
        let copied = entries.iter().step_by(KEPT).map(|entry| *entry.0).collect();
        drop(entries);
        keep(&self.together, copied);
    }

    fn held(&self) -> usize {
        self.scattered.lock().unwrap_or_else(PoisonError::into_inner).iter().map(Vec::len).sum()
    }

    fn free(&self) {
        self.scattered.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.together.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

fn keep<T>(bursts: &Mutex<VecDeque<T>>, burst: T) {
    let mut bursts = bursts.lock().unwrap_or_else(PoisonError::into_inner);
    bursts.push_back(burst);
    if bursts.len() > BURSTS {
        bursts.pop_front();
    }
}
