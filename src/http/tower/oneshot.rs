//! One value, from a thread to a future, under whichever runtime.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

struct State<T> {
    value: Option<T>,
    /// Nothing comes any more.
    over: bool,
    waker: Option<Waker>,
}

struct Shared<T>(Mutex<State<T>>);

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct Sender<T>(Arc<Shared<T>>);

/// `None` if the sender was dropped instead.
pub(super) struct Receiver<T>(Arc<Shared<T>>);

pub(super) fn oneshot<T>() -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared(Mutex::new(State { value: None, over: false, waker: None })));
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

impl<T> Sender<T> {
    pub(super) fn send(self, value: T) {
        self.0.lock().value = Some(value);
        // Dropped here, which wakes the receiver.
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let waker = {
            let mut state = self.0.lock();
            state.over = true;
            state.waker.take()
        };
        // Without the lock: a waker is somebody else's code.
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Future for Receiver<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let mut state = self.0.lock();
        if state.over {
            return Poll::Ready(state.value.take());
        }
        match &mut state.waker {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
    use std::task::Wake;

    struct Counting(AtomicU32);

    impl Wake for Counting {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    #[test]
    fn a_value_or_none() {
        for sent in [Some(7), None] {
            let (sender, receiver) = oneshot();
            let mut receiver = pin!(receiver);
            let (first, last) = (Arc::new(Counting(AtomicU32::new(0))), Arc::new(Counting(AtomicU32::new(0))));
            for waker in [&first, &last] {
                let waker = Waker::from(Arc::clone(waker));
                assert_eq!(receiver.as_mut().poll(&mut Context::from_waker(&waker)), Poll::Pending);
            }
            std::thread::spawn(move || match sent {
                Some(value) => sender.send(value),
                None => drop(sender),
            })
            .join()
            .expect("no panic");
            assert_eq!((first.0.load(SeqCst), last.0.load(SeqCst)), (0, 1), "the last waker is woken");
            assert_eq!(receiver.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(sent));
        }
    }
}
