//! What is known of one route.

use super::histogram::{Counts, Histogram};
use crate::Tag;
use crate::reading::untracked;
use crate::track::watch::Totals;
use serde::Serialize;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Relaxed throughout: counts, which say nothing of each other.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: Box<str>,
    pub(super) tag: Tag,
    requests: AtomicU64,
    not_measured: AtomicU64,
    allocated: Histogram,
    peak: Histogram,
    left: Histogram,
}

/// What a route has done so far.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct RouteRow {
    pub(crate) route: Box<str>,
    /// What its blocks are tagged with: of that name, unless there were no tags left.
    #[serde(skip)]
    pub(crate) tag: Tag,
    /// Requests that have begun.
    pub(crate) requests: u64,
    /// Those that ran exact, and are over.
    pub(crate) exact: u64,
    /// Those that were to run exact, but could not.
    pub(crate) not_measured: u64,
    /// Bytes that an exact request has allocated, from its beginning to the end of its response.
    pub(crate) allocated_bytes: Distribution,
    /// The most that it held at once.
    pub(crate) peak_bytes: Distribution,
    /// What of them was live when its response was over, and its server had a moment to write it.
    pub(crate) left_bytes: Distribution,
}

/// Of a size, over requests. Quantiles are estimates, within a factor of four.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Distribution {
    pub(crate) mean: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) max: u64,
    #[serde(skip)]
    pub(crate) counts: Counts,
}

impl From<Counts> for Distribution {
    fn from(counts: Counts) -> Distribution {
        let (p50, p99) = (counts.quantile(0.5), counts.quantile(0.99));
        Distribution { mean: counts.mean(), p50, p99, max: counts.max, counts }
    }
}

impl Row {
    pub(super) fn new(name: &str) -> Row {
        let name = untracked(|| Box::from(name));
        let (tag, count) = (Tag::new(&name), AtomicU64::default);
        let (allocated, peak, left) = Default::default();
        Row { name, tag, requests: count(), not_measured: count(), allocated, peak, left }
    }

    pub(super) fn request(&self) {
        self.requests.fetch_add(1, Relaxed);
    }

    pub(super) fn not_measured(&self) {
        self.not_measured.fetch_add(1, Relaxed);
    }

    /// An exact request is over.
    pub(super) fn measured(&self, totals: &Totals) {
        self.allocated.count(totals.allocated.bytes);
        self.peak.count(totals.peak.bytes);
        self.left.count(totals.live.bytes);
    }

    /// Allocates.
    pub(super) fn read(&self) -> RouteRow {
        let left = self.left.counts();
        RouteRow {
            route: self.name.clone(),
            tag: self.tag,
            requests: self.requests.load(Relaxed),
            exact: left.count(),
            not_measured: self.not_measured.load(Relaxed),
            allocated_bytes: self.allocated.counts().into(),
            peak_bytes: self.peak.counts().into(),
            left_bytes: left.into(),
        }
    }
}
