//! Visitors that come for a while.

use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

pub(super) struct Planted {
    until: Instant,
    task: JoinHandle<()>,
}

impl Planted {
    pub(super) fn new(visits: impl Future<Output = ()> + Send + 'static, time: Duration) -> Planted {
        let until = Instant::now() + time;
        // The time is over: that is how it ends.
        let task = tokio::spawn(async move { _ = timeout_at(until, visits).await });
        Planted { until, task }
    }

    /// Rounded up; 0 when they have gone.
    pub(super) fn seconds_left(&self) -> u64 {
        match self.task.is_finished() {
            true => 0,
            false => self.until.saturating_duration_since(Instant::now()).as_millis().div_ceil(1000) as u64,
        }
    }

    /// They go at once.
    pub(super) async fn stop(self) {
        self.task.abort();
        // Aborted, as was asked for.
        _ = self.task.await;
    }
}
