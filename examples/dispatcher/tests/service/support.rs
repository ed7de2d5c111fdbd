//! The service as a child process, and a client of its own: what the service's client gets wrong, this one need not.

use serde_json::Value;
use std::io::{BufRead, BufReader, ErrorKind, Lines, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// The folder that small services serve.
pub(crate) const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src");

/// The command that starts the service, whatever the environment of the tests says.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dispatcher"));
    command.args(arguments).env_remove("TENURE");
    command
}

/// What a service that cannot start leaves; of one that does start, too.
pub(crate) fn ended(mut command: Command) -> Output {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the service starts");
    let start = Instant::now();
    while child.try_wait().expect("its state").is_none() && start.elapsed() < PATIENCE / 9 {
        sleep(Duration::from_millis(2));
    }
    // It may have ended already.
    let _ = child.kill();
    child.wait_with_output().expect("its output")
}

/// A service that runs. Dropping it ends it.
pub(crate) struct Server {
    pub(crate) child: Child,
    /// What it prints after its address.
    pub(crate) lines: Lines<BufReader<ChildStdout>>,
    pub(crate) address: String,
}

impl Server {
    /// Serves [`SOURCES`] with this value of `TENURE`.
    pub(crate) fn small(tenure: &str) -> Server {
        Server::start(command(&["--port", "0", "--quiet", "--folder", SOURCES]).env("TENURE", tenure))
    }

    pub(crate) fn start(command: &mut Command) -> Server {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the service starts");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let first = lines.next().expect("a first line").expect("a line");
        let (_, address) = first.split_once("http://127.0.0.1:").unwrap_or_else(|| panic!("{first} says no address"));
        let (port, _) = address.split_once('/').unwrap_or_else(|| panic!("{first} says no path"));
        Server { child, lines, address: format!("127.0.0.1:{port}") }
    }

    pub(crate) fn connect(&self) -> Connection {
        let stream = TcpStream::connect(&self.address).expect("the service listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
        Connection(BufReader::new(stream))
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.connect().send("GET", path, &[], "")
    }

    /// What a path answers with, which must be JSON.
    pub(crate) fn json(&self, path: &str) -> Value {
        self.get(path).ok().json()
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> Answer {
        self.connect().send("POST", path, &[], body)
    }

    /// What it counts of itself.
    pub(crate) fn figure(&self, name: &str) -> f64 {
        let figures = self.json("/debug/tenure/figures");
        let mut all = figures["figures"].as_array().expect("a list").iter();
        let figure = all.find(|figure| figure["name"] == name).unwrap_or_else(|| panic!("no {name} in {figures}"));
        figure["value"].as_f64().expect("a number")
    }

    /// Sends it a signal: INT, as ctrl-c does, or TERM.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().expect("kill").success());
    }
}

/// Asks again and again until there is an answer. Panics when that takes too long, with what was seen last.
pub(crate) fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Result<T, String>) -> T {
    let start = Instant::now();
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(seen) if start.elapsed() > PATIENCE => panic!("{what} did not come. Seen last:\n{seen}"),
            Err(_) => sleep(Duration::from_millis(200)),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection that is kept.
pub(crate) struct Connection(BufReader<TcpStream>);

impl Connection {
    pub(crate) fn send(&mut self, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n", body.len());
        headers.iter().for_each(|header| head += &format!("{header}\r\n"));
        self.write(&format!("{head}\r\n{body}"));
        self.read()
    }

    pub(crate) fn write(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).expect("the request is taken");
    }

    pub(crate) fn read(&mut self) -> Answer {
        let mut head = Vec::new();
        while head.last().is_none_or(|line: &String| !line.is_empty()) {
            let mut line = String::new();
            assert!(self.0.read_line(&mut line).expect("an answer") > 0, "the connection ended after {head:?}");
            head.push(line.trim_end().to_string());
        }
        let mut answer = Answer { head, body: Vec::new() };
        if answer.header("transfer-encoding") == Some("chunked") {
            self.read_chunks(&mut answer.body);
        } else if answer.status() != 204 {
            let length = answer.header("content-length").expect("a length").parse().expect("a number");
            answer.body.resize(length, 0);
            self.0.read_exact(&mut answer.body).expect("the whole answer");
        }
        answer
    }

    fn read_chunks(&mut self, body: &mut Vec<u8>) {
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).expect("a chunk");
            let length = usize::from_str_radix(line.trim_end(), 16).expect("its length");
            let start = body.len();
            body.resize(start + length, 0);
            self.0.read_exact(&mut body[start..]).expect("the whole chunk");
            line.clear();
            self.0.read_line(&mut line).expect("its end");
            if length == 0 {
                return;
            }
        }
    }

    /// Everything until the other side closes the connection, or resets it.
    pub(crate) fn read_to_end(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        match self.0.read_to_end(&mut all) {
            Err(why) if matches!(why.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("neither answered nor closed: {all:?}")
            }
            _ => all,
        }
    }

    /// As [`Connection::write`], to somebody who may have closed the connection already.
    pub(crate) fn try_write(&mut self, bytes: &[u8]) {
        _ = self.0.get_mut().write_all(bytes);
    }

    /// Nothing more is sent.
    pub(crate) fn shut_down(&mut self) {
        _ = self.0.get_mut().shutdown(Shutdown::Write);
    }
}

#[derive(Debug)]
pub(crate) struct Answer {
    head: Vec<String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        self.head[0].split(' ').nth(1).expect("a status").parse().expect("a number")
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let all = self.head.iter().filter_map(|line| line.split_once(": "));
        all.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a text")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|why| panic!("{why}: {}", self.text()))
    }

    pub(crate) fn ok(self) -> Answer {
        assert_eq!(self.status(), 200, "{}", self.text());
        self
    }
}

/// Whether this batch of records was written, by a service that may end at any moment.
pub(crate) fn is_written(address: &str, batch: &str) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else { return false };
    let length = batch.len();
    let request = format!(
        "POST /records HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{batch}"
    );
    let mut answer = String::new();
    stream.write_all(request.as_bytes()).is_ok()
        && stream.read_to_string(&mut answer).is_ok()
        && answer.starts_with("HTTP/1.1 200 ")
        && answer.ends_with('}')
}
