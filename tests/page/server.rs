//! The endpoints behind the smallest server that a browser can talk to, in this process.

use http::{Method, Request};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::spawn;
use tenure::http::{Endpoints, Peer};

/// Serves the endpoints until the process ends; returns the address of the page.
pub(crate) fn serve(endpoints: Endpoints) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    spawn(move || {
        for stream in listener.incoming().flatten() {
            let endpoints = endpoints.clone();
            // A browser that goes away is no fault.
            spawn(move || answer(&endpoints, stream));
        }
    });
    format!("http://{address}/debug/tenure/")
}

/// Answers requests until the connection ends; `None` when it does.
fn answer(endpoints: &Endpoints, stream: TcpStream) -> Option<()> {
    let peer = Peer(stream.peer_addr().ok()?);
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut writer = stream;
    loop {
        let mut lines = Vec::new();
        while lines.last().is_none_or(|line: &String| !line.is_empty()) {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            lines.push(line.trim_end().to_string());
        }
        let mut words = lines[0].split(' ');
        let method: Method = words.next()?.parse().ok()?;
        let mut request = Request::builder().method(&method).uri(words.next()?).extension(peer);
        let mut length = 0;
        for (name, value) in lines[1..].iter().filter_map(|line| line.split_once(": ")) {
            if name.eq_ignore_ascii_case("content-length") {
                length = value.parse().ok()?;
            }
            request = request.header(name, value);
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let response = endpoints.respond(&request.body(body).ok()?);
        let mut head = format!("HTTP/1.1 {}\r\n", response.status());
        for (name, value) in response.headers() {
            head += &format!("{name}: {}\r\n", value.to_str().ok()?);
        }
        writer.write_all(format!("{head}\r\n").as_bytes()).ok()?;
        writer.write_all(response.body()).ok()?;
    }
}
