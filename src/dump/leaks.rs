//! The report of what is held when the process exits.

use crate::Symbols;
use crate::os::{file, process::without_signals_for_writing};
use crate::snapshot::{By, snapshot};

/// Call stacks that a report shows.
const STACKS: usize = 10;
/// Frames of each.
const FRAMES: usize = 12;

/// What is held now, for people: the ten call stacks that hold most. What [`Tenure::leaks`](crate::Tenure::leaks) and
/// `TENURE=leaks` print on standard error at the process' exit.
///
/// What a process still holds when it exits need not be lost: statics and caches are held too. With samples, a leak below
/// some MiB may not show: run it with `TENURE=exact,leaks`.
///
/// Takes a [`snapshot`] and looks names up: it takes a fraction of a second, and allocates, untracked.
pub fn leaks() -> String {
    crate::reading::untracked(|| {
        let (snapshot, mut symbols) = (snapshot(), Symbols::new());
        format!("{:#}", snapshot.group_by(By::Folded, &mut symbols).held().top(STACKS).innermost(FRAMES))
    })
}

/// At the exit.
pub(super) fn print() {
    // Past the lock of `std::io::stderr`: a thread that runs on may hold it, or one that a fork has left behind. If it
    // fails, there is nobody to be told.
    let text = format!("tenure: held at exit: {}", leaks());
    _ = without_signals_for_writing(|| file::to_stderr(text.as_bytes()));
}
