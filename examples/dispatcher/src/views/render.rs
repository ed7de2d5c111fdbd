//! `GET /render/pooled` and `GET /render/plain`: the same page, with a context from the pool and with a new one. What the
//! pool saves, or that it saves nothing, stands in the dashboard's table of routes.

use super::{Asked, Problem, Question, aside};
use crate::app::App;
use crate::context::Context;
use crate::pool::Pooled;
use axum::body::Bytes;
use axum::extract::State;
use serde::Deserialize;
use std::sync::Arc;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RenderQuestion {
    q: String,
}

impl Question for RenderQuestion {
    const TRY: &'static str = "/render/pooled?q=the";
}

/// A page that is sent from where it was rendered. When it is sent, its context goes back to the pool.
struct Page(Pooled<Context>);

impl AsRef<[u8]> for Page {
    fn as_ref(&self) -> &[u8] {
        self.0.page().as_bytes()
    }
}

pub(crate) async fn pooled(
    State(app): State<Arc<App>>,
    Asked(RenderQuestion { q }): Asked<RenderQuestion>,
) -> Result<Bytes, Problem> {
    aside(move || {
        let mut context = app.contexts.take();
        context.render(&app, &q);
        Bytes::from_owner(Page(context))
    })
    .await
}

pub(crate) async fn plain(
    State(app): State<Arc<App>>,
    Asked(RenderQuestion { q }): Asked<RenderQuestion>,
) -> Result<Bytes, Problem> {
    aside(move || {
        let mut context = Context::default();
        context.render(&app, &q);
        Bytes::copy_from_slice(context.page().as_bytes())
    })
    .await
}
