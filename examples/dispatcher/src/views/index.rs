//! `POST /index`: a document in, which can be found from then on.

use super::{Problem, aside, json};
use crate::app::App;
use crate::events::DocumentIndexed;
use crate::index::{ADDED, ADDED_BYTES, Refused};
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
    let put = move || {
        let id = app.index_mut().put(&path, &text)?;
        // Here, because nobody comes back from here to a client that has gone.
        app.document_indexed.send(&DocumentIndexed { id });
        Ok::<_, Refused>(id)
    };
    // It stays when the request has gone: it is the index's.
    let id = async { aside(put).await }.in_scope("index").await?.map_err(problem)?;
    Ok(Json(json!({ "id": id })))
}

fn problem(why: Refused) -> Problem {
    match why {
        Refused::Taken => {
            let line = "/index: this is one of the folder's documents: use another path";
            Problem(StatusCode::CONFLICT, line.into())
        }
        Refused::Full => {
            let most = ADDED_BYTES >> 20;
            let line = format!(
                "/index: no room: {ADDED} documents can be added, and {most} MiB of index: put it in the place of another"
            );
            Problem(StatusCode::INSUFFICIENT_STORAGE, line)
        }
    }
}
