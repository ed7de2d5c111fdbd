//! What is sent back: always with the headers that keep a browser from doing anything else with it.

use super::call::Format;
use http::header::{self, HeaderName};
use http::{HeaderValue, Method, Response, StatusCode};
use std::borrow::Cow;

pub(super) const JSON: &str = "application/json";
pub(super) const TEXT: &str = "text/plain; charset=utf-8";
pub(super) const HTML: &str = "text/html; charset=utf-8";

/// What a page of ours may do: load what is ours, and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Sent with every answer.
const ALWAYS: [(HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// An answer in the making.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) content_type: &'static str,
    /// In place of [`POLICY`].
    pub(super) policy: Option<HeaderValue>,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn new(content_type: &'static str, body: impl Into<Vec<u8>>) -> Answer {
        Answer { status: StatusCode::OK, content_type, policy: None, headers: Vec::new(), body: body.into() }
    }

    pub(super) fn with(mut self, name: HeaderName, value: HeaderValue) -> Answer {
        self.headers.push((name, value));
        self
    }

    /// To the question whether there is something, the answer is everything but that.
    pub(super) fn into_response(self, method: &Method) -> Response<Vec<u8>> {
        let length = HeaderValue::from(self.body.len());
        let mut response = Response::new(if method == Method::HEAD { Vec::new() } else { self.body });
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        // No content has neither type nor length (RFC 9110, 8.6).
        if self.status != StatusCode::NO_CONTENT {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
            headers.insert(header::CONTENT_LENGTH, length);
        }
        let policy = self.policy.unwrap_or_else(|| HeaderValue::from_static(POLICY));
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        for (name, value) in ALWAYS {
            headers.insert(name, HeaderValue::from_static(value));
        }
        self.headers.into_iter().for_each(|(name, value)| _ = headers.insert(name, value));
        response
    }
}

/// Why there is no answer, in one line: what is wrong, where, and what helps.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) status: StatusCode,
    pub(super) line: Cow<'static, str>,
    header: Option<(HeaderName, HeaderValue)>,
}

impl Fault {
    pub(super) fn new(status: StatusCode, line: impl Into<Cow<'static, str>>) -> Fault {
        Fault { status, line: line.into(), header: None }
    }

    /// The request is wrong.
    pub(super) fn bad(line: impl Into<Cow<'static, str>>) -> Fault {
        Fault::new(StatusCode::BAD_REQUEST, line)
    }

    pub(super) fn with(self, name: HeaderName, value: HeaderValue) -> Fault {
        Fault { header: Some((name, value)), ..self }
    }

    pub(super) fn into_answer(self, format: Format) -> Answer {
        let Fault { status, line, header } = self;
        let answer = match format {
            Format::Json => Answer::new(JSON, serde_json::json!({ "error": line }).to_string() + "\n"),
            Format::Text => Answer::new(TEXT, format!("{line}\n")),
            Format::Html => Answer::new(HTML, page(&status.to_string(), &line)),
        };
        Answer { status, headers: header.into_iter().collect(), ..answer }
    }
}

/// A text as a page. It needs no script and no style: the browser's own, light or dark, will do.
pub(super) fn page(title: &str, text: &str) -> String {
    let (title, text) = (escaped(title), escaped(text));
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{title} - tenure</title>\n</head>\n<body>\n<h1>{title}</h1>\n<pre>{text}</pre>\n</body>\n</html>\n"
    )
}

/// A text that means nothing in HTML or XML: no mark, no quote, and no character that they refuse.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len() + text.len() / 8);
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            '\n' | '\t' => safe.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_of_markup() {
        let harm = "<script>\"'&\u{0}\u{1b}\u{7f}\u{85}\u{ffff}\n\tä]]>";
        let safe = "&lt;script&gt;&quot;&#39;&amp;\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\n\tä]]&gt;";
        assert_eq!(escaped(harm), safe);
        let page = page(harm, harm);
        assert_eq!((page.matches(safe).count(), page.matches("<script").count()), (3, 0), "{page}");
        for (format, own) in
            [(Format::Json, "\"<script>"), (Format::Text, "<script>"), (Format::Html, "&lt;script&gt;")]
        {
            let answer = Fault::bad("<script>").into_answer(format);
            let text = String::from_utf8(answer.body).expect("UTF-8");
            assert!(text.contains(own) && answer.status == 400, "{text}");
            // Nobody takes the first two for a page.
            assert_eq!(answer.content_type.starts_with("text/html"), format == Format::Html);
        }
    }
}
