//! `--load`: asks all routes as fast as it goes, and says how fast that was.

use crate::client::Client;
use crate::latency::Latencies;
use crate::visitors::mix;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{IsTerminal, Result};
use std::net::SocketAddr;
use std::time::Duration;
use tenure::InScopeExt;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, timeout_at};

/// At a time; each with a connection that it keeps.
const VISITORS: usize = 8;

/// Visits all routes for so long, and prints a table of how long that took.
pub(crate) async fn run(address: SocketAddr, time: Duration) {
    let start = Instant::now();
    let mut visitors = JoinSet::new();
    for number in 0..VISITORS {
        visitors.spawn(visit(address, number, start + time).in_scope("load"));
    }
    let shown = tokio::spawn(progress(time));
    let mut latencies = Latencies::default();
    while let Some(visitor) = visitors.join_next().await {
        match visitor.map_err(std::io::Error::other).and_then(|done| done) {
            Ok(of_visitor) => latencies.merge(&of_visitor),
            Err(why) => eprintln!("dispatcher: a visitor ended early: {why}"),
        }
    }
    shown.abort();
    println!("\n{VISITORS} visitors for {:.1} s\n\n{}", time.as_secs_f64(), latencies.table(start.elapsed()));
    println!("still serving; ctrl-c ends it");
}

/// A bar on a terminal, and a line where there is none.
async fn progress(time: Duration) {
    if !std::io::stderr().is_terminal() {
        return eprintln!("{VISITORS} visitors for {} s ...", time.as_secs());
    }
    let bar = ProgressBar::new(time.as_millis() as u64);
    bar.set_style(ProgressStyle::with_template("{wide_bar} {elapsed}").expect("a template of our own"));
    let mut ticks = interval(Duration::from_millis(200));
    while !bar.is_finished() {
        ticks.tick().await;
        bar.set_position(bar.elapsed().as_millis() as u64);
    }
}

async fn visit(address: SocketAddr, number: usize, until: Instant) -> Result<Latencies> {
    let (mut client, mix) = (Client::connect(address).await?, mix(number));
    let mut latencies = Latencies::default();
    // Each begins elsewhere, so that they do not march in step.
    for visit in mix.iter().cycle().skip(number * 5) {
        let start = Instant::now();
        let Ok(status) = timeout_at(until, client.send(visit.method, &visit.path, &visit.body)).await else { break };
        latencies.add(visit.route, start.elapsed(), status?);
    }
    Ok(latencies)
}
