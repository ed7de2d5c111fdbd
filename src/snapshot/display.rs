//! Tables for people.

use super::group::Heading;
use super::keys::method;
use super::{By, Change, Diff, Difference, Estimate, Frame, Group, Groups, path};
use crate::units::{Bytes, Count};
use std::borrow::Cow;
use std::fmt;

/// Columns of a table.
const WIDTH: usize = 118;
pub(super) const CONFIDENCE: f64 = 0.95;
/// Rows of a table, if not all are asked for.
pub(super) const ROWS: usize = 10;

pub(super) fn bytes(value: f64) -> String {
    let text = Bytes(value.abs().round() as usize).to_string();
    if value <= -0.5 { format!("-{text}") } else { text }
}

pub(super) fn count(value: f64) -> String {
    let text = Count(value.abs().round() as u64).to_string();
    if value <= -0.5 { format!("-{text}") } else { text }
}

fn signed(value: f64, text: String) -> String {
    if value >= 0.5 { format!("+{text}") } else { text }
}

/// How far the interval reaches, on the side where it reaches farther.
pub(super) fn reach(value: f64, (low, high): (f64, f64)) -> f64 {
    (value - low).max(high - value)
}

pub(super) fn error(e: Estimate) -> f64 {
    reach(e.value, e.interval(CONFIDENCE))
}

fn error_of(d: Difference) -> f64 {
    reach(d.value, d.interval(CONFIDENCE))
}

/// ` ± 12`, or nothing.
pub(super) fn plus_minus(error: f64, text: impl Fn(f64) -> String) -> String {
    if error > 0.0 { format!(" ± {}", text(error)) } else { String::new() }
}

impl Heading {
    /// How the figures came to be, and what they leave out.
    fn write(&self, f: &mut fmt::Formatter<'_>, estimated: bool) -> fmt::Result {
        let meaning = if estimated { "; ±: 95 % interval" } else { "" };
        let filtered = match self.tracked.samples != self.total.samples {
            true => format!("; filtered, of {}", bytes(self.tracked.bytes)),
            false => String::new(),
        };
        let untracked = self.untracked.bytes;
        // An estimate may come out below nothing, and say so by its error; a share may not.
        let share = untracked.value.clamp(0.0, self.live as f64) * 100.0 / self.live.max(1) as f64;
        let error = plus_minus(error_of(untracked), bytes);
        writeln!(
            f,
            "{}{meaning}{filtered}. Not tracked: {}{error}, {share:.0} % of the {} in live blocks.",
            method(self.mode),
            bytes(untracked.value.max(0.0)),
            Bytes(self.live)
        )
    }
}

pub(super) fn notes(f: &mut fmt::Formatter<'_>, notes: &[String]) -> fmt::Result {
    notes.iter().try_for_each(|note| writeln!(f, "note: {}", shown(note)))
}

/// A text that may come from a file, without orders to a terminal: on one line, its control characters in words.
pub(super) fn shown(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if c.is_control() { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown.into()
}

/// A function's name and its place in what is left of a line.
pub(super) fn name_and_place(f: &mut fmt::Formatter<'_>, used: usize, name: &str, location: &str) -> fmt::Result {
    name_and_place_within(f, WIDTH - used - 2, name, location)
}

/// The same in so many columns, after two of space.
pub(super) fn name_and_place_within(
    f: &mut fmt::Formatter<'_>,
    room: usize,
    name: &str,
    location: &str,
) -> fmt::Result {
    let (name, place) = (&*shown(name), short_path(&shown(location)));
    let for_place = place.chars().count().min(room * 2 / 5);
    let for_name = if place.is_empty() { room } else { room - for_place.max(24) };
    let name = if name.chars().count() > for_name { tail(&path::plain(name), for_name) } else { name.into() };
    if place.is_empty() {
        return writeln!(f, "  {name}");
    }
    writeln!(f, "  {name:<for_name$}  {}", tail(&place, room - for_name - 2))
}

/// Where a group's function stands: the module, if there is no line.
fn place(location: String, stack: &[Frame]) -> String {
    if location.is_empty() { stack.first().map_or(location, Frame::place) } else { location }
}

/// The frames below the one that the row shows.
fn stack(f: &mut fmt::Formatter<'_>, used: usize, frames: &[Frame]) -> fmt::Result {
    frames.iter().skip(1).try_for_each(|frame| {
        write!(f, "{:used$}", "")?;
        name_and_place(f, used, &frame.function, &frame.place())
    })
}

/// The head of the last column.
pub(super) fn what(by: By) -> &'static str {
    match by {
        By::Line => "by line",
        By::Function => "by function",
        By::Module => "by module",
        By::Crate => "by crate",
        By::File => "by file",
        By::Tag => "by tag",
        By::SizeClass => "by size of the block",
        By::Site => "by call stack",
        By::Folded => "by call stack, with recursion folded",
    }
}

/// The end of a text that is too long.
fn tail(text: &str, room: usize) -> String {
    let len = text.chars().count();
    if len <= room { text.into() } else { std::iter::once('…').chain(text.chars().skip(len - room + 1)).collect() }
}

/// A path without what every path of its kind begins with: cargo's registry, the standard library's sources.
fn short_path(path: &str) -> String {
    if let Some((_, rest)) = path.split_once("/registry/src/") {
        return rest.split_once('/').map_or(rest, |r| r.1).into();
    }
    for begin in ["/git/checkouts/", "/library/"] {
        if let Some((before, rest)) = path.split_once(begin)
            && (begin != "/library/" || before.starts_with("/rustc/") || before.ends_with("/rust"))
        {
            return rest.into();
        }
    }
    path.into()
}

/// What of a report stands in another one, which has two tables of one snapshot.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part<'a> {
    /// What there is in all.
    Heading(&'a Groups),
    /// With its heading and without its notes.
    Table(&'a Groups),
    /// With the frames of its stacks and its notes, and without its heading.
    Stacks(&'a Groups),
}

impl fmt::Display for Part<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Part::Heading(groups) => groups.heading(f),
            Part::Table(groups) => {
                groups.heading(f)?;
                writeln!(f)?;
                groups.table(f, false)
            }
            Part::Stacks(groups) => {
                groups.table(f, true)?;
                notes(f, &groups.notes)
            }
        }
    }
}

impl fmt::Display for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.heading(f)?;
        writeln!(f)?;
        self.table(f, f.alternate())?;
        notes(f, &self.notes)
    }
}

impl Groups {
    fn is_estimated(&self) -> bool {
        self.groups.iter().any(|g| !g.live.bytes().is_exact() || !g.live.blocks().is_exact())
    }

    fn heading(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.heading.total;
        writeln!(
            f,
            "{}{} requested, in {}{} live blocks",
            bytes(total.bytes),
            plus_minus(error(total.bytes()), bytes),
            count(total.blocks),
            plus_minus(error(total.blocks()), count)
        )?;
        self.heading.write(f, self.is_estimated())
    }

    /// `all`: every group, with its stack.
    fn table(&self, f: &mut fmt::Formatter<'_>, all: bool) -> fmt::Result {
        let total = self.heading.total;
        let (estimated, what) = (self.is_estimated(), what(self.by));
        if estimated {
            writeln!(f, "{:>10} {:>9} {:>5} {:>11} {:>10}  {what}", "bytes", "±", "", "blocks", "±")?;
        } else {
            writeln!(f, "{:>10} {:>5} {:>13}  {what}", "bytes", "", "blocks")?;
        }
        // Whoever asked for a number gets that many.
        let shown = if all || self.chosen { self.groups.len() } else { self.groups.len().min(ROWS) };
        for g in &self.groups[..shown] {
            let Group { live, .. } = g;
            let share = live.bytes * 100.0 / total.bytes.max(1.0);
            let used = if estimated {
                let (e, n) = (bytes(error(live.bytes())), count(error(live.blocks())));
                write!(f, "{:>10} {e:>9} {share:>3.0} % {:>11} {n:>10}", bytes(live.bytes), count(live.blocks))?;
                49
            } else {
                write!(f, "{:>10} {share:>3.0} % {:>13}", bytes(live.bytes), count(live.blocks))?;
                30
            };
            name_and_place(f, used, &g.name, &place(g.location.clone(), &g.stack))?;
            if all && g.stack.len() > 1 {
                stack(f, used, &g.stack)?;
            }
        }
        let rest: f64 = self.groups[shown..].iter().map(|g| g.live.bytes).sum::<f64>() + self.others.1.bytes;
        match self.groups.len() - shown + self.others.0 {
            0 => Ok(()),
            others => {
                writeln!(f, "{:>10} {:>3.0} %  in {others} others", bytes(rest), rest * 100.0 / total.bytes.max(1.0))
            }
        }
    }
}

impl fmt::Display for Diff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let estimated = !self.total.bytes.is_exact() || self.changes.iter().any(|c| !c.bytes.is_exact());
        let Change { bytes: b, blocks: n, earlier, later, .. } = &self.total;
        writeln!(
            f,
            "{}{} requested, in {}{} live blocks: from {} to {}",
            signed(b.value, bytes(b.value)),
            plus_minus(error_of(*b), bytes),
            signed(n.value, count(n.value)),
            plus_minus(error_of(*n), count),
            bytes(earlier.bytes),
            bytes(later.bytes)
        )?;
        self.heading.write(f, estimated)?;
        let what = what(self.by);
        let used = if estimated {
            writeln!(f, "\n{:>11} {:>9} {:>12} {:>10} {:>10}  {what}", "bytes", "±", "blocks", "±", "to")?;
            56
        } else {
            writeln!(f, "\n{:>11} {:>12} {:>10}  {what}", "bytes", "blocks", "to")?;
            35
        };
        let shown = if f.alternate() { self.changes.len() } else { self.changes.len().min(ROWS) };
        for c in &self.changes[..shown] {
            let (b, n) = (signed(c.bytes.value, bytes(c.bytes.value)), signed(c.blocks.value, count(c.blocks.value)));
            let to = bytes(c.later.bytes);
            if estimated {
                let (e, m) = (bytes(error_of(c.bytes)), count(error_of(c.blocks)));
                write!(f, "{b:>11} {e:>9} {n:>12} {m:>10} {to:>10}")?;
            } else {
                write!(f, "{b:>11} {n:>12} {to:>10}")?;
            }
            name_and_place(f, used, &c.name, &place(c.location.clone(), &c.stack))?;
            if f.alternate() && c.stack.len() > 1 {
                stack(f, used, &c.stack)?;
            }
        }
        let rest = self.changes[shown..].iter().map(|c| c.bytes.value).sum::<f64>() + self.others.1;
        match self.changes.len() - shown + self.others.0 {
            0 => (),
            others => writeln!(f, "{:>11}  in {others} others", signed(rest, bytes(rest)))?,
        }
        notes(f, &self.notes)
    }
}
