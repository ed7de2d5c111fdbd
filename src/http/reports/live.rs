//! What the page asks for each second: no snapshot, some ten microseconds.

use super::super::answer::{Answer, Fault};
use super::super::call::Call;
use super::super::endpoints::Link;
use super::super::{baseline, exact, history};
use crate::config::{Mode, Thresholds};
use crate::generation::{self, Counts, GenerationStats};
use crate::generation::{clock, collector};
use crate::stats::Stats;
use crate::units::Bytes;
use serde::Serialize;
use std::time::SystemTime;

/// Collections that are told of.
const COLLECTIONS: usize = 20;

#[derive(Serialize)]
struct Live {
    time_ms: u64,
    began_ms: u64,
    pid: u32,
    stats: Stats,
    mode: Mode,
    exact_ends_in_s: Option<f64>,
    generations: Generations,
    suspects: usize,
    /// The last ones, oldest first.
    collections: Vec<history::Mark>,
    may_change: bool,
    baseline_ms: Option<u64>,
    links: Vec<Link>,
}

#[derive(Serialize)]
struct Generations {
    counts: Counts,
    stats: [GenerationStats; 3],
    thresholds: Thresholds,
}

pub(in super::super) fn live(call: &Call<'_>) -> Result<Answer, Fault> {
    let stats = crate::stats();
    history::note(&stats);
    let live = Live {
        time_ms: super::ms(SystemTime::now()),
        began_ms: clock::began() / 1_000_000,
        pid: std::process::id(),
        stats,
        exact_ends_in_s: exact::ends_in(),
        mode: crate::mode(),
        generations: Generations {
            counts: generation::counts(),
            stats: generation::stats(),
            thresholds: generation::thresholds(),
        },
        suspects: collector::suspects().iter().count(),
        collections: history::recent(COLLECTIONS),
        may_change: call.inner.may_change(),
        baseline_ms: baseline::time_of(&call.inner.baseline),
        links: call.inner.links(),
    };
    Ok(call.report("Live", &live, || {
        let Stats { live: bytes, committed, resident, .. } = live.stats;
        let [bytes, committed, resident] = [bytes, committed, resident].map(Bytes);
        format!("live {bytes}, committed {committed}, resident {resident}; {}; {} suspects\n", live.mode, live.suspects)
    }))
}
