//! Work that nobody waits for: a bounded queue with priorities, and workers that take from it.
//!
//! A queue without a bound is a leak that waits for a busy day. When this one is full, whoever comes is told to come
//! back, and knows it at once.

use crate::app::App;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tenure::InScopeExt;
use tokio::sync::Notify;

/// Jobs that may wait.
pub(crate) const WAITING: usize = 64;
/// Jobs whose state can be asked for: the oldest are forgotten first.
const REMEMBERED: usize = 1000;
/// Jobs that are done at a time.
pub(crate) const WORKERS: usize = 2;

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum Work {
    /// Names the words that stand in most lines of all documents.
    Words { most: usize },
    /// Waits, as for another service; ten seconds at most.
    Wait { ms: u64 },
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Priority {
    High,
    #[default]
    Normal,
    Low,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Job {
    pub(crate) work: Work,
    #[serde(default)]
    pub(crate) priority: Priority,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase", tag = "state", content = "result")]
pub(crate) enum State {
    Queued,
    Running,
    Done(String),
    Failed(String),
}

#[derive(Default)]
pub(crate) struct Jobs {
    state: Mutex<Inside>,
    /// Something was queued, or the queue was closed.
    changed: Notify,
}

#[derive(Default)]
struct Inside {
    /// By priority.
    waiting: [VecDeque<(u64, Job)>; 3],
    running: Vec<(u64, Job)>,
    states: HashMap<u64, State>,
    /// Whose states are remembered, the oldest first.
    order: VecDeque<u64>,
    last: u64,
    closed: bool,
}

impl Jobs {
    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a job into the queue and returns its number; `None` if there is no room, or the service ends.
    pub(crate) fn queue(&self, job: Job) -> Option<u64> {
        let mut inside = self.inside();
        if inside.closed || inside.waiting() >= WAITING {
            return None;
        }
        let number = inside.push(job);
        drop(inside);
        self.changed.notify_one();
        Some(number)
    }

    /// Puts what the last run has not done into the queue, before there are workers. It was accepted, so there is room.
    pub(crate) fn take_up(&self, jobs: Vec<Job>) {
        let mut inside = self.inside();
        jobs.into_iter().for_each(|job| _ = inside.push(job));
    }

    pub(crate) fn state(&self, number: u64) -> Option<State> {
        self.inside().states.get(&number).cloned()
    }

    pub(crate) fn waiting(&self) -> usize {
        self.inside().waiting()
    }

    /// The next job; `None` when the queue is closed. Of several that wait, the most urgent; of those, the first.
    async fn next(&self) -> Option<(u64, Job)> {
        loop {
            let changed = self.changed.notified();
            {
                let mut inside = self.inside();
                if inside.closed {
                    // The next worker is to see it, too.
                    self.changed.notify_one();
                    return None;
                }
                if let Some((number, job)) = inside.waiting.iter_mut().find_map(VecDeque::pop_front) {
                    inside.tell(number, State::Running);
                    inside.running.push((number, job.clone()));
                    return Some((number, job));
                }
            }
            changed.await;
        }
    }

    fn ended(&self, number: u64, state: State) {
        let mut inside = self.inside();
        inside.running.retain(|job| job.0 != number);
        inside.tell(number, state);
    }

    /// No job is begun any more, and none is taken. Returns those that are not done: first those that were begun.
    pub(crate) fn close(&self) -> Vec<Job> {
        let mut inside = self.inside();
        inside.closed = true;
        let left = inside.running.iter().chain(inside.waiting.iter().flatten()).map(|(_, job)| job.clone()).collect();
        drop(inside);
        self.changed.notify_one();
        left
    }
}

impl Inside {
    fn push(&mut self, job: Job) -> u64 {
        self.last += 1;
        let number = self.last;
        self.waiting[job.priority as usize].push_back((number, job));
        self.states.insert(number, State::Queued);
        self.order.push_back(number);
        if self.order.len() > REMEMBERED {
            let oldest = self.order.pop_front();
            oldest.and_then(|oldest| self.states.remove(&oldest));
        }
        number
    }

    fn waiting(&self) -> usize {
        self.waiting.iter().map(VecDeque::len).sum()
    }

    /// Unless it is forgotten.
    fn tell(&mut self, number: u64, now: State) {
        if let Some(state) = self.states.get_mut(&number) {
            *state = now;
        }
    }
}

/// Does jobs, one after the other, until the queue is closed.
pub(crate) async fn worker(app: Arc<App>) {
    while let Some((number, job)) = app.jobs.next().await {
        // On its own task, whose panic is not this one's.
        let done = tokio::spawn(done(app.clone(), job.work).in_scope("jobs")).await;
        app.jobs.ended(number, done.map_or_else(|why| State::Failed(why.to_string()), State::Done));
    }
}

async fn done(app: Arc<App>, work: Work) -> String {
    match work {
        Work::Words { most } => {
            let words = tenure::inherit(move || crate::words::of_all(&app.index(), most));
            match tokio::task::spawn_blocking(words).await {
                Ok(words) => words.iter().map(|(word, times)| format!("{word} {times}")).collect::<Vec<_>>().join(", "),
                Err(why) => std::panic::resume_unwind(why.into_panic()),
            }
        }
        Work::Wait { ms } => {
            tokio::time::sleep(Duration::from_millis(ms.min(10_000))).await;
            format!("waited {} ms", ms.min(10_000))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_most_urgent_comes_first_and_there_is_an_end() {
        let jobs = Jobs::default();
        let queue = |ms, priority| jobs.queue(Job { work: Work::Wait { ms }, priority });
        let low = queue(1, Priority::Low).unwrap();
        let normal = queue(2, Priority::Normal).unwrap();
        let high = queue(3, Priority::High).unwrap();
        assert_eq!(jobs.next().await.unwrap(), (high, Job { work: Work::Wait { ms: 3 }, priority: Priority::High }));
        jobs.ended(high, State::Done(String::new()));
        assert_eq!(jobs.next().await.unwrap().0, normal);
        assert_eq!((jobs.state(normal), jobs.state(low)), (Some(State::Running), Some(State::Queued)));
        let taken = (0..WAITING + 10).filter(|_| queue(4, Priority::High).is_some()).count();
        assert_eq!((taken, jobs.waiting()), (WAITING - 1, WAITING));
        let left = jobs.close();
        assert_eq!((jobs.next().await, jobs.next().await, queue(5, Priority::High)), (None, None, None));
        // Begun and not done: the normal one. What was accepted has room in the next run, and its turn.
        assert_eq!(left.len(), 1 + WAITING);
        assert_eq!((left[0].priority, left[WAITING].priority), (Priority::Normal, Priority::Low));
        let again = Jobs::default();
        again.take_up(left);
        assert_eq!(again.next().await.unwrap().1, Job { work: Work::Wait { ms: 4 }, priority: Priority::High });
        assert_eq!(again.close().len(), 1 + WAITING);
    }

    #[tokio::test]
    async fn states_are_forgotten_in_time() {
        let jobs = Jobs::default();
        for _ in 0..REMEMBERED + 5 {
            jobs.queue(Job { work: Work::Wait { ms: 1 }, priority: Priority::Normal }).unwrap();
            jobs.next().await.unwrap();
        }
        assert_eq!((jobs.state(5), jobs.state(6)), (None, Some(State::Running)));
        assert_eq!(jobs.inside().states.len(), REMEMBERED);
    }
}
