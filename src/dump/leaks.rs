//! The report of what is held when the process exits, or when a signal asks for it.

use crate::Symbols;
use crate::config::Mode;
use crate::os::{file, process::without_signals_for_writing};
use crate::reading::untracked;
use crate::snapshot::{By, Groups, Part, Snapshot, snapshot};

/// Lines of code, or functions, that a report shows.
const LINES: usize = 10;
/// Call stacks.
const STACKS: usize = 5;
/// Frames of each.
const FRAMES: usize = 12;
/// Samples that say little: with so many the 95 % interval reaches a third of the value.
const FEW: u64 = 35;

/// What is held now, for people: the ten lines of code that hold most, or functions, where lines are not known; and the
/// five call stacks that do. What [`Tenure::leaks`](crate::Tenure::leaks) and `TENURE=leaks` print on standard error at the
/// process' exit, and `TENURE=leaks=signal:USR2` on a signal.
///
/// What a process still holds when it exits need not be lost: statics and caches are held too. With samples, a leak below
/// some MiB may not show: run it with `TENURE=exact,leaks`.
///
/// Takes a [`snapshot`] and looks names up: it takes a fraction of a second, and allocates, untracked.
pub fn leaks() -> String {
    untracked(|| report(snapshot()))
}

fn report(mut snapshot: Snapshot) -> String {
    // What is no more needs no names: of a compiler, most stacks, and some hundred MiB for their frames.
    snapshot.parts.sites.retain(|site| site.live.samples > 0);
    let mut symbols = Symbols::new();
    let lines = snapshot.group_by(By::Line, &mut symbols).held();
    let with_line = |groups: &Groups| -> f64 {
        let known = groups.iter().filter(|group| group.stack.first().is_some_and(|frame| frame.line.is_some()));
        known.map(|group| group.live.bytes).sum()
    };
    let table = if with_line(&lines) * 2.0 >= lines.total().bytes {
        lines
    } else {
        snapshot.group_by(By::Function, &mut symbols).held()
    };
    let total = table.total();
    let table = table.top(LINES);
    let stacks = snapshot.group_by(By::Folded, &mut symbols).held().top(STACKS).innermost(FRAMES);
    let mut text = if total.samples == 0 {
        Part::Heading(&table).to_string()
    } else if stacks.iter().any(|group| group.stack.len() > 1) {
        format!("{}\n{}", Part::Table(&table), Part::Stacks(&stacks))
    } else {
        // The other table would say the same again.
        table.to_string()
    };
    if let Mode::Sampled { .. } = snapshot.mode()
        && total.samples < FEW
    {
        let (n, s) = (total.samples, if total.samples == 1 { "" } else { "s" });
        text +=
            &format!("note: this rests on {n} sample{s}, and shows little; TENURE=exact,leaks tracks every block\n");
    }
    text
}

/// At the exit, or at something else.
pub(super) fn print(at: &str) {
    let text = untracked(|| {
        let snapshot = snapshot();
        // A file's name may hold orders to a terminal.
        let program = snapshot.modules().first().map_or("", |m| m.file_name()).replace(char::is_control, "?");
        format!("tenure: held at {at} by {program}, process {}: {}", snapshot.pid(), report(snapshot))
    });
    // Past the lock of `std::io::stderr`: a thread that runs on may hold it, or one that a fork has left behind. If it
    // fails, there is nobody to be told.
    _ = without_signals_for_writing(|| file::to_stderr(text.as_bytes()));
}
