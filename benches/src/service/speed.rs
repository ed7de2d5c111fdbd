//! Requests per second, and the processor time of one, which a noisy machine disturbs less; and latencies at a rate that is the same
//! for all, because at saturation they say the same again.

use super::client::{Load, Seen};
use super::options::Options;
use super::server::{Running, SERVICES, Service};
use crate::compare::{interval, median};
use crate::rng::Rng;
use std::path::{Path, PathBuf};

pub(super) fn run(options: &Options, room: &Path) -> Result<(), String> {
    let chosen = |service: &&Service| options.only.is_empty() || options.only.iter().any(|name| name == service.name);
    let services: Vec<&Service> = SERVICES.iter().filter(chosen).collect();
    let programs =
        services.iter().map(|service| service.build(room, options.built)).collect::<Result<Vec<PathBuf>, _>>()?;
    let load = Load {
        connections: options.connections,
        warm_up: options.seconds.min(1.0),
        seconds: options.seconds,
        rate: None,
    };
    let mut rng = Rng::new(options.seed);
    let mut seen: Vec<Vec<Run>> = services.iter().map(|_| vec![]).collect();
    for round in 1..=options.rounds {
        let mut order: Vec<usize> = (0..services.len()).collect();
        rng.shuffle(&mut order);
        for i in order {
            let running = Running::start(services[i], &programs[i])?;
            let before = running.processor_us()?;
            let most = load.run(&running.address)?;
            // The warm-up's requests took time, too.
            let took = (running.processor_us()? - before) / (most.per_second * (load.warm_up + load.seconds));
            let steady = Load { rate: Some(options.rate), ..load }.run(&running.address)?;
            let resident_mib = running.resident_kib()? as f64 / 1024.0;
            eprintln!(
                "round {round}/{}: {:9} {:8.0} requests/s of {took:4.0} µs, p50 {:6.0} µs, p99 {:6.0} µs",
                options.rounds, services[i].name, most.per_second, steady.p50_us, steady.p99_us
            );
            seen[i].push(Run { most, processor_us: took, steady, resident_mib });
        }
    }
    print(&services, &seen, options.rate);
    Ok(())
}

/// A service in a round.
struct Run {
    /// Each client asking again at once.
    most: Seen,
    /// Of one of those requests.
    processor_us: f64,
    /// At the same rate for all.
    steady: Seen,
    resident_mib: f64,
}

type Figure = fn(&Run) -> f64;
const PER_SECOND: Figure = |run| run.most.per_second;
/// The more the better, as of requests.
const PER_PROCESSOR_SECOND: Figure = |run| 1e6 / run.processor_us;
const P99: Figure = |run| run.steady.p99_us;

/// Medians; and for ours the median ratio to the best peer by the same figure, with its interval.
///
/// Which peer is best is chosen by all rounds, and compared with in each.
fn print(services: &[&Service], seen: &[Vec<Run>], rate: f64) {
    let best = "to the best peer, 95 % interval";
    println!(
        "| | requests/s | {best} | processor time of one | {best}, inverse | p50 at {rate:.0}/s | p99 | {best} | resident |"
    );
    println!("| --- |{}", " --- |".repeat(8));
    let of = |i: usize, figure: Figure| seen[i].iter().map(figure).collect::<Vec<f64>>();
    let mid = |i: usize, figure: Figure| median(of(i, figure)).unwrap_or(f64::NAN);
    for (i, service) in services.iter().enumerate() {
        let ratio = |figure: Figure, more_is_better: bool| {
            let peers = (0..services.len()).filter(|&peer| !services[peer].is_tenure());
            let worth = |peer: usize| if more_is_better { mid(peer, figure) } else { -mid(peer, figure) };
            let best = peers.max_by(|&a, &b| worth(a).total_cmp(&worth(b)));
            let Some(best) = best.filter(|_| service.is_tenure()) else { return String::new() };
            let ratios = of(i, figure).iter().zip(of(best, figure)).map(|(a, b)| a / b).collect();
            let (low, middle, high) = interval(ratios);
            format!("{middle:.3} ({low:.3} to {high:.3}), {}", services[best].name)
        };
        println!(
            "| {} | {:.0} | {} | {:.0} µs | {} | {:.0} µs | {:.0} µs | {} | {:.1} MiB |",
            service.name,
            mid(i, PER_SECOND),
            ratio(PER_SECOND, true),
            mid(i, |run| run.processor_us),
            ratio(PER_PROCESSOR_SECOND, true),
            mid(i, |run| run.steady.p50_us),
            mid(i, P99),
            ratio(P99, false),
            mid(i, |run| run.resident_mib),
        );
    }
}
