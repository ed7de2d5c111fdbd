//! A request that holds its answer, which holds its request: neither is ever freed.

use super::{About, Lesson};
use std::sync::{Arc, Mutex, PoisonError, Weak};

static ABOUT: About = About {
    name: "cycle",
    title: "A cycle of references",
    what: "A request knows its answer, and the answer its request: two Arcs that keep each other alive.",
    right: "The answer holds its request weakly.",
    seen: "Trees with parent pointers, actors that hold their supervisor, callbacks that capture what owns them.",
    look: About::SUSPECTS,
    pause: About::PAUSE,
    exact: false,
};

/// What came with the request.
const BODY: usize = 12 << 10;

struct Request {
    body: Vec<u8>,
    answer: Mutex<Option<Arc<Answer>>>,
}

/// The request that it answers, held one way or the other.
enum Answer {
    Strong(Arc<Request>),
    Weak(Weak<Request>),
}

impl Request {
    /// Keeps its answer, which needs the request.
    fn answered(&self, answer: Answer) {
        let bytes = match &answer {
            Answer::Strong(request) => request.body.len(),
            Answer::Weak(request) => request.upgrade().map_or(0, |request| request.body.len()),
        };
        assert_eq!(bytes, BODY);
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(answer));
    }
}

/// The requests of the cycles, so that the lab can break them. A real service has no such list.
#[derive(Default)]
pub(super) struct Cycle(Mutex<Vec<Weak<Request>>>);

impl Lesson for Cycle {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn leak(&self) {
        let request = Arc::new(Request { body: vec![1; BODY], answer: Mutex::default() });
        request.answered(Answer::Strong(request.clone()));
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&request));
    }

    fn right(&self) {
        let request = Arc::new(Request { body: vec![2; BODY], answer: Mutex::default() });
        request.answered(Answer::Weak(Arc::downgrade(&request)));
    }

    fn held(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn free(&self) {
        for request in std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)) {
            if let Some(request) = request.upgrade() {
                // The answer goes, and with it what held the request; not inside the lock, which goes with the request.
                let answer = request.answer.lock().unwrap_or_else(PoisonError::into_inner).take();
                drop(answer);
            }
        }
    }
}
