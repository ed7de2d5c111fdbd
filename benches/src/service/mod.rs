//! The dispatcher under load: with tenure, and, without any instruments, with other allocators.
//!
//! The service has one core and its clients the other, so that neither takes time from the other. Services that are compared
//! take short turns, so that a ratio compares neighbours in time.
//!
//! | measurement | what |
//! | --- | --- |
//! | (none) | requests per second, each client asking again as soon as it is answered; then latencies at a rate that is the same for all |
//! | `--scrape` | the 99th percentile at a steady rate, alone and while `/metrics` and `/debug/pprof/heap` are scraped |
//! | `--hour` | resident memory after as many requests as an hour brings, against after the warm-up |

mod client;
mod cores;
mod hour;
mod mix;
mod options;
mod scrape;
mod server;
mod speed;

use options::{Measurement, Options};
use std::process::ExitCode;

/// `main` of the bench target, which alone knows where there is room for the services.
pub fn main(room: &'static str) -> ExitCode {
    let room = std::path::Path::new(room);
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.first().map(String::as_str) {
        // This program again, on the clients' core.
        Some(cores::CLIENTS) => client::main(&arguments[1..]),
        _ => Options::parse(arguments.into_iter()).and_then(|options| match options.measurement {
            Measurement::Speed => speed::run(&options, room),
            Measurement::Scrape => scrape::run(&options, room),
            Measurement::Hour => hour::run(&options, room),
        }),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            eprintln!("{what}");
            ExitCode::from(2)
        }
    }
}
