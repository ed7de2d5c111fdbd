//! `POST /jobs`: work to be done some time; `GET /jobs/{number}`: how far it is.

use super::{Problem, json};
use crate::app::App;
use crate::jobs::{Job, State as Progress, WAITING};
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use std::sync::Arc;

const BODY: &str =
    "send {\"work\":{\"words\":{\"most\":10}},\"priority\":\"high\"}, or {\"work\":{\"wait\":{\"ms\":100}}}";

pub(crate) async fn queue(
    State(app): State<Arc<App>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let job: Job = json(body, "/jobs", BODY)?;
    let number = app.jobs.queue(job).ok_or_else(|| {
        let line = format!("/jobs: {WAITING} jobs wait already, or the service ends: come back in a second");
        Problem(StatusCode::SERVICE_UNAVAILABLE, line)
    })?;
    let at = [(header::LOCATION, format!("/jobs/{number}"))];
    Ok((StatusCode::ACCEPTED, at, Json(json!({ "job": number }))).into_response())
}

pub(crate) async fn state(
    State(app): State<Arc<App>>,
    number: Result<Path<u64>, PathRejection>,
) -> Result<Json<Progress>, Problem> {
    let Ok(Path(number)) = number else {
        return Err(Problem::bad("/jobs/{number}: no number: use what POST /jobs gave".into()));
    };
    app.jobs.state(number).map(Json).ok_or_else(|| {
        Problem(StatusCode::NOT_FOUND, format!("/jobs/{number}: unknown, or long done: use what POST /jobs gave"))
    })
}
