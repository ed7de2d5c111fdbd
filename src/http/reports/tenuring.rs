//! How old the living are, and how old the dead became.

use super::super::answer::{Answer, Fault};
use super::super::call::Call;
use super::super::history;
use crate::snapshot::{TenuredGroup, Tenuring};
use serde::Serialize;

#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    tenuring: Tenuring,
    /// Where `by` is given.
    groups: Option<Vec<TenuredGroup>>,
    others: Others,
    notes: Vec<String>,
}

#[derive(Default, Serialize)]
struct Others {
    groups: usize,
    bytes: f64,
}

pub(in super::super) fn tenuring(call: &Call<'_>) -> Result<Answer, Fault> {
    let (by, rows) = (call.query.by()?, call.query.rows()?);
    call.report_of("Tenuring", |names| {
        let snapshot = crate::snapshot();
        let tenuring = snapshot.tenuring();
        history::note_ages(&tenuring);
        let mut text = tenuring.to_string();
        let mut report = Report { tenuring, groups: None, others: Others::default(), notes: Vec::new() };
        if let Some(by) = by {
            let groups = snapshot.tenuring_by(by, names).map(|groups| groups.top(rows)).ok_or_else(|| {
                Fault::bad("by is class: how old blocks became is not known by their size; ask by line, or by tag")
            })?;
            text += &format!("\n{groups}");
            let (left, sum) = groups.others();
            report.others = Others { groups: left, bytes: sum.bytes };
            report.notes = groups.notes().to_vec();
            report.groups = Some(groups.to_vec());
        }
        Ok((report, text))
    })
}
