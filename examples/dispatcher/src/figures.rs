//! What the service counts of itself, beside what the allocator knows.

use crate::app::App;
use crate::events::Counters;

/// A figure's name, what it means, and its value.
pub(crate) type Figure = (&'static str, &'static str, f64);

/// All figures that may go down.
pub(crate) fn gauges(app: &App) -> [Figure; 6] {
    let pool = app.contexts.usage();
    [
        ("connections", "Connections that are open.", app.connections.open() as f64),
        ("connections_most", "The most of them at a time, so far.", app.connections.most() as f64),
        ("jobs_waiting", "Jobs in the queue.", app.jobs.waiting() as f64),
        ("pool_kept", "Request contexts that the pool keeps.", pool.kept as f64),
        ("pool_bytes", "What those hold.", pool.bytes as f64),
        ("summaries_bytes", "What the cache of summaries holds.", app.summaries.bytes() as f64),
    ]
}

/// All figures that only grow.
pub(crate) fn counters(app: &App, counters: &Counters) -> [Figure; 6] {
    let pool = app.contexts.usage();
    let (started, finished, failed, seconds) = counters.read();
    [
        ("pool_taken", "Request contexts that were asked for.", pool.taken as f64),
        ("pool_reused", "Those of them that the pool had.", pool.reused as f64),
        ("requests_started", "Requests that came.", started as f64),
        ("requests_finished", "Requests that were answered, or whose clients have gone.", finished as f64),
        ("requests_failed", "Requests that were answered with a 5xx.", failed as f64),
        ("requests_seconds", "What all requests took, in seconds.", seconds),
    ]
}
