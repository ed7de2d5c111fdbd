//! Who will not let go: the sites and tags whose old generation keeps growing, as the last old collection found them.

use super::display::{bytes, name_and_place_within, notes, plus_minus, shown};
use super::{Frame, Names, Place, Site, Snapshot, trim};
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
/// The statistic: over the last 17 old collections, the growth of the old generation is compared with what a random walk of its
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
    /// By so much the old generation grew for each epoch, over the last 17 old collections.
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

    /// The suspects with the names of their lines. Looks up names; allocates.
    pub fn suspects_named(&self, names: &mut dyn Names) -> SuspectsReport {
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
        SuspectsReport { suspects, old_collections: self.parts.generations.stats[2].collections, notes: names.notes() }
    }
}

/// The frame that a site is put down to, as snapshots do.
fn line(snapshot: &Snapshot, number: u32, names: &mut dyn Names) -> Frame {
    let mut all = Vec::new();
    let site = snapshot.site(number);
    for &address in site.map_or(&[][..], |site| &site.stack) {
        all.extend_from_slice(&names.frames(&Place::new(address, snapshot.modules())));
        if all.iter().any(|frame| !trim::is_runtime(&frame.function)) {
            break;
        }
    }
    trim::line(&all).cloned().unwrap_or_else(|| Frame::instead(site.map_or("(unknown)", Site::without_stack)))
}

/// Suspects and the lines that allocate their blocks. Prints as a table for people.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct SuspectsReport {
    suspects: Vec<Named>,
    old_collections: u64,
    notes: Vec<String>,
}

#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
struct Named {
    #[cfg_attr(feature = "serde", serde(flatten))]
    suspect: Suspect,
    line: Frame,
}

impl SuspectsReport {
    /// Each suspect with its line of code, the fastest first. Of a tag, the frame is its name.
    pub fn iter(&self) -> impl Iterator<Item = (&Suspect, &Frame)> {
        self.suspects.iter().map(|named| (&named.suspect, &named.line))
    }
}

/// Columns.
const WIDTH: usize = 100;
/// Old collections before which nobody is suspect.
const FIRST: u64 = 18;

impl fmt::Display for SuspectsReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.old_collections;
        if self.suspects.is_empty() {
            return match n {
                n if n < FIRST => {
                    writeln!(f, "No suspects yet: {n} old collections, and the first can be named after {FIRST}.")
                }
                n => writeln!(f, "No suspects after {n} old collections: no old generation keeps growing."),
            };
        }
        writeln!(f, "{:>11} {:>12} {:>13}  {:<18} since", "old", "per epoch", "per minute", "confidence")?;
        for (suspect, frame) in self.iter() {
            let Suspect { old_bytes, old_bytes_error, bytes_per_epoch, bytes_per_minute, collections, .. } = suspect;
            let per_minute = match *bytes_per_minute {
                rate if rate > 0.0 => format!("+{}", bytes(rate)),
                _ => "?".to_owned(),
            };
            writeln!(
                f,
                "{:>11} {:>12} {per_minute:>13}  {:<18} epoch {}, {collections} old collections ago{}",
                bytes(*old_bytes),
                format!("+{}", bytes(*bytes_per_epoch)),
                confidence(suspect.confidence),
                suspect.since_epoch,
                plus_minus(*old_bytes_error, |error| format!("(standard error {})", bytes(error))).replace(" ± ", "  "),
            )?;
            write!(f, "{:>9}", "")?;
            name_and_place_within(f, WIDTH - 11, &shown(&frame.function), &frame.location())?;
        }
        notes(f, &self.notes)
    }
}

/// More than 99 %, with as many digits as it is worth.
fn confidence(value: f64) -> String {
    if value > 1.0 - 1e-9 { "> 99.9999999 %".to_owned() } else { format!("{:.4} %", value * 100.0) }
}
