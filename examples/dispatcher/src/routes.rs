//! Which view answers which request, and what happens to all of them on the way.

use crate::app::App;
use crate::views::{document, download, group, home, index, jobs, lab, panic, records, render, search};
use crate::{instruments, middleware};
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};
use std::sync::Arc;

pub(crate) fn all(app: Arc<App>) -> Router {
    let routes = Router::new()
        .merge(home::routes())
        .merge(lab::routes(&app))
        .route("/search", get(search::search))
        .route("/document/{id}", get(document::document))
        .route("/index", post(index::index))
        .route("/group", post(group::group))
        .route("/render/pooled", get(render::pooled))
        .route("/render/plain", get(render::plain))
        .route("/download", get(download::download))
        .route("/records", get(records::count).post(records::write))
        .route("/records/{key}", get(records::read))
        .route("/jobs", post(jobs::queue))
        .route("/jobs/{number}", get(jobs::state))
        .route("/panic", get(panic::panic))
        .fallback(middleware::unmatched)
        // What is added last comes first.
        .layer(DefaultBodyLimit::max(middleware::BODY))
        .layer(from_fn(middleware::time))
        .layer(from_fn(middleware::panics))
        .layer(from_fn(middleware::own_site))
        .layer(from_fn_with_state(app.clone(), middleware::signals))
        .layer(from_fn(middleware::headers))
        .with_state(app.clone());
    instruments::around(routes, &app)
}
