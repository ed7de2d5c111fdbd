//! Why resident memory does not fall.

use super::super::answer::{Answer, Fault};
use super::super::call::Call;
use crate::config::Mode;
use crate::snapshot::{ClassPages, Frame, Kept, Pages, RetentionReport, Survivors, Together};
use serde::Serialize;

#[derive(Serialize)]
struct Report<'a> {
    mode: Mode,
    resident: usize,
    live: usize,
    committed: usize,
    due: usize,
    pages: Pages,
    classes: &'a [ClassPages],
    survivors: Vec<Row<'a>>,
    others: Others,
    untracked: Kept,
    samples: Kept,
    costliest: Together,
    notes: &'a [String],
}

#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    location: String,
    tag: &'a str,
    smallest: usize,
    largest: usize,
    requested: u64,
    kept: Kept,
    comes_back: usize,
}

#[derive(Serialize)]
struct Others {
    survivors: usize,
    kept: usize,
}

pub(in super::super) fn retention(call: &Call<'_>) -> Result<Answer, Fault> {
    call.job(|names| {
        let report = crate::retention().report(names);
        call.report("Retention", &json(&report), || report.to_string())
    })
}

fn json(report: &RetentionReport) -> Report<'_> {
    let retention = report.retention();
    let (first, rest) = retention.survivors.split_at(report.lines().len());
    Report {
        mode: retention.mode,
        resident: retention.stats.resident,
        live: retention.stats.live,
        committed: retention.stats.committed,
        due: retention.stats.due,
        pages: retention.pages,
        classes: &retention.classes,
        survivors: first.iter().zip(report.lines()).map(|(survivors, line)| row(survivors, line)).collect(),
        others: Others { survivors: rest.len(), kept: rest.iter().map(|row| row.keep.kept).sum() },
        untracked: retention.untracked,
        samples: retention.samples,
        costliest: retention.costliest,
        notes: report.notes(),
    }
}

fn row<'a>(survivors: &'a Survivors, line: &'a Frame) -> Row<'a> {
    Row {
        name: &line.function,
        location: line.location(),
        tag: &survivors.tag_name,
        smallest: survivors.smallest,
        largest: survivors.largest,
        requested: survivors.requested,
        kept: survivors.keep,
        comes_back: survivors.comes_back,
    }
}
