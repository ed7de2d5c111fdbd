//! A first look at `tenure`: several threads build an index of Rust sources, and the allocator says what that held,
//! and what went back to the system when it was dropped.
//!
//! ```sh
//! cargo run --release --example quickstart          # the crates in cargo's registry
//! cargo run --release --example quickstart -- PATH  # a folder of Rust sources, or a file
//! ```

mod index;
mod memory;
mod report;
mod sources;
mod text;
mod tokens;

use memory::Readings;
use std::process::ExitCode;
use std::time::Instant;
use tenure::{Symbols, Tenure};

#[global_allocator]
static ALLOC: Tenure = Tenure::new();

const USAGE: &str = "usage: cargo run --release --example quickstart [-- PATH]";

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let mut readings = Readings::begin();
    let sources = match (arguments.next(), arguments.next()) {
        (Some(help), None) if help == "--help" || help == "-h" => {
            text::print(format_args!(
                "Indexes the Rust sources below PATH (without it: the crates in cargo's registry) and prints what it \
                 found and what the allocator held.\n{USAGE}\n"
            ));
            return ExitCode::SUCCESS;
        }
        (path, None) => sources::find(path.map(Into::into)),
        (_, Some(_)) => Err(format!("more than one path was given; {USAGE}")),
    };
    let sources = match sources {
        Ok(sources) => sources,
        Err(what) => {
            eprintln!("quickstart: {what}");
            return ExitCode::from(2);
        }
    };

    let start = Instant::now();
    let index = index::build(&sources);
    report::print_all(&sources, &index, start.elapsed());

    readings.take("index held");
    let held = tenure::snapshot();
    drop((index, sources));
    readings.take("just dropped");
    let start = Instant::now();
    let returned = memory::idle();
    readings.take(&format!("{:.1} s later", start.elapsed().as_secs_f64()));
    readings.print(returned);

    println!("\nwho held it: tenure::snapshot() of the moment when the index was held\n");
    println!("{}", held.top(10, &mut Symbols::new()));
    ExitCode::SUCCESS
}
