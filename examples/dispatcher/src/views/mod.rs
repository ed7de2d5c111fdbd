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
use axum::http::{StatusCode, header, request::Parts};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;

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
        let mut response = (self.0, line + "\n").into_response();
        if self.0 == StatusCode::SERVICE_UNAVAILABLE {
            // In seconds.
            response.headers_mut().insert(header::RETRY_AFTER, 1.into());
        }
        response
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

/// As many as the event loop has threads for. More would wait in a queue without a bound.
const ASIDE: usize = 512;
static ROOM: Semaphore = Semaphore::const_new(ASIDE);

/// Runs what takes long where it holds up no other request, in the tag of this one.
pub(crate) async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    let Ok(room) = ROOM.try_acquire() else {
        let line = format!("{ASIDE} requests are worked at: come back in a second");
        return Err(Problem(StatusCode::SERVICE_UNAVAILABLE, line));
    };
    let work = tenure::inherit(work);
    let done = tokio::task::spawn_blocking(move || {
        // The work goes on when the client has gone.
        let _room = room;
        work()
    });
    done.await
        .map_err(|why| Problem(StatusCode::INTERNAL_SERVER_ERROR, format!("this request failed ({why}); report it")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_finds_no_room_is_told_to_come_back() {
        {
            let _all = ROOM.acquire_many(ASIDE as u32).await.unwrap();
            let response = aside(|| ()).await.unwrap_err().into_response();
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(response.headers()[header::RETRY_AFTER], "1");
        }
        assert_eq!(aside(|| 1).await.ok(), Some(1));
        assert!(aside::<()>(|| panic!("a planted panic")).await.is_err());
        assert_eq!(ROOM.available_permits(), ASIDE);
    }
}
