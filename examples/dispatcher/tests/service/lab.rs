//! The leak lab: each leak is named by its function and line, and its twin never is.

use crate::support::{SOURCES, Server, command, wait_for};
use serde_json::Value;
use std::ops::Range;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The lines of the function that leaks, in its file, and of its twin.
struct Source {
    file: String,
    leak: Range<u64>,
    right: Range<u64>,
}

impl Source {
    /// Where a file has two functions of a name, the last is the one that allocates.
    fn read(name: &str) -> Source {
        let file = format!("/lab/{name}.rs");
        let source = std::fs::read_to_string(format!("{SOURCES}{file}")).unwrap();
        let lines: Vec<_> = source.lines().collect();
        let line_of = |part: &str| lines.iter().rposition(|line| line.contains(part)).unwrap() as u64 + 1;
        let (leak, right) = (line_of("fn leak("), line_of("fn right("));
        let end = |begin: u64, indent: &str| {
            begin + lines[begin as usize..].iter().position(|line| *line == format!("{indent}}}")).unwrap() as u64 + 1
        };
        let indent = if lines[leak as usize - 1].starts_with(' ') { "    " } else { "" };
        Source { file, leak: leak..end(leak, indent) + 1, right: right..end(right, indent) + 1 }
    }

    /// The line in this file that a report names.
    fn line(&self, row: &Value) -> Option<u64> {
        let (file, line) = row["location"].as_str()?.rsplit_once(':')?;
        if file.ends_with(&self.file) { line.parse().ok() } else { None }
    }

    fn is_leak(&self, row: &Value) -> bool {
        self.line(row).is_some_and(|line| self.leak.contains(&line)) && row["name"].as_str().unwrap().contains("::leak")
    }

    fn names_twin(&self, rows: &[Value]) -> bool {
        let twin = |row: &Value| self.line(row).is_some_and(|line| self.right.contains(&line));
        rows.iter().any(|row| twin(row) || row["name"].as_str().unwrap().contains("/right"))
    }

    /// No row is of the twin.
    fn acquit(&self, rows: &[Value]) {
        assert!(!self.names_twin(rows), "the twin is named: {rows:#?}");
    }
}

/// With visitors, and the mode that it has by itself. The clock goes by bytes alone: on a busy machine visitors come late,
/// and then epochs end late, too.
fn server() -> Server {
    Server::start(command(&["--port", "0"]).env("TENURE", "young=2MiB,idle=1h"))
}

/// Asked for only when there are any: names cost so much that asking for them all the time would disturb what is observed.
fn suspects(server: &Server) -> Vec<Value> {
    if server.json("/debug/tenure/live")["suspects"] == 0 {
        return Vec::new();
    }
    server.json("/debug/tenure/suspects")["suspects"].as_array().unwrap().clone()
}

fn old_collections(server: &Server) -> u64 {
    server.json("/debug/tenure/live")["generations"]["stats"][2]["collections"].as_u64().unwrap()
}

/// Plants a leak and waits until the first line of the suspects is the one that leaks.
fn is_suspect(name: &str) {
    let (server, source) = (server(), Source::read(name));
    server.post(&format!("/lab/{name}/plant"), "").ok();
    wait_for("the line that leaks", || {
        let found = suspects(&server);
        source.acquit(&found);
        // Its visitors go after a minute; on a slow machine they come again.
        if server.post(&format!("/lab/{name}/plant"), "").status() == 200 {
            println!("{name}: planted once more");
        }
        match found.iter().find(|suspect| suspect["kind"] == "line") {
            Some(first) if source.is_leak(first) => Ok(()),
            _ => Err(format!("{found:#?} after {} old collections", old_collections(&server))),
        }
    });
    // And goes on to be acquitted.
    let seen = old_collections(&server);
    wait_for("more collections", || {
        source.acquit(&suspects(&server));
        if old_collections(&server) > seen + 5 { Ok(()) } else { Err(String::new()) }
    });
    // A visit that was under way may leak once more.
    wait_for("it to stop", || {
        let stopped = server.post(&format!("/lab/{name}/stop"), "").ok().json();
        if stopped["held"] == 0 && stopped["seconds_left"] == 0 { Ok(()) } else { Err(stopped.to_string()) }
    });
    // What leaked is given back. By tags: they need no names.
    wait_for("what leaked to be freed", || {
        let groups = server.json("/debug/tenure/groups?by=tag&n=1000");
        let route = format!("/lab/{name}/leak");
        let tag = groups["groups"].as_array().unwrap().iter().find(|group| group["name"] == route);
        let held = tag.map_or(0.0, |tag| tag["live_bytes"]["value"].as_f64().unwrap());
        if held < 1e6 { Ok(()) } else { Err(format!("{held} bytes")) }
    });
}

#[test]
fn a_cycle() {
    is_suspect("cycle");
}

#[test]
fn callbacks() {
    is_suspect("callbacks");
}

#[test]
fn tasks() {
    is_suspect("tasks");
}

#[test]
fn connections() {
    is_suspect("connections");
}

#[test]
fn a_cache() {
    is_suspect("cache");
}

/// As it is shipped, where the clock goes by time, too:
/// `cargo test --release -p tenure-dispatcher -- --ignored`.
#[test]
#[ignore = "depends on time: needs a machine of its own"]
fn a_leak_is_named_within_a_minute() {
    let (server, source) = (Server::start(&mut command(&["--port", "0"])), Source::read("cycle"));
    let seen = old_collections(&server);
    sleep(Duration::from_secs(30));
    let collections = old_collections(&server) - seen;
    assert!(collections >= 20, "{collections} old collections in 30 s");
    server.post("/lab/cycle/plant?seconds=60", "").ok();
    let start = Instant::now();
    let named = wait_for("the line that leaks", || {
        let found = suspects(&server);
        source.acquit(&found);
        match found.iter().find(|suspect| suspect["kind"] == "line") {
            Some(first) if source.is_leak(first) => Ok(start.elapsed()),
            _ => Err(format!("{found:#?} after {} old collections", old_collections(&server))),
        }
    });
    println!("{collections} old collections in 30 s; named after {named:.0?}");
    assert!(named < Duration::from_secs(60), "named after {named:?}");
}

#[test]
fn pinned_pages() {
    let (server, source) = (server(), Source::read("pinned"));
    let planted = server.post("/lab/pinned/plant", "").ok().json();
    assert!(planted["note"].as_str().unwrap().contains("every allocation is tracked"), "{planted}");
    assert_eq!(mode(&server), "exact");
    wait_for("the survivors", || {
        let retention = server.json("/debug/tenure/retention");
        let survivors = retention["survivors"].as_array().unwrap();
        source.acquit(&suspects(&server));
        // In the middle of a burst, of which the twin's blocks live for a moment, too: later.
        if source.names_twin(survivors) {
            return Err(format!("{survivors:#?}"));
        }
        if server.post("/lab/pinned/plant", "").status() == 200 {
            println!("pinned: planted once more");
        }
        let keeps = |row: &Value, what: &str| row["kept"][what].as_u64().unwrap();
        match survivors.first() {
            Some(first) if source.is_leak(first) && keeps(first, "kept") > 4 * keeps(first, "bytes") => Ok(()),
            _ => Err(format!("{survivors:#?}")),
        }
    });
    server.post("/lab/pinned/stop", "").ok();
    assert_eq!(mode(&server), "sampled");
}

fn mode(server: &Server) -> String {
    server.json("/debug/tenure/mode")["mode"].as_str().unwrap().to_owned()
}

/// Exact tracking ends with the visitors, though nobody sends them home, unless it was there before them.
#[test]
fn the_mode_comes_back() {
    for (tenure, before) in [("", "sampled"), ("exact", "exact")] {
        let server = Server::small(tenure);
        for _ in 0..2 {
            server.post("/lab/pinned/plant?seconds=1", "").ok();
            wait_for("the end of the visits", || {
                let lab = server.json("/lab/");
                let pinned = lab.as_array().unwrap().iter().find(|leak| leak["name"] == "pinned").unwrap();
                if pinned["seconds_left"] == 0 { Ok(()) } else { Err(lab.to_string()) }
            });
        }
        wait_for("the mode", || match mode(&server) {
            mode if mode == before => Ok(()),
            other => Err(other),
        });
        server.post("/lab/pinned/stop", "").ok();
        assert_eq!(mode(&server), before);
    }
}

/// One visit to each, without visitors.
#[test]
fn a_visit_leaks_and_its_twin_does_not() {
    let server = Server::small("");
    for leak in server.json("/lab/").as_array().unwrap() {
        let name = leak["name"].as_str().unwrap();
        let held = || {
            let all = server.json("/lab/");
            all.as_array().unwrap().iter().find(|leak| leak["name"] == name).unwrap()["held"].as_u64().unwrap()
        };
        assert_eq!(server.post(&format!("/lab/{name}/right"), "").status(), 204);
        assert_eq!(held(), 0, "{name}");
        assert_eq!(server.post(&format!("/lab/{name}/leak"), "").status(), 204);
        wait_for("what leaks", || if held() > 0 { Ok(()) } else { Err(name.into()) });
        assert_eq!(server.post(&format!("/lab/{name}/stop"), "").ok().json()["held"], 0);
    }
}
