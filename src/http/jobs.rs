//! One expensive thing at a time: a snapshot of a large heap is some hundred megabytes and as many milliseconds, and whoever can ask for
//! one could ask for a hundred.

use super::answer::Fault;
use crate::reading::untracked;
use crate::symbols::Symbols;
use http::{HeaderValue, StatusCode, header};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Those who wait for their turn.
const MOST_WAITING: usize = 4;
/// How long they wait.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long one waits that was given a turn before: whoever waited minutes for a difference is not sent away at its end.
const LONG_PATIENCE: Duration = Duration::from_secs(30);

/// Whose turn it is.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    line: Mutex<Line>,
    freed: Condvar,
    /// Names, remembered from one job to the next.
    symbols: Mutex<Symbols>,
}

#[derive(Debug, Default)]
struct Line {
    busy: bool,
    waiting: usize,
    /// Somebody waits between two snapshots.
    in_between: bool,
}

/// Ends somebody's turn.
struct Turn<'a>(&'a Jobs);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.line().busy = false;
        self.0.freed.notify_one();
    }
}

/// Ends somebody's waiting between two snapshots.
pub(super) struct Between<'a>(&'a Jobs);

impl Drop for Between<'_> {
    fn drop(&mut self) {
        self.0.line().in_between = false;
    }
}

impl Jobs {
    /// Runs a job when it is its turn, on this thread; what it allocates is not tracked. It must not ask for another turn.
    pub(super) fn run<T>(&self, f: impl FnOnce(&mut Symbols) -> T) -> Result<T, Fault> {
        self.run_within(PATIENCE, f)
    }

    /// The same without names, and what it allocates is tracked.
    pub(super) fn run_tracked<T>(&self, f: impl FnOnce() -> T) -> Result<T, Fault> {
        let _turn = self.turn(PATIENCE)?;
        Ok(f())
    }

    /// The same as [`run`](Jobs::run) for whoever had a turn before.
    pub(super) fn go_on<T>(&self, f: impl FnOnce(&mut Symbols) -> T) -> Result<T, Fault> {
        self.run_within(LONG_PATIENCE, f)
    }

    fn run_within<T>(&self, patience: Duration, f: impl FnOnce(&mut Symbols) -> T) -> Result<T, Fault> {
        let _turn = self.turn(patience)?;
        // A job that panicked leaves names that are right as far as they go.
        let mut symbols = self.symbols.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(untracked(|| f(&mut symbols)))
    }

    fn turn(&self, patience: Duration) -> Result<Turn<'_>, Fault> {
        let mut line = self.line();
        let begin = Instant::now();
        // Whoever had a turn before is not sent away: there is one of them.
        if line.busy && line.waiting >= MOST_WAITING && patience == PATIENCE {
            return Err(busy("others are waiting already for what is expensive"));
        }
        line.waiting += 1;
        while line.busy {
            let left = patience.saturating_sub(begin.elapsed());
            if left.is_zero() {
                line.waiting -= 1;
                return Err(busy("something expensive is being done for somebody else"));
            }
            line = self.freed.wait_timeout(line, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        line.waiting -= 1;
        line.busy = true;
        Ok(Turn(self))
    }

    /// Lets somebody wait between two snapshots, without a turn: one at a time.
    pub(super) fn between(&self) -> Result<Between<'_>, Fault> {
        let mut line = self.line();
        if std::mem::replace(&mut line.in_between, true) {
            return Err(busy(
                "a difference is being taken for somebody else, and that takes as long as they asked for",
            ));
        }
        Ok(Between(self))
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn busy(what: &'static str) -> Fault {
    let line = format!("{what}: ask again in a second");
    Fault::new(StatusCode::TOO_MANY_REQUESTS, line).with(header::RETRY_AFTER, HeaderValue::from_static("1"))
}

/// Tells a request that waits that nobody waits for its answer any more.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cancel(Arc<(Mutex<bool>, Condvar)>);

impl Cancel {
    /// Nobody waits for the answer.
    #[cfg(any(feature = "tower", test))]
    pub(crate) fn cancel(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_all();
    }

    /// An error if nobody waits for the answer.
    pub(super) fn check(&self) -> Result<(), Fault> {
        self.wait(Duration::ZERO)
    }

    /// Waits for so long, or until nobody waits for the answer: an error then.
    pub(super) fn wait(&self, time: Duration) -> Result<(), Fault> {
        let cancelled = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.0.1.wait_timeout_while(cancelled, time, |cancelled| !*cancelled);
        match *waited.unwrap_or_else(PoisonError::into_inner).0 {
            true => Err(Fault::new(StatusCode::SERVICE_UNAVAILABLE, "whoever asked has gone")),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
