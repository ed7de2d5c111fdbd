//! A memory fault each: `planted NAME` commits one, `planted NAME good` runs the same program without it,
//! `planted --list` lists them.
//!
//! A fault that nobody notices lets the program end as if nothing had happened, with code 0; one that the allocator's
//! design made harmless ends with [`HARMLESS`].

mod after_free;
mod frees;
mod layouts;
mod memory;
mod overflow;
mod resized;

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use tenure::Tenure;

#[global_allocator]
static ALLOC: Tenure = Tenure::new();

/// The fault took place and was without effect.
const HARMLESS: u8 = 10;

/// What became of a fault that did not end the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Unnoticed,
    Harmless,
}

/// What is kept from having an effect.
fn harmless_if(so: bool) -> Ended {
    if so { Ended::Harmless } else { Ended::Unnoticed }
}

/// A program with a fault.
struct Fault {
    name: &'static str,
    run: fn() -> Ended,
}

static PLANTED: AtomicBool = AtomicBool::new(true);

/// Whether the fault is to be committed.
fn planted() -> bool {
    PLANTED.load(Ordering::Relaxed) // Relaxed: written before the first thread begins
}

const ALL: &[&[Fault]] = &[overflow::ALL, after_free::ALL, frees::ALL, layouts::ALL, resized::ALL];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let all = || ALL.iter().copied().flatten();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--list"] => all().for_each(|fault| println!("{}", fault.name)),
        [name] | [name, "good"] => {
            let Some(fault) = all().find(|fault| fault.name == name) else {
                eprintln!("planted: there is no fault {name}; --list lists them");
                return ExitCode::from(2);
            };
            PLANTED.store(args.len() == 1, Ordering::Relaxed); // Relaxed: see `planted`
            let ended = (fault.run)();
            println!("the end");
            if planted() && ended == Ended::Harmless {
                return ExitCode::from(HARMLESS);
            }
        }
        _ => {
            eprintln!("usage: planted NAME [good] | --list");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}
