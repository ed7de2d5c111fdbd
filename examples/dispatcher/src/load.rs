//! Visitors, so that there is something to see.

use crate::client::Client;
use std::fmt::Write;
use std::io::Result;
use std::net::SocketAddr;
use std::time::Duration;
use tenure::InScopeExt;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// At a time; each with a connection of its own.
const VISITORS: usize = 8;
/// Between two requests of a visitor: a minute of it leaks some hundred MiB, and not the whole machine's memory.
const PAUSE: Duration = Duration::from_millis(10);

/// Visits all routes for so long, and prints what is held then.
pub(crate) async fn run(address: SocketAddr, time: Duration) -> Result<()> {
    println!("{VISITORS} visitors for {} s ...", time.as_secs());
    let until = Instant::now() + time;
    let mut visitors = JoinSet::new();
    for number in 0..VISITORS {
        visitors.spawn(visit(address, number, until).in_scope("load"));
    }
    let mut requests = 0;
    while let Some(visitor) = visitors.join_next().await {
        requests += visitor??;
    }
    println!("{requests} requests were answered");
    let mut client = Client::connect(address).await?;
    for path in ["/sites?n=5", "/sites?by=tag&n=5"] {
        println!("\nGET {path}\n{}", client.send("GET", path, "").await?);
    }
    println!("still serving; ctrl-c ends it");
    Ok(())
}

/// Returns the number of requests.
async fn visit(address: SocketAddr, number: usize, until: Instant) -> Result<usize> {
    let mut client = Client::connect(address).await?;
    let objects = objects(number);
    let mut requests = 0;
    while Instant::now() < until {
        match requests % 5 {
            0 => client.send("GET", "/search?q=the+memory", ""),
            1 => client.send("GET", "/document/1", ""),
            2 => client.send("POST", "/group?by=kind", &objects),
            3 => client.send("GET", "/search?q=allocated", ""),
            _ => client.send("GET", "/session?user=ada", ""),
        }
        .await?;
        requests += 1;
        sleep(PAUSE).await;
    }
    Ok(requests)
}

/// A list of objects of eight kinds.
fn objects(number: usize) -> String {
    let mut list = format!("[{{\"kind\":0,\"visitor\":{number}}}");
    for i in 1..500 {
        // Writing to a text does not fail.
        _ = write!(list, ",{{\"kind\":{},\"name\":\"object {i}\",\"of\":{{\"visitor\":{number}}}}}", i * i % 8);
    }
    list + "]"
}
