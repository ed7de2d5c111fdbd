//! From "memory grows" to the line: a service leaks, and each step asks one question more.
//!
//! ```sh
//! cargo run --release --example leak_hunt
//! ```

mod service;

use service::Service;
use std::io::IsTerminal;
use tenure::snapshot::{By, Filter};
use tenure::testing::Limits;
use tenure::{Mode, Symbols, Tenure};

#[global_allocator]
static ALLOC: Tenure = Tenure::new();

fn main() {
    let mut service = Service::default();

    step("1. Does memory grow?", "tenure::stats()");
    println!("  requests        live   committed    resident");
    serve(&mut service, 50_000);
    sizes(50_000);
    // Caches are full by now. What grows from here on is something else.
    let before = tenure::snapshot();
    for round in 2..=5 {
        serve(&mut service, 25_000);
        sizes((round + 1) * 25_000);
    }
    let after = tenure::snapshot();
    say(
        "It does, and what grows is `live`: the program holds it. Were it `committed` alone, it would be the allocator.",
    );

    let mut symbols = Symbols::new();
    step("2. Which lines hold most?", "after.top(3, ..)");
    print!("{}", after.top(3, &mut symbols));
    say("A cache, for one, which is meant to be there. What holds most need not be what leaks.");

    step("3. Which lines hold more than before?", "after.diff(&before, By::Line, ..).top(3)");
    print!("{}", after.diff(&before, By::Line, &mut symbols).top(3));
    say("The sessions of those who browse. The cache is full, and gone from the list.");

    step("4. For which route?", "after.diff(&before, By::Tag, ..)");
    print!("{}", after.diff(&before, By::Tag, &mut symbols));
    say("Searches have sessions too, and leave none behind: what grew during one is the table of subscriptions.");

    step("5. What comes with each of them?", "tenure::set_mode(Mode::Exact), and 4,000 requests later");
    tenure::set_mode(Mode::Exact);
    let before = tenure::snapshot();
    serve(&mut service, 4_000);
    let after = tenure::snapshot();
    tenure::set_mode(Mode::SAMPLED);
    let browse = Filter::new().include("*::browse");
    let [before, after] = [before, after].map(|snapshot| snapshot.filter(&browse, &mut symbols));
    print!("{:#}", after.diff(&before, By::Site, &mut symbols).top(3));
    say(
        "1,000 of the requests were to browse: each has left its session, what it viewed, and a subscription to prices,
which holds the other two. `browse` subscribes, and does not unsubscribe.",
    );

    step("6. Say so in a test.", "testing::Limits::new().no_leak().check(|| service.browse(7))");
    test();
    service.new_price(100);
}

fn step(question: &str, call: &str) {
    let (bold, plain) = if std::io::stdout().is_terminal() { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
    println!("\n{bold}{question}{plain}   {call}\n");
}

fn say(what: &str) {
    println!("\n> {}", what.replace('\n', "\n> "));
}

fn sizes(requests: u32) {
    let stats = tenure::stats();
    let mib = |bytes: usize| bytes as f64 / f64::from(1 << 20);
    let [live, committed, resident] = [stats.live, stats.committed, stats.resident].map(mib);
    println!("  {requests:>8} {live:>7.1} MiB {committed:>7.1} MiB {resident:>7.1} MiB");
}

/// Requests, most of them searches.
fn serve(service: &mut Service, requests: u32) {
    for i in 0..requests {
        match i % 4 {
            0 => service.browse(i.wrapping_mul(2_654_435_761) >> 8),
            _ => service.search("tea"),
        };
    }
}

/// The test that finds it, as its author meets it.
fn test() {
    let browse = || {
        let mut service = Service::default();
        service.browse(7); // fills the cache
        Limits::new().no_leak().check(|| service.browse(7));
    };
    let found = std::panic::catch_unwind(browse).is_err();
    say(if found { "It fails, and names the place. Once `browse` unsubscribes, it passes." } else { "It passes." });
}
