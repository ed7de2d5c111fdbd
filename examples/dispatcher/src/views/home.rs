//! `GET /`: what this is, where to go, and the leak lab with its buttons.

use crate::app::App;
use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use std::fmt::Write;
use std::sync::Arc;

const PAGE: &str = include_str!("../page/home.html");
const STYLE: &str = include_str!("../page/home.css");
const SCRIPT: &str = include_str!("../page/home.js");

pub(crate) fn routes() -> Router<Arc<App>> {
    let style = get(|| async { ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE).into_response() });
    let script = get(|| async { ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], SCRIPT).into_response() });
    Router::new().route("/", get(home)).route("/home.css", style).route("/home.js", script)
}

/// The page with a row for each leak. What stands there is the program's own text, and needs no escaping.
async fn home(State(app): State<Arc<App>>) -> Html<String> {
    let mut rows = String::new();
    for about in app.lab.lessons().iter().map(|lesson| lesson.about()) {
        let (name, title, what, right, seen, look) =
            (about.name, about.title, about.what, about.right, about.seen, about.look);
        // Writing to a text does not fail.
        _ = write!(
            rows,
            r#"<section class="leak" data-name="{name}" aria-labelledby="{name}">
<h3 id="{name}">{title}</h3>
<p>{what}</p>
<dl><dt>Its twin</dt><dd>{right}</dd><dt>Seen in</dt><dd>{seen}</dd><dt>Where to look</dt><dd>{look}</dd></dl>
<p class="do"><button type="button" data-do="plant">Plant for a minute</button>
<button type="button" data-do="stop">Stop and free</button> <output>not planted</output></p>
</section>
"#
        );
    }
    Html(PAGE.replace("<!-- leaks -->", &rows))
}
