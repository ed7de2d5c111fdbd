//! What the service says of its own memory: requests by their routes, what the pool saves, profiles.

use crate::support::{SOURCES, Server, command, wait_for};
use serde_json::{Value, json};
use std::process::Command;

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// Leaks so many visits, one after the other.
fn leak(server: &Server, times: usize) {
    let mut connection = server.connect();
    for _ in 0..times {
        assert_eq!(connection.send("POST", "/lab/cache/leak", &[], "").status(), 204);
    }
}

fn groups(server: &Server, query: &str) -> Vec<Value> {
    server.json(&format!("/debug/tenure/groups?{query}"))["groups"].as_array().unwrap().clone()
}

#[test]
fn a_leak_of_a_few_blocks_is_known_exactly() {
    const TIMES: usize = 40;
    let server = Server::small("exact");
    leak(&server, TIMES);
    let lines = groups(&server, "by=line&n=1000");
    let of_leak = |row: &&Value| row["location"].as_str().is_some_and(|place| place.contains("/lab/cache.rs:"));
    let leak = lines.iter().find(of_leak).unwrap_or_else(|| panic!("{lines:#?}"));
    // A page stands behind two counters.
    assert_eq!(number(&leak["live_bytes"]["value"]), (TIMES * (16 + (12 << 10))) as f64, "{leak}");
    assert_eq!(number(&leak["live_blocks"]["value"]), TIMES as f64, "{leak}");
    assert_eq!(leak["live_bytes"]["exact"], true, "{leak}");
}

#[test]
fn each_route_has_its_tag() {
    let server = Server::small("exact");
    leak(&server, 10);
    for path in ["/search?q=the", "/document/0", "/document/1", "/nowhere/1", "/nowhere/2", "/download"] {
        server.get(path);
    }
    let objects = format!("[{}{{}}]", "{\"k\":{}},".repeat(1000));
    server.post("/group?by=k", &objects).ok();
    server.post("/index", &json!({ "path": "a", "text": "b c d" }).to_string()).ok();
    // Those of which nothing lives any more, too.
    let tags = groups(&server, "by=tag&n=1000&order=allocated_bytes");
    let of =
        |name: &str| tags.iter().find(|tag| tag["name"] == name).unwrap_or_else(|| panic!("no {name} among {tags:#?}"));
    for route in ["/document/{id}", "/download", "/group", "/index", "/lab/cache/leak", "/search", "index", "unmatched"]
    {
        of(route);
    }
    let invented = tags.iter().find(|tag| tag["name"].as_str().unwrap().contains("nowhere"));
    assert!(invented.is_none(), "{invented:?}");
    // What has its tag while it lives, and what a thread did that the request had sent it to.
    assert!(number(&of("/lab/cache/leak")["live_blocks"]["value"]) >= 10.0, "{tags:#?}");
    assert!(number(&of("/group")["allocated_blocks"]) > 2000.0, "{tags:#?}");
    assert!(number(&of("/download")["allocated_bytes"]) > 30_000.0, "{tags:#?}");
    assert!(number(&of("/search")["live_blocks"]["value"]) < 10.0, "{tags:#?}");
}

/// The same page, with and without the pool: the table of routes says what it saves.
#[test]
fn what_the_pool_saves_is_seen() {
    let server = Server::small("");
    let mut connection = server.connect();
    let row = wait_for("requests that were measured", || {
        for _ in 0..50 {
            connection.send("GET", "/render/pooled?q=the", &[], "").ok();
            connection.send("GET", "/render/plain?q=the", &[], "").ok();
        }
        let routes = server.json("/debug/tenure/routes");
        let row = |name: &str| {
            let all = routes["routes"].as_array().unwrap();
            all.iter().find(|row| row["route"] == name && number(&row["exact"]) > 8.0).cloned()
        };
        row("/render/pooled").zip(row("/render/plain")).ok_or_else(|| routes.to_string())
    });
    let allocated = |row: &Value| number(&row["allocated_bytes"]["mean"]);
    assert!(allocated(&row.0) * 2.0 < allocated(&row.1), "{row:#?}");
}

#[test]
fn go_opens_the_profile() {
    let server = Server::small("exact");
    leak(&server, 100);
    let answer = server.get("/debug/pprof/heap").ok();
    assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
    let folder = env!("CARGO_TARGET_TMPDIR");
    let file = format!("{folder}/heap.pb.gz");
    std::fs::write(&file, answer.body).unwrap();
    let mut go = Command::new("go");
    // By what waits for it: the allocator's own frames stand below it.
    go.args(["tool", "pprof", "-top", "-cum", "-show=dispatcher::", &file]).env("PPROF_TMPDIR", folder);
    let output = match go.output() {
        Ok(output) => output,
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => {
            return println!("skipped: go_opens_the_profile, because there is no go");
        }
        Err(why) => panic!("go cannot be started: {why}"),
    };
    let (text, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{error}");
    assert!(text.contains("Type: inuse_space"), "{text}{error}");
    let leak = text.lines().find(|line| line.contains("lab::cache::") && line.contains("leak"));
    let leak = leak.unwrap_or_else(|| panic!("the leak is not there: {text}{error}"));
    let flat = leak.split_whitespace().next().and_then(|flat| flat.strip_suffix("kB")?.parse::<f64>().ok());
    assert!(flat.is_some_and(|flat| flat > 1200.0), "{leak}");
}

#[test]
fn the_load_says_how_long_requests_took() {
    let folder = ["--port", "0", "--folder", SOURCES, "--load", "2"];
    let mut server = Server::start(&mut command(&folder));
    let lines = server.lines.by_ref().map(|line| line.unwrap());
    let text: Vec<_> = lines.take_while(|line| line != "still serving; ctrl-c ends it").collect();
    let begin = text.iter().position(|line| line.starts_with("route ")).unwrap_or_else(|| panic!("{text:#?}"));
    let rows: Vec<_> = text[begin + 1..].iter().filter(|line| !line.is_empty()).collect();
    for row in &rows {
        let figures: Vec<f64> = row.split_whitespace().skip(1).map(|n| n.parse().unwrap()).collect();
        let [requests, _, p50, p90, p99, max, errors, _] = figures[..] else { panic!("{text:#?}") };
        assert!(requests >= 1.0 && errors == 0.0, "{text:#?}");
        assert!(0.0 < p50 && p50 <= p90 && p90 <= p99 && p99 <= max, "{text:#?}");
    }
    // A few seconds of an unknown machine: not every route need have had its turn.
    assert!(rows.len() > 2 && rows.last().unwrap().starts_with("all "), "{text:#?}");
    server.get("/search?q=a").ok();
}
