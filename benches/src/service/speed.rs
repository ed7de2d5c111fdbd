//! Requests per second; and latencies at a rate that is the same for all, because at saturation they say the same again.

use super::client::{Load, Seen};
use super::options::Options;
use super::server::{Running, SERVICES, Service};
use crate::compare::{interval, median};
use crate::rng::Rng;
use std::path::{Path, PathBuf};

pub(super) fn run(options: &Options, room: &Path) -> Result<(), String> {
    let chosen = |service: &&Service| options.only.is_empty() || options.only.iter().any(|name| name == service.name);
    let services: Vec<&Service> = SERVICES.iter().filter(chosen).collect();
    let programs = services.iter().map(|service| service.build(room)).collect::<Result<Vec<PathBuf>, _>>()?;
    let load = Load {
        connections: options.connections,
        warm_up: options.seconds.min(1.0),
        seconds: options.seconds,
        rate: None,
    };
    let mut rng = Rng::new(options.seed);
    let mut seen: Vec<Vec<(Seen, f64)>> = vec![vec![]; services.len()];
    for round in 1..=options.rounds {
        let mut order: Vec<usize> = (0..services.len()).collect();
        rng.shuffle(&mut order);
        for i in order {
            let running = Running::start(services[i], &programs[i])?;
            let most = load.run(&running.address)?;
            let steady = Load { rate: Some(options.rate), ..load }.run(&running.address)?;
            let one = Seen { requests: most.requests, per_second: most.per_second, ..steady };
            eprintln!(
                "round {round}/{}: {:9} {:8.0} requests/s, p50 {:6.0} µs, p99 {:6.0} µs",
                options.rounds, services[i].name, one.per_second, one.p50_us, one.p99_us
            );
            seen[i].push((one, running.resident_kib()? as f64 / 1024.0));
        }
    }
    print(&services, &seen, options.rate);
    Ok(())
}

/// For the peers: medians. For ours: the median ratio to the best peer of the same figure, with its interval.
///
/// Which peer is best is chosen by all rounds, and compared with in each.
fn print(services: &[&Service], seen: &[Vec<(Seen, f64)>], rate: f64) {
    let best = "to the best peer, 95 % interval";
    println!("| | requests/s | {best} | p50 at {rate:.0}/s | p99 | {best} | resident |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    let of = |i: usize, figure: fn(&Seen) -> f64| seen[i].iter().map(|(s, _)| figure(s)).collect::<Vec<f64>>();
    let mid = |i: usize, figure: fn(&Seen) -> f64| median(of(i, figure)).unwrap_or(f64::NAN);
    let peers: Vec<usize> = (0..services.len()).filter(|&i| !services[i].is_tenure()).collect();
    let fastest = peers.iter().copied().max_by(|&a, &b| mid(a, |s| s.per_second).total_cmp(&mid(b, |s| s.per_second)));
    let steadiest = peers.iter().copied().min_by(|&a, &b| mid(a, |s| s.p99_us).total_cmp(&mid(b, |s| s.p99_us)));
    for (i, service) in services.iter().enumerate() {
        let ratio = |best: Option<usize>, figure: fn(&Seen) -> f64| {
            let Some(best) = best.filter(|_| service.is_tenure()) else { return String::new() };
            let (low, middle, high) =
                interval(of(i, figure).iter().zip(of(best, figure)).map(|(a, b)| a / b).collect());
            format!("{middle:.3} ({low:.3} to {high:.3}), {}", services[best].name)
        };
        println!(
            "| {} | {:.0} | {} | {:.0} µs | {:.0} µs | {} | {:.1} MiB |",
            service.name,
            mid(i, |s| s.per_second),
            ratio(fastest, |s| s.per_second),
            mid(i, |s| s.p50_us),
            mid(i, |s| s.p99_us),
            ratio(steadiest, |s| s.p99_us),
            median(seen[i].iter().map(|(_, mib)| *mib).collect()).unwrap_or(f64::NAN),
        );
    }
}
