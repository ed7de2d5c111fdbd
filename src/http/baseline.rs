//! The one snapshot that is kept to compare with.

use super::answer::Fault;
use crate::snapshot::Snapshot;
use http::StatusCode;
use std::sync::{Arc, Mutex, PoisonError};

/// A snapshot and when it was taken.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) time_ms: u64,
    pub(super) snapshot: Arc<Snapshot>,
}

pub(super) type Baseline = Mutex<Option<Kept>>;

pub(super) fn keep(baseline: &Baseline, kept: Kept) {
    // What was kept before may be large: it goes when the lock is free again.
    let _before = baseline.lock().unwrap_or_else(PoisonError::into_inner).replace(kept);
}

pub(super) fn forget(baseline: &Baseline) {
    let _before = baseline.lock().unwrap_or_else(PoisonError::into_inner).take();
}

pub(super) fn get(baseline: &Baseline) -> Option<Kept> {
    baseline.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

pub(super) fn time_of(baseline: &Baseline) -> Option<u64> {
    baseline.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|kept| kept.time_ms)
}

/// What whoever wants to compare is told if there is none.
pub(super) fn none() -> Fault {
    Fault::new(StatusCode::CONFLICT, "there is no baseline to compare with: POST to /debug/tenure/baseline first")
}
