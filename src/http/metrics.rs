//! `/metrics`: the allocator's, routes', and the program's own.

use super::answer::{Answer, Fault};
use super::call::Call;
use super::figures::{FigureKind, Figures};
use super::history;
use crate::export::text::{Kind, Text};
use crate::export::{OPENMETRICS_CONTENT_TYPE, OpenMetrics, openmetrics_and};

pub(super) fn metrics(call: &Call<'_>) -> Result<Answer, Fault> {
    // Before the job: the program's own code is the program's business.
    let figures = call.inner.read_figures();
    call.job(|names| {
        let snapshot = crate::snapshot();
        // So the charts know of the time before anybody opened the page.
        history::note(snapshot.stats());
        let text = openmetrics_and(&snapshot, names, OpenMetrics::new(), |text| {
            if let Some(routes) = call.inner.routes() {
                routes.write(text);
            }
            program(text, &figures);
        });
        Answer::new(OPENMETRICS_CONTENT_TYPE, text)
    })
}

fn program(text: &mut Text, figures: &Figures) {
    for figure in &figures.all {
        let kind = match figure.kind {
            FigureKind::Gauge => Kind::Gauge,
            FigureKind::Counter => Kind::Counter,
        };
        // In a text of help, these two mean something.
        let help = figure.help.replace('\\', "\\\\").replace('"', "\\\"");
        text.family(&format!("tenure_program_{}", figure.name), kind, &help);
        text.value(figure.value);
    }
    if !figures.notes.is_empty() {
        let help = "Figures of the program that were left out: see /debug/tenure/figures?format=text.";
        text.gauge("tenure_program_figures_left_out", help, figures.notes.len() as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Endpoints, Peer};

    #[test]
    fn a_chart_begins_with_the_first_that_asks_for_metrics() {
        let near = Peer("127.0.0.1:4000".parse().expect("an address"));
        let request = http::Request::get("/metrics").header("host", "localhost").extension(near);
        let response = Endpoints::new().respond(&request.body("").expect("a request"));
        assert_eq!(response.status(), 200);
        // One of another test's may have come a moment before.
        let history = history::read();
        let last = history.points.last().expect("a point");
        assert!(history.now_ms - last.at_ms < 60_000, "{last:?} at {}", history.now_ms);
    }
}
