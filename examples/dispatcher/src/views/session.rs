//! `GET /session`: a visitor's front page.

use super::{Asked, Problem, Question};
use crate::app::App;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use std::sync::Arc;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SessionQuestion {
    #[serde(default)]
    user: String,
    /// What an earlier answer gave.
    token: Option<String>,
}

impl Question for SessionQuestion {
    const TRY: &'static str = "/session?user=ada";
}

/// The token stands in the header `session`.
pub(crate) async fn session(
    State(app): State<Arc<App>>,
    Asked(SessionQuestion { user, token }): Asked<SessionQuestion>,
) -> Result<([(&'static str, String); 1], String), Problem> {
    let (token, page) = match token {
        None => app.sessions.open(&user, &app.index),
        Some(token) => match app.sessions.find(&token) {
            Some(page) => (token, page),
            None => {
                let what = format!("/session: there is no session {token:?}: try {}", SessionQuestion::TRY);
                return Err(Problem(StatusCode::NOT_FOUND, what));
            }
        },
    };
    Ok(([("session", token)], page.to_string()))
}
