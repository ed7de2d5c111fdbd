//! The smallest server that one can give requests to [`Endpoints`]: a thread for each connection, one request for each.

use http::{Request, Response};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use tenure::http::{Endpoints, Peer};

/// Serves for as long as the process runs; says on which port.
pub(crate) fn serve(endpoints: Endpoints) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("a port").port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let endpoints = endpoints.clone();
            let peer = stream.peer_addr().expect("somebody");
            thread::spawn(move || answer(&endpoints, peer, stream));
        }
    });
    port
}

/// Whoever asked may be gone: that is no fault of ours.
fn answer(endpoints: &Endpoints, peer: SocketAddr, mut stream: TcpStream) {
    let Some(request) = read(&mut stream, peer) else { return };
    let response = endpoints.respond(&request);
    let mut head = format!("HTTP/1.1 {}\r\nConnection: close\r\n", response.status());
    for (name, value) in response.headers() {
        head += &format!("{name}: {}\r\n", value.to_str().expect("a text"));
    }
    let _ = stream.write_all(&[head.as_bytes(), b"\r\n", response.body()].concat());
}

fn read(stream: &mut TcpStream, peer: SocketAddr) -> Option<Request<Vec<u8>>> {
    let (mut read, mut part) = (Vec::new(), [0; 1024]);
    let head = loop {
        if let Some(at) = read.windows(4).position(|w| w == b"\r\n\r\n") {
            break at;
        }
        match stream.read(&mut part) {
            Ok(n) if n > 0 => read.extend_from_slice(&part[..n]),
            _ => return None,
        }
    };
    let text = String::from_utf8(read[..head].to_vec()).ok()?;
    let mut lines = text.split("\r\n");
    let mut words = lines.next()?.split(' ');
    let mut request = Request::builder().method(words.next()?).uri(words.next()?).extension(Peer(peer));
    let mut length = 0;
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok()?;
        }
        request = request.header(name, value.trim());
    }
    let mut body = read.split_off(head + 4);
    let missing = length - body.len();
    body.resize(length, 0);
    let at = body.len() - missing;
    stream.read_exact(&mut body[at..]).ok()?;
    request.body(body).ok()
}

/// A request from this machine.
pub(crate) fn ask(endpoints: &Endpoints, method: &str, path: &str, accept: &str, body: &str) -> Response<Vec<u8>> {
    let near = Peer("127.0.0.1:4000".parse().expect("an address"));
    let request = Request::builder().method(method).uri(path).header("host", "localhost").header("accept", accept);
    endpoints.respond(&request.extension(near).body(body.to_string()).expect("a request"))
}
