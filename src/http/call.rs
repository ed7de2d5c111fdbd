//! A request that is answered: allowed, within its bounds, and taken apart.

use super::answer::{Answer, Fault, HTML, JSON, TEXT, page};
use super::endpoints::Inner;
use super::jobs::Cancel;
use super::query::{Query, shown};
use crate::reading::untracked;
use crate::symbols::Symbols;
use http::header::ACCEPT;
use http::{HeaderMap, StatusCode};
use serde::Serialize;

/// What the functions of the table get.
pub(super) struct Call<'a> {
    pub(super) inner: &'a Inner,
    pub(super) path: &'a str,
    pub(super) query: Query,
    pub(super) body: &'a [u8],
    pub(super) format: Format,
    pub(super) cancel: &'a Cancel,
}

/// How a report is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Text,
    Html,
}

impl Format {
    /// What a browser gets, and what others do.
    pub(super) fn accepted(path: &str, headers: &HeaderMap) -> Format {
        match () {
            () if prefers_html(headers) => Format::Html,
            () if path.starts_with("/debug/tenure") => Format::Json,
            () => Format::Text,
        }
    }

    /// What was asked for by its name, if anything was.
    pub(super) fn or_named(self, query: &Query) -> Result<Format, Fault> {
        match query.text("format") {
            None => Ok(self),
            Some("json") => Ok(Format::Json),
            Some("text") => Ok(Format::Text),
            Some("html") => Ok(Format::Html),
            Some(other) => Err(Fault::bad(format!("format is {}: it must be one of json, text, html", shown(other)))),
        }
    }
}

/// Whether HTML is wanted more than JSON (RFC 9110, 12.5.1): `*/*` wants both alike.
fn prefers_html(headers: &HeaderMap) -> bool {
    let (mut html, mut json) = ((0, 0.0), (0, 0.0));
    let accepts = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    for range in accepts.flat_map(|value| value.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let weight = parts.find_map(|part| part.strip_prefix("q=")).map_or(Some(1.0), |q| q.parse().ok());
        let weight: f32 = weight.filter(|w| (0.0..=1.0).contains(w)).unwrap_or(0.0);
        let take = |best: &mut (u8, f32), how_near: u8| {
            if how_near > best.0 {
                *best = (how_near, weight);
            }
        };
        match name {
            "text/html" => take(&mut html, 3),
            "application/json" => take(&mut json, 3),
            "text/*" => take(&mut html, 2),
            "application/*" => take(&mut json, 2),
            "*/*" => {
                take(&mut html, 1);
                take(&mut json, 1);
            }
            _ => (),
        }
    }
    html.1 > json.1
}

impl Call<'_> {
    /// Does something expensive when it is its turn: see [`Jobs`](super::jobs::Jobs).
    pub(super) fn job<T>(&self, f: impl FnOnce(&mut Symbols) -> T) -> Result<T, Fault> {
        // Those who wait in line may give up.
        self.inner.jobs.run(|names| self.cancel.check().map(|()| f(names)))?
    }

    /// The same for what runs the program's own code, which is tracked: hooks of collections.
    pub(super) fn job_of_the_program<T>(&self, f: impl FnOnce() -> T) -> Result<T, Fault> {
        self.inner.jobs.run_tracked(f)
    }

    /// A report, in the form that is asked for: as JSON, or as text, in a page perhaps. What it allocates is not tracked.
    pub(super) fn report(&self, title: &str, json: &impl Serialize, text: impl FnOnce() -> String) -> Answer {
        untracked(|| match self.format {
            Format::Json => match serde_json::to_vec(json) {
                Ok(mut body) => {
                    body.push(b'\n');
                    Answer::new(JSON, body)
                }
                // A report has no keys but texts, which is all that JSON could refuse.
                Err(_) => Fault::new(StatusCode::INTERNAL_SERVER_ERROR, "the report cannot be written as JSON")
                    .into_answer(self.format),
            },
            Format::Text => Answer::new(TEXT, text()),
            Format::Html => Answer::new(HTML, page(title, &text())),
        })
    }

    /// A report on what takes a snapshot.
    pub(super) fn report_of<T: Serialize>(
        &self,
        title: &str,
        make: impl FnOnce(&mut Symbols) -> Result<(T, String), Fault>,
    ) -> Result<Answer, Fault> {
        self.job(|names| make(names).map(|(json, text)| self.report(title, &json, || text)))?
    }

    /// The body as a JSON object.
    pub(super) fn object(&self) -> Result<serde_json::Map<String, serde_json::Value>, Fault> {
        match serde_json::from_slice(self.body) {
            Ok(serde_json::Value::Object(object)) => Ok(object),
            Ok(_) => Err(Fault::bad("the body is JSON, but no object: send {...}")),
            Err(error) => Err(Fault::bad(format!(
                "the body is not JSON (line {}, column {}): send an object, {{...}}",
                error.line(),
                error.column()
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn browsers_get_pages() {
        for (accept, html) in [
            ("", false),
            ("*/*", false),
            ("text/html", true),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", true),
            ("application/json", false),
            ("application/json, text/html;q=0.9", false),
            ("application/json;q=0.1, text/*", true),
            ("text/html;q=0, */*", false),
            ("text/html;q=nan", false),
            ("text/html;q=7", false),
            ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3,*/*;q=0.2", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(prefers_html(&headers), html, "{accept}");
        }
    }
}
