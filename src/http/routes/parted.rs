//! Requests that are over, until it is known what they have left.
//!
//! When a response's body has been taken, the server still writes what it took: to count what lives at that moment would put
//! the server's buffers down to the route. So a request's watch stays open until the next exact request ends a tenth of a second
//! later, or somebody reads the statistics.

use super::table::Table;
use crate::reading::untracked;
use crate::scope::watch::Watching;
use crate::track::watch::Totals;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, TryLockError};
use std::time::{Duration, Instant};

/// Longer than a server needs to write what it has taken; slow clients are left alone.
const WAITS: Duration = Duration::from_millis(100);
/// Of more, the first is asked at once.
const MOST: usize = 64;

/// A request that is over.
pub(super) struct Parted {
    pub(super) watching: Watching,
    pub(super) row: usize,
    pub(super) at: Instant,
    /// What it had done then: what it has spawned may go on.
    pub(super) done: Totals,
}

/// In the order in which they ended. Invariant: at most [`MOST`].
#[derive(Default)]
pub(super) struct Waiting(Mutex<VecDeque<Parted>>);

impl Waiting {
    pub(super) fn put(&self, parted: Parted, table: &Table) {
        // Who has it may be a thread that a fork has not taken along.
        let Some(mut waiting) = self.try_lock() else { return settle(Some(parted), table) };
        let now = parted.at;
        let room = MOST - waiting.len();
        untracked(|| waiting.reserve_exact(room));
        while waiting.front().is_some_and(|first| now.saturating_duration_since(first.at) >= WAITS)
            || waiting.len() == MOST
        {
            settle(waiting.pop_front(), table);
        }
        waiting.push_back(parted);
    }

    /// Nobody waits any longer.
    pub(super) fn settle(&self, table: &Table) {
        let Some(mut waiting) = self.try_lock() else { return };
        while !waiting.is_empty() {
            settle(waiting.pop_front(), table);
        }
    }

    fn try_lock(&self) -> Option<MutexGuard<'_, VecDeque<Parted>>> {
        match self.0.try_lock() {
            Ok(waiting) => Some(waiting),
            Err(TryLockError::Poisoned(waiting)) => Some(waiting.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

fn settle(parted: Option<Parted>, table: &Table) {
    if let Some(Parted { watching, row, done, .. }) = parted {
        watching.close();
        table.row(row).measured(&Totals { live: watching.totals().live, ..done });
    }
}
