//! What there is: one row for each path and method.

use super::answer::{Answer, Fault, TEXT};
use super::call::Call;
use super::{control, dashboard, metrics, pprof, reports};
use http::header::LOCATION;
use http::{HeaderValue, Method, StatusCode};

/// A method of a path.
pub(super) struct Row {
    method: Method,
    pub(super) path: &'static str,
    /// Whether it takes a snapshot, or waits.
    pub(super) costly: bool,
    /// What may stand behind the `?`.
    pub(super) parameters: &'static [&'static str],
    pub(super) answer: fn(&Call<'_>) -> Result<Answer, Fault>,
}

impl Row {
    /// HEAD asks as GET does.
    pub(super) fn is_for(&self, method: &Method) -> bool {
        self.method == *method || self.method == Method::GET && *method == Method::HEAD
    }

    /// Whether it may change anything.
    pub(super) fn changes(&self) -> bool {
        self.method != Method::GET
    }
}

type Answering = fn(&Call<'_>) -> Result<Answer, Fault>;

/// Microseconds.
const fn cheap(method: Method, path: &'static str, parameters: &'static [&'static str], answer: Answering) -> Row {
    Row { method, path, costly: false, parameters, answer }
}

/// Milliseconds or more.
const fn costly(method: Method, path: &'static str, parameters: &'static [&'static str], answer: Answering) -> Row {
    Row { method, path, costly: true, parameters, answer }
}

const GET: Method = Method::GET;
const PUT: Method = Method::PUT;
const POST: Method = Method::POST;
const DELETE: Method = Method::DELETE;

const PROFILE: &[&str] = &["seconds", "debug", "gc"];

static TABLE: &[Row] = &[
    cheap(GET, "/debug/pprof", &[], into_folder),
    cheap(GET, "/debug/pprof/", &["format"], pprof::index),
    costly(GET, "/debug/pprof/heap", PROFILE, pprof::heap),
    costly(GET, "/debug/pprof/allocs", PROFILE, pprof::allocs),
    costly(GET, "/metrics", &[], metrics::metrics),
    cheap(GET, "/debug/tenure", &[], into_folder),
    cheap(GET, "/debug/tenure/", &[], dashboard::asset),
    cheap(GET, "/debug/tenure/page.css", &[], dashboard::asset),
    cheap(GET, "/debug/tenure/page.js", &[], dashboard::asset),
    cheap(GET, "/debug/tenure/views.js", &[], dashboard::asset),
    cheap(GET, "/debug/tenure/tables.js", &[], dashboard::asset),
    cheap(GET, "/debug/tenure/flame.js", &[], dashboard::asset),
    cheap(GET, "/debug/tenure/text.js", &[], dashboard::asset),
    costly(GET, "/debug/tenure/charts/memory.svg", &["seconds", "width"], dashboard::memory),
    costly(GET, "/debug/tenure/charts/generations.svg", &["seconds", "width"], dashboard::generations),
    costly(GET, "/debug/tenure/flame.json", &["value", "format"], dashboard::flame_json),
    // The last three are what its script writes into the address when one clicks into it or searches.
    costly(GET, "/debug/tenure/flame.svg", &["value", "diff", "x", "y", "s"], dashboard::flame_svg),
    cheap(GET, "/debug/tenure/live", &["format"], reports::live),
    cheap(GET, "/debug/tenure/stats", &["format"], reports::stats),
    costly(GET, "/debug/tenure/routes", &["format"], reports::routes),
    costly(GET, "/debug/tenure/figures", &["format"], reports::figures),
    costly(GET, "/debug/tenure/snapshot", &["raw"], reports::snapshot),
    costly(GET, "/debug/tenure/groups", &["by", "n", "order", "filter", "format"], reports::groups),
    costly(POST, "/debug/tenure/baseline", &["format"], reports::keep_baseline),
    costly(DELETE, "/debug/tenure/baseline", &["format"], reports::forget_baseline),
    costly(GET, "/debug/tenure/diff", &["by", "n", "format"], reports::diff),
    costly(GET, "/debug/tenure/suspects", &["format"], reports::suspects),
    costly(GET, "/debug/tenure/tenuring", &["by", "n", "format"], reports::tenuring),
    costly(GET, "/debug/tenure/retention", &["format"], reports::retention),
    cheap(GET, "/debug/tenure/thresholds", &["format"], control::thresholds),
    cheap(PUT, "/debug/tenure/thresholds", &["format"], control::set_thresholds),
    costly(POST, "/debug/tenure/collect", &["generation", "format"], control::collect),
    cheap(GET, "/debug/tenure/mode", &["format"], control::mode),
    costly(PUT, "/debug/tenure/mode", &["format"], control::set_mode),
];

/// A folder's links lead somewhere only from behind its slash.
fn into_folder(call: &Call<'_>) -> Result<Answer, Fault> {
    // Relative, so that it is right below any prefix that a proxy adds.
    let to = if call.path.ends_with("pprof") { "pprof/" } else { "tenure/" };
    let answer = Answer::new(TEXT, format!("it is at {to}\n")).with(LOCATION, HeaderValue::from_static(to));
    Ok(Answer { status: StatusCode::PERMANENT_REDIRECT, ..answer })
}

/// The rows of a path.
pub(super) fn at(path: &str) -> impl Iterator<Item = &'static Row> {
    TABLE.iter().filter(move |row| row.path == path)
}

/// All paths, each once.
pub(super) fn paths() -> Vec<&'static str> {
    let mut paths: Vec<_> = TABLE.iter().map(|row| row.path).collect();
    paths.dedup();
    paths
}

/// The methods of a path, as `Allow` has them.
pub(super) fn methods(path: &str) -> String {
    let mut methods: Vec<&str> = at(path).map(|row| row.method.as_str()).collect();
    if let Some(at) = methods.iter().position(|m| *m == "GET") {
        methods.insert(at + 1, "HEAD");
    }
    methods.join(", ")
}
