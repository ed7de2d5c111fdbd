//! What the allocator knows, as JSON and as text. `docs/http.schema.json` has the shapes.

mod diff;
mod groups;
mod live;
mod retention;
mod routes;
mod snapshot;
mod suspects;
mod tenuring;

pub(super) use diff::{diff, forget_baseline, keep_baseline};
pub(super) use groups::groups;
pub(super) use live::live;
pub(super) use retention::retention;
pub(super) use routes::routes;
pub(super) use snapshot::snapshot;
pub(super) use suspects::suspects;
pub(super) use tenuring::tenuring;

use super::answer::{Answer, Fault};
use super::call::Call;
use super::query::Query;
use crate::snapshot::{By, Difference, Estimate, Filter, Frame, Names, NoWord, Snapshot, Value};
use crate::symbols::Symbols;
use serde::Serialize;
use std::time::{SystemTime, UNIX_EPOCH};

/// Between the limits of an estimate, the truth lies with this probability.
const CONFIDENCE: f64 = 0.95;
/// Rows of a table, unless another number is asked for.
const ROWS: u64 = 20;
const MOST_ROWS: u64 = 1000;
/// Bytes of a glob.
const LONGEST_FILTER: usize = 256;

pub(super) fn stats(call: &Call<'_>) -> Result<Answer, Fault> {
    let stats = crate::stats();
    Ok(call.report("Statistics", &stats, || format!("{stats:#}")))
}

pub(super) fn figures(call: &Call<'_>) -> Result<Answer, Fault> {
    let figures = call.inner.read_figures();
    let json = serde_json::json!({ "figures": figures.all, "notes": figures.notes });
    Ok(call.report("The program's own figures", &json, || {
        let figure = |f: &super::figures::Figure| format!("{:<40} {:>20}  {}\n", f.name, f.value, f.help);
        let notes = figures.notes.iter().map(|note| format!("note: {note}\n"));
        figures.all.iter().map(figure).chain(notes).collect()
    }))
}

/// An estimate and its limits; where nothing was estimated, three times the same.
#[derive(Serialize)]
struct Estimated {
    value: f64,
    low: f64,
    high: f64,
    exact: bool,
}

impl From<Estimate> for Estimated {
    fn from(estimate: Estimate) -> Estimated {
        let (low, high) = estimate.interval(CONFIDENCE);
        Estimated { value: estimate.value, low, high, exact: estimate.is_exact() }
    }
}

impl From<Difference> for Estimated {
    fn from(difference: Difference) -> Estimated {
        let (low, high) = difference.interval(CONFIDENCE);
        Estimated { value: difference.value, low, high, exact: difference.is_exact() }
    }
}

/// A frame as the page shows it.
#[derive(Serialize)]
struct Shown {
    function: String,
    location: String,
}

impl From<&Frame> for Shown {
    fn from(frame: &Frame) -> Shown {
        Shown { function: frame.function.to_string(), location: frame.location() }
    }
}

/// The frames of a stack, leaf first, as reports show them.
fn stack(snapshot: &Snapshot, addresses: &[u64], names: &mut Symbols) -> Vec<Shown> {
    let frames: Vec<Frame> = addresses.iter().flat_map(|&a| names.frames(&snapshot.place(a)).to_vec()).collect();
    crate::snapshot::trimmed(&frames).iter().map(Shown::from).collect()
}

impl Query {
    /// `by=`. A size class is called so here, and `size` in the library.
    fn by(&self) -> Result<Option<By>, Fault> {
        match self.text("by") {
            Some("class") => Ok(Some(By::SizeClass)),
            _ => self.word("by"),
        }
    }

    fn rows(&self) -> Result<usize, Fault> {
        Ok(self.number("n", 1..=MOST_ROWS)?.unwrap_or(ROWS) as usize)
    }

    /// `live_bytes` as well as `live-bytes`.
    pub(super) fn value(&self, name: &str) -> Result<Value, Fault> {
        Ok(self.word::<Underscored>(name)?.map_or(Value::default(), |value| value.0))
    }

    fn filter(&self) -> Result<Option<Filter>, Fault> {
        match self.text("filter") {
            None | Some("") => Ok(None),
            Some(glob) if glob.len() > LONGEST_FILTER => {
                Err(Fault::bad(format!("filter is longer than {LONGEST_FILTER} bytes: write a shorter glob")))
            }
            Some(glob) => Ok(Some(Filter::new().include(glob))),
        }
    }
}

/// A value by its word, with underscores or hyphens.
struct Underscored(Value);

impl std::str::FromStr for Underscored {
    type Err = NoWord;
    fn from_str(text: &str) -> Result<Underscored, NoWord> {
        text.replace('_', "-").parse().map(Underscored)
    }
}

/// Milliseconds since 1970, as scripts count them.
fn ms(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
