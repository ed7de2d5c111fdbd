//! A service's life in fast motion: its generations, what collections give back, who will not let go, and why memory stays.
//!
//! ```sh
//! cargo run --release --example tenure
//! ```

mod service;

use service::{Service, checksum};
use std::io::{IsTerminal, Write};
use tenure::generation::{self, Generation, Thresholds};
use tenure::snapshot::By;
use tenure::{Mode, Symbols, Tenure};

/// Epochs of 1 MiB instead of 64, and a sample for each 4 KiB instead of 512: minutes of a service in seconds.
#[global_allocator]
static ALLOC: Tenure = Tenure::new()
    .thresholds(Thresholds { young_bytes: 1 << 20, young_per_middle: 4, middle_per_old: 4, ..Thresholds::DEFAULT })
    .mode(SAMPLED);

const SAMPLED: Mode = Mode::Sampled { mean: 4 << 10 };

/// Requests of the first minutes, of the days that follow, and of a last one.
const FIRST: u32 = 20_000;
const DAYS: u32 = 400_000;
const LAST: u32 = 100_000;

fn main() {
    let mut service = Service::start();
    // What was built at the start goes into the permanent generation, out of every census.
    generation::freeze();
    let mut symbols = Symbols::new();

    step("1. Each collection is a line.", "TENURE=trace, or Tenure::new().trace(true)");
    (0..FIRST).for_each(|_| _ = service.request());
    for last in generation::stats().iter().filter_map(|stats| stats.last) {
        println!("  {last}");
    }
    say("A young one takes home what threads do not use; a middle one gives memory back that stayed free; an old one
counts what is alive: so much young, middle-aged, old, and frozen, which is what was built at the start.");

    step("2. The service lives.", "generation::stats()");
    serve(&mut service);
    println!("  generation   collections   given back   longest pause");
    for (generation, stats) in Generation::ALL.iter().zip(generation::stats()) {
        let (back, longest) = (mib(stats.reclaimed.purged), stats.longest_pause_ns as f64 / 1e6);
        println!("  {generation:<10} {:>13} {back:>8.1} MiB {longest:>12.3} ms", stats.collections);
    }

    let mut snapshot = tenure::snapshot();
    // While a machine comes to run faster, growth is put down to that: it may take a little longer.
    for _ in 0..20 {
        if !snapshot.suspects().is_empty() {
            break;
        }
        (0..FIRST).for_each(|_| _ = service.request());
        snapshot = tenure::snapshot();
    }
    step(
        "3. How old is what lives, and how old became what died?",
        "snapshot.tenuring(), tenuring_by(By::Function, ..)",
    );
    println!("{}", snapshot.tenuring());
    if let Some(lines) = snapshot.tenuring_by(By::Function, &mut symbols) {
        println!("{}", lines.top(5));
    }
    say("Nearly everything dies young, as it should. What becomes old is held on purpose, or forgotten.");

    step("4. Who will not let go?", "snapshot.suspects_named(..)");
    print!("{}", snapshot.suspects_named(&mut symbols));
    say("Subscriptions: their old generation grows with every collection, amid a hundred times as much that comes and goes.
The cache holds more, but it levels off; sessions end. Neither is on the list.");
    println!("  (subscribed to prices: {})", service.subscribers("prices"));

    step("5. Why does memory not fall when a day ends?", "tenure::retention(), before and after");
    tenure::set_mode(Mode::Exact);
    (0..LAST).for_each(|_| _ = service.request()); // a day that is looked at closely
    tenure::set_mode(SAMPLED);
    let audits = service.end_day();
    println!("  {}\n", generation::collect(Generation::Old));
    println!("{}", tenure::retention().report(&mut symbols));
    say("One entry in 512 is an audit, and each of them keeps an OS page, 4 KiB, for its 112 bytes. Copied side by side, they
keep next to nothing:");
    let copied = audits.clone();
    drop(audits);
    println!("\n  {}\n", generation::collect(Generation::Old));
    println!("{}", tenure::retention().report(&mut symbols));
    println!("  (checksum of the audits: {})", checksum(&copied));
}

/// Some days of traffic.
fn serve(service: &mut Service) {
    let progress = std::io::stderr().is_terminal();
    for i in 0..DAYS {
        service.request();
        if i % 50_000 == 49_999 {
            drop(service.end_day());
        }
        if progress && i.is_multiple_of(DAYS / 40) {
            eprint!("\r  {:>3} % of {DAYS} requests ", u64::from(i) * 100 / u64::from(DAYS));
            _ = std::io::stderr().flush();
        }
    }
    if progress {
        eprint!("\r{:40}\r", "");
    }
}

fn step(question: &str, call: &str) {
    let (bold, plain) = if std::io::stdout().is_terminal() { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
    println!("\n{bold}{question}{plain}   {call}\n");
}

fn say(what: &str) {
    println!("\n> {}", what.replace('\n', "\n> "));
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
