//! Exact tracking for as long as a leak needs it. The mode is the process', so this is, too.

use std::sync::{Mutex, MutexGuard, PoisonError};
use tenure::Mode;

static NEEDS: Mutex<Needs> = Mutex::new(Needs { now: 0, before: None });

struct Needs {
    /// How many need it.
    now: usize,
    /// The mode that comes back when nobody does. Never exact: that was chosen elsewhere, and ends there.
    before: Option<Mode>,
}

/// Every allocation is tracked until this is dropped.
pub(super) struct Exact(());

impl Exact {
    pub(super) fn begin() -> Exact {
        let mut needs = needs();
        needs.now += 1;
        let mode = tenure::mode();
        if mode != Mode::Exact {
            needs.before = Some(mode);
            tenure::set_mode(Mode::Exact);
        }
        Exact(())
    }
}

impl Drop for Exact {
    fn drop(&mut self) {
        let mut needs = needs();
        needs.now -= 1;
        if needs.now == 0 {
            // Inside the lock: whoever begins now is to find the mode that has come back. What somebody has chosen
            // meanwhile stays.
            if let Some(before) = needs.before.take().filter(|_| tenure::mode() == Mode::Exact) {
                tenure::set_mode(before);
            }
        }
    }
}

fn needs() -> MutexGuard<'static, Needs> {
    NEEDS.lock().unwrap_or_else(PoisonError::into_inner)
}
