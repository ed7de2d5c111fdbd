//! What is answered: each view a function from a request to a response. Here is what they share.

pub(crate) mod document;
pub(crate) mod group;
pub(crate) mod memory;
pub(crate) mod search;
pub(crate) mod session;

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

/// Runs what takes long where it holds up no other request, in the tag of this one.
pub(crate) async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    let done = tokio::task::spawn_blocking(tenure::inherit(work)).await;
    done.map_err(|why| Problem(StatusCode::INTERNAL_SERVER_ERROR, format!("this request failed ({why}); report it")))
}
