//! `GET /search?q=`: the lines that hold all words.

use super::{Asked, Problem, Question};
use crate::app::App;
use crate::index::words;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Lines of an answer.
const MOST: usize = 200;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SearchQuestion {
    q: String,
}

impl Question for SearchQuestion {
    const TRY: &'static str = "/search?q=live+bytes";
}

#[derive(Serialize)]
struct Found<'a> {
    lines: usize,
    first: Vec<Line<'a>>,
}

#[derive(Serialize)]
struct Line<'a> {
    path: &'a str,
    line: usize,
    text: &'a str,
}

pub(crate) async fn search(
    State(app): State<Arc<App>>,
    Asked(SearchQuestion { q }): Asked<SearchQuestion>,
) -> Result<Response, Problem> {
    if words(&q).next().is_none() {
        return Err(Problem::bad(format!("/search: q={q:?} holds no word: try {}", SearchQuestion::TRY)));
    }
    let index = app.index();
    let places = index.search(&q);
    let line = |&place| {
        let (path, text) = index.text(place);
        Line { path, line: place.line + 1, text }
    };
    let first = places.iter().take(MOST).map(line).collect();
    Ok(Json(Found { lines: places.len(), first }).into_response())
}
