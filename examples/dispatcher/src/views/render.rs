//! `GET /render/pooled` and `GET /render/plain`: the same page, with a context from the pool and with a new one. What the
//! pool saves, or that it saves nothing, stands in the dashboard's table of routes.

use super::{Asked, Problem, Question, aside};
use crate::app::App;
use crate::context::Context;
use crate::pool::Pooled;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderName, header};
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

type Answer = ([(HeaderName, &'static str); 1], Bytes);

/// A page is sent from where it was rendered.
fn answer(context: impl AsRef<[u8]> + Send + 'static) -> Answer {
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], Bytes::from_owner(context))
}

/// When its page is sent, it goes back to the pool.
struct OnLoan(Pooled<Context>);

impl AsRef<[u8]> for OnLoan {
    fn as_ref(&self) -> &[u8] {
        Context::as_ref(&self.0)
    }
}

pub(crate) async fn pooled(
    State(app): State<Arc<App>>,
    Asked(RenderQuestion { q }): Asked<RenderQuestion>,
) -> Result<Answer, Problem> {
    aside(move || {
        let mut context = app.contexts.take();
        context.render(&app, &q);
        answer(OnLoan(context))
    })
    .await
}

pub(crate) async fn plain(
    State(app): State<Arc<App>>,
    Asked(RenderQuestion { q }): Asked<RenderQuestion>,
) -> Result<Answer, Problem> {
    aside(move || {
        let mut context = Context::default();
        context.render(&app, &q);
        answer(context)
    })
    .await
}
