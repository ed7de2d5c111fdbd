//! Which view answers which request.

use crate::app::App;
use crate::middleware;
use crate::views::{document, group, memory, search, session};
use axum::Router;
use axum::routing::{get, post};
use std::net::SocketAddr;
use std::sync::Arc;

pub(crate) fn all(app: Arc<App>) -> Router {
    Router::new()
        .route("/search", get(search::search))
        .route("/document/{id}", get(document::document))
        .route("/group", post(group::group))
        .route("/session", get(session::session))
        .route("/stats", get(memory::stats))
        .route("/sites", get(memory::sites))
        .route("/debug/pprof/heap", get(memory::heap))
        .fallback(middleware::unmatched)
        .layer(axum::middleware::from_fn(middleware::tag))
        .with_state(app)
}

/// What to try.
pub(crate) fn help(at: SocketAddr) -> String {
    format!(
        "what it does
  curl '{at}/search?q=live+bytes'
  curl '{at}/document/1'
  curl '{at}/group?by=kind' -d '[{{\"kind\":\"a\",\"n\":1}},{{\"kind\":\"b\"}},{{\"kind\":\"a\",\"n\":2}}]'
  curl '{at}/session?user=ada'

what it holds
  curl '{at}/stats'
  curl '{at}/sites?n=5'
  curl '{at}/sites?by=tag&format=json'
  go tool pprof -top -show=^dispatcher:: 'http://{at}/debug/pprof/heap'
"
    )
}
