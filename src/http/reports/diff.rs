//! What changed since the baseline.

use super::super::answer::{Answer, Fault, JSON};
use super::super::baseline::{self, Kept};
use super::super::call::Call;
use super::{Estimated, ms};
use crate::snapshot::{By, Change};
use http::StatusCode;
use serde::Serialize;
use std::sync::Arc;

#[derive(Serialize)]
struct Table {
    time_ms: u64,
    baseline_ms: u64,
    total: Row,
    groups: Vec<Row>,
    others: Others,
    notes: Vec<String>,
}

#[derive(Serialize)]
struct Row {
    name: String,
    location: String,
    change_bytes: Estimated,
    change_blocks: Estimated,
    to: Estimated,
}

#[derive(Serialize)]
struct Others {
    groups: usize,
    change_bytes: f64,
}

/// What is kept from now on.
#[derive(Serialize)]
struct Baseline {
    time_ms: u64,
    tracked_bytes: f64,
}

pub(in super::super) fn keep_baseline(call: &Call<'_>) -> Result<Answer, Fault> {
    call.report_of("Baseline", |_| {
        let snapshot = crate::snapshot();
        let kept = Baseline { time_ms: ms(snapshot.time()), tracked_bytes: snapshot.tracked().bytes };
        baseline::keep(&call.inner.baseline, Kept { time_ms: kept.time_ms, snapshot: Arc::new(snapshot) });
        Ok((kept, "kept: GET diff compares with it\n".into()))
    })
}

pub(in super::super) fn forget_baseline(call: &Call<'_>) -> Result<Answer, Fault> {
    baseline::forget(&call.inner.baseline);
    Ok(Answer { status: StatusCode::NO_CONTENT, ..Answer::new(JSON, Vec::new()) })
}

pub(in super::super) fn diff(call: &Call<'_>) -> Result<Answer, Fault> {
    let by = call.query.by()?.unwrap_or(By::Line);
    let rows = call.query.rows()?;
    let earlier = baseline::get(&call.inner.baseline).ok_or_else(baseline::none)?;
    call.report_of("What changed", |names| {
        let snapshot = crate::snapshot();
        let diff = snapshot.diff(&earlier.snapshot, by, names).top(rows);
        let (groups, change_bytes) = diff.others();
        let table = Table {
            time_ms: ms(snapshot.time()),
            baseline_ms: earlier.time_ms,
            total: row(diff.total()),
            groups: diff.iter().map(row).collect(),
            others: Others { groups, change_bytes },
            notes: diff.notes().to_vec(),
        };
        Ok((table, format!("{diff:#}")))
    })
}

fn row(change: &Change) -> Row {
    Row {
        name: change.name.clone(),
        location: change.location.clone(),
        change_bytes: change.bytes.into(),
        change_blocks: change.blocks.into(),
        to: change.later.bytes().into(),
    }
}
