//! A list of callbacks that only grows: each request adds one, and nobody takes it out.

use super::{About, Lesson};
use crate::signals::{Receiver, Signal};
use std::sync::{Arc, Mutex, PoisonError};

static ABOUT: About = About {
    name: "callbacks",
    title: "Callbacks that nobody removes",
    what: "Each request registers a callback, with all that it captures, in a list that lives as long as the process.",
    right: "The list holds callbacks weakly; they go with the request that owns them.",
    seen: "Event emitters, observers, hooks of configuration and metrics, subscriptions without an unsubscribe.",
    look: About::SUSPECTS,
    pause: About::PAUSE,
    exact: false,
};

/// What a callback captures of its request.
const CAPTURED: usize = 8 << 10;

type Callback = Box<dyn Fn(&u8) -> usize + Send>;

pub(super) struct Callbacks {
    strong: Mutex<Vec<Callback>>,
    weak: Signal<u8>,
}

impl Default for Callbacks {
    fn default() -> Callbacks {
        Callbacks { strong: Mutex::default(), weak: Signal::new("lab") }
    }
}

impl Lesson for Callbacks {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn leak(&self) {
        let captured = vec![1; CAPTURED];
        let callback = Box::new(move |wanted: &u8| captured.iter().filter(|&byte| byte == wanted).count());
        self.strong.lock().unwrap_or_else(PoisonError::into_inner).push(callback);
    }

    fn right(&self) {
        let captured = vec![2; CAPTURED];
        let callback: Arc<Receiver<u8>> = Arc::new(move |wanted: &u8| match captured.contains(wanted) {
            true => Ok(()),
            false => Err(format!("{wanted} is not here")),
        });
        self.weak.connect(&callback);
        self.weak.send(&2);
    }

    fn held(&self) -> usize {
        self.strong.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn free(&self) {
        let callbacks = std::mem::take(&mut *self.strong.lock().unwrap_or_else(PoisonError::into_inner));
        // Somebody calls them once more, or they would not be callbacks.
        let captured: usize = callbacks.iter().map(|callback| callback(&1)).sum();
        debug_assert_eq!(captured, callbacks.len() * CAPTURED);
    }
}
