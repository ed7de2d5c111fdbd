//! Requests per second; and latencies at a rate that is the same for all, because at saturation they say the same again.
//!
//! All services run from beginning to end, and take turns of half a second, in an order that is shuffled for each round: a host
//! that is fast in one minute and slow in the next is so for all of them. (Each started anew for its four seconds, the
//! same binary made 6,700 to 11,000 requests a second, and no ratio was known within a fifth.)

use super::client::{Load, Seen};
use super::options::Options;
use super::server::{Running, SERVICES, Service};
use crate::compare::{interval, median};
use crate::rng::Rng;
use std::path::{Path, PathBuf};

/// Seconds of load before the first round.
const WARM_UP: f64 = 3.0;

pub(super) fn run(options: &Options, room: &Path) -> Result<(), String> {
    let chosen = |service: &&Service| options.only.is_empty() || options.only.iter().any(|name| name == service.name);
    let services: Vec<&Service> = SERVICES.iter().filter(chosen).collect();
    let programs =
        services.iter().map(|service| service.build(room, options.built)).collect::<Result<Vec<PathBuf>, _>>()?;
    let most = Load { connections: options.connections, seconds: options.seconds, rate: None };
    let mut running = vec![];
    for (service, program) in services.iter().zip(&programs) {
        let service = Running::start(service, program)?;
        Load { seconds: WARM_UP.min(2.0 * options.seconds * options.rounds as f64), ..most }.run(&service.address)?;
        running.push(service);
    }
    let mut rng = Rng::new(options.seed);
    let mut seen: Vec<Vec<Turn>> = services.iter().map(|_| vec![]).collect();
    for round in 1..=options.rounds {
        let mut order: Vec<usize> = (0..services.len()).collect();
        rng.shuffle(&mut order);
        for i in order {
            let before = running[i].processor_us()?;
            let fast = most.run(&running[i].address)?;
            let processor_us = running[i].processor_us()? - before;
            let rate = Some(options.rate);
            let steady = Load { rate, seconds: 2.0 * options.seconds, ..most }.run(&running[i].address)?;
            seen[i].push(Turn { most: fast, processor_us, steady });
        }
        if round % 10 == 0 || round == options.rounds {
            eprintln!("round {round}/{}", options.rounds);
        }
    }
    let resident = running.iter().map(Running::resident_kib).collect::<Result<Vec<u64>, _>>()?;
    print(&services, &seen, &resident, options.rate);
    Ok(())
}

/// What a service did when it was its turn.
struct Turn {
    /// Each client asking again at once.
    most: Seen,
    /// Of all those requests.
    processor_us: f64,
    /// At the same rate for all.
    steady: Seen,
}

type Figure = fn(&Turn) -> f64;
const PER_SECOND: Figure = |turn| turn.most.per_second;
const P99: Figure = |turn| turn.steady.p99_us;

/// Medians; and for ours the median ratio to the best peer by the same figure, with its interval.
///
/// Which peer is best is chosen by all rounds, and compared with in each.
fn print(services: &[&Service], seen: &[Vec<Turn>], resident_kib: &[u64], rate: f64) {
    let best = "to the best peer, 95 % interval";
    println!("| | requests/s | {best} | processor time of one | p50 at {rate:.0}/s | p99 | {best} | resident |");
    println!("| --- |{}", " --- |".repeat(7));
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
        let sum = |figure: Figure| of(i, figure).iter().sum::<f64>();
        println!(
            "| {} | {:.0} | {} | {:.0} µs | {:.0} µs | {:.0} µs | {} | {:.1} MiB |",
            service.name,
            mid(i, PER_SECOND),
            ratio(PER_SECOND, true),
            sum(|turn| turn.processor_us) / sum(|turn| turn.most.requests),
            mid(i, |turn| turn.steady.p50_us),
            mid(i, P99),
            ratio(P99, false),
            resident_kib[i] as f64 / 1024.0,
        );
    }
}
