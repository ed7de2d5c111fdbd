//! What each route answers, and what it says to bad input.

use crate::support::{SOURCES, Server, command, ended};
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
            if Path::new(&path).is_dir() { walk(&path, files) } else { files.push(path) }
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
fn a_session_is_found_again_by_its_token() {
    let server = Server::small("");
    let first = server.get("/session?user=ada").ok();
    let token = first.header("session").unwrap();
    assert!(first.text().starts_with("# For ada\n") && first.body.len() > 2000, "{}", first.text());
    let again = server.get(&format!("/session?token={token}")).ok();
    assert_eq!((again.header("session"), again.text()), (Some(token), first.text()));
    assert_ne!(server.get("/session?user=ada").ok().header("session"), Some(token));
    assert_eq!(server.get("/session?token=none").status(), 404);
}

#[test]
fn texts_and_json() {
    let server = Server::small("");
    for (path, text, member) in [("/stats", "committed", "live"), ("/sites?by=tag", "by tag", "groups")] {
        let and = if path.contains('?') { '&' } else { '?' };
        let accept = ["Accept: text/html, application/json;q=0.9"];
        let plain = server.get(path).ok();
        assert!(plain.text().contains(text), "{}", plain.text());
        assert_eq!(plain.header("content-type"), Some("text/plain; charset=utf-8"));
        for (path, accept) in [(path.to_string(), &accept[..]), (format!("{path}{and}format=json"), &[])] {
            let answer = server.connect().send("GET", &path, accept, "").ok();
            assert_eq!(answer.header("content-type"), Some("application/json"), "{path}");
            assert!(!answer.json()[member].is_null(), "{path}: {}", answer.text());
        }
        // What stands in the address is what was meant.
        let answer = server.connect().send("GET", &format!("{path}{and}format=text"), &accept, "").ok();
        assert!(answer.text().contains(text), "{path}: {}", answer.text());
    }
    assert!(server.json("/stats?format=json")["live"].as_u64().unwrap() > 100_000);
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
        ("GET", "/session?token=a%0Ab", "", 404, "/session: there is no session \"a\\nb\": try"),
        ("GET", "/stats?format=xml", "", 400, "/stats: format: unknown variant `xml`, expected `text` or `json`: try"),
        (
            "GET",
            "/sites?by=colour",
            "",
            400,
            "/sites: by: unknown variant `colour`, expected one of `line`, `function`",
        ),
        ("GET", "/sites?by=a%0Ab", "", 400, "/sites: by: unknown variant `a b`, expected one of"),
        ("GET", "/sites?x=1", "", 400, "/sites: x: unknown field `x`, expected one of `n`, `by`, `format`: try"),
        ("GET", "/stats?x=1", "", 400, "/stats: x: unknown field `x`, expected `format`: try"),
        ("POST", "/group?by=k&x=1", "[]", 400, "/group: x: unknown field `x`, expected `by`: try"),
        ("GET", "/session?x=1", "", 400, "/session: x: unknown field `x`, expected `user` or `token`: try"),
        ("GET", "/sites?n=-1", "", 400, "/sites: n: invalid digit found in string: try /sites?by=line&n=10"),
        ("GET", "/nowhere", "", 404, "/nowhere is no route: try /search"),
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
        (&["8080"], 2, "\"8080\" is no option; --help lists those there are"),
        (&["--folder", "/nowhere"], 1, "cannot read /nowhere"),
        (&["--folder", SOURCES, "--port", port], 1, &taken),
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
    idle.send("GET", "/stats", &[], "").ok();
    // The service has the head of a request when it has answered the one before in the same connection.
    let request = |body: &str, sent: &str| {
        format!("POST /group?by=k HTTP/1.1\r\nHost: tests\r\nContent-Length: {}\r\n\r\n{sent}", body.len())
    };
    connection.write(&(request("[]", "[]") + &request("[{}]", "[{")));
    assert_eq!(connection.read().text(), "[]");
    let pid = server.child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    while std::net::TcpStream::connect(&server.address).is_ok() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    connection.write("}]");
    assert_eq!(connection.read().ok().text(), "[{\"value\":null,\"objects\":[{}]}]");
    assert!(server.child.wait().unwrap().success());
}
