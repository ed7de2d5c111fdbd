//! Signals: who sends one does not know who hears it. In the manner of Django's dispatcher.
//!
//! Receivers are held weakly: whoever connected one owns it, and when the owner goes, so does the receiver, without a
//! word to the signal. (The leak lab has a list that holds its callbacks strongly.) A receiver that fails, by an error
//! or a panic, is reported, and those after it are called all the same.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// What hears a signal. An error is a line for the log.
pub(crate) type Receiver<E> = dyn Fn(&E) -> Result<(), String> + Send + Sync;

pub(crate) struct Signal<E> {
    name: &'static str,
    receivers: Mutex<Vec<Weak<Receiver<E>>>>,
}

impl<E> Signal<E> {
    pub(crate) const fn new(name: &'static str) -> Signal<E> {
        Signal { name, receivers: Mutex::new(Vec::new()) }
    }

    /// From now on the receiver hears each event, until it is disconnected or dropped. Connected twice, it hears them once.
    pub(crate) fn connect(&self, receiver: &Arc<Receiver<E>>) {
        self.change(|receivers| {
            let new = Arc::downgrade(receiver);
            // Those whose owners have gone leave here, so that the list does not grow by them.
            receivers.retain(|known| known.strong_count() > 0 && !known.ptr_eq(&new));
            receivers.push(new);
        });
    }

    /// The receiver hears no more. Whether it was connected.
    pub(crate) fn disconnect(&self, receiver: &Arc<Receiver<E>>) -> bool {
        self.change(|receivers| {
            let (before, old) = (receivers.len(), Arc::downgrade(receiver));
            receivers.retain(|known| !known.ptr_eq(&old));
            receivers.len() < before
        })
    }

    /// Calls all receivers, in the order in which they were connected. Returns what went wrong, which is also printed.
    pub(crate) fn send(&self, event: &E) -> Vec<String> {
        // Not called inside the lock: a receiver may connect another one.
        let receivers: Vec<_> = self.change(|receivers| receivers.iter().filter_map(Weak::upgrade).collect());
        let mut failures = Vec::new();
        for receiver in receivers {
            let failure = match catch_unwind(AssertUnwindSafe(|| receiver(event))) {
                Ok(Ok(())) => continue,
                Ok(Err(why)) => why,
                Err(_) => "it panicked".into(),
            };
            eprintln!("dispatcher: a receiver of {} failed: {failure}", self.name);
            failures.push(failure);
        }
        failures
    }

    fn change<T>(&self, change: impl FnOnce(&mut Vec<Weak<Receiver<E>>>) -> T) -> T {
        change(&mut self.receivers.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    /// A receiver that adds, and its sum.
    fn adder() -> (Arc<Receiver<u32>>, Arc<AtomicU32>) {
        let sum = Arc::new(AtomicU32::new(0));
        let add = sum.clone();
        (Arc::new(move |&n: &u32| Ok(_ = add.fetch_add(n, Relaxed))), sum)
    }

    #[test]
    fn a_failing_receiver_does_not_keep_others_from_hearing() {
        let signal = Signal::new("test");
        let (first, heard_first) = adder();
        let fails: Arc<Receiver<u32>> = Arc::new(|_| Err("no".into()));
        let panics: Arc<Receiver<u32>> = Arc::new(|_| panic!("a planted panic"));
        let (last, heard_last) = adder();
        for receiver in [&first, &fails, &panics, &last, &first] {
            signal.connect(receiver);
        }
        assert_eq!(signal.send(&3), ["no", "it panicked"]);
        assert_eq!((heard_first.load(Relaxed), heard_last.load(Relaxed)), (3, 3));
        assert!(signal.disconnect(&fails) && !signal.disconnect(&fails));
        assert_eq!(signal.send(&1), ["it panicked"]);
        assert_eq!(heard_last.load(Relaxed), 4);
    }

    #[test]
    fn receivers_live_as_long_as_their_owners() {
        let signal = Signal::new("test");
        for _ in 0..100 {
            let (receiver, sum) = adder();
            signal.connect(&receiver);
            signal.send(&1);
            assert_eq!(sum.load(Relaxed), 1);
        }
        let (last, _) = adder();
        signal.connect(&last);
        assert_eq!(signal.receivers.lock().unwrap().len(), 1, "the dead are still listed");
    }

    #[test]
    fn a_receiver_may_connect_another() {
        let signal = Arc::new(Signal::new("test"));
        let (inner, sum) = adder();
        let outer: Arc<Receiver<u32>> = {
            let (signal, inner) = (signal.clone(), inner.clone());
            Arc::new(move |_| {
                signal.connect(&inner);
                Ok(())
            })
        };
        signal.connect(&outer);
        signal.send(&1);
        signal.send(&1);
        assert_eq!(sum.load(Relaxed), 1);
    }
}
