//! What happens to each request, whichever view answers it: from the outside in, headers, signals,
//! other sites, panics and time. Around all of them are the instruments.

use crate::app::App;
use crate::events::{RequestFinished, RequestStarted};
use crate::views::Problem;
use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The longest body that is read.
pub(crate) const BODY: usize = 2 << 20;
/// A request that is not answered in this time, body included, never is.
pub(crate) const TIME: Duration = Duration::from_secs(20);

/// Tells whoever wants to know.
pub(crate) async fn signals(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    app.request_started.send(&RequestStarted);
    let mut under_way = UnderWay { app, start: Instant::now(), status: None };
    let response = next.run(request).await;
    under_way.status = Some(response.status());
    response
}

/// A request that has come. When it is dropped, the request is over: a client that goes takes its future along.
struct UnderWay {
    app: Arc<App>,
    start: Instant,
    status: Option<StatusCode>,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let status = self.status.map(|status| status.as_u16());
        self.app.request_finished.send(&RequestFinished { status, took: self.start.elapsed() });
    }
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

/// Pages of other sites read and change nothing here: a browser says where a request comes from, and by which name it
/// asked. A name that its owner has pointed at this machine would make his pages this service's own.
pub(crate) async fn own_site(request: Request, next: Next) -> Response {
    let (host, from) = (request.headers().get(header::HOST), request.headers().get("sec-fetch-site"));
    if host.is_some_and(|host| !host.to_str().is_ok_and(is_this_machine)) {
        let line = "asked for by a name that is not this machine's: use localhost".into();
        return Problem(StatusCode::MISDIRECTED_REQUEST, line).into_response();
    }
    let from = from.map(|value| value.as_bytes());
    if request.method() != Method::GET && !matches!(from, None | Some(b"same-origin" | b"none")) {
        let line = "asked for by another site: use this service's own page".into();
        return Problem(StatusCode::FORBIDDEN, line).into_response();
    }
    next.run(request).await
}

/// localhost, or an address of this machine only, with a port or without.
fn is_this_machine(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    // What is not a port is not left over, and nor is a user.
    let port = authority.port().map_or(String::new(), |port| format!(":{port}"));
    let name = authority.host();
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    host.len() == name.len() + port.len()
        && (name.eq_ignore_ascii_case("localhost")
            || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback()))
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

// The page's icon is empty, and stands in its address.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Answers what no route matches.
pub(crate) async fn unmatched(uri: Uri) -> Problem {
    let path = uri.path();
    Problem(StatusCode::NOT_FOUND, format!("{path} is no route: the first page, /, lists them"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Counters;
    use crate::index::Index;
    use crate::store::Store;
    use axum::Router;
    use axum::body::Body;
    use axum::routing::get;
    use hyper::service::Service;
    use hyper_util::service::TowerToHyperService;
    use std::net::SocketAddr;
    use std::path::Path;

    #[test]
    fn a_request_is_over_when_its_client_has_gone() {
        let index = Index::read(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))).unwrap();
        let app = Arc::new(App::new(index, Store::open(None).unwrap(), SocketAddr::from(([127, 0, 0, 1], 0))));
        let counters = Counters::connect(&app);
        let count = || {
            let (started, finished, failed, _) = counters.read();
            (started, finished, failed)
        };
        let routes = Router::new()
            .route("/waits", get(std::future::pending::<()>))
            .route("/fails", get(async || StatusCode::INTERNAL_SERVER_ERROR))
            .layer(axum::middleware::from_fn_with_state(app.clone(), signals));
        let ask = |path: &str| {
            let request = Request::builder().uri(path).body(Body::empty()).unwrap();
            // What does not answer at once is dropped.
            TowerToHyperService::new(routes.clone()).call(request).now_or_never()
        };
        assert!(ask("/fails").is_some());
        assert_eq!(count(), (1, 1, 1));
        assert!(ask("/waits").is_none());
        assert_eq!(count(), (2, 2, 1));
        drop(counters);
        assert!(ask("/fails").is_some());
    }
}
