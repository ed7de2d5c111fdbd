//! What clients ask for: the same in the same order, whoever answers.

use crate::rng::Rng;
use std::fmt::Write;

/// A request as it goes over the wire.
pub(super) struct Request {
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
}

impl Request {
    pub(super) fn new(method: &str, path: &str, body: &str) -> Request {
        let kind = if body.is_empty() { "" } else { "content-type: application/json\r\n" };
        let head =
            format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n{kind}content-length: {}\r\n\r\n", body.len());
        Request { name: format!("{method} {path}"), bytes: [head.as_bytes(), body.as_bytes()].concat() }
    }
}

/// A fixed mix: small answers and large ones, text and JSON.
pub(super) struct Mix {
    requests: Vec<Request>,
    /// Which of them is next, over and over.
    order: Vec<usize>,
}

impl Mix {
    pub(super) fn new() -> Mix {
        // How often, in a hundred.
        let text = "a note of a visitor: what is held is indexed, and what is indexed is held\\n".repeat(20);
        let note = format!("{{\"path\":\"notes/1.md\",\"text\":\"{text}\"}}");
        let mut all = vec![
            (2, Request::new("POST", "/index", &note)),
            (25, Request::new("GET", "/search?q=the+memory", "")),
            (15, Request::new("GET", "/search?q=allocated+block", "")),
            (15, Request::new("POST", "/group?by=kind", &objects(40))),
            (5, Request::new("POST", "/group?by=kind", &objects(400))),
            (10, Request::new("GET", "/render/plain?q=memory", "")),
            (5, Request::new("GET", "/render/pooled?q=memory", "")),
        ];
        // More than the cache of summaries always holds.
        all.extend((0..23).map(|id| (1, Request::new("GET", &format!("/document/{id}"), ""))));
        let mut order: Vec<usize> = all.iter().enumerate().flat_map(|(i, (times, _))| vec![i; *times]).collect();
        Rng::new(7).shuffle(&mut order);
        Mix { requests: all.into_iter().map(|(_, request)| request).collect(), order }
    }

    /// Without end, each client from a place of its own.
    pub(super) fn from(&self, client: usize) -> impl Iterator<Item = &Request> {
        self.order.iter().cycle().skip(client * 13 % self.order.len()).map(|&i| &self.requests[i])
    }
}

/// A list of objects of eight kinds.
fn objects(n: usize) -> String {
    let mut list = String::from("[");
    for i in 0..n {
        let comma = if i == 0 { "" } else { "," };
        // Writing to a text does not fail.
        _ = write!(list, "{comma}{{\"kind\":{},\"name\":\"object {i}\",\"of\":{{\"number\":{i}}}}}", i * i % 8);
    }
    list + "]"
}
