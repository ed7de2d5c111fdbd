//! What each route answers, and what it says to bad input.

use crate::support::{SOURCES, Server, command, ended, wait_for};
use serde_json::json;
use std::collections::HashSet;
use std::path::Path;

#[test]
fn search_finds_what_a_naive_reader_finds() {
    let server = Server::small("");
    let found = server.json("/search?q=The+a+of");
    let mut expected = Vec::new();
    for file in files() {
        let text = std::fs::read_to_string(&file).unwrap();
        for (n, line) in text.lines().enumerate() {
            let small = line.to_lowercase();
            let words: HashSet<_> = small.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
            if ["the", "a", "of"].iter().all(|word| words.contains(word)) {
                let path = Path::new(&file).strip_prefix(SOURCES).unwrap();
                expected.push(json!({ "path": path, "line": n + 1, "text": line.trim() }));
            }
        }
    }
    assert!(expected.len() > 3, "{expected:?}");
    assert_eq!(found, json!({ "lines": expected.len(), "first": expected }));
    assert_eq!(server.json("/search?q=zzz+fn")["lines"], 0);
}

/// In the order of the service's numbers.
fn files() -> Vec<String> {
    fn walk(folder: &str, files: &mut Vec<String>) {
        for child in std::fs::read_dir(folder).unwrap() {
            let path = child.unwrap().path().display().to_string();
            if Path::new(&path).is_dir() {
                walk(&path, files);
            } else if path.ends_with(".rs") || path.ends_with(".md") {
                files.push(path);
            }
        }
    }
    let mut files = Vec::new();
    walk(SOURCES, &mut files);
    files.sort_by_key(|path| Path::new(path).components().map(|c| c.as_os_str().to_owned()).collect::<Vec<_>>());
    files
}

#[test]
fn documents_are_summed_up() {
    let server = Server::small("");
    let number = files().iter().position(|path| path.ends_with("main.rs")).unwrap();
    let document = server.json(&format!("/document/{number}"));
    let text = std::fs::read_to_string(format!("{SOURCES}/main.rs")).unwrap();
    assert_eq!(document["path"], "main.rs");
    assert_eq!(document["lines"], text.lines().count());
    let first = &document["most_frequent"][0];
    let word = first[0].as_str().unwrap();
    let times = text.to_lowercase().split(|c: char| !c.is_alphanumeric() && c != '_').filter(|&w| w == word).count();
    assert_eq!(first[1], times, "{word}");
    assert_eq!(server.get(&format!("/document/{}", files().len())).status(), 404);
}

#[test]
fn objects_are_grouped() {
    let server = Server::small("");
    let body = r#"[{"k":"b","n":1},{"k":"a"},{"n":[]},{"k":"b","n":2}]"#;
    // A form, as `curl -d` sends it, and in one connection with what comes after.
    let mut connection = server.connect();
    let form = ["Content-Type: application/x-www-form-urlencoded"];
    let groups = connection.send("POST", "/group?by=k", &form, body).ok().json();
    let expected = json!([
        { "value": "b", "objects": [{ "k": "b", "n": 1 }, { "k": "b", "n": 2 }] },
        { "value": "a", "objects": [{ "k": "a" }] },
        { "value": null, "objects": [{ "n": [] }] },
    ]);
    assert_eq!(groups, expected);
    assert_eq!(connection.send("POST", "/group?by=k", &form, "[]").ok().json(), json!([]));
}

#[test]
fn what_is_sent_is_found() {
    let server = Server::small("");
    let before = server.json("/search?q=zebras")["lines"].clone();
    assert_eq!(before, 0);
    let put = |text: &str| server.post("/index", &json!({ "path": "a.md", "text": text }).to_string()).ok().json();
    let first = put("zebras graze\nnot here\nzebras, zebras sleep")["id"].clone();
    let found = server.json("/search?q=zebras");
    let line = |line: u32, text: &str| json!({ "path": "a.md", "line": line, "text": text });
    assert_eq!(found["first"], json!([line(1, "zebras graze"), line(3, "zebras, zebras sleep")]));
    assert_eq!(server.json(&format!("/document/{first}"))["words"], 7);
    // In its place, with what is found and what is in caches.
    assert_eq!(put("lions, and zebras")["id"], first);
    assert_eq!(server.json("/search?q=zebras")["first"], json!([line(1, "lions, and zebras")]));
    assert_eq!(server.json("/search?q=graze")["lines"], 0);
    assert_eq!(server.json(&format!("/document/{first}"))["words"], 3);
    let own = server.post("/index", &json!({ "path": "main.rs", "text": "" }).to_string());
    assert!(own.status() == 409 && own.text().contains("use another path"), "{}", own.text());
}

#[test]
fn a_download_has_every_line() {
    let server = Server::small("");
    let mut expected = String::new();
    for file in files() {
        expected += Path::new(&file).strip_prefix(SOURCES).unwrap().to_str().unwrap();
        expected += "\n";
        std::fs::read_to_string(&file).unwrap().lines().for_each(|line| expected += &format!("{line}\n"));
    }
    let answer = server.get("/download").ok();
    assert_eq!(answer.header("content-length"), None, "it is not sent as a stream");
    assert!(expected.len() > 60_000 && answer.text() == expected, "{} and {}", answer.body.len(), expected.len());
}

#[test]
fn the_pool_renders_what_is_rendered_without_it() {
    let server = Server::small("");
    assert_eq!(server.figure("connections"), 1.0, "besides the one that asks");
    let mut connection = server.connect();
    for q in ["the", "fn", "zzz", "the", "fn"] {
        let pages = ["pooled", "plain"].map(|how| {
            let page = connection.send("GET", &format!("/render/{how}?q={q}"), &[], "").ok();
            page.text().to_owned()
        });
        assert!(pages[0] == pages[1] && pages[0].starts_with(&format!("# {q}\n")), "{}\n{}", pages[0], pages[1]);
    }
    assert!(server.get("/render/pooled?q=fn").ok().text().lines().count() > 20);
    let figures = ["pool_taken", "pool_reused", "pool_kept"].map(|name| server.figure(name));
    assert_eq!(figures, [6.0, 5.0, 1.0]);
    assert!(server.figure("pool_bytes") > 1000.0 && server.figure("requests_finished") > 10.0);
}

#[test]
fn records_are_written_together_or_not_at_all() {
    let server = Server::small("");
    let batch = json!([{ "key": "a", "value": { "n": 1 } }, { "key": "b c", "value": null }]).to_string();
    assert_eq!(server.post("/records", &batch).ok().json(), json!({ "written": 2 }));
    assert_eq!(server.json("/records/a"), json!({ "n": 1 }));
    assert_eq!(server.json("/records/b%20c"), json!(null));
    let bad = json!([{ "key": "c", "value": 1 }, { "key": "", "value": 1 }]).to_string();
    let answer = server.post("/records", &bad);
    assert!(answer.status() == 400 && answer.text().contains("nothing is written"), "{}", answer.text());
    assert_eq!(server.get("/records/c").status(), 404);
    assert_eq!(server.json("/records"), json!({ "records": 2 }));
}

#[test]
fn jobs_are_done_and_turned_away() {
    let server = Server::small("");
    let post =
        |work: &str, priority: &str| server.post("/jobs", &format!("{{\"work\":{work},\"priority\":\"{priority}\"}}"));
    let words = post("{\"words\":{\"most\":2}}", "high");
    assert_eq!((words.status(), words.header("location")), (202, Some("/jobs/1")));
    let state = wait_for("a job's end", || {
        let state = server.json("/jobs/1");
        if state["state"] == "done" { Ok(state) } else { Err(state.to_string()) }
    });
    assert_eq!(state["result"].as_str().unwrap().split(", ").count(), 2, "{state}");
    // Some may be done meanwhile, so that there is room for others.
    let mut answers = (0..1000).map(|_| post("{\"wait\":{\"ms\":10000}}", "low"));
    let taken = answers.by_ref().take_while(|answer| answer.status() == 202).count();
    assert!((64..500).contains(&taken), "{taken}");
    assert!(server.figure("jobs_waiting") <= 64.0);
    let away = answers.find(|answer| answer.status() == 503).unwrap();
    assert_eq!(away.header("retry-after"), Some("1"));
    assert_eq!(server.get("/jobs/9999").status(), 404);
}

#[test]
fn a_view_that_panics_fails_alone() {
    let server = Server::small("");
    let mut connection = server.connect();
    for path in ["/panic", "/panic?where=aside", "/panic"] {
        let answer = connection.send("GET", path, &[], "");
        assert!(answer.status() == 500 && answer.text().contains("this request failed"), "{}", answer.text());
        connection.send("GET", "/search?q=the", &[], "").ok();
    }
}

#[test]
fn the_first_page_is_safe_and_lists_the_lab() {
    let server = Server::small("");
    let page = server.get("/").ok();
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    for part in [" style=", "<style", " onclick=", "http://", "https://"] {
        assert!(!page.text().contains(part), "{part} in {}", page.text());
    }
    let lab = server.json("/lab/");
    let lab = lab.as_array().unwrap();
    assert_eq!(lab.len(), 6);
    for leak in lab {
        assert!(page.text().contains(&format!("data-name={}", leak["name"])), "{leak}");
        assert_eq!((&leak["held"], &leak["seconds_left"]), (&json!(0), &json!(0)));
    }
    for (path, kind) in [("/home.css", "text/css; charset=utf-8"), ("/home.js", "text/javascript; charset=utf-8")] {
        assert!(page.text().contains(&format!("\"{path}\"")));
        assert_eq!(server.get(path).ok().header("content-type"), Some(kind));
    }
}

/// What a browser sends that a page of another site, or of a name that is this machine's for a moment, had ask.
#[test]
fn other_sites_are_refused() {
    let server = Server::small("");
    let work = r#"{"work":{"wait":{"ms":1}}}"#;
    for (path, body) in [("/lab/cycle/plant", ""), ("/jobs", work), ("/records", "[]")] {
        for site in ["cross-site", "same-site"] {
            let answer = server.connect().send("POST", path, &[&format!("Sec-Fetch-Site: {site}")], body);
            assert_eq!(answer.status(), 403, "{path}: {}", answer.text());
        }
    }
    let status = |method: &str, path: &str, host: &str| {
        let mut connection = server.connect();
        connection.write(&format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2\r\n\r\n[]"));
        connection.read().status()
    };
    for host in ["localhost", "LocalHost:8080", "127.0.0.1", "127.1.2.3:80", "[::1]", "[::1]:8080"] {
        assert_eq!(status("POST", "/records", host), 200, "{host}");
    }
    for host in
        ["evil.com", "localhost.evil.com:80", "127.0.0.1.evil.com", "10.0.0.1", "[::2]", "::1", "localhost:x", ""]
    {
        assert_eq!(status("POST", "/records", host), 421, "{host}");
        assert_eq!(status("GET", "/download", host), 421, "{host}");
    }
}

#[test]
fn bad_input_is_answered_in_one_line() {
    let server = Server::small("");
    for (method, path, body, status, says) in [
        ("GET", "/search", "", 400, "/search: missing field `q`: try /search?q="),
        ("GET", "/search?q=%20", "", 400, "/search: q=\" \" holds no word: try /search?q="),
        ("GET", "/search?q=a&x=1", "", 400, "/search: x: unknown field `x`, expected `q`: try"),
        ("GET", "/document/x", "", 400, "/document/{id}: the id is no number: give a number from 0 to"),
        ("GET", "/document/-1", "", 400, "/document/{id}: the id is no number: give a number from 0 to"),
        ("GET", "/document/999999", "", 404, "/document/999999: there is no such document: give a number from 0 to"),
        ("POST", "/group?by=k", "[{\"k\":1},", 400, "at line 1 column 9): send a list of objects, as in"),
        ("POST", "/group?by=k", "{}", 400, "/group: the body is not read (invalid type: map"),
        ("POST", "/group", "[]", 400, "/group: missing field `by`: try /group?by="),
        ("POST", "/group?by=k&x=1", "[]", 400, "/group: x: unknown field `x`, expected `by`: try"),
        ("GET", "/nowhere", "", 404, "/nowhere is no route: the first page, /, lists them"),
        ("GET", "/render/plain", "", 400, "/render/plain: missing field `q`: try /render/pooled?q="),
        ("POST", "/index", "{\"path\":1}", 400, "/index: the body is not read (invalid type: integer"),
        ("POST", "/records", "[{\"key\":\"a\"}]", 400, "/records: the body is not read (missing field `value`"),
        ("GET", "/records/none", "", 404, "/records/none: there is no such record: POST /records"),
        ("POST", "/jobs", "{\"work\":\"play\"}", 400, "/jobs: the body is not read (unknown variant `play`"),
        ("GET", "/jobs/x", "", 400, "/jobs/{number}: no number: use what POST /jobs gave"),
        ("POST", "/lab/cycle/plant?seconds=61", "", 400, "/lab/cycle/plant: seconds: 61 is not from 1 to 60"),
    ] {
        let answer = server.connect().send(method, path, &[], body);
        assert_eq!(answer.status(), status, "{path}: {}", answer.text());
        assert!(answer.text().contains(says), "{path}: {}", answer.text());
        assert_eq!(answer.text().find('\n'), Some(answer.body.len() - 1), "{path}: {}", answer.text());
    }
    assert_eq!(server.connect().send("POST", "/search?q=a", &[], "").status(), 405);
}

#[test]
fn what_cannot_be_started_says_why_in_one_line() {
    let server = Server::small("");
    let port = server.address.split(':').nth(1).unwrap();
    let taken = format!("cannot listen on 127.0.0.1:{port}");
    for (arguments, code, says) in [
        (&["--port", "70000"][..], 2, "--port needs a number from 0 to 65535, not \"70000\""),
        (&["--port"], 2, "--port needs a number from 0 to 65535, not \"\""),
        (&["--load", "soon"], 2, "--load needs a whole number of seconds, not \"soon\""),
        (&["--data"], 2, "--data needs a folder"),
        (&["--folder"], 2, "--folder needs a folder"),
        (&["--load", "1", "--quiet"], 2, "--load asks and --quiet does not: give one of them"),
        (&["8080"], 2, "\"8080\" is no option; --help lists those there are"),
        (&["--folder", "/nowhere"], 1, "cannot read /nowhere"),
        (&["--folder", SOURCES, "--port", port], 1, &taken),
        (&["--folder", SOURCES, "--data", "/proc/none"], 1, "cannot keep records in /proc/none"),
    ] {
        let output = ended(command(arguments));
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
        assert!(error.starts_with("dispatcher: ") && error.contains(says), "{arguments:?}: {error}");
        assert_eq!(error.lines().count(), 1, "{arguments:?}: {error}");
    }
    assert!(ended(command(&["--help"])).stdout.starts_with(b"usage: dispatcher "));
}

#[test]
fn ctrl_c_lets_requests_finish() {
    let mut server = Server::small("");
    let mut connection = server.connect();
    let mut idle = server.connect();
    idle.send("GET", "/search?q=a", &[], "").ok();
    // The service has the head of a request when it has answered the one before in the same connection.
    let request = |body: &str, sent: &str| {
        format!("POST /group?by=k HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{sent}", body.len())
    };
    connection.write(&(request("[]", "[]") + &request("[{}]", "[{")));
    assert_eq!(connection.read().text(), "[]");
    server.signal("INT");
    while std::net::TcpStream::connect(&server.address).is_ok() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    connection.write("}]");
    assert_eq!(connection.read().ok().text(), "[{\"value\":null,\"objects\":[{}]}]");
    assert!(server.child.wait().unwrap().success());
}
