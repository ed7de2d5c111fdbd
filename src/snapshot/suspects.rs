//! Who will not let go: the sites and tags whose old generation keeps growing, as the last old collection found them.

use super::display::{CONFIDENCE, bytes, name_and_place_within, notes, shown};
use super::quantile::normal;
use super::{Frame, Mode, Names, Site, Snapshot, keys};
use crate::generation::census::{Found, Who};
use std::fmt;
use std::time::{Duration, SystemTime};

/// Whose blocks are suspect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Culprit {
    /// Those of a [`Site::number`].
    Site(u32),
    /// Those of a [`Tag::number`](super::Tag::number).
    Tag(u16),
}

/// A site or a tag that holds more and more old blocks, which what it allocates does not explain.
///
/// The statistic: over the last 18 old collections, the growth of the old generation is compared with what a random walk of its
/// increments would give, by a one-sided t-test (Student, 1908). It is a suspect if the test says so at the level of Bonferroni
/// for 1,000 sites that are looked at 500 times, if growth does not slow down (Aitken, 1926), if at least half of it remains
/// when allocation is allowed for, and if half of it is beyond all that was held before. So the first can be named after 18 old
/// collections. What cannot be told apart: a cache that fills evenly for longer than that is a leak until it levels off.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Suspect {
    /// Whose blocks.
    pub culprit: Culprit,
    /// Bytes of its old generation at the last old collection, as requested.
    pub old_bytes: f64,
    /// The standard error of that; 0 if each block is tracked.
    pub old_bytes_error: f64,
    /// By so much the old generation grew for each epoch, over the last 18 old collections.
    pub bytes_per_epoch: f64,
    /// The same for each minute; 0 if the system's clock was set back.
    pub bytes_per_minute: f64,
    /// The epoch since when it has been growing.
    pub since_epoch: u64,
    /// When that was, in nanoseconds since 1970.
    pub since_unix_nanos: u64,
    /// Old collections since then.
    pub collections: u32,
    /// If all old generations were random walks without a drift, the probability that not one of 1,000 sites, in 500 old
    /// collections, would look like this. At least 0.99.
    pub confidence: f64,
}

impl From<&Found> for Suspect {
    fn from(found: &Found) -> Suspect {
        let Found { who, old, old_error, trend } = *found;
        Suspect {
            culprit: match who {
                Who::Site(number) => Culprit::Site(number),
                Who::Tag(number) => Culprit::Tag(number),
            },
            old_bytes: old,
            old_bytes_error: old_error,
            bytes_per_epoch: trend.bytes_per_epoch,
            bytes_per_minute: trend.bytes_per_minute,
            since_epoch: trend.since_epoch,
            since_unix_nanos: trend.since_unix_nanos,
            collections: trend.observations,
            confidence: trend.confidence,
        }
    }
}

impl Suspect {
    /// Since when it has been growing.
    pub fn since(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_nanos(self.since_unix_nanos)
    }
}

impl Snapshot {
    /// The sites and tags that an old collection found suspect, those that grow fastest first: at most 32. Of the last old
    /// collection before the snapshot: see [`generation`](crate::generation).
    pub fn suspects(&self) -> &[Suspect] {
        &self.parts.suspects
    }

    /// The suspects with the names of their lines. Looks up names; allocates, untracked.
    pub fn suspects_named(&self, names: &mut dyn Names) -> SuspectsReport {
        crate::reading::untracked(|| self.name_suspects(names))
    }

    fn name_suspects(&self, names: &mut dyn Names) -> SuspectsReport {
        let named = |suspect: &Suspect| {
            let line = match suspect.culprit {
                Culprit::Site(number) => line(self, number, names),
                Culprit::Tag(number) => {
                    Frame::instead(&format!("scope {}", self.tag(number).map_or("(other)", |tag| &tag.name)))
                }
            };
            Named { suspect: *suspect, line }
        };
        let suspects = self.suspects().iter().map(named).collect();
        names.finish();
        SuspectsReport {
            suspects,
            old_collections: self.parts.generations.stats[2].collections,
            unix_nanos: self.parts.unix_nanos,
            none_because: self.no_suspects(),
            notes: names.notes(),
        }
    }

    /// What it means that there are none.
    fn no_suspects(&self) -> NoSuspects {
        let parts = &self.parts;
        // A collection soon after another is no new observation: see `trend::Times::push`.
        let apart = (parts.bands.old / 2).max(1);
        let observed = parts.generations.stats[2].collections.min((parts.stats.epoch / apart).saturating_add(1));
        match parts.mode {
            Mode::Off => NoSuspects::NothingTracked,
            _ if parts.suspects_left_out > 0 => NoSuspects::LeftOut { suspects: parts.suspects_left_out },
            _ if observed < FIRST => NoSuspects::TooEarly { observed },
            _ => NoSuspects::NoneGrows,
        }
    }
}

/// The frame that a site is put down to.
fn line(snapshot: &Snapshot, number: u32, names: &mut dyn Names) -> Frame {
    let site = snapshot.site(number);
    let stack = site.map_or(&[][..], |site| &site.stack);
    let none = || Frame::instead(site.map_or("(unknown)", Site::without_stack));
    keys::line_of(stack, snapshot.modules(), names).unwrap_or_else(none)
}

/// Suspects and the lines that allocate their blocks. Prints as a table for people.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct SuspectsReport {
    suspects: Vec<Named>,
    old_collections: u64,
    /// When the snapshot was taken.
    unix_nanos: u64,
    none_because: NoSuspects,
    notes: Vec<String>,
}

#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
struct Named {
    #[cfg_attr(feature = "serde", serde(flatten))]
    suspect: Suspect,
    line: Frame,
}

/// Why there would be no suspects.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
enum NoSuspects {
    /// A filter has left out all that there are.
    LeftOut {
        suspects: u64,
    },
    NothingTracked,
    /// So many old collections were far enough apart, at most.
    TooEarly {
        observed: u64,
    },
    NoneGrows,
}

impl SuspectsReport {
    /// Each suspect with its line of code, the fastest first. Of a tag, the frame is its name.
    pub fn iter(&self) -> impl Iterator<Item = (&Suspect, &Frame)> {
        self.suspects.iter().map(|named| (&named.suspect, &named.line))
    }

    /// Why names are missing, and what to set; a sentence each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    fn write_none(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.old_collections;
        match self.none_because {
            NoSuspects::LeftOut { suspects } => {
                writeln!(
                    f,
                    "No suspects among the stacks that were asked for; {suspects} among those that were left out."
                )
            }
            NoSuspects::NothingTracked => writeln!(f, "No suspects: tracking is off, so nobody looks."),
            NoSuspects::TooEarly { observed } if observed < n => {
                writeln!(f, "No suspects yet: of {n} old collections at most {observed} were far enough apart to")?;
                writeln!(f, "learn from, and the first suspect can be named after {FIRST}.")
            }
            NoSuspects::TooEarly { .. } => {
                writeln!(f, "No suspects yet: {n} old collections, and the first can be named after {FIRST}.")
            }
            NoSuspects::NoneGrows => {
                writeln!(f, "No suspects after {n} old collections: no old generation keeps growing.")
            }
        }
    }
}

/// Columns.
const WIDTH: usize = 100;
/// Old collections before which nobody is suspect.
const FIRST: u64 = 18;

impl fmt::Display for SuspectsReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.suspects.is_empty() {
            return self.write_none(f);
        }
        let estimated = self.suspects.iter().any(|named| named.suspect.old_bytes_error > 0.0);
        let meaning = if estimated { " (±: 95 % interval)" } else { "" };
        writeln!(f, "Old blocks of these lines and scopes become more and more, which what they allocate does not")?;
        writeln!(f, "explain: as of the last of {} old collections{meaning}.\n", self.old_collections)?;
        let error = |error: f64| if estimated { format!(" {error:>9}", error = bytes(error)) } else { String::new() };
        let head = if estimated { format!(" {:>9}", "±") } else { String::new() };
        writeln!(
            f,
            "{:>10}{head} {:>12} {:>11} {:>12} {:>16}  sure",
            "old", "per minute", "per epoch", "growing for", "old collections"
        )?;
        for (suspect, frame) in self.iter() {
            let per_minute = match suspect.bytes_per_minute {
                rate if rate > 0.0 => format!("+{}", bytes(rate)),
                _ => "?".to_owned(),
            };
            writeln!(
                f,
                "{:>10}{} {per_minute:>12} {:>11} {:>12} {:>16}  {}",
                bytes(suspect.old_bytes),
                error(normal(CONFIDENCE) * suspect.old_bytes_error),
                format!("+{}", bytes(suspect.bytes_per_epoch)),
                lasting(self.unix_nanos.saturating_sub(suspect.since_unix_nanos)),
                suspect.collections,
                sure(suspect.confidence),
            )?;
            write!(f, "{:>4}", "")?;
            name_and_place_within(f, WIDTH - 6, &shown(&frame.function), &frame.location())?;
        }
        writeln!(f, "\nA cache that still fills looks the same. When it is full, it leaves this list after six old")?;
        writeln!(f, "collections at most.")?;
        notes(f, &self.notes)
    }
}

/// A time for people. The system's clock may have been set back: then it is not known.
fn lasting(nanos: u64) -> String {
    let seconds = nanos as f64 / 1e9;
    match nanos {
        0 => "?".to_owned(),
        _ if seconds < 120.0 => format!("{seconds:.1} s"),
        _ if seconds < 7200.0 => format!("{:.0} min", seconds / 60.0),
        _ if seconds < 172_800.0 => format!("{:.1} h", seconds / 3600.0),
        _ => format!("{:.1} days", seconds / 86_400.0),
    }
}

/// At least 99 %, rounded down: nothing is certain.
fn sure(confidence: f64) -> String {
    let hundredths = (confidence * 10_000.0).floor();
    if hundredths >= 9999.0 { "> 99.99 %".to_owned() } else { format!("{:.2} %", hundredths / 100.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Filter;
    use crate::snapshot::testing::{Made, names, random, shop, suspect};

    fn report(made: &Made) -> String {
        let text = made.snapshot().suspects_named(&mut names()).to_string();
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        text
    }

    #[test]
    fn a_report_says_who_and_fits() {
        let mut made = Made { generations: random(1).generations, ..shop() };
        made.suspects = [Culprit::Site(3), Culprit::Tag(2), Culprit::Site(99)].map(|who| suspect(who, 3e6)).into();
        made.tags[2].1 = "\u{1b}[31m".repeat(60);
        (made.suspects[0].confidence, made.suspects[1].confidence) = (0.99999, 0.991);
        (made.suspects[0].old_bytes, made.suspects[0].old_bytes_error) = (1023.9 * 1024.0 * 1024.0, 1e9);
        made.suspects[1].since_unix_nanos = made.unix_nanos - 3 * 86_400_000_000_000;
        made.suspects[2].since_unix_nanos = u64::MAX;
        (made.suspects[2].bytes_per_minute, made.suspects[2].collections) = (0.0, u32::MAX);
        let text = report(&made);
        for part in [
            "shop::cart::add",
            "src/cart.rs:20",
            "+2.9 MiB",
            "0.1 s",
            "> 99.99 %",
            "99.10 %",
            "3.0 days",
            "(unknown)",
            " ? ",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        assert!(!text.contains('\u{1b}'), "{text}");
        made.suspects.iter_mut().for_each(|s| s.old_bytes_error = 0.0);
        assert!(!report(&made).contains('±'));
        let huge = f64::MAX;
        made.suspects
            .iter_mut()
            .for_each(|s| (s.old_bytes, s.bytes_per_epoch, s.bytes_per_minute) = (huge, huge, huge));
        report(&made);
    }

    /// What is filtered away is nobody's suspect, and has no name any more.
    #[test]
    fn suspects_are_filtered_by_their_stacks() {
        let mut made = shop();
        made.suspects = [Culprit::Site(3), Culprit::Site(6), Culprit::Tag(2)].map(|who| suspect(who, 3e6)).into();
        let kept = made.snapshot().filter(&Filter::new().include("parser::*"), &mut names());
        let culprits: Vec<_> = kept.suspects().iter().map(|suspect| suspect.culprit).collect();
        assert_eq!(culprits, [Culprit::Site(6), Culprit::Tag(2)]);
    }

    /// "None" is said only where somebody looked.
    #[test]
    fn no_suspects_for_a_reason() {
        let mut made = shop();
        assert!(report(&made).contains("No suspects yet: 0 old collections"));
        made.generations.stats[2].collections = 40;
        made.stats.epoch = 39;
        assert!(report(&made).contains("of 40 old collections at most 10 were far enough apart"));
        made.stats.epoch = 39 * 8;
        assert!(report(&made).contains("No suspects after 40 old collections"));
        made.mode = Mode::Off;
        assert!(report(&made).contains("tracking is off"));
    }
}
