//! The clients: a thread for each connection, that is kept.
//!
//! Closed (no rate): each asks again as soon as it is answered. Open (a rate): requests have times at which they are due,
//! and a latency begins there, so that a service that stands still is not asked less for it.

use super::cores;
use super::mix::{Mix, Request};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// What clients are asked to do.
#[derive(Clone, Copy)]
pub(super) struct Load {
    pub(super) connections: usize,
    pub(super) seconds: f64,
    /// Requests per second of all; none for as many as can be.
    pub(super) rate: Option<f64>,
}

/// What clients have seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) requests: f64,
    pub(super) per_second: f64,
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
}

impl Load {
    /// Runs clients on a core of their own.
    pub(super) fn run(&self, address: &str) -> Result<Seen, String> {
        self.start(address)?.end()
    }

    pub(super) fn start(&self, address: &str) -> Result<Clients, String> {
        let mut command = cores::clients()?;
        let rate = self.rate.unwrap_or(0.0);
        command.arg(address);
        command.args([self.connections as f64, self.seconds, rate].map(|n| n.to_string()));
        let child = command.stdout(Stdio::piped()).spawn().map_err(|why| format!("the clients: {why}"))?;
        Ok(Clients(child))
    }
}

/// Clients that run.
pub(super) struct Clients(std::process::Child);

impl Clients {
    pub(super) fn end(self) -> Result<Seen, String> {
        let output = self.0.wait_with_output().map_err(|why| format!("the clients: {why}"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let numbers: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        match numbers[..] {
            [requests, per_second, p50_us, p99_us] => Ok(Seen { requests, per_second, p50_us, p99_us }),
            _ => Err(format!("the clients ended with {} and printed {text:?}", output.status)),
        }
    }
}

/// `main` of the clients' process: prints one line of figures.
pub(super) fn main(arguments: &[String]) -> Result<(), String> {
    let [address, numbers @ ..] = arguments else { return Err("no address".into()) };
    let numbers: Vec<f64> = numbers.iter().filter_map(|text| text.parse().ok()).collect();
    let [connections, seconds, rate] = numbers[..] else { return Err("not three numbers".into()) };
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    let mix = Mix::new();
    let clients: Vec<_> = std::thread::scope(|threads| {
        let one = |i| {
            let mix = &mix;
            threads.spawn(move || {
                let pace = (rate > 0.0).then(|| Duration::from_secs_f64(connections / rate));
                one(address, mix, i, end, pace).map_err(|why| format!("client {i}: {why}"))
            })
        };
        let all: Vec<_> = (0..connections as usize).map(one).collect();
        all.into_iter().map(|client| client.join().expect("a client does not panic")).collect()
    });
    let mut nanos = Vec::new();
    for client in clients {
        nanos.extend(client?);
    }
    nanos.sort_unstable();
    let at = |share: f64| nanos.get((nanos.len() as f64 * share) as usize).map_or(f64::NAN, |&n| n as f64 / 1e3);
    println!("{} {} {} {}", nanos.len(), nanos.len() as f64 / seconds, at(0.5), at(0.99));
    Ok(())
}

/// One connection, until the end. Latencies in nanoseconds.
fn one(
    address: &str,
    mix: &Mix,
    number: usize,
    end: Instant,
    pace: Option<Duration>,
) -> Result<Vec<u64>, std::io::Error> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut stream = BufReader::with_capacity(64 << 10, stream);
    let mut body = Vec::new();
    let mut nanos = Vec::with_capacity(1 << 16);
    // Clients do not march in step.
    let mut due = Instant::now() + pace.unwrap_or_default().mul_f64(number as f64 * 0.618 % 1.0);
    for request in mix.from(number) {
        if let Some(pace) = pace {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            due += pace;
        }
        let asked = pace.map_or_else(Instant::now, |pace| due - pace);
        if asked >= end {
            break;
        }
        send(&mut stream, request, &mut body)?;
        nanos.push(asked.elapsed().as_nanos() as u64);
    }
    Ok(nanos)
}

/// Sends a request and reads the whole answer, which must be a 200.
pub(super) fn send(stream: &mut BufReader<TcpStream>, request: &Request, body: &mut Vec<u8>) -> std::io::Result<()> {
    stream.get_mut().write_all(&request.bytes)?;
    let (mut line, mut length, mut status) = (String::new(), 0, String::new());
    loop {
        line.clear();
        if stream.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let text = line.trim_end();
        if text.is_empty() {
            break;
        }
        match text.split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse().map_err(std::io::Error::other)?;
            }
            _ if status.is_empty() => status = text.into(),
            _ => (),
        }
    }
    body.resize(length, 0);
    stream.read_exact(body)?;
    match status.contains(" 200") {
        true => Ok(()),
        false => Err(std::io::Error::other(format!("{} was answered by {status}", request.name))),
    }
}
