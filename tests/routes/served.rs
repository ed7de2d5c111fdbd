//! A real server: axum under tokio.

use super::{PATIENCE, row, row_after};
use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::routing::get;
use bytes::Bytes;
use http_body::Frame;
use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::pin::Pin;
use std::sync::mpsc;
use std::task::{Context, Poll};
use std::thread;
use std::time::Instant;
use tenure::http::{Endpoints, Routes};
use tenure::{InScopeExt, Tag};

/// Serves for as long as the process lives.
fn serve(app: Router) -> SocketAddr {
    let (address, bound) = mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.expect("a runtime").block_on(async move {
            let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
            address.send(listener.local_addr().expect("an address")).expect("somebody waits");
            axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await
        })
    });
    bound.recv().expect("an address")
}

fn begin(server: SocketAddr, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
    write!(stream, "{request} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n").expect("it takes it");
    stream
}

/// The whole response.
fn fetch(server: SocketAddr, request: &str) -> String {
    let mut stream = begin(server, request);
    stream.write_all(b"\r\n").expect("it takes it");
    let mut response = Vec::new();
    stream.read_to_end(&mut response).expect("a response");
    String::from_utf8_lossy(&response).into_owned()
}

/// Gives frames of 1,000 bytes that it allocates one by one.
struct Download(u32);

impl http_body::Body for Download {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        assert_eq!(Tag::current().name(), "/download/{frames}");
        self.0 = self.0.wrapping_sub(1);
        Poll::Ready((self.0 != u32::MAX).then(|| Ok(Frame::data(vec![b'x'; 1000].into()))))
    }
}

fn app(routes: &Routes) -> Router {
    let tag = async || Tag::current().name();
    let spawns = async || {
        let task = tokio::spawn(async { vec![0u8; 70_000].len() }.in_current_scope());
        format!("{} {}", Tag::current().name(), task.await.expect("no panic"))
    };
    Router::new()
        .route("/tag/{id}", get(tag))
        .route("/spawns", get(spawns))
        .route("/panics", get(async || -> &'static str { panic!("a handler that panics: this is a test") }))
        .route("/download/{frames}", get(async |Path(frames): Path<u32>| Body::new(Download(frames))))
        .nest("/api", Router::new().route("/users/{id}", get(tag)))
        .fallback(tag)
        .layer(tenure::http::axum::layer(routes))
}

#[test]
fn matched_routes() {
    let routes = Routes::new().exact_one_in(1);
    let server = serve(app(&routes));
    for (path, route) in
        [("/tag/1", "/tag/{id}"), ("/tag/2", "/tag/{id}"), ("/api/users/7", "/api/users/{id}"), ("/none", "unmatched")]
    {
        let response = fetch(server, &format!("GET {path}"));
        assert!(response.starts_with("HTTP/1.1 200") && response.ends_with(&format!("\r\n{route}")), "{response}");
    }
    assert!(fetch(server, "GET /spawns").ends_with("/spawns 70000"));
    for (route, n) in [("/tag/{id}", 2), ("/api/users/{id}", 1), ("unmatched", 1), ("/spawns", 1)] {
        let row = row_after(&routes, route, n);
        assert_eq!((row.requests, row.exact, row.not_measured), (n, n, 0), "{route}");
        let spawned = if route == "/spawns" { 70_000 } else { 0 };
        assert!(row.allocated >= spawned && row.peak <= row.allocated && row.left < 10_000, "{route}: {row:?}");
    }
}

/// Each frame is allocated in the route; a client that goes away ends the request.
#[test]
fn streams() {
    let routes = Routes::new().exact_one_in(1);
    let server = serve(app(&routes));
    let response = fetch(server, "GET /download/500");
    assert_eq!(response.matches('x').count(), 500_000);
    let row = row_after(&routes, "/download/{frames}", 1);
    assert!((500_000..800_000).contains(&row.allocated), "{row:?}");
    assert!(row.peak < 500_000 && row.left < 10_000, "{row:?}");
    // More than any socket's buffer, and nobody reads.
    let mut stream = begin(server, "GET /download/4000000000");
    stream.write_all(b"\r\n").expect("it takes it");
    stream.read_exact(&mut [0; 1000]).expect("its beginning");
    assert_eq!(super::row(&routes, "/download/{frames}").expect("a row").exact, 1);
    drop(stream);
    let row = row_after(&routes, "/download/{frames}", 2);
    assert_eq!((row.requests, row.not_measured), (2, 0));
}

/// A handler's panic ends its connection, and nothing else: the server's threads are in no scope afterwards.
#[test]
fn a_panic() {
    let routes = Routes::new().exact_one_in(1);
    let server = serve(app(&routes));
    for n in 1..=4 {
        assert_eq!(fetch(server, "GET /panics"), "");
        assert_eq!(row_after(&routes, "/panics", n).exact, n);
        assert!(fetch(server, "GET /tag/1").ends_with("/tag/{id}"));
    }
}

/// Paths that nothing matches are one route, however many they are.
#[test]
fn ten_thousand_paths() {
    let routes = Routes::new().exact_one_in(10);
    let server = serve(app(&routes));
    let mut stream = TcpStream::connect(server).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
    for hundred in 0..100 {
        let request = |i: u32| format!("GET /no/{}/such HTTP/1.1\r\nhost: localhost\r\n\r\n", hundred * 100 + i);
        stream.write_all((0..100).map(request).collect::<String>().as_bytes()).expect("it takes them");
        let (mut response, mut buffer) = (String::new(), [0; 4096]);
        while response.matches("unmatched").count() < 100 {
            let n = stream.read(&mut buffer).expect("responses");
            assert_ne!(n, 0);
            response += std::str::from_utf8(&buffer[..n]).expect("text");
        }
    }
    let unmatched = row(&routes, "unmatched").expect("a row");
    assert_eq!((unmatched.requests, unmatched.not_measured), (10_000, 0));
    // One in ten, by chance: fifteen standard deviations.
    assert!((550..1450).contains(&unmatched.exact), "{unmatched:?}");
    assert_eq!(row(&routes, "other"), None);
}

/// Who asks is known from the connection, and the paths are those of the endpoints.
#[test]
fn the_endpoints() {
    let routes = Routes::new();
    let endpoints = Endpoints::new().routes(&routes);
    let server = serve(app(&routes).merge(tenure::http::axum::router(endpoints)));
    for path in [
        "/metrics",
        "/debug/pprof",
        "/debug/pprof/heap?debug=1",
        "/debug/tenure",
        "/debug/tenure/",
        "/debug/tenure/stats",
    ] {
        let response = fetch(server, &format!("GET {path}"));
        let fine = response.starts_with("HTTP/1.1 200") || response.starts_with("HTTP/1.1 30");
        assert!(fine, "{path}: {response}");
        assert!(!response.contains("unmatched\r\n"), "{path}");
    }
    assert!(fetch(server, "GET /debug/tenure/nothing").starts_with("HTTP/1.1 404"));
    // Behind a proxy nobody is known.
    let mut stream = begin(server, "GET /debug/tenure/stats");
    stream.write_all(b"x-forwarded-for: 10.0.0.1\r\n\r\n").expect("it takes it");
    let mut response = String::new();
    stream.read_to_string(&mut response).expect("a response");
    assert!(response.starts_with("HTTP/1.1 403"), "{response}");
    assert_eq!(row(&routes, "unmatched"), None, "the endpoints are none of the program's routes");
}

#[test]
fn a_large_body() {
    let server = serve(tenure::http::axum::router(Endpoints::new()));
    // Said, and not said.
    for (head, body) in [
        ("content-length: 70000\r\n\r\n", String::new()),
        ("transfer-encoding: chunked\r\n\r\n", format!("{:x}\r\n{}\r\n0\r\n\r\n", 70_000, "x".repeat(70_000))),
    ] {
        let mut stream = begin(server, "PUT /debug/tenure/thresholds");
        stream.write_all(head.as_bytes()).expect("it takes it");
        _ = stream.write_all(body.as_bytes());
        let mut response = [0; 12];
        stream.read_exact(&mut response).expect("a response");
        assert_eq!(std::str::from_utf8(&response), Ok("HTTP/1.1 413"), "{head}");
    }
    let mut stream = begin(server, "PUT /debug/tenure/thresholds");
    stream.write_all(b"content-length: 2\r\n\r\n{}").expect("it takes it");
    let mut response = [0; 12];
    stream.read_exact(&mut response).expect("a response");
    assert_eq!(std::str::from_utf8(&response), Ok("HTTP/1.1 200"));
}

/// What takes long runs on a thread of its own, which makes way for others, and has none of the program's signals.
#[test]
fn on_a_thread_of_its_own() {
    let (say, said) = mpsc::channel();
    let endpoints = Endpoints::new().figures(move |_| {
        // SAFETY: reads what the thread has; the set is initialised by the call.
        let (priority, blocked) = unsafe {
            let mut blocked = std::mem::zeroed();
            libc::pthread_sigmask(libc::SIG_SETMASK, std::ptr::null(), &mut blocked);
            (libc::getpriority(libc::PRIO_PROCESS, libc::gettid() as u32), libc::sigismember(&blocked, libc::SIGTERM))
        };
        say.send((thread::current().name().map(str::to_string), priority, blocked)).expect("somebody waits");
    });
    let server = serve(tenure::http::axum::router(endpoints));
    assert!(fetch(server, "GET /metrics").starts_with("HTTP/1.1 200"));
    // SAFETY: no preconditions.
    let own = unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
    assert_eq!(said.recv(), Ok((Some("tenure-http".into()), (own + 10).min(19), 1)));
}

/// Whoever waits for a difference and goes away leaves the place to the next.
#[test]
fn a_difference_that_nobody_waits_for() {
    let server = serve(tenure::http::axum::router(Endpoints::new()));
    let waiting = || {
        let mut stream = begin(server, "GET /debug/pprof/heap?seconds=300");
        stream.write_all(b"\r\n").expect("it takes it");
        stream
    };
    let mut stream = waiting();
    let begun = Instant::now();
    // It has come to its wait when the next one is refused. If that came first, it was refused itself.
    while !fetch(server, "GET /debug/pprof/heap?seconds=1").starts_with("HTTP/1.1 429") {
        assert!(begun.elapsed() < PATIENCE, "it waits");
        stream = waiting();
    }
    drop(stream);
    let gone = Instant::now();
    while fetch(server, "GET /debug/pprof/heap?seconds=1").starts_with("HTTP/1.1 429") {
        assert!(gone.elapsed() < PATIENCE, "it does not wait any more");
    }
}
