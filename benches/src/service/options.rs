//! What stands on the command line.

use super::server::SERVICES;

const USAGE: &str = "\
usage: cargo bench -p tenure-benches --bench service [-- options]
  --rounds N         each service once in each (60; of scrapes 30)
  --seconds N        of measured load in a turn (0.5; of scrapes 1, of an hour 10)
  --connections N    clients (16)
  --rate N           requests per second for latencies (2500)
  --only A,B         only these services (sampled,exact,off,mimalloc,jemalloc,system)
  --scrape           what scrapes do to the requests beside them
  --hour             whether resident memory stays, over as many requests as an hour brings
  --seed N           the order (1)
  --built            the services as they were built the last time
  --smoke            everything once, for a moment, without other allocators: measures nothing";

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Measurement {
    Speed,
    Scrape,
    Hour,
}

pub(super) struct Options {
    pub(super) measurement: Measurement,
    pub(super) rounds: usize,
    pub(super) seconds: f64,
    pub(super) connections: usize,
    pub(super) rate: f64,
    pub(super) only: Vec<String>,
    pub(super) seed: u64,
    pub(super) smoke: bool,
    pub(super) built: bool,
}

impl Options {
    /// An error is a text for the user.
    pub(super) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
        let mut options = Options {
            measurement: Measurement::Speed,
            rounds: 0,
            seconds: 0.0,
            connections: 16,
            rate: 2500.0,
            only: vec![],
            seed: 1,
            smoke: false,
            built: false,
        };
        let mut from_cargo_bench = false;
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value\n{USAGE}"));
            let number = |text: String| text.parse().map_err(|_| format!("{text:?} is not a number\n{USAGE}"));
            match argument.as_str() {
                "--bench" => from_cargo_bench = true,
                "--rounds" => options.rounds = number(value()?)? as usize,
                "--seconds" => options.seconds = number(value()?)? as f64,
                "--connections" => options.connections = number(value()?)? as usize,
                "--rate" => options.rate = number(value()?)? as f64,
                "--seed" => options.seed = number(value()?)?,
                "--only" => options.only = value()?.split(',').map(String::from).collect(),
                "--scrape" => options.measurement = Measurement::Scrape,
                "--hour" => options.measurement = Measurement::Hour,
                "--built" => options.built = true,
                "--smoke" => options.smoke = true,
                _ if from_cargo_bench => return Err(format!("unknown argument {argument}\n{USAGE}")),
                _ => (),
            }
        }
        let (rounds, seconds) = match options.measurement {
            Measurement::Speed => (60, 0.5),
            Measurement::Scrape => (30, 1.0),
            Measurement::Hour => (1, 10.0),
        };
        if options.rounds == 0 {
            options.rounds = rounds;
        }
        if options.seconds == 0.0 {
            options.seconds = seconds;
        }
        // `cargo test --benches` passes the arguments of a test harness, and no `--bench`.
        options.smoke |= !from_cargo_bench;
        if options.smoke {
            (options.rounds, options.seconds) = (1, 0.5);
            (options.only, options.rate) = (vec!["sampled".into(), "exact".into()], 200.0);
        }
        match options.only.iter().find(|name| SERVICES.iter().all(|service| service.name != **name)) {
            Some(name) => Err(format!("there is no service {name:?}\n{USAGE}")),
            None => Ok(options),
        }
    }
}
