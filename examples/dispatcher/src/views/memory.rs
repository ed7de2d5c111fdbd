//! What the process holds: `GET /stats`, `GET /sites` and `GET /debug/pprof/heap`.

use super::{Asked, Problem, Question, aside};
use crate::app::App;
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use tenure::snapshot::{By, Group, Groups};
use tenure::{Snapshot, Symbols};

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    Text,
    Json,
}

fn wants_json(format: Option<Format>, headers: &HeaderMap) -> bool {
    match format {
        Some(format) => matches!(format, Format::Json),
        None => headers.get(header::ACCEPT).is_some_and(|a| a.to_str().is_ok_and(|a| a.contains("application/json"))),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StatsQuestion {
    format: Option<Format>,
}

impl Question for StatsQuestion {
    const TRY: &'static str = "/stats or /stats?format=json";
}

pub(crate) async fn stats(Asked(question): Asked<StatsQuestion>, headers: HeaderMap) -> Response {
    let stats = tenure::stats();
    if wants_json(question.format, &headers) { Json(stats).into_response() } else { stats.to_string().into_response() }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SitesQuestion {
    #[serde(default = "ten")]
    n: usize,
    #[serde(default)]
    by: What,
    format: Option<Format>,
}

fn ten() -> usize {
    10
}

impl Question for SitesQuestion {
    const TRY: &'static str = "/sites?by=line&n=10";
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum What {
    #[default]
    Line,
    Function,
    Module,
    Crate,
    File,
    Tag,
    Class,
    Site,
}

impl From<What> for By {
    fn from(what: What) -> By {
        match what {
            What::Line => By::Line,
            What::Function => By::Function,
            What::Module => By::Module,
            What::Crate => By::Crate,
            What::File => By::File,
            What::Tag => By::Tag,
            What::Class => By::SizeClass,
            What::Site => By::Site,
        }
    }
}

/// The groups that hold most.
pub(crate) async fn sites(
    State(app): State<Arc<App>>,
    Asked(question): Asked<SitesQuestion>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let SitesQuestion { n, by, format } = question;
    let by = By::from(by);
    let json = wants_json(format, &headers);
    let answer = move |snapshot: &Snapshot, symbols: &mut Symbols| {
        let groups = snapshot.group_by(by, symbols);
        // A route is shown though nothing of it is left.
        let groups = if by == By::Tag { groups } else { groups.held() }.top(n);
        if json { Json(as_json(snapshot, &groups)).into_response() } else { format!("{groups:#}").into_response() }
    };
    report(&app, answer).await
}

/// What `go tool pprof http://.../debug/pprof/heap` asks for.
pub(crate) async fn heap(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"heap.pb.gz\""),
    ];
    report(&app, move |snapshot, symbols| (headers, tenure::export::pprof(snapshot, symbols)).into_response()).await
}

/// Takes a snapshot and tells of it, one request after the other: names take time and memory to look up.
async fn report(
    app: &App,
    tell: impl FnOnce(&Snapshot, &mut Symbols) -> Response + Send + 'static,
) -> Result<Response, Problem> {
    let mut symbols = app.symbols.clone().lock_owned().await;
    aside(move || tell(&tenure::snapshot(), &mut symbols)).await
}

/// What the table says, for programs.
fn as_json(snapshot: &Snapshot, groups: &Groups) -> Value {
    let group = |group: &Group| {
        json!({
            "name": group.name,
            "location": group.location,
            "bytes": group.live.bytes(),
            "blocks": group.live.blocks(),
            "allocated_bytes": group.allocated.map(|sum| sum.bytes()),
            "allocated_blocks": group.allocated.map(|sum| sum.blocks()),
        })
    };
    let (total, (others, rest)) = (groups.total(), groups.others());
    json!({
        "mode": snapshot.mode(),
        "bytes": total.bytes(),
        "blocks": total.blocks(),
        "groups": groups.iter().map(group).collect::<Vec<_>>(),
        "others": { "groups": others, "bytes": rest.bytes() },
        "notes": groups.notes(),
    })
}
