//! `POST /records`: many records in one transaction; `GET /records/{key}`: one of them.

use super::{Problem, aside, json};
use crate::app::App;
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::{HeaderName, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

const BODY: &str = "send a list of records, as in [{\"key\":\"a\",\"value\":1}], with keys of 1 to 200 bytes";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    key: String,
    value: Value,
}

/// Answered with a 200 when all are on disk. What is answered otherwise, or not at all, may be written or not, all of it or
/// none: a client that was told nothing, or that it took too long, sends the same again, which its keys make safe.
pub(crate) async fn write(
    State(app): State<Arc<App>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, Problem> {
    let records: Vec<Record> = json(body, "/records", BODY)?;
    if let Some(bad) = records.iter().find(|record| !(1..=200).contains(&record.key.len())) {
        let bytes = bad.key.len();
        return Err(Problem::bad(format!("/records: a key of {bytes} bytes, and nothing is written: {BODY}")));
    }
    let records: Vec<_> = records.into_iter().map(|record| (record.key, record.value)).collect();
    let written = records.len();
    aside(move || app.store.write(&records)).await?.map_err(failed)?;
    Ok(Json(json!({ "written": written })))
}

pub(crate) async fn read(
    State(app): State<Arc<App>>,
    key: Result<Path<String>, PathRejection>,
) -> Result<([(HeaderName, &'static str); 1], String), Problem> {
    let Ok(Path(key)) = key else { return Err(Problem::bad("/records/{key}: the key is no text: use UTF-8".into())) };
    let missing = format!("/records/{key}: there is no such record: POST /records writes some");
    let value = aside(move || app.store.read(&key)).await?.map_err(failed)?;
    let value = value.ok_or(Problem(StatusCode::NOT_FOUND, missing))?;
    Ok(([(header::CONTENT_TYPE, "application/json")], value))
}

pub(crate) async fn count(State(app): State<Arc<App>>) -> Result<Json<Value>, Problem> {
    Ok(Json(json!({ "records": aside(move || app.store.count()).await?.map_err(failed)? })))
}

fn failed(why: redb::Error) -> Problem {
    Problem(
        StatusCode::INTERNAL_SERVER_ERROR,
        format!("/records: the store failed ({why}): is there room on the disk?"),
    )
}
