//! The debug endpoints over this process' heap, and the programs that ask them: `go tool pprof` and Prometheus. What is not
//! installed is skipped, by name; `ci/consumers.sh` installs it.

#[path = "../consumers/prometheus.rs"]
#[allow(dead_code, reason = "the tests of exports need more of it")]
mod prometheus;
#[path = "../support/schema.rs"]
mod schema;
mod server;
#[path = "../consumers/tools.rs"]
#[allow(dead_code, reason = "the tests of exports need more of them")]
mod tools;

use serde_json::Value;
use server::ask;
use std::hint::black_box;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use tenure::http::{Endpoints, Routes};
use tenure::snapshot::By;
use tenure::{Mode, Symbols, Tenure};

#[global_allocator]
static ALLOC: Tenure = Tenure::new().mode(Mode::Exact);

/// Blocks that [`hold`] holds, and bytes of each.
const HELD: (usize, usize) = (37, 12_345);
/// A tag that would do harm on a page, in a script, a header, a metric and a terminal.
const HARM: &str = "<img src=x onerror=alert(1)></script><script>alert(2)</script>\"'&\\\r\n\u{1b}[31m ]]> ü";

/// The mode, the thresholds and collections are the process': one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[inline(never)]
fn hold() -> Vec<Vec<u8>> {
    let _tag = tenure::scope(HARM);
    let mut held = Vec::with_capacity(HELD.0);
    held.extend((0..HELD.0).map(block));
    held
}

#[inline(never)]
fn block(i: usize) -> Vec<u8> {
    // No zeros: those come from elsewhere.
    black_box(vec![i as u8 + 1; HELD.1])
}

#[inline(never)]
fn grow(into: &mut Vec<Vec<u8>>) {
    into.push(black_box(vec![1; 4321]));
}

fn json(endpoints: &Endpoints, method: &str, path: &str, body: &str) -> Value {
    let response = ask(endpoints, method, path, "*/*", body);
    let text = std::str::from_utf8(response.body()).expect("UTF-8");
    assert!(response.status().is_success(), "{method} {path}: {}: {text}", response.status());
    assert_eq!(response.headers()["content-type"], "application/json", "{path}");
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{path}: {error}: {text}"))
}

fn faults(definition: &str, value: &Value) -> Vec<String> {
    let root: Value = serde_json::from_str(include_str!("../../docs/http.schema.json")).expect("a schema");
    let definition = &root["$defs"][definition];
    assert!(definition.is_object(), "the schema has no such definition");
    schema::faults(definition, &root, value)
}

fn with_everything() -> Endpoints {
    Endpoints::new().routes(&Routes::new()).figures(|figures| {
        figures.gauge("pool_bytes", "What the pool keeps.", 4096.0);
        figures.counter("Bad", "", 1.0);
    })
}

/// Each endpoint's real answer, and that the schema finds what is wrong with it.
#[test]
fn every_report_fits_the_schema() {
    let _alone = alone();
    let endpoints = with_everything();
    let held = hold();
    for (method, path, body, definition) in [
        ("GET", "live", "", "live"),
        ("GET", "stats", "", "stats"),
        ("POST", "collect?generation=old", "", "collection"),
        ("POST", "baseline", "", "baseline"),
        ("GET", "live", "", "live"),
        ("GET", "groups", "", "groups"),
        ("GET", "groups?by=site&n=1000", "", "groups"),
        ("GET", "groups?by=class&order=live_blocks", "", "groups"),
        ("GET", "groups?by=tag&order=allocated-bytes&n=1", "", "groups"),
        ("GET", "groups?by=function&filter=http::*", "", "groups"),
        ("GET", "diff?by=tag", "", "diff"),
        ("GET", "suspects", "", "suspects"),
        ("GET", "tenuring", "", "tenuring"),
        ("GET", "tenuring?by=line&n=3", "", "tenuring"),
        ("GET", "retention", "", "retention"),
        ("GET", "routes", "", "routes"),
        ("GET", "figures", "", "figures"),
        ("GET", "flame.json?value=live_blocks", "", "flame"),
        ("GET", "thresholds", "", "thresholds"),
        ("PUT", "thresholds", "{\"idle_ms\":9999}", "thresholds"),
        ("GET", "mode", "", "tracking"),
        ("PUT", "mode", "{\"mode\":\"sampled\",\"mean\":65536}", "tracking"),
        ("PUT", "mode", "{\"mode\":\"exact\"}", "tracking"),
        ("GET", "live", "", "live"),
        ("GET", "groups", "", "groups"),
    ] {
        let mut answer = json(&endpoints, method, &format!("/debug/tenure/{path}"), body);
        assert_eq!(faults(definition, &answer), [""; 0], "{method} {path}: {answer}");
        // A schema that finds nothing proves nothing.
        let object = answer.as_object_mut().expect("an object");
        let first = object.keys().next().expect("a member").clone();
        let removed = object.remove(&first);
        assert_eq!(faults(definition, &answer), [": required"], "{path} without {first}, {removed:?}");
    }
    tenure::set_mode(Mode::Exact);
    for path in ["nothing", "groups?by=x"] {
        let response = ask(&endpoints, "GET", &format!("/debug/tenure/{path}"), "*/*", "");
        let error = serde_json::from_slice(response.body()).expect("JSON");
        assert_eq!(faults("error", &error), [""; 0], "{error}");
    }
    drop(held);
}

#[test]
fn reports_say_what_is_held() {
    let _alone = alone();
    let endpoints = Endpoints::new();
    let before = json(&endpoints, "POST", "/debug/tenure/baseline", "");
    let held = hold();
    let groups = json(&endpoints, "GET", "/debug/tenure/groups?by=function&n=1000", "");
    let of = |answer: &Value, name: &str| {
        let groups = answer["groups"].as_array().expect("a list").clone();
        groups.into_iter().find(|g| g["name"] == name).unwrap_or_else(|| panic!("{name} in {answer}"))
    };
    let block = of(&groups, "http::block");
    assert_eq!(block["live_bytes"]["value"], (HELD.0 * HELD.1) as f64);
    assert_eq!((&block["live_bytes"]["exact"], &block["live_blocks"]["high"]), (&true.into(), &(HELD.0 as f64).into()));
    assert!(block["location"].as_str().expect("a text").contains("tests/http/main.rs:"), "{block}");
    let diff = json(&endpoints, "GET", "/debug/tenure/diff?by=function&n=1000", "");
    assert_eq!(diff["baseline_ms"], before["time_ms"]);
    assert_eq!(of(&diff, "http::block")["change_bytes"]["value"], (HELD.0 * HELD.1) as f64);
    drop(held);
    let diff = json(&endpoints, "GET", "/debug/tenure/diff?by=function&n=1000", "");
    assert!(!diff["groups"].as_array().expect("a list").iter().any(|g| g["name"] == "http::block"), "{diff}");
    let filtered = json(&endpoints, "GET", "/debug/tenure/groups?filter=http::grow", "");
    assert_eq!(filtered["groups"].as_array().map(Vec::len), Some(0), "{filtered}");
}

#[test]
fn a_snapshot_is_a_file() {
    let _alone = alone();
    let held = hold();
    for (path, named) in [("snapshot", true), ("snapshot?raw=1", false)] {
        let response = ask(&Endpoints::new(), "GET", &format!("/debug/tenure/{path}"), "*/*", "");
        let disposition = response.headers()["content-disposition"].to_str().expect("a text");
        let name = format!("attachment; filename=\"tenure-{}-", std::process::id());
        assert!(disposition.starts_with(&name), "{disposition}");
        let text = std::str::from_utf8(response.body()).expect("UTF-8");
        let (snapshot, _) = tenure::export::from_json(text).expect("a snapshot");
        assert!(snapshot.tags().iter().any(|tag| tag.name == HARM && tag.live.bytes >= (HELD.0 * HELD.1) as f64));
        assert_eq!(text.contains("http::block"), named);
    }
    drop(held);
}

/// Names are the program's and the compiler's, but a tag may be what somebody typed.
#[test]
fn no_name_is_markup() {
    let _alone = alone();
    let endpoints = with_everything();
    let held = hold();
    json(&endpoints, "POST", "/debug/tenure/baseline", "");
    let groups = json(&endpoints, "GET", "/debug/tenure/groups?by=tag&n=1000", "");
    assert!(groups["groups"].as_array().expect("a list").iter().any(|g| g["name"] == HARM), "as it is: {groups}");
    let mut shown = 0;
    for path in [
        "stats",
        "live",
        "groups?by=tag",
        "groups?by=site",
        "diff?by=tag",
        "suspects",
        "tenuring?by=tag",
        "retention",
        "routes",
        "figures",
        "thresholds",
        "mode",
        "flame.svg",
        "flame.svg?diff=1",
        "charts/memory.svg",
        "charts/generations.svg",
        "",
    ] {
        let response = ask(&endpoints, "GET", &format!("/debug/tenure/{path}"), "text/html", "");
        let text = std::str::from_utf8(response.body()).expect("UTF-8");
        assert!(response.status().is_success(), "{path}: {text}");
        for harm in ["<img", "alert(2)</script>", "onerror=alert(1)>", "\u{1b}", "]]> ü"] {
            assert!(!text.contains(harm), "{harm:?} in {path}: {text}");
        }
        shown += text.matches("&lt;img src=x").count();
    }
    assert!(shown > 0, "nobody shows the tag");
    let text = ask(&endpoints, "GET", "/debug/tenure/groups?by=tag&format=text", "*/*", "");
    assert!(!text.body().contains(&0x1b), "no order to a terminal");
    let metrics = ask(&endpoints, "GET", "/metrics", "*/*", "");
    let metrics = std::str::from_utf8(metrics.body()).expect("UTF-8");
    assert!(metrics.lines().all(|line| line.starts_with("tenure_") || line.starts_with("# ")), "{metrics}");
    drop(held);
}

#[test]
fn thresholds_are_set_one_by_one() {
    let _alone = alone();
    let endpoints = Endpoints::new();
    let before = tenure::generation::thresholds();
    let after = json(&endpoints, "PUT", "/debug/tenure/thresholds", "{\"young_bytes\":1048576,\"idle_ms\":60000}");
    let now = tenure::generation::thresholds();
    assert_eq!((now.young_bytes, now.idle_ms, now.free_percent), (1 << 20, 60_000, before.free_percent));
    assert_eq!(after["young_bytes"], 1 << 20);
    // One that is wrong keeps the others away.
    let response =
        ask(&endpoints, "PUT", "/debug/tenure/thresholds", "*/*", "{\"idle_ms\":70000,\"free_percent\":101}");
    assert_eq!(response.status(), 400);
    assert_eq!(tenure::generation::thresholds().idle_ms, 60_000);
    tenure::generation::set_thresholds(before).expect("they were right");
}

#[test]
fn collections_are_asked_for() {
    let _alone = alone();
    let before = tenure::generation::stats()[1].collections;
    let collection = json(&Endpoints::new(), "POST", "/debug/tenure/collect?generation=middle", "");
    assert_eq!((&collection["generation"], &collection["automatic"]), (&"middle".into(), &false.into()));
    assert!(tenure::generation::stats()[1].collections > before);
    let before = tenure::generation::stats()[2].collections;
    ask(&Endpoints::new(), "GET", "/debug/pprof/heap?gc=1", "*/*", "");
    assert!(tenure::generation::stats()[2].collections > before);
}

#[test]
fn exact_tracking_ends_by_itself() {
    let _alone = alone();
    let endpoints = Endpoints::new();
    let set = |body: &str| json(&endpoints, "PUT", "/debug/tenure/mode", body);
    let sampled = Mode::Sampled { mean: 65_536 };
    assert_eq!(set("{\"mode\":\"sampled\",\"mean\":65536}")["mean"], 65_536);
    let answer = set("{\"mode\":\"exact\",\"seconds\":1}");
    assert!((0.0..=1.0).contains(&answer["exact_ends_in_s"].as_f64().expect("a number")), "{answer}");
    let begin = Instant::now();
    // Nobody asks us meanwhile.
    while tenure::mode() == Mode::Exact {
        assert!(begin.elapsed() < Duration::from_secs(60), "it does not end");
        thread::sleep(Duration::from_millis(20));
    }
    assert!(begin.elapsed() > Duration::from_millis(900), "it ended after {:?}", begin.elapsed());
    assert_eq!(tenure::mode(), sampled);
    // Asked for again, it lasts longer, and what comes back is what was before the first.
    set("{\"mode\":\"exact\",\"seconds\":30}");
    let answer = set("{\"mode\":\"exact\",\"seconds\":60}");
    assert!(answer["exact_ends_in_s"].as_f64().expect("a number") > 30.0, "{answer}");
    set("{\"mode\":\"exact\",\"seconds\":1}");
    while tenure::mode() == Mode::Exact {
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(tenure::mode(), sampled);
    // What the program changes meanwhile stays.
    set("{\"mode\":\"exact\",\"seconds\":60}");
    tenure::set_mode(Mode::Off);
    assert_eq!(json(&endpoints, "GET", "/debug/tenure/mode", "")["exact_ends_in_s"], Value::Null);
    assert_eq!(tenure::mode(), Mode::Off);
    // Another mode, asked for here, ends it too.
    set("{\"mode\":\"exact\",\"seconds\":60}");
    assert_eq!(set("{\"mode\":\"off\"}")["exact_ends_in_s"], Value::Null);
    // The program's own choice has no end.
    tenure::set_mode(Mode::Exact);
    assert_eq!(set("{\"mode\":\"exact\",\"seconds\":1}")["exact_ends_in_s"], Value::Null);
    assert_eq!(tenure::mode(), Mode::Exact);
}

/// What jobs allocate is not the program's.
#[test]
fn jobs_are_not_seen() {
    let _alone = alone();
    let endpoints = Endpoints::new();
    let allocated = || {
        let crates = tenure::snapshot().group_by(By::Crate, &mut Symbols::new());
        let of = |krate: &str| {
            crates.iter().find(|g| g.name == krate).and_then(|g| g.allocated).map_or(0.0, |sum| sum.bytes)
        };
        ["serde_json", "inferno", "flate2", "miniz_oxide", "gimli", "plotters"].map(of)
    };
    let before = allocated();
    for path in [
        "/metrics",
        "/debug/pprof/heap",
        "/debug/tenure/groups",
        "/debug/tenure/flame.svg",
        "/debug/tenure/charts/memory.svg",
    ] {
        assert_eq!(ask(&endpoints, "GET", path, "*/*", "").status(), 200, "{path}");
    }
    ask(&endpoints, "POST", "/debug/tenure/baseline", "*/*", "");
    assert_eq!(allocated(), before);
    // Those who work for the program are seen.
    black_box(serde_json::json!([1, 2, 3]).to_string());
    assert_ne!(allocated(), before);
}

/// What `go tool pprof` makes of an address.
fn pprof(directory: &tools::Directory, arguments: &[&str], url: &str) -> Option<String> {
    if Command::new("go").arg("version").output().is_err() {
        println!("skipped: go tool pprof, because go is not installed");
        return None;
    }
    let output = Command::new("go")
        .args(["tool", "pprof"])
        .args(arguments)
        .arg(url)
        .env("PPROF_TMPDIR", directory.file("profiles"))
        .env("HOME", directory.file("home"))
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    Some(String::from_utf8_lossy(&output.stdout).into_owned() + &said)
}

#[test]
fn go_reads_the_profiles() {
    let _alone = alone();
    let held = hold();
    let port = server::serve(Endpoints::new());
    let directory = tools::Directory::new("http-pprof");
    let at = |path: &str| format!("http://127.0.0.1:{port}/debug/pprof/{path}");
    let Some(top) = pprof(&directory, &["-top", "-unit=b"], &at("heap")) else { return };
    let bytes = (HELD.0 * HELD.1).to_string();
    let row = |top: &str, name: &str| top.lines().find(|line| line.ends_with(name)).map(str::to_string);
    let line = row(&top, "http::block").unwrap_or_else(|| panic!("{top}"));
    // Flat, its share, the sum of shares, and with all that it called.
    assert_eq!(line.split_whitespace().nth(3), Some(&*format!("{bytes}B")), "{line}");
    assert!(top.contains("Type: inuse_space"), "{top}");
    let top = pprof(&directory, &["-top", "-unit=b"], &at("allocs")).expect("as before");
    assert!(top.contains("Type: alloc_space"), "{top}");
    let raw = pprof(&directory, &["-raw"], &at("heap?gc=1")).expect("as before");
    assert!(raw.contains("inuse_objects/count inuse_space/bytes[dflt] alloc_objects/count alloc_space/bytes"), "{raw}");

    // What changes while it waits: somebody takes more and more, and what is held stays.
    let done = AtomicBool::new(false);
    let (top, raw) = thread::scope(|scope| {
        let growing = scope.spawn(|| {
            let mut all = Vec::new();
            while !done.load(Ordering::Acquire) {
                grow(&mut all);
                thread::sleep(Duration::from_millis(5));
            }
        });
        let top = pprof(&directory, &["-top", "-unit=b"], &at("heap?seconds=1"));
        let raw = pprof(&directory, &["-raw"], &at("heap?seconds=1"));
        done.store(true, Ordering::Release);
        growing.join().expect("it ends");
        (top.expect("as before"), raw.expect("as before"))
    });
    assert!(row(&top, "http::grow").is_some(), "{top}");
    assert!(row(&top, "http::block").is_none(), "what stayed is no change: {top}");
    assert!(raw.contains("Duration: 1"), "{raw}");
    drop(held);
}

#[test]
fn prometheus_scrapes() {
    let _alone = alone();
    let held = hold();
    let good = server::serve(with_everything());
    // Nobody from elsewhere is answered: a server that says so of everyone.
    let closed = server::serve(Endpoints::new().host("example.com"));
    let Some(server) = prometheus::Prometheus::watch(&[
        ("good", format!("127.0.0.1:{good}")),
        ("other", format!("localhost:{closed}")),
    ]) else {
        return;
    };
    assert_eq!(server.value("up{job=\"good\"}"), "1");
    assert_eq!(server.value("up{job=\"other\"}"), "1");
    assert_eq!(server.value("tenure_program_pool_bytes{job=\"good\"}"), "4096");
    let bytes = (HELD.0 * HELD.1).to_string();
    assert_eq!(server.value("tenure_site_live_bytes{function=\"http::block\",job=\"good\"}"), bytes);
    drop(held);
}
