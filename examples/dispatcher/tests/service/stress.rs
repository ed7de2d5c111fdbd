//! Clients that behave badly, and a service that goes on: it answers or closes, loses nothing that it has promised, and
//! holds afterwards what it held before.

use crate::support::{SOURCES, Server, command, wait_for};
use serde_json::json;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;

/// Live bytes may differ by so much after as many connections as there may be: caches, buffers of threads.
const TOLERANCE: u64 = 3 << 20;
/// And by so much after the second of two rounds that are alike: what is made once has been made.
const GROWTH: u64 = 1 << 20;

fn live(server: &Server) -> u64 {
    server.json("/debug/tenure/stats")["live"].as_u64().unwrap()
}

/// What the service holds when it has served a little.
fn warmed_up(server: &Server) -> u64 {
    for path in ["/search?q=the", "/document/0", "/render/pooled?q=the", "/download", "/records"] {
        server.get(path).ok();
    }
    server.post("/index", &json!({ "path": "a", "text": "b c d" }).to_string()).ok();
    live(server)
}

fn comes_back_to(before: u64, more: u64, server: &Server) {
    wait_for("memory", || match live(server) {
        now if now < before + more => Ok(()),
        now => Err(format!("{now} bytes live, {before} before")),
    });
}

/// Does the same twice: of the second time nothing stays.
fn leaves_nothing(server: &Server, round: impl Fn()) {
    warmed_up(server);
    round();
    // All but the one that asks.
    wait_for("the end of the connections", || match server.figure("connections") {
        1.0 => Ok(()),
        open => Err(format!("{open} are open")),
    });
    let before = live(server);
    round();
    server.get("/search?q=a").ok();
    comes_back_to(before, GROWTH, server);
}

#[test]
fn as_many_connections_as_the_machine_allows() {
    let server = Server::small("");
    let before = warmed_up(&server);
    let files = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(1024) as usize;
    // The service has its own files, as many as these, and keeps a hundred for itself.
    let most = files.saturating_sub(400).min(9_900);
    // Asked at once, so that none is sent away for its silence; what they are answered waits for them.
    let ask = |_| {
        let mut connection = server.connect();
        connection.write("GET /document/0 HTTP/1.1\r\nHost: localhost\r\n\r\n");
        connection
    };
    let mut connections: Vec<_> = (0..most).map(ask).collect();
    for connection in &mut connections {
        connection.read().ok();
    }
    let at_a_time = server.figure("connections_most");
    println!("{at_a_time} of {most} connections at a time; {} bytes live, {before} before", live(&server));
    assert!(at_a_time >= (most as f64).min(500.0), "{at_a_time}");
    drop(connections);
    comes_back_to(before, TOLERANCE, &server);
}

#[test]
fn slow_clients_are_sent_away() {
    let server = Server::small("");
    let mut connections: Vec<_> = (0..20).map(|_| server.connect()).collect();
    for (n, connection) in connections.iter_mut().enumerate() {
        connection.write(match n % 4 {
            0 => "",
            1 => "GET /search?q=a HTTP/1.1\r\nHost: loc",
            2 => "POST /group?by=k HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n[",
            _ => "GET /search?q=a HTTP/1.1\r\nHost: localhost\r\n\r\n",
        });
    }
    server.get("/search?q=a").ok();
    for (n, connection) in connections.iter_mut().enumerate() {
        let text = String::from_utf8(connection.read_to_end()).unwrap();
        let expected = match n % 4 {
            0 | 1 => "",
            2 => "HTTP/1.1 408 ",
            // Answered, and closed when nothing more came.
            _ => "HTTP/1.1 200 ",
        };
        assert!(text.starts_with(expected) && (n % 4 > 1 || text.is_empty() || text.contains(" 408 ")), "{n}: {text}");
    }
    server.get("/search?q=a").ok();
}

#[test]
fn what_is_no_request_is_refused() {
    let server = Server::small("");
    leaves_nothing(&server, || no_requests(&server));
}

fn no_requests(server: &Server) {
    let long = "a".repeat(100_000);
    let body = "x".repeat(3 << 20);
    let head = "Host: localhost\r\n";
    for (what, sent, answers) in [
        ("noise", "\x01\x02\x00\u{ff}\r\n\r\n".to_owned(), &["400"][..]),
        ("no version", "GET /\r\n\r\n".into(), &["400"]),
        ("a version that there is not", format!("GET / HTTP/9.9\r\n{head}\r\n"), &["400", "505"]),
        ("a long address", format!("GET /search?q={long} HTTP/1.1\r\n{head}\r\n"), &["414", "431"]),
        ("a long header", format!("GET / HTTP/1.1\r\n{head}X-Long: {long}\r\n\r\n"), &["431"]),
        ("many headers", format!("GET / HTTP/1.1\r\n{head}{}\r\n", "X: y\r\n".repeat(2000)), &["431"]),
        (
            "a long body",
            format!("POST /group?by=k HTTP/1.1\r\n{head}Content-Length: {}\r\n\r\n{body}", body.len()),
            &["413"],
        ),
        (
            "a body that is said to be long",
            format!("POST /records HTTP/1.1\r\n{head}Content-Length: 99999999999\r\n\r\n"),
            &["400", "413"],
        ),
        (
            "a long body in chunks",
            format!("POST /index HTTP/1.1\r\n{head}Transfer-Encoding: chunked\r\n\r\n300000\r\n{body}\r\n0\r\n\r\n"),
            &["413"],
        ),
        (
            "a bad chunk",
            format!("POST /index HTTP/1.1\r\n{head}Transfer-Encoding: chunked\r\n\r\nzz\r\n"),
            &["400", "413"],
        ),
        (
            "two lengths",
            format!("POST /index HTTP/1.1\r\n{head}Content-Length: 1\r\nContent-Length: 2\r\n\r\n"),
            &["400"],
        ),
    ] {
        let mut connection = server.connect();
        connection.try_write(sent.as_bytes());
        connection.shut_down();
        let answer = connection.read_to_end();
        let text = String::from_utf8_lossy(&answer);
        // Closed without an answer is right as well.
        let right = answer.is_empty() || answers.iter().any(|status| text.starts_with(&format!("HTTP/1.1 {status} ")));
        assert!(right, "{what} was answered by {text}");
        server.get("/search?q=a").ok();
    }
}

#[test]
fn clients_that_vanish_leave_nothing() {
    let server = Server::small("");
    leaves_nothing(&server, || vanishing(&server));
}

fn vanishing(server: &Server) {
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for n in 0..25 {
                    let mut connection = server.connect();
                    connection.write(match n % 3 {
                        0 => "GET /download HTTP/1.1\r\nHost: localhost\r\n\r\n",
                        1 => "GET /render/pooled?q=the HTTP/1.1\r\nHost: localhost\r\n\r\n",
                        _ => "POST /group?by=k HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900000\r\n\r\n[",
                    });
                    match n % 2 {
                        0 => drop(connection),
                        // Half closed: what was asked may be answered still.
                        _ => {
                            connection.shut_down();
                            connection.read_to_end();
                        }
                    }
                }
            });
        }
    });
}

/// A client that takes its answer slowly has no more of it waiting than a few pieces.
#[test]
fn a_slow_reader_costs_little() {
    let repository = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let server = Server::start(&mut command(&["--port", "0", "--quiet", "--folder", repository]));
    let whole = server.get("/download").ok().body.len() as u64;
    leaves_nothing(&server, || {
        let before = live(&server);
        let mut connections: Vec<_> = (0..20).map(|_| server.connect()).collect();
        for connection in &mut connections {
            connection.write("GET /download HTTP/1.1\r\nHost: localhost\r\n\r\n");
        }
        // As much as the kernel takes has been sent by the time that others are served.
        (0..50).for_each(|_| _ = server.get("/search?q=a").ok());
        let more = live(&server).saturating_sub(before);
        assert!(more < 20 * whole / 4 && more < 20 * (512 << 10), "{more} bytes for 20 answers of {whole}");
    });
}

#[test]
fn what_was_committed_outlives_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let start = || Server::start(&mut command(&["--port", "0", "--quiet", "--folder", SOURCES, "--data", data]));
    let mut server = start();
    let (ended, written) = (AtomicBool::new(false), AtomicUsize::new(0));
    let committed: Vec<String> = thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let address = server.address.clone();
                let (ended, written) = (&ended, &written);
                scope.spawn(move || {
                    let mut keys = Vec::new();
                    for n in 0.. {
                        let key = format!("{writer}-{n}");
                        let batch = json!([{ "key": key, "value": n }, { "key": format!("{key}-too"), "value": n }]);
                        if !crate::support::is_written(&address, &batch.to_string()) {
                            break;
                        }
                        keys.push(key);
                        written.fetch_add(1, Relaxed);
                    }
                    assert!(ended.load(Relaxed), "a write failed before the end");
                    keys
                })
            })
            .collect();
        wait_for("some records", || if written.load(Relaxed) > 100 { Ok(()) } else { Err(String::new()) });
        ended.store(true, Relaxed);
        server.child.kill().unwrap();
        server.child.wait().unwrap();
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    });
    assert!(committed.len() > 100);
    let server = start();
    let mut connection = server.connect();
    for key in &committed {
        for key in [key.clone(), format!("{key}-too")] {
            connection.send("GET", &format!("/records/{key}"), &[], "").ok();
        }
    }
}

/// However the service is told to end, and though it is told so twice; and once more after a crash.
#[test]
fn jobs_that_are_not_done_are_taken_up_again() {
    // Ten seconds each, and two at a time: however slow the machine is, most of them are left.
    const JOBS: usize = 60;
    for (signals, codes) in [(&["TERM"][..], 0..=0), (&["INT", "TERM"], 0..=1)] {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().to_str().unwrap();
        let start = || Server::start(&mut command(&["--port", "0", "--quiet", "--folder", SOURCES, "--data", data]));
        let mut server = start();
        for _ in 0..JOBS {
            assert_eq!(server.post("/jobs", "{\"work\":{\"wait\":{\"ms\":10000}}}").status(), 202);
        }
        for signal in signals {
            server.signal(signal);
        }
        let code = server.child.wait().unwrap().code();
        assert!(codes.contains(&code.unwrap()), "{signals:?}: {code:?}");
        for _ in 0..2 {
            let mut server = start();
            // They have numbers anew.
            let taken_up = (1..=JOBS).filter(|n| server.get(&format!("/jobs/{n}")).status() == 200).count();
            assert!(taken_up > JOBS / 2, "{signals:?}: {taken_up} of {JOBS}");
            server.child.kill().unwrap();
            server.child.wait().unwrap();
        }
    }
}
