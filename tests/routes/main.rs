//! What each route does with memory, and the endpoints as a service: on services that are polled by hand, where every byte is known,
//! and on a real server.

mod by_hand;
mod cost;
mod many;
mod metrics;
mod served;

use http::Request;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tenure::http::{Endpoints, Peer, Routes};

#[global_allocator]
static ALLOC: tenure::Tenure = tenure::Tenure::new();

/// A wait is given up after so long; nothing is measured by it.
const PATIENCE: Duration = Duration::from_secs(60);

/// What this machine is answered at a path.
fn ask(endpoints: &Endpoints, path: &str) -> String {
    let request = Request::get(path)
        .header("host", "localhost")
        .extension(Peer(SocketAddr::from((Ipv4Addr::LOCALHOST, 1))))
        .body("")
        .expect("a request");
    let response = endpoints.respond(&request);
    assert_eq!(response.status(), 200, "{path}");
    String::from_utf8(response.into_body()).expect("text")
}

/// What is known of a route.
#[derive(Debug, PartialEq)]
struct Row {
    requests: u64,
    exact: u64,
    not_measured: u64,
    /// Bytes: the sum over all exact requests.
    allocated: u64,
    peak: u64,
    left: u64,
}

/// `None` if it has had no request. Read from what a scrape gets, so that this is right, too.
fn row(routes: &Routes, route: &str) -> Option<Row> {
    let metrics = {
        // One for all tests, and one test at a time: names that were looked up once are remembered.
        static ENDPOINTS: Mutex<Option<Endpoints>> = Mutex::new(None);
        let mut endpoints = ENDPOINTS.lock().unwrap_or_else(PoisonError::into_inner);
        let these = endpoints.take().unwrap_or_default().routes(routes);
        ask(endpoints.insert(these), "/metrics")
    };
    let get = |name: &str| -> Option<u64> {
        let series = format!("tenure_route_{name}{{route=\"{route}\"}} ");
        metrics.lines().find_map(|line| line.strip_prefix(&series)).map(|value| value.parse().expect("a whole number"))
    };
    Some(Row {
        requests: get("requests_total")?,
        exact: get("exact_requests_total")?,
        not_measured: get("not_measured_total")?,
        allocated: get("allocated_bytes_sum").unwrap_or_default(),
        peak: get("peak_bytes_sum").unwrap_or_default(),
        left: get("left_bytes_sum").unwrap_or_default(),
    })
}

/// The row once so many exact requests are over: a response's end is seen by its client a moment before.
fn row_after(routes: &Routes, route: &str, exact: u64) -> Row {
    let begin = Instant::now();
    loop {
        match row(routes, route) {
            Some(row) if row.exact >= exact => return row,
            row => assert!(begin.elapsed() < PATIENCE, "{route}: {row:?}"),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
