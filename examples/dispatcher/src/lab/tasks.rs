//! Tasks that wait for ever, with their buffers in hand.

use super::{About, Lesson};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tenure::InScopeExt;
use tokio::sync::oneshot::{Receiver, Sender, channel};
use tokio::time::timeout;

static ABOUT: About = About {
    name: "tasks",
    title: "Tasks that wait for ever",
    what: "A request spawns a task that waits for an answer which never comes, and holds its buffer meanwhile.",
    right: "The task waits for a tenth of a second, and gives up.",
    seen: "Calls to other services without a timeout, channels whose sender is kept and forgotten, locks that are never freed.",
    look: About::SUSPECTS,
    pause: About::PAUSE,
    exact: false,
};

const BUFFER: usize = 12 << 10;
const PATIENCE: Duration = Duration::from_millis(100);

/// Who would have to answer.
#[derive(Default)]
pub(super) struct Tasks {
    forgotten: Mutex<Vec<Sender<u8>>>,
}

impl Lesson for Tasks {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn leak(&self) {
        let (sender, answer) = channel();
        let buffer = vec![1; BUFFER];
        tokio::spawn(wait(answer, buffer).in_current_scope());
        self.forgotten.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
    }

    fn right(&self) {
        let (sender, answer) = channel();
        let buffer = vec![2; BUFFER];
        let task = async move {
            // Whoever would have to answer is there all the while.
            let _sender = sender;
            timeout(PATIENCE, wait(answer, buffer)).await
        };
        tokio::spawn(task.in_current_scope());
    }

    fn held(&self) -> usize {
        self.forgotten.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn free(&self) {
        // Nobody can answer any more: the tasks see that, and end.
        self.forgotten.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Waits for an answer, and writes it into the buffer.
async fn wait(answer: Receiver<u8>, mut buffer: Vec<u8>) -> usize {
    buffer.extend(answer.await);
    buffer.len()
}
