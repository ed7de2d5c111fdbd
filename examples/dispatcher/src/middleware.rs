//! What happens to each request, whichever view answers it: from the outside in, headers, signals,
//! panics and time. Around all of them are the instruments.

use crate::app::App;
use crate::events::{RequestFinished, RequestStarted};
use crate::views::Problem;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The longest body that is read.
pub(crate) const BODY: usize = 2 << 20;
/// A request that is not answered in this time, body included, never is.
pub(crate) const TIME: Duration = Duration::from_secs(20);

/// Tells whoever wants to know.
pub(crate) async fn signals(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let start = Instant::now();
    app.request_started.send(&RequestStarted);
    let response = next.run(request).await;
    app.request_finished.send(&RequestFinished { status: response.status().as_u16(), took: start.elapsed() });
    response
}

/// A view that panics fails alone.
pub(crate) async fn panics(request: Request, next: Next) -> Response {
    let what = format!("{} {}", request.method(), request.uri().path());
    AssertUnwindSafe(next.run(request)).catch_unwind().await.unwrap_or_else(|_| {
        let line = format!("{what}: this request failed; the service goes on");
        eprintln!("dispatcher: {line}");
        Problem(StatusCode::INTERNAL_SERVER_ERROR, line).into_response()
    })
}

/// Nobody holds what a request needs for ever: a body that does not come ends it.
pub(crate) async fn time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(TIME, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let line = format!("not answered within {} s: send the body without pauses", TIME.as_secs());
            Problem(StatusCode::REQUEST_TIMEOUT, line).into_response()
        }
    }
}

/// Pages of other sites change nothing here: a browser says where a request comes from.
pub(crate) async fn same_site(request: Request, next: Next) -> Response {
    let from = request.headers().get("sec-fetch-site").map(|value| value.as_bytes());
    if request.method() != Method::GET && !matches!(from, None | Some(b"same-origin" | b"none")) {
        let line = "asked for by another site: use this service's own page".into();
        return Problem(StatusCode::FORBIDDEN, line).into_response();
    }
    next.run(request).await
}

/// Answers that a browser may keep, frame or guess at are none of ours.
pub(crate) async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
    ] {
        response.headers_mut().insert(name, value.parse().expect("a header of our own"));
    }
    response
}

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

/// Answers what no route matches.
pub(crate) async fn unmatched(uri: Uri) -> Problem {
    let path = uri.path();
    Problem(StatusCode::NOT_FOUND, format!("{path} is no route: the first page, /, lists them"))
}
