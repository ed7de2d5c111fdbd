//! The leak lab over HTTP: `/lab/{name}/leak` and `/right` are one visit each; `/plant` and `/stop` begin and end many.

use super::{Asked, Problem, Question};
use crate::app::App;
use crate::lab::{LONGEST, Lesson, Status};
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use std::sync::Arc;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlantQuestion {
    #[serde(default = "longest")]
    seconds: u64,
}

fn longest() -> u64 {
    LONGEST
}

impl Question for PlantQuestion {
    const TRY: &'static str = "/lab/cycle/plant?seconds=60";
}

/// Each leak has routes of its own, so that it has tags of its own.
pub(crate) fn routes(app: &App) -> Router<Arc<App>> {
    let mut routes = Router::new().route("/lab/", get(status));
    for (n, lesson) in app.lab.lessons().iter().enumerate() {
        let name = lesson.about().name;
        let visit = |visit: fn(&dyn Lesson)| {
            post(async move |State(app): State<Arc<App>>| {
                visit(&*app.lab.lessons()[n]);
                StatusCode::NO_CONTENT
            })
        };
        let plant =
            async move |State(app): State<Arc<App>>, Asked(question): Asked<PlantQuestion>| plant(&app, n, question);
        let stop = async move |State(app): State<Arc<App>>| {
            app.lab.stop(n).await;
            Json(app.lab.status(n))
        };
        routes = routes
            .route(&format!("/lab/{name}/leak"), visit(|lesson| lesson.leak()))
            .route(&format!("/lab/{name}/right"), visit(|lesson| lesson.right()))
            .route(&format!("/lab/{name}/plant"), post(plant))
            .route(&format!("/lab/{name}/stop"), post(stop));
    }
    routes
}

async fn status(State(app): State<Arc<App>>) -> Json<Vec<Status>> {
    Json((0..app.lab.lessons().len()).map(|n| app.lab.status(n)).collect())
}

fn plant(app: &App, n: usize, PlantQuestion { seconds }: PlantQuestion) -> Result<Json<Status>, Problem> {
    let name = app.lab.lessons()[n].about().name;
    if !(1..=LONGEST).contains(&seconds) {
        return Err(Problem::bad(format!("/lab/{name}/plant: seconds: {seconds} is not from 1 to {LONGEST}")));
    }
    if !app.lab.plant(n, seconds) {
        let line = format!("/lab/{name}/plant: it is planted already: POST /lab/{name}/stop ends that");
        return Err(Problem(StatusCode::CONFLICT, line));
    }
    Ok(Json(app.lab.status(n)))
}
