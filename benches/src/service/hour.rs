//! Whether resident memory stays where it is.

use super::client::Load;
use super::options::Options;
use super::server::{Running, SERVICES};
use std::path::Path;

/// Requests of an hour: 500 a second.
const REQUESTS: f64 = 3600.0 * 500.0;
/// Of them, what the service warms up with.
const WARM_UP: f64 = 0.05;

pub(super) fn run(options: &Options, room: &Path) -> Result<(), String> {
    let service = SERVICES.iter().find(|s| options.only.first().is_none_or(|name| name == s.name));
    let service = service.ok_or("--only names no service")?;
    let program = service.build(room, options.built)?;
    let running = Running::start(service, &program)?;
    let requests = if options.smoke { 1000.0 } else { REQUESTS };
    let load = Load { connections: options.connections, seconds: options.seconds, rate: None };
    let (mut done, mut warm) = (0.0, None);
    println!("| requests | resident |\n| --- | --- |");
    while done < requests {
        done += load.run(&running.address)?.requests;
        let resident = running.resident_kib()?;
        println!("| {done:.0} | {:.1} MiB |", resident as f64 / 1024.0);
        if done >= requests * WARM_UP {
            warm.get_or_insert(resident);
        }
    }
    let (warm, end) = (warm.unwrap_or(0), running.resident_kib()?);
    println!(
        "\n{}: {:.1} MiB after the warm-up, {:.1} MiB at the end: {:.3}",
        service.name,
        warm as f64 / 1024.0,
        end as f64 / 1024.0,
        end as f64 / warm as f64
    );
    Ok(())
}
