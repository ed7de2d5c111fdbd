//! Who will not let go, and what speaks against them.

use super::super::answer::{Answer, Fault};
use super::super::call::Call;
use super::{Shown, stack};
use crate::snapshot::{Culprit, Frame, Snapshot, Suspect};
use crate::symbols::Symbols;
use serde::Serialize;

#[derive(Serialize)]
struct Report {
    suspects: Vec<Row>,
    left_out: u64,
    notes: Vec<String>,
    /// Why there are none.
    waits: Option<String>,
}

#[derive(Serialize)]
struct Row {
    name: String,
    location: String,
    kind: &'static str,
    old_bytes: f64,
    old_bytes_error: f64,
    per_minute: f64,
    per_epoch: f64,
    growing_for_s: f64,
    collections: u32,
    sure: f64,
    stack: Vec<Shown>,
}

pub(in super::super) fn suspects(call: &Call<'_>) -> Result<Answer, Fault> {
    call.report_of("Suspects", |names| {
        let snapshot = crate::snapshot();
        let named = snapshot.suspects_named(names);
        let text = named.to_string();
        let suspects: Vec<Row> = named.iter().map(|(suspect, frame)| row(&snapshot, suspect, frame, names)).collect();
        let report = Report {
            left_out: snapshot.parts.suspects_left_out,
            notes: named.notes().to_vec(),
            waits: suspects.is_empty().then(|| text.split_whitespace().collect::<Vec<_>>().join(" ")),
            suspects,
        };
        Ok((report, text))
    })
}

fn row(snapshot: &Snapshot, suspect: &Suspect, frame: &Frame, names: &mut Symbols) -> Row {
    let (kind, name, stack) = match suspect.culprit {
        Culprit::Site(number) => {
            let addresses = snapshot.site(number).map_or(&[][..], |site| &site.stack);
            ("line", frame.function.to_string(), stack(snapshot, addresses, names))
        }
        Culprit::Tag(number) => {
            ("tag", snapshot.tag(number).map_or("(other)", |tag| &tag.name).to_string(), Vec::new())
        }
    };
    Row {
        name,
        location: frame.location(),
        kind,
        old_bytes: suspect.old_bytes,
        old_bytes_error: suspect.old_bytes_error,
        per_minute: suspect.bytes_per_minute,
        per_epoch: suspect.bytes_per_epoch,
        growing_for_s: snapshot.parts.unix_nanos.saturating_sub(suspect.since_unix_nanos) as f64 / 1e9,
        collections: suspect.collections,
        sure: suspect.confidence,
        stack,
    }
}
