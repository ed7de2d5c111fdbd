//! Exact tracking for a while: it ends by itself, because whoever asked for it over HTTP may be gone, and it may cost the program
//! half of its speed (`benches/README.md`).
//!
//! The mode is the process', so this is, too.

use super::answer::Fault;
use crate::config::Mode;
use crate::mode::{mode, set_mode};
use crate::os::process;
use http::StatusCode;
use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The longest that it lasts.
pub(super) const MOST_SECONDS: u64 = 60;

/// Exact tracking that somebody asked for.
#[derive(Clone, Copy)]
struct Asked {
    /// When it ends.
    ends: Instant,
    /// The mode that comes back.
    before: Mode,
}

struct State {
    asked: Option<Asked>,
    /// The process that has a thread which will end it: a forked child has none. 0: there is none.
    watched_in: u32,
}

static STATE: Mutex<State> = Mutex::new(State { asked: None, watched_in: 0 });
/// Something about it has changed.
static CHANGED: Condvar = Condvar::new();

/// In how many seconds exact tracking ends; `None` if it was not asked for here, or is over.
pub(super) fn ends_in() -> Option<f64> {
    let mut state = state();
    state.end_if_over();
    state.asked.map(|asked| asked.ends.saturating_duration_since(Instant::now()).as_secs_f64())
}

/// Begins exact tracking, or has it last for so long from now on.
pub(super) fn begin(seconds: u64) -> Result<(), Fault> {
    let mut state = state();
    state.end_if_over();
    let ends = Instant::now() + Duration::from_secs(seconds);
    if state.asked.is_none() && mode() == Mode::Exact {
        // The program's own choice is exact: then it does not end.
        return Ok(());
    }
    // In a forked child nobody watches what its parent was asked for.
    if state.watched_in != std::process::id() {
        if !process::spawn(watch) {
            let line = "no thread could be started that ends exact tracking: ask again later";
            return Err(Fault::new(StatusCode::SERVICE_UNAVAILABLE, line));
        }
        state.watched_in = std::process::id();
    }
    match &mut state.asked {
        Some(asked) => asked.ends = ends,
        None => {
            state.asked = Some(Asked { ends, before: mode() });
            set_mode(Mode::Exact);
        }
    }
    CHANGED.notify_all();
    Ok(())
}

/// Another mode, for good.
pub(super) fn end_with(mode: Mode) {
    let mut state = state();
    state.asked = None;
    set_mode(mode);
    CHANGED.notify_all();
}

impl State {
    /// Puts the mode back when its time is over, unless the program has changed it meanwhile.
    fn end_if_over(&mut self) {
        let Some(asked) = self.asked else { return };
        let is_changed = mode() != Mode::Exact;
        if is_changed || Instant::now() >= asked.ends {
            self.asked = None;
            if !is_changed {
                set_mode(asked.before);
            }
        }
    }
}

/// Waits for the end. A thread of its own, because nobody may ever ask again; it allocates nothing.
extern "C" fn watch(_: *mut c_void) -> *mut c_void {
    process::receive(None, c"tenure-exact");
    let mut state = state();
    loop {
        state.end_if_over();
        let Some(asked) = state.asked else { break };
        let left = asked.ends.saturating_duration_since(Instant::now());
        state = CHANGED.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
    }
    state.watched_in = 0;
    null_mut()
}

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}
