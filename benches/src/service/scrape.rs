//! What a scrape does to the requests beside it.

use super::client::{self, Load, Seen};
use super::mix::Request;
use super::options::Options;
use super::server::{Running, SERVICES};
use crate::compare::{interval, median};
use std::io::BufReader;
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const SCRAPED: [&str; 2] = ["/metrics", "/debug/pprof/heap"];

/// Between two scrapes. Far more often than anybody does: a percentile does not see what one request in a thousand meets.
const EVERY: Duration = Duration::from_millis(50);

/// Of what the service can do at most.
const SHARE: f64 = 0.5;

pub(super) fn run(options: &Options, room: &Path) -> Result<(), String> {
    let service = &SERVICES[0];
    let program = service.build(room, options.built)?;
    let full = Load { connections: options.connections, seconds: options.seconds, rate: None };
    println!(
        "| scraped every {} ms | p99 alone | p99 beside it | moved by, 95 % interval | a scrape takes |",
        EVERY.as_millis()
    );
    println!("| --- | --- | --- | --- | --- |");
    for path in SCRAPED {
        let (mut alone, mut beside, mut took) = (vec![], vec![], vec![]);
        let running = Running::start(service, &program)?;
        let most = Load { seconds: 5.0 * full.seconds, ..full }.run(&running.address)?.per_second;
        let steady = Load { rate: Some(most * SHARE), ..full };
        for round in 1..=options.rounds {
            // In turns, so that what changes with time is no difference.
            let (quiet, (scraped, mut times)) = if round % 2 == 1 {
                let quiet = steady.run(&running.address)?;
                (quiet, while_scraped(&steady, &running.address, path)?)
            } else {
                let scraped = while_scraped(&steady, &running.address, path)?;
                (steady.run(&running.address)?, scraped)
            };
            if round % 10 == 0 || round == options.rounds {
                eprintln!("{path}: round {round}/{}", options.rounds);
            }
            alone.push(quiet.p99_us);
            beside.push(scraped.p99_us);
            // The first one looks names up.
            took.extend(times.drain(1.min(times.len())..));
        }
        let mid = |values: &[f64]| median(values.to_vec()).unwrap_or(f64::NAN) / 1e3;
        let moved = alone.iter().zip(&beside).map(|(a, b)| (b - a) / 1e3).collect();
        let (low, middle, high) = interval(moved);
        println!(
            "| {path} | {:.2} ms | {:.2} ms | {middle:+.2} ms ({low:+.2} to {high:+.2}) | {:.1} ms |",
            mid(&alone),
            mid(&beside),
            mid(&took),
        );
    }
    Ok(())
}

/// What clients saw while somebody scraped, and how long each scrape took, in microseconds.
fn while_scraped(load: &Load, address: &str, path: &str) -> Result<(Seen, Vec<f64>), String> {
    let over = AtomicBool::new(false);
    let request = Request::new("GET", path, "");
    std::thread::scope(|threads| {
        let scraper = threads.spawn(|| -> std::io::Result<Vec<f64>> {
            let mut stream = BufReader::new(TcpStream::connect(address)?);
            let (mut body, mut times) = (Vec::new(), Vec::new());
            // Relaxed: nothing else is read by it.
            while !over.load(Ordering::Relaxed) {
                let asked = Instant::now();
                client::send(&mut stream, &request, &mut body)?;
                times.push(asked.elapsed().as_secs_f64() * 1e6);
                std::thread::sleep(EVERY);
            }
            Ok(times)
        });
        let seen = load.run(address);
        over.store(true, Ordering::Relaxed);
        let times = scraper.join().expect("the scraper does not panic").map_err(|why| format!("{path}: {why}"))?;
        Ok((seen?, times))
    })
}
