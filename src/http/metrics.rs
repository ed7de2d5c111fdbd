//! `/metrics`: the allocator's, routes', and the program's own.

use super::answer::{Answer, Fault};
use super::call::Call;
use super::figures::{FigureKind, Figures};
use crate::export::text::{Kind, Text};
use crate::export::{OPENMETRICS_CONTENT_TYPE, OpenMetrics, openmetrics_and};

pub(super) fn metrics(call: &Call<'_>) -> Result<Answer, Fault> {
    // Before the job: the program's own code is the program's business.
    let figures = call.inner.read_figures();
    call.job(|names| {
        let snapshot = crate::snapshot();
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
