//! What measurements look like as text. Names are looked up here, when the measured code is over.

use super::{Count, Measured, Site};
use crate::snapshot::{self, Frame, Names, trimmed};
use crate::symbols::Symbols;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::fmt::Write;
use std::path::Path;
use std::sync::Mutex;

/// Entries that are shown, and frames of each.
const ENTRIES: usize = 10;
const FRAMES: usize = 4;
/// Sites that are named, to see which of them look alike.
const NAMED: usize = 256;

/// What a list of sites is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Allocated,
    Live,
    AtPeak,
}

impl Column {
    fn of(self, site: &Site) -> Count {
        match self {
            Column::Allocated => site.allocated,
            Column::Live => site.live,
            Column::AtPeak => site.at_peak,
        }
    }

    fn title(self) -> &'static str {
        match self {
            Column::Allocated => "allocated by",
            Column::Live => "still held, allocated by",
            Column::AtPeak => "held at the peak, allocated by",
        }
    }
}

/// The names of all messages of the process: to look up a program's first takes up to a second in a debug build.
static NAMES: Mutex<Option<Symbols>> = Mutex::new(None);

/// Runs `f` with names, remembered from one message to the next in 16 MiB at most. Where another thread looks some up (or did at
/// a fork, or panicked), this one does not wait, but does it anew.
pub(super) fn with_names<T>(f: impl FnOnce(&mut Symbols) -> T) -> T {
    match NAMES.try_lock() {
        Ok(mut names) => f(names.get_or_insert_default()),
        Err(_) => f(&mut Symbols::new()),
    }
}

/// `3 blocks`, `1 block`.
pub(super) fn number(n: u64, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

fn count(count: Count) -> String {
    format!("{} in {}", number(count.bytes, "byte"), number(count.blocks, "block"))
}

pub(super) fn summary<T>(m: &Measured<T>) -> String {
    format!(
        "allocated {}, freed {}, live {}; peak {}, {}; {} resized in place\n",
        count(m.allocated),
        count(m.freed),
        count(m.live),
        number(m.peak.bytes, "byte"),
        number(m.peak.blocks, "block"),
        number(m.resized, "block"),
    )
}

/// Sites that look alike: they differ in frames that are not shown, as where a vector is made and where it grows.
struct Entry {
    stack: Vec<String>,
    sum: Count,
    sites: u64,
}

/// The entries with most bytes (and of equals, most blocks), and what the others come to.
pub(super) fn sites(all: &[Site], column: Column, names: &mut dyn Names) -> String {
    let of = |site: &Site| column.of(site);
    let mut some: Vec<_> = all.iter().filter(|site| of(site) != Count::default()).collect();
    some.sort_by_key(|site| (Reverse((of(site).bytes, of(site).blocks)), site.number));
    let mut text = String::new();
    if some.is_empty() {
        return text;
    }
    let (named, unnamed) = some.split_at(some.len().min(NAMED));
    let (mut entries, mut known): (Vec<Entry>, HashMap<Vec<String>, usize>) = Default::default();
    for site in named {
        let stack = stack(site, names);
        let at = *known.entry(stack.clone()).or_insert(entries.len());
        if at == entries.len() {
            entries.push(Entry { stack, sum: Count::default(), sites: 0 });
        }
        entries[at].sum = plus(entries[at].sum, of(site));
        entries[at].sites += 1;
    }
    entries.sort_by_key(|entry| Reverse((entry.sum.bytes, entry.sum.blocks)));
    let (shown, others) = entries.split_at(entries.len().min(ENTRIES));
    _ = writeln!(text, "{}", column.title());
    let width = shown.iter().map(|entry| count(entry.sum).len()).max().unwrap_or(0);
    for entry in shown {
        let mut left = count(entry.sum);
        for frame in &entry.stack {
            _ = writeln!(text, "    {left:>width$}  {frame}");
            left.clear();
        }
    }
    let more = others.iter().map(|entry| entry.sites).sum::<u64>() + unnamed.len() as u64;
    if more > 0 {
        let sums = others.iter().map(|entry| entry.sum).chain(unnamed.iter().map(|site| of(site)));
        let sum = sums.fold(Count::default(), plus);
        _ = writeln!(text, "    and {} more: {}", number(more, "site"), count(sum));
    }
    for note in names.notes() {
        _ = writeln!(text, "{note}");
    }
    names.finish();
    text
}

fn plus(a: Count, b: Count) -> Count {
    Count { blocks: a.blocks + b.blocks, bytes: a.bytes + b.bytes }
}

/// The program's own frames, leaf first, as far as the test's function or its thread's; at least one line. Where the first are all
/// of other people's crates, the last that is shown is the first of one's own.
pub(super) fn stack(site: &Site, names: &mut dyn Names) -> Vec<String> {
    let frames = trimmed(&site.frames(names));
    let own: Vec<_> = frames.iter().take_while(|frame| !is_harness(frame)).collect();
    let (_, ending) = site.stack();
    let mut lines: Vec<String> = own.iter().take(FRAMES).map(|frame| shown(frame)).collect();
    if let Some(ones_own) = own.iter().position(|frame| is_ones_own(frame)).filter(|&at| at >= FRAMES) {
        lines.truncate(FRAMES - 1);
        lines.push("...".into());
        lines.push(shown(own[ones_own]));
    }
    if lines.is_empty() {
        lines.extend(frames.first().map(shown));
    }
    match ending.missing() {
        _ if lines.is_empty() => {
            let overflow = site.number == snapshot::Site::OVERFLOW;
            lines.push(if overflow { "(more sites than are told apart)" } else { "(unknown)" }.into());
        }
        Some(missing) if own.len() <= FRAMES => lines.push(missing.into()),
        _ => (),
    }
    lines
}

/// The test harness of the standard library: by its file, or where that is not known, by its crate.
fn is_harness(frame: &Frame) -> bool {
    match frame.file.as_deref() {
        Some(file) => file.contains("library/test/src/"),
        None => frame.function.starts_with("test::"),
    }
}

/// Where cargo keeps what it fetched.
const FETCHED: [&str; 2] = ["/registry/src/", "/git/checkouts/"];

/// Whether the source is neither of the standard library nor fetched by cargo.
fn is_ones_own(frame: &Frame) -> bool {
    let fetched = |file: &str| file.starts_with("/rustc/") || FETCHED.iter().any(|place| file.contains(place));
    frame.file.as_deref().is_some_and(|file| !fetched(file))
}

/// `function (file:line)`, the file as seen from where the process works: for `cargo test`, the package's directory. Of a crate that
/// cargo fetched, from the crate's directory on.
fn shown(frame: &Frame) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    let shorter = |file: &str| {
        let fetched = FETCHED.iter().find_map(|place| file.split_once(place)?.1.split_once('/'));
        match fetched {
            Some((_, file)) => file.to_string(),
            None => Path::new(file).strip_prefix(&here).unwrap_or(Path::new(file)).display().to_string(),
        }
    };
    match (frame.file.as_deref().map(shorter), frame.line) {
        (Some(file), Some(line)) => format!("{} ({file}:{line})", frame.function),
        (Some(file), None) => format!("{} ({file})", frame.function),
        _ => frame.function.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_the_test_begins() {
        let std = "/rustc/x/library/test/src/lib.rs";
        assert!(is_harness(&Frame::new("test::run_test", Some(std), Some(1))));
        assert!(
            is_harness(&Frame::new("test::__rust_begin_short_backtrace::<fn()>", None, None)),
            "no debug information"
        );
        assert!(!is_harness(&Frame::new("test::add", Some("/home/me/test/src/lib.rs"), Some(1))));
        assert!(!is_harness(&Frame::new("shop::test::add", None, None)));
    }
}
