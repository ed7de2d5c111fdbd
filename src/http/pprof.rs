//! Profiles as Go's `net/http/pprof` serves them: <https://pkg.go.dev/net/http/pprof>.

use super::answer::{Answer, Fault, HTML, TEXT, page};
use super::call::{Call, Format};
use crate::export::{Shown, pprof_with};
use crate::generation::{Generation, collect};
use crate::snapshot::{By, Snapshot};
use crate::symbols::Symbols;
use http::{HeaderValue, header};
use std::time::Duration;

/// The longest time of which one can ask for the difference.
const MOST_SECONDS: u64 = 300;
/// Lines of the text.
const LINES: usize = 100;

/// What there is, for people.
pub(super) fn index(call: &Call<'_>) -> Result<Answer, Fault> {
    let text = "heap    what lives, and what was allocated since the start, by call stack\n\
                allocs  the same; shows what was allocated first\n\n\
                go tool pprof http://HOST/debug/pprof/heap\n\n\
                ?seconds=n  what changed in n seconds, 1 to 300\n\
                ?debug=1    a text\n\
                ?gc=1       an old collection first\n";
    Ok(match call.format {
        Format::Html => Answer::new(HTML, page("Profiles", text)),
        _ => Answer::new(TEXT, text),
    })
}

pub(super) fn heap(call: &Call<'_>) -> Result<Answer, Fault> {
    profile(call, "heap", Shown::InUse)
}

pub(super) fn allocs(call: &Call<'_>) -> Result<Answer, Fault> {
    profile(call, "allocs", Shown::Allocated)
}

fn profile(call: &Call<'_>, name: &str, shown: Shown) -> Result<Answer, Fault> {
    let seconds = call.query.number("seconds", 1..=MOST_SECONDS)?;
    let as_text = call.query.number("debug", 0..=2)?.is_some_and(|debug| debug > 0);
    let first = call.query.flag("gc")?;
    if first {
        call.inner.check_change()?;
        call.job_of_the_program(|| collect(Generation::Old))?;
    }
    let answer = |names: &mut Symbols, earlier: Option<&Snapshot>| {
        let snapshot = crate::snapshot();
        if as_text { text(&snapshot, earlier, names) } else { file(name, &snapshot, earlier, shown, names) }
    };
    let Some(seconds) = seconds else { return call.job(|names| answer(names, None)) };
    let _between = call.inner.jobs.between()?;
    let earlier = call.job(|_| crate::snapshot())?;
    call.cancel.wait(Duration::from_secs(seconds))?;
    call.inner.jobs.go_on(|names| answer(names, Some(&earlier)))
}

fn file(name: &str, snapshot: &Snapshot, earlier: Option<&Snapshot>, shown: Shown, names: &mut Symbols) -> Answer {
    let profile = pprof_with(snapshot, earlier, shown, names);
    let what = if earlier.is_some() { "-delta" } else { "" };
    let disposition = HeaderValue::from_str(&format!("attachment; filename=\"{name}{what}\""));
    let answer = Answer::new("application/octet-stream", profile);
    match disposition {
        Ok(value) => answer.with(header::CONTENT_DISPOSITION, value),
        Err(_) => answer,
    }
}

fn text(snapshot: &Snapshot, earlier: Option<&Snapshot>, names: &mut Symbols) -> Answer {
    Answer::new(
        TEXT,
        match earlier {
            None => snapshot.group_by(By::Line, names).top(LINES).to_string(),
            Some(earlier) => format!("{:#}", snapshot.diff(earlier, By::Line, names).top(LINES)),
        },
    )
}
