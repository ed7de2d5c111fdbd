//! What there is: one row for each path and method.

use super::answer::{Answer, Fault};
use super::call::Call;
use super::reports;
use http::Method;

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

static TABLE: &[Row] = &[
    cheap(GET, "/debug/tenure/stats", &["format"], reports::stats),
    costly(GET, "/debug/tenure/groups", &["format"], reports::stats),
];

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
