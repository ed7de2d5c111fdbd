//! `POST /index`: a document in, which can be found from then on.

use super::{Problem, aside, json};
use crate::app::App;
use crate::events::DocumentIndexed;
use crate::index::ADDED;
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use tenure::InScopeExt;

const BODY: &str = "send {\"path\":\"notes/today.md\",\"text\":\"...\"}";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    path: String,
    text: String,
}

pub(crate) async fn index(
    State(app): State<Arc<App>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, Problem> {
    let Document { path, text } = json(body, "/index", BODY)?;
    let put = {
        let app = app.clone();
        // It stays when the request has gone: it is the index's.
        async { aside(move || app.index_mut().put(&path, &text)).await }.in_scope("index")
    };
    let Some(id) = put.await? else {
        let line =
            format!("/index: no room: there are {ADDED} documents, or this is one of the folder's; use another path");
        return Err(Problem(StatusCode::CONFLICT, line));
    };
    app.document_indexed.send(&DocumentIndexed { id });
    Ok(Json(json!({ "id": id })))
}
