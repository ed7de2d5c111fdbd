//! What is answered: each view a function from a request to a response. Here is what they share.

pub(crate) mod document;
pub(crate) mod download;
pub(crate) mod group;
pub(crate) mod home;
pub(crate) mod index;
pub(crate) mod jobs;
pub(crate) mod lab;
pub(crate) mod panic;
pub(crate) mod records;
pub(crate) mod render;
pub(crate) mod search;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequestParts, Query};
use axum::http::{StatusCode, request::Parts};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;

/// An answer that says in one line what is wrong, where, and what to do.
pub(crate) struct Problem(pub(crate) StatusCode, pub(crate) String);

impl Problem {
    pub(crate) fn bad(what: String) -> Problem {
        Problem(StatusCode::BAD_REQUEST, what)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        // What came with the request is quoted, and may hold anything.
        let line: String = self.1.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        (self.0, line + "\n").into_response()
    }
}

/// What may be asked for behind the `?`, and what a question looks like that is right.
pub(crate) trait Question: DeserializeOwned {
    const TRY: &'static str;
}

/// A question that was understood.
pub(crate) struct Asked<T>(pub(crate) T);

impl<S: Send + Sync, T: Question> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Query(question) = Query::try_from_uri(&parts.uri).map_err(|why| {
            let (path, why) = (parts.uri.path(), why.body_text());
            Problem::bad(format!(
                "{path}: {}: try {}",
                why.trim_start_matches("Failed to deserialize query string: "),
                T::TRY
            ))
        })?;
        Ok(Asked(question))
    }
}

/// Reads a body of JSON; `send` says what one looks like that is right.
pub(crate) fn json<T: DeserializeOwned>(
    body: Result<Bytes, BytesRejection>,
    path: &str,
    send: &str,
) -> Result<T, Problem> {
    let body = body.map_err(|why| {
        let (bytes, why) = (crate::middleware::BODY >> 20, why.status());
        Problem(why, format!("{path}: the body does not come, or is longer than {bytes} MiB: {send}"))
    })?;
    serde_json::from_slice(&body).map_err(|why| Problem::bad(format!("{path}: the body is not read ({why}): {send}")))
}

/// Runs what takes long where it holds up no other request, in the tag of this one.
pub(crate) async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    let done = tokio::task::spawn_blocking(tenure::inherit(work)).await;
    done.map_err(|why| Problem(StatusCode::INTERNAL_SERVER_ERROR, format!("this request failed ({why}); report it")))
}
