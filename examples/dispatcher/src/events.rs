//! What the service sends signals about, and the figures that listen to them.

use crate::app::App;
use crate::signals::Receiver;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// A request has come.
pub(crate) struct RequestStarted;

/// A request is over: it is answered, though its body may still be on its way, or its client has gone.
pub(crate) struct RequestFinished {
    /// `None`: nobody waited for an answer any more.
    pub(crate) status: Option<u16>,
    pub(crate) took: Duration,
}

/// A document can be found.
pub(crate) struct DocumentIndexed {
    pub(crate) id: usize,
}

/// Counts what is sent. Dropping it ends that.
pub(crate) struct Counters {
    counts: Arc<Counts>,
    app: Arc<App>,
    receivers: (Arc<Receiver<RequestStarted>>, Arc<Receiver<RequestFinished>>),
}

// Relaxed throughout: they count, and order nothing.
#[derive(Default)]
struct Counts {
    started: AtomicU64,
    finished: AtomicU64,
    failed: AtomicU64,
    microseconds: AtomicU64,
}

impl Counters {
    pub(crate) fn connect(app: &Arc<App>) -> Counters {
        let counts = Arc::new(Counts::default());
        let count = counts.clone();
        let started: Arc<Receiver<RequestStarted>> = Arc::new(move |_| Ok(_ = count.started.fetch_add(1, Relaxed)));
        let count = counts.clone();
        let finished: Arc<Receiver<RequestFinished>> = Arc::new(move |event: &RequestFinished| {
            count.finished.fetch_add(1, Relaxed);
            count.failed.fetch_add(event.status.is_some_and(|status| status >= 500).into(), Relaxed);
            count.microseconds.fetch_add(event.took.as_micros() as u64, Relaxed);
            Ok(())
        });
        app.request_started.connect(&started);
        app.request_finished.connect(&finished);
        Counters { counts, app: app.clone(), receivers: (started, finished) }
    }

    /// Requests that came, are over, were answered with a 5xx; and the seconds that all of them took.
    pub(crate) fn read(&self) -> (u64, u64, u64, f64) {
        let Counts { started, finished, failed, microseconds } = &*self.counts;
        let seconds = microseconds.load(Relaxed) as f64 / 1e6;
        (started.load(Relaxed), finished.load(Relaxed), failed.load(Relaxed), seconds)
    }
}

impl Drop for Counters {
    fn drop(&mut self) {
        // They would be heard no more in any case, but listed until the next one is connected.
        self.app.request_started.disconnect(&self.receivers.0);
        self.app.request_finished.disconnect(&self.receivers.1);
    }
}
