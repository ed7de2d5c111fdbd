//! A service that shows where its memory goes: texts and their index, records, jobs, and a lab of leaks.
//!
//! ```sh
//! cargo run --release -p tenure-dispatcher               # prints an address, serves until ctrl-c, and has a few visitors
//! cargo run --release -p tenure-dispatcher -- --load 10  # asks itself as fast as it goes for ten seconds
//! ```
//!
//! From the outside in: `server` (connections), `middleware` (what happens to each request), `routes`, `views`. What
//! views share stands in `app`.

// What only the instruments read.
#![cfg_attr(not(feature = "instruments"), allow(dead_code))]

mod allocator;
mod app;
mod client;
mod context;
mod events;
mod figures;
mod index;
mod instruments;
mod jobs;
mod lab;
mod latency;
mod load;
mod middleware;
mod options;
mod pool;
mod routes;
mod run;
mod server;
mod signals;
mod store;
mod summaries;
mod views;
mod visitors;
mod words;

use options::Options;
use std::process::ExitCode;

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args_os().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("{}", options::HELP);
            return ExitCode::SUCCESS;
        }
        Err(what) => return failed(2, &what),
    };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(why) => return failed(1, &format!("cannot start the event loop ({why}): are there threads left?")),
    };
    let done = runtime.block_on(run::run(options));
    // What is still under way has had its time.
    runtime.shutdown_background();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => failed(1, &what),
    }
}

fn failed(code: u8, what: &str) -> ExitCode {
    eprintln!("dispatcher: {what}");
    ExitCode::from(code)
}
