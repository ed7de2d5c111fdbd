//! What the service says of its own memory: the leak by its line, requests by their routes.

use crate::support::{SOURCES, Server, command};
use serde_json::Value;
use std::process::Command;

/// Where the leak stands in `sessions.rs`.
fn line_of_the_leak() -> String {
    let source = std::fs::read_to_string(format!("{SOURCES}/sessions.rs")).unwrap();
    let mut lines = source.lines().enumerate().filter(|(_, line)| line.contains("front_page(user, index).into()"));
    let (Some((n, _)), None) = (lines.next(), lines.next()) else { panic!("no line leaks, or several do") };
    format!("src/sessions.rs:{}", n + 1)
}

/// Opens sessions, one after the other, and returns the bytes of a page.
fn open_sessions(server: &Server, times: usize) -> usize {
    let mut connection = server.connect();
    let mut bytes = 0;
    for _ in 0..times {
        bytes = connection.send("GET", "/session?user=ada", &[], "").ok().body.len();
    }
    bytes
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// Whether a row is of such a function. An inlined one has no type in its name.
fn is(row: &Value, begin: &str, end: &str) -> bool {
    row["name"].as_str().is_some_and(|name| name.starts_with(begin) && name.ends_with(end))
}

/// Checks that the leak comes first, in the table and in JSON, and returns its row.
fn first_is_the_leak(server: &Server) -> Value {
    let table = server.get("/sites").ok();
    let first = table.text().lines().skip_while(|line| !line.ends_with("  by line")).nth(1).unwrap_or_default();
    assert!(first.contains("dispatcher::sessions::") && first.contains("::open"), "{}", table.text());
    let first = server.json("/sites?n=1&format=json")["groups"][0].take();
    assert!(is(&first, "dispatcher::sessions::", "::open"), "{}", table.text());
    assert!(first["location"].as_str().unwrap().ends_with(&line_of_the_leak()), "{first}");
    first
}

#[test]
fn a_leak_of_a_few_blocks_is_first_in_exact_mode() {
    const TIMES: usize = 40;
    let server = Server::small("exact");
    let bytes = open_sessions(&server, TIMES);
    let first = first_is_the_leak(&server);
    // A page stands behind two counters, and is aligned as they are.
    assert_eq!(number(&first["bytes"]["value"]), (TIMES * (bytes + 16).next_multiple_of(8)) as f64, "{first}");
    assert_eq!(number(&first["blocks"]["value"]), TIMES as f64, "{first}");
    assert_eq!(number(&first["bytes"]["standard_error"]), 0.0, "{first}");
}

#[test]
fn a_leak_of_many_bytes_is_first_by_samples() {
    const TIMES: usize = 2000;
    let server = Server::start(&mut command(&["--port", "0"]));
    let bytes = TIMES * open_sessions(&server, TIMES);
    assert!(bytes > 16 << 20, "{bytes} bytes in pages");
    let first = first_is_the_leak(&server);
    let (value, error) = (number(&first["bytes"]["value"]), number(&first["bytes"]["standard_error"]));
    // Some forty samples.
    assert!((value - bytes as f64).abs() < 6.0 * error && error > 0.0 && error < 0.4 * value, "{bytes}: {first}");
}

/// The rows of `/sites?by=tag` by their names.
fn tags(server: &Server) -> Vec<(String, Value)> {
    let groups = server.json("/sites?by=tag&n=1000&format=json")["groups"].take();
    groups
        .as_array()
        .unwrap()
        .iter()
        .map(|group| (group["name"].as_str().unwrap().to_string(), group.clone()))
        .collect()
}

#[test]
fn each_route_has_its_tag() {
    let server = Server::small("exact");
    open_sessions(&server, 10);
    for path in ["/search?q=the", "/document/0", "/document/1", "/nowhere/1", "/nowhere/2", "/stats", "/sites"] {
        server.get(path);
    }
    let objects = format!("[{}{{}}]", "{\"k\":{}},".repeat(1000));
    server.connect().send("POST", "/group?by=k", &[], &objects).ok();
    let tags = tags(&server);
    let mut names: Vec<_> = tags.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    let routes =
        ["(no tag)", "/document/{id}", "/group", "/search", "/session", "/sites", "/stats", "index", "unmatched"];
    assert_eq!(names, routes);
    let of = |name: &str| &tags.iter().find(|tag| tag.0 == name).unwrap().1;
    // What has its tag while it lives, and what a thread did that the request had sent it to.
    assert!(number(&of("/session")["blocks"]["value"]) >= 10.0, "{}", of("/session"));
    assert!(number(&of("/group")["allocated_blocks"]["value"]) > 2000.0, "{}", of("/group"));
    assert!(number(&of("/search")["blocks"]["value"]) < 10.0, "{}", of("/search"));
    assert!(number(&of("index")["bytes"]["value"]) > 50_000.0, "{}", of("index"));
}

#[test]
fn sites_are_grouped_as_asked() {
    let server = Server::small("exact");
    for (by, begin, end) in [
        // It needs all names, so that the others need no more.
        ("site", "dispatcher::index::", "::add"),
        ("line", "dispatcher::index::", "::add"),
        ("function", "dispatcher::index::", "::add"),
        ("module", "dispatcher::index", ""),
        ("crate", "dispatcher", ""),
        ("file", "", "/index.rs"),
        ("tag", "index", ""),
        ("class", "", " B"),
    ] {
        let sites = server.json(&format!("/sites?by={by}&n=3&format=json"));
        let groups = sites["groups"].as_array().unwrap();
        assert!(groups.len() <= 3 && is(&groups[0], begin, end), "{by}: {sites}");
        let shown: f64 = groups.iter().map(|group| number(&group["bytes"]["value"])).sum();
        let all = shown + number(&sites["others"]["bytes"]["value"]);
        assert_eq!(all, number(&sites["bytes"]["value"]), "{by}: {sites}");
        let table = server.get(&format!("/sites?by={by}&n=3")).ok();
        assert!(table.text().contains("  by "), "{by}: {}", table.text());
    }
    // More than the ten that a table has by itself.
    let table = server.get("/sites?n=14").ok();
    assert!(
        table.text().lines().filter(|line| line.contains(" %  ") || line.contains(" % ")).count() >= 14,
        "{}",
        table.text()
    );
}

#[test]
fn reports_are_told_at_the_same_time() {
    let server = Server::small("exact");
    std::thread::scope(|scope| {
        let paths = ["/sites", "/sites?by=tag", "/debug/pprof/heap", "/sites?by=site&format=json"];
        for path in paths {
            let server = &server;
            scope.spawn(move || (0..2).for_each(|_| drop(server.get(path).ok())));
        }
    });
}

#[test]
fn go_opens_the_profile() {
    let server = Server::small("exact");
    let bytes = 40 * open_sessions(&server, 40);
    let answer = server.get("/debug/pprof/heap").ok();
    assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
    assert_eq!(answer.body[..2], [0x1f, 0x8b], "gzip");
    let folder = env!("CARGO_TARGET_TMPDIR");
    let file = format!("{folder}/heap.pb.gz");
    std::fs::write(&file, answer.body).unwrap();
    let mut go = Command::new("go");
    // By what waits for it: the allocator's own frames stand below it.
    go.args(["tool", "pprof", "-top", "-cum", "-show=^dispatcher::", &file]).env("PPROF_TMPDIR", folder);
    let output = match go.output() {
        Ok(output) => output,
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => return println!("skipped: no go"),
        Err(why) => panic!("go cannot be started: {why}"),
    };
    let (text, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{error}");
    assert!(text.contains("Type: inuse_space"), "{text}{error}");
    // With everything else hidden, what the leak holds is its own.
    let leak = text.lines().find(|line| line.contains("dispatcher::sessions::") && line.contains("::open"));
    let leak = leak.unwrap_or_else(|| panic!("the leak is not there: {text}{error}"));
    let flat = leak.split_whitespace().next().and_then(|flat| flat.strip_suffix("kB")?.parse::<f64>().ok());
    assert!(flat.is_some_and(|flat| flat * 1024.0 > bytes as f64), "{bytes}: {leak}");
}

#[test]
fn the_load_shows_the_leak() {
    let folder = ["--port", "0", "--folder", SOURCES, "--load", "1"];
    let mut server = Server::start(command(&folder).env("TENURE", "exact"));
    let lines = server.lines.by_ref().map(|line| line.unwrap());
    let text: Vec<_> = lines.take_while(|line| line != "still serving; ctrl-c ends it").collect();
    // A second of an unknown machine: it need not have come to the top.
    assert!(text.iter().any(|line| line.contains("dispatcher::sessions::")), "{text:#?}");
    assert!(text.iter().any(|line| line.ends_with("  /session")), "{text:#?}");
    let requests = text.iter().find_map(|line| line.strip_suffix(" requests were answered"));
    assert!(requests.is_some_and(|n| n.parse::<usize>().is_ok_and(|n| n > 8)), "{text:#?}");
    server.get("/stats").ok();
}
