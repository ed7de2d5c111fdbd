//! Who asks the service: a mix of requests, and how often they come.

use crate::client::Client;
use std::fmt::Write;
use std::net::SocketAddr;
use std::time::Duration;
use tenure::InScopeExt;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

/// A request, and the route that it is counted under.
pub(crate) struct Visit {
    pub(crate) route: &'static str,
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) body: String,
}

/// What a visitor asks for, over and over again: the same few documents, records and words, so that nothing grows.
pub(crate) fn mix(visitor: usize) -> Vec<Visit> {
    let get = |route, path: &str| Visit { route, method: "GET", path: path.into(), body: String::new() };
    let post = |route, path: &str, body| Visit { route, method: "POST", path: path.into(), body };
    let text = "a note of a visitor: what is held is indexed, and what is indexed is held\n".repeat(40);
    let note = serde_json::json!({ "path": format!("notes/{visitor}.md"), "text": text }).to_string();
    let job = r#"{"work":{"words":{"most":3}},"priority":"low"}"#.to_owned();
    let mut mix = Vec::new();
    for i in 0..8 {
        mix.push(get("/search", "/search?q=the+memory"));
        mix.push(get("/render/pooled", "/render/pooled?q=the"));
        mix.push(get("/render/plain", "/render/plain?q=the"));
        mix.push(get("/document/{id}", &format!("/document/{i}")));
        mix.push(post("/group", "/group?by=kind", objects(visitor)));
    }
    mix.push(post("/index", "/index", note));
    mix.push(post("/records", "/records", records(visitor)));
    mix.push(get("/records/{key}", &format!("/records/{visitor}-7")));
    mix.push(get("/download", "/download"));
    mix.push(post("/jobs", "/jobs", job));
    mix
}

/// A list of objects of eight kinds.
fn objects(visitor: usize) -> String {
    let mut list = format!("[{{\"kind\":0,\"visitor\":{visitor}}}");
    for i in 1..200 {
        // Writing to a text does not fail.
        _ = write!(list, ",{{\"kind\":{},\"name\":\"object {i}\",\"of\":{{\"visitor\":{visitor}}}}}", i * i % 8);
    }
    list + "]"
}

fn records(visitor: usize) -> String {
    let records: Vec<_> =
        (0..50).map(|i| serde_json::json!({ "key": format!("{visitor}-{i}"), "value": { "n": i } })).collect();
    serde_json::Value::from(records).to_string()
}

/// Visitors that come together.
const GENTLE: usize = 4;
/// Of each, between two requests: a hundred a second in all.
const PAUSE: Duration = Duration::from_millis(40);

/// Visits all routes, until it is dropped, at a pace that leaves the machine to others.
pub(crate) async fn gentle(address: SocketAddr) {
    let mut visitors = JoinSet::new();
    for number in 0..GENTLE {
        visitors.spawn(over_and_over(address, mix(number), PAUSE).in_scope("visitors"));
    }
    while visitors.join_next().await.is_some() {}
}

/// Visits of the leak lab, until it is dropped.
pub(crate) async fn of_lab(address: SocketAddr, paths: [String; 2], pause: Duration) {
    let mix = paths.map(|path| Visit { route: "/lab", method: "POST", path, body: String::new() }).into();
    over_and_over(address, mix, pause / 2).in_scope("visitors").await;
}

async fn over_and_over(address: SocketAddr, mix: Vec<Visit>, pause: Duration) {
    let mut ticks = interval(pause);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let Ok(mut client) = Client::connect(address).await else {
            // The service has no room, for now.
            sleep(Duration::from_secs(1)).await;
            continue;
        };
        'connection: loop {
            for Visit { method, path, body, .. } in &mix {
                ticks.tick().await;
                if client.send(method, path, body).await.is_err() {
                    break 'connection;
                }
            }
        }
    }
}
