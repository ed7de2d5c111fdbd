//! `GET /document/{id}`: what a document is about.

use super::{Problem, aside};
use crate::app::App;
use crate::index::words;
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

/// Words of an answer.
const MOST: usize = 20;

#[derive(Serialize)]
pub(crate) struct Summary {
    id: usize,
    path: String,
    lines: usize,
    words: usize,
    /// With how often they stand there.
    most_frequent: Vec<(String, usize)>,
}

pub(crate) async fn document(
    State(app): State<Arc<App>>,
    id: Result<Path<usize>, PathRejection>,
) -> Result<Json<Summary>, Problem> {
    let documents = app.index.documents.len();
    let range = format!("give a number from 0 to {}", documents - 1);
    let Ok(Path(id)) = id else { return Err(Problem::bad(format!("/document/{{id}}: the id is no number: {range}"))) };
    if id >= documents {
        return Err(Problem(StatusCode::NOT_FOUND, format!("/document/{id}: there is no such document: {range}")));
    }
    aside(move || Json(summary(&app, id))).await
}

fn summary(app: &App, id: usize) -> Summary {
    let document = &app.index.documents[id];
    let mut times = HashMap::<String, usize>::new();
    for word in document.lines.iter().flat_map(|line| words(line)) {
        *times.entry(word).or_default() += 1;
    }
    let words = times.values().sum();
    let mut most_frequent: Vec<_> = times.into_iter().collect();
    most_frequent.sort_by(|a, b| (Reverse(a.1), &a.0).cmp(&(Reverse(b.1), &b.0)));
    most_frequent.truncate(MOST);
    Summary { id, path: document.path.clone(), lines: document.lines.len(), words, most_frequent }
}
