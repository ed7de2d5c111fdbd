//! A Prometheus server that scrapes this process, on addresses of this machine only.

use crate::tools::{self, Directory};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};
use tenure::export::OPENMETRICS_CONTENT_TYPE;

pub(crate) struct Prometheus {
    process: Child,
    port: u16,
    directory: Directory,
}

/// The server is given up on after so long; nothing is measured by it.
const PATIENCE: Duration = Duration::from_secs(120);

impl Prometheus {
    /// Scrapes these texts, each as a job of its own, until each was scraped.
    pub(crate) fn start(jobs: &[(&'static str, String)]) -> Option<Prometheus> {
        let serve = |(name, text): &(&'static str, String)| (*name, format!("127.0.0.1:{}", serve(text.clone())));
        Prometheus::watch(&jobs.iter().map(serve).collect::<Vec<_>>())
    }

    /// Scrapes `/metrics` at these addresses, each as a job of its own, until each was scraped.
    pub(crate) fn watch(jobs: &[(&str, String)]) -> Option<Prometheus> {
        let program = tools::find(&["prometheus"])?;
        let directory = Directory::new("prometheus");
        let mut config = "global: {scrape_interval: 10s, scrape_timeout: 10s}\nscrape_configs:\n".to_string();
        for (name, address) in jobs {
            config += &format!("- {{job_name: {name}, static_configs: [{{targets: ['{address}']}}]}}\n");
        }
        fs::write(directory.file("config.yml"), config).expect("a file");
        // Free a moment ago.
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
        let log = fs::File::create(directory.file("log")).expect("a file");
        let process = Command::new(program)
            .arg(format!("--config.file={}", directory.file("config.yml").display()))
            .arg(format!("--storage.tsdb.path={}", directory.file("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stderr(log)
            .stdout(Stdio::null())
            .spawn()
            .expect("it runs");
        let server = Prometheus { process, port, directory };
        let begin = Instant::now();
        while (server.try_get("/api/v1/query?query=up").unwrap_or_default()).matches("\"job\":").count() < jobs.len() {
            assert!(
                begin.elapsed() < PATIENCE,
                "{}",
                fs::read_to_string(server.directory.file("log")).unwrap_or_default()
            );
            thread::sleep(Duration::from_millis(50));
        }
        Some(server)
    }

    fn try_get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    pub(crate) fn get(&self, path: &str) -> String {
        self.try_get(path).expect("an answer")
    }

    /// Waits for a query to give this value.
    #[allow(dead_code, reason = "texts are there at once, reports of a live process are not")]
    pub(crate) fn await_value(&self, query: &str, value: &str) {
        let begin = Instant::now();
        while self.value(query) != value {
            assert!(begin.elapsed() < PATIENCE, "{query} is not {value}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// The one value that a query gives.
    pub(crate) fn value(&self, query: &str) -> String {
        let escaped: String = query.bytes().map(|b| format!("%{b:02x}")).collect();
        let answer = self.get(&format!("/api/v1/query?query={escaped}"));
        assert_eq!(answer.matches("\"value\":[").count(), 1, "{query}: {answer}");
        // `"value":[1795264713.123,"42"]`
        let value = answer.split_once("\"value\":[").and_then(|(_, v)| v.split('"').nth(1));
        value.unwrap_or_else(|| panic!("{query}: {answer}")).to_string()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.process.kill().and_then(|()| self.process.wait()).expect("it ends");
    }
}

/// Gives everyone who asks this text, as long as the process runs; and says on which port.
fn serve(text: String) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("a port").port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            // Up to the empty line that ends a request.
            let (mut request, mut part) = (Vec::new(), [0; 1024]);
            while !request.windows(4).any(|w| w == b"\r\n\r\n") {
                match stream.read(&mut part) {
                    Ok(n) if n > 0 => request.extend_from_slice(&part[..n]),
                    _ => break,
                }
            }
            let length = text.len();
            // Whoever asked may be gone.
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: {OPENMETRICS_CONTENT_TYPE}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}"
            );
        }
    });
    port
}

/// What `promtool check metrics` says of a text.
pub(crate) fn promtool(text: &str) -> Option<String> {
    let program = tools::find(&["promtool"])?;
    let mut check = Command::new(program)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    check.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("it reads");
    let output = check.wait_with_output().expect("it ends");
    let said = [output.stdout, output.stderr].concat();
    assert_eq!(output.status.success(), said.is_empty(), "{}", String::from_utf8_lossy(&said));
    Some(String::from_utf8_lossy(&said).into_owned())
}
