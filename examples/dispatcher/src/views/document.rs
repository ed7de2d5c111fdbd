//! `GET /document/{id}`: what a document is about. Counted once, and then taken from a cache.

use super::{Problem, aside};
use crate::app::App;
use crate::words::of_document;
use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderName, StatusCode, header};
use serde_json::json;
use std::sync::Arc;

/// Words of an answer.
const MOST: usize = 20;

type Answer = ([(HeaderName, &'static str); 1], Bytes);

pub(crate) async fn document(
    State(app): State<Arc<App>>,
    id: Result<Path<usize>, PathRejection>,
) -> Result<Answer, Problem> {
    let documents = app.index().documents.len();
    let range = format!("give a number from 0 to {}", documents - 1);
    let Ok(Path(id)) = id else { return Err(Problem::bad(format!("/document/{{id}}: the id is no number: {range}"))) };
    if id >= documents {
        return Err(Problem(StatusCode::NOT_FOUND, format!("/document/{id}: there is no such document: {range}")));
    }
    let summary = match app.summaries.find(id) {
        Some(summary) => summary,
        None => aside(move || summary(&app, id)).await?,
    };
    Ok(([(header::CONTENT_TYPE, "application/json")], summary))
}

fn summary(app: &App, id: usize) -> Bytes {
    // Kept inside the lock, so that no summary of an older text is kept after it was forgotten.
    let index = app.index();
    let document = &index.documents[id];
    let (most_frequent, words) = of_document(document, MOST);
    let lines = document.lines.len();
    let summary =
        json!({ "id": id, "path": document.path, "lines": lines, "words": words, "most_frequent": most_frequent });
    let summary = Bytes::from(summary.to_string());
    app.summaries.keep(id, summary.clone());
    summary
}
