//! Live blocks by what they have in common.

use super::super::answer::{Answer, Fault};
use super::super::call::Call;
use super::{Estimated, Shown, ms};
use crate::config::Mode;
use crate::snapshot::{By, Group, Groups, Snapshot};
use serde::Serialize;

#[derive(Serialize)]
struct Table {
    mode: Mode,
    epoch: u64,
    time_ms: u64,
    total: Total,
    groups: Vec<Row>,
    others: Others,
    notes: Vec<String>,
}

#[derive(Serialize)]
struct Total {
    bytes: Estimated,
    blocks: Estimated,
}

#[derive(Serialize)]
struct Others {
    groups: usize,
    bytes: f64,
}

#[derive(Serialize)]
struct Row {
    name: String,
    location: String,
    live_bytes: Estimated,
    live_blocks: Estimated,
    allocated_bytes: Option<f64>,
    allocated_blocks: Option<f64>,
    age_epochs: Age,
    young: f64,
    middle: f64,
    old: f64,
    permanent: f64,
    /// Of call stacks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stack: Vec<Shown>,
}

#[derive(Serialize)]
struct Age {
    mean: f64,
    oldest: u64,
}

pub(in super::super) fn groups(call: &Call<'_>) -> Result<Answer, Fault> {
    let by = call.query.by()?.unwrap_or(By::Line);
    let (rows, order, filter) = (call.query.rows()?, call.query.value("order")?, call.query.filter()?);
    call.report_of("What is held", |names| {
        let mut snapshot = crate::snapshot();
        if let Some(filter) = filter {
            snapshot = snapshot.filter(&filter, names);
        }
        let all = snapshot.group_by(by, names).order_by(order);
        let groups = if order.is_live() { all.held() } else { all }.top(rows);
        let text = groups.to_string();
        Ok((table(&snapshot, &groups), text))
    })
}

fn table(snapshot: &Snapshot, groups: &Groups) -> Table {
    let (total, others) = (groups.total(), groups.others());
    Table {
        mode: snapshot.mode(),
        epoch: snapshot.epoch(),
        time_ms: ms(snapshot.time()),
        total: Total { bytes: total.bytes().into(), blocks: total.blocks().into() },
        groups: groups.iter().map(|group| row(group, matches!(groups.by(), By::Site | By::Folded))).collect(),
        others: Others { groups: others.0, bytes: others.1.bytes },
        notes: groups.notes().to_vec(),
    }
}

fn row(group: &Group, with_stack: bool) -> Row {
    let ages = group.ages;
    Row {
        name: group.name.clone(),
        location: group.location.clone(),
        live_bytes: group.live.bytes().into(),
        live_blocks: group.live.blocks().into(),
        allocated_bytes: group.allocated.map(|sum| sum.bytes),
        allocated_blocks: group.allocated.map(|sum| sum.blocks),
        age_epochs: Age { mean: ages.mean, oldest: ages.oldest },
        young: ages.young,
        middle: ages.middle,
        old: ages.old,
        permanent: ages.permanent,
        stack: if with_stack { group.stack.iter().map(Shown::from).collect() } else { Vec::new() },
    }
}
