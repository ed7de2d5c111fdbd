//! What measurements look like as text. Names are looked up here, when the measured code is over.

use super::{Count, Measured, Site};
use crate::snapshot::{self, Frame, Names, trimmed};
use std::cmp::Reverse;
use std::fmt::Write;
use std::path::Path;

/// Sites that are shown, and frames of each.
const SITES: usize = 10;
const FRAMES: usize = 4;

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

/// The sites with most bytes (and of equals, most blocks), and what the others come to.
pub(super) fn sites(all: &[Site], column: Column, names: &mut dyn Names) -> String {
    let of = |site: &Site| column.of(site);
    let mut some: Vec<_> = all.iter().filter(|site| of(site) != Count::default()).collect();
    some.sort_by_key(|site| (Reverse((of(site).bytes, of(site).blocks)), site.number));
    let mut text = String::new();
    if some.is_empty() {
        return text;
    }
    _ = writeln!(text, "{}", column.title());
    let width = some.iter().take(SITES).map(|site| count(of(site)).len()).max().unwrap_or(0);
    for site in some.iter().take(SITES) {
        let mut left = count(of(site));
        for frame in stack(site, names) {
            _ = writeln!(text, "    {left:>width$}  {frame}");
            left.clear();
        }
    }
    if let Some(rest) = some.get(SITES..).filter(|rest| !rest.is_empty()) {
        let mut sum = Count::default();
        rest.iter().for_each(|site| {
            sum = Count { blocks: sum.blocks + of(site).blocks, bytes: sum.bytes + of(site).bytes };
        });
        _ = writeln!(text, "    and {} more: {}", number(rest.len() as u64, "site"), count(sum));
    }
    for note in names.notes() {
        _ = writeln!(text, "{note}");
    }
    names.finish();
    text
}

/// The program's own frames, leaf first, as far as the test's function or its thread's; at least one line.
pub(super) fn stack(site: &Site, names: &mut dyn Names) -> Vec<String> {
    let frames = trimmed(&site.frames(names));
    let own: Vec<_> = frames.iter().take_while(|frame| !is_harness(frame)).collect();
    let (_, ending) = site.stack();
    let mut lines: Vec<String> = own.iter().take(FRAMES).map(|frame| shown(frame)).collect();
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

/// The test harness of the standard library.
fn is_harness(frame: &Frame) -> bool {
    frame.file.as_deref().is_some_and(|file| file.contains("library/test/src/"))
}

/// `function (file:line)`, the file as seen from where the process works: for `cargo test`, the package's directory.
fn shown(frame: &Frame) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    let shorter = |file: &str| Path::new(file).strip_prefix(&here).unwrap_or(Path::new(file)).display().to_string();
    match (frame.file.as_deref().map(shorter), frame.line) {
        (Some(file), Some(line)) => format!("{} ({file}:{line})", frame.function),
        (Some(file), None) => format!("{} ({file})", frame.function),
        _ => frame.function.to_string(),
    }
}
