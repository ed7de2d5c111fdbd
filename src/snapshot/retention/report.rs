//! The report for people: the answer first.

use super::{Kept, Retention, Survivors};
use crate::snapshot::display::{name_and_place_within, notes, shown};
use crate::snapshot::{Frame, Mode, Names, Site, keys};
use crate::units::{Bytes, Count};
use std::fmt;

/// Columns.
const WIDTH: usize = 100;
/// Size classes that are shown, if not all are asked for.
const CLASSES: usize = 5;
/// Memory that nobody needs to think about: so much of what is resident, a part in so many.
const NEGLIGIBLE: usize = 50;

/// A [`Retention`] with the names of its costliest survivors. Prints as a text for people, 100 columns wide; of all size
/// classes with `{:#}`.
#[derive(Clone, Debug)]
pub struct RetentionReport {
    retention: Retention,
    /// Of each of the costliest survivors, the frame that they are put down to.
    lines: Vec<Frame>,
    notes: Vec<String>,
}

pub(super) fn report(retention: &Retention, names: &mut dyn Names) -> RetentionReport {
    let retention = retention.clone();
    let lines =
        retention.survivors[..retention.costliest.rows].iter().map(|row| line(&retention, row, names)).collect();
    names.finish();
    RetentionReport { lines, notes: names.notes(), retention }
}

/// The frame that survivors are put down to, as snapshots do.
fn line(retention: &Retention, row: &Survivors, names: &mut dyn Names) -> Frame {
    let none = if row.site == Site::OVERFLOW { "(overflow)" } else { "(unknown)" };
    keys::line_of(&row.stack, &retention.modules, names).unwrap_or_else(|| Frame::instead(none))
}

impl RetentionReport {
    /// What it is made of.
    pub fn retention(&self) -> &Retention {
        &self.retention
    }

    /// For each of the costliest survivors, of which [`Retention::survivors`] are the first, the line of code that
    /// allocated them.
    pub fn lines(&self) -> &[Frame] {
        &self.lines
    }

    /// Why names are missing, and what to set; a sentence each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    fn answer(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Retention { stats, pages, .. } = &self.retention;
        let few = pages.mostly_empty;
        if stats.resident > 0 {
            write!(f, "Resident {}, live {}. ", Bytes(stats.resident), Bytes(stats.live))?;
        } else {
            write!(f, "Live {}. ", Bytes(stats.live))?;
        }
        if few.pages == 0 {
            writeln!(f, "No page is mostly empty: survivors keep nothing.")?;
        } else {
            writeln!(f, "{} lie in {} pages that are at most a quarter full:", Bytes(few.kept), n(few.pages))?;
            writeln!(f, "the {} live blocks in them have {}.", n(few.blocks), Bytes(few.live))?;
        }
        let soon = pages.collectable() + stats.due;
        if soon > 0 {
            write!(f, "A collection would give back {} now", Bytes(soon))?;
            match few.pinned {
                0 => writeln!(f, ".")?,
                pinned => writeln!(f, "; {} only when blocks of those pages die.", Bytes(pinned))?,
            }
        } else if few.pinned > 0 {
            writeln!(f, "It comes back only when blocks of those pages die.")?;
        }
        Ok(())
    }

    fn places(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Retention { stats, pages, .. } = &self.retention;
        let large = stats.large.live;
        let known = pages.resident + large + stats.due;
        let os = "OS pages";
        writeln!(f, "\nwhere it lies")?;
        let rows = [
            ("live", pages.live + large, "held by the program".into()),
            ("beside", pages.beside, format!("free, in {os} that live blocks touch")),
            ("room", pages.room, "free in pages more than half full: what is allocated next takes it".into()),
            (
                "magazines",
                pages.cached,
                format!("{os} kept by free blocks at hand for threads; a collection frees them"),
            ),
            ("idle", pages.idle, format!("{os} that no block touches; a collection frees them")),
            ("due", stats.due, "free pages, about to be given back".into()),
            ("other", stats.resident.saturating_sub(known), "code, stacks, the allocator's tables".into()),
        ];
        for (name, bytes, meaning) in rows {
            writeln!(f, "  {name:<10}{:>11}   {meaning}", Bytes(bytes))?;
        }
        if stats.resident > 0 && known > stats.resident {
            writeln!(f, "  That is more than is resident: some of it was never written to.")?;
        }
        if pages.holes > 0 {
            writeln!(
                f,
                "  {:<10}{:>11}   not resident: given back inside pages that are in use",
                "(holes)",
                Bytes(pages.holes)
            )?;
        }
        Ok(())
    }

    fn classes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut classes: Vec<_> = self.retention.classes.iter().filter(|c| c.pages.mostly_empty.pages > 0).collect();
        classes.sort_by_key(|c| std::cmp::Reverse(c.pages.mostly_empty.kept));
        if classes.is_empty() {
            return Ok(());
        }
        writeln!(f, "\nmostly empty pages, by size of their blocks")?;
        writeln!(
            f,
            "{:>9} {:>9} {:>10} {:>12} {:>11} {:>22}",
            "block", "pages", "of", "live blocks", "keep", "after a collection"
        )?;
        let shown = if f.alternate() { classes.len() } else { classes.len().min(CLASSES) };
        for class in &classes[..shown] {
            let few = class.pages.mostly_empty;
            writeln!(
                f,
                "{:>9} {:>9} {:>10} {:>12} {:>11} {:>22}",
                Bytes(class.block_size),
                n(few.pages),
                n(class.pages.pages),
                n(few.blocks),
                Bytes(few.kept),
                Bytes(few.pinned)
            )?;
        }
        let rest: usize = classes[shown..].iter().map(|c| c.pages.mostly_empty.kept).sum();
        match classes.len() - shown {
            0 => Ok(()),
            others => writeln!(f, "{:>9} and {others} size classes more, that keep {}", "", Bytes(rest)),
        }
    }

    fn survivors(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Retention { survivors, untracked, samples, costliest, .. } = &self.retention;
        if survivors.is_empty() && untracked.blocks == 0 && samples.blocks == 0 {
            return Ok(());
        }
        writeln!(f, "\nwhose blocks those are")?;
        for (row, line) in survivors.iter().zip(&self.lines) {
            let Survivors { smallest, largest, comes_back, keep, .. } = row;
            let size =
                if smallest == largest { Bytes(*largest).to_string() } else { format!("{smallest} to {largest} B") };
            write!(f, "{:>11}  kept by {} of {size}", Bytes(keep.kept), blocks(keep))?;
            let soon = keep.kept - keep.pinned;
            if soon > 0 {
                write!(f, ": a collection frees {}, their death {}", Bytes(soon), Bytes(*comes_back))?;
            } else {
                write!(f, ": if they died, {} would come back", Bytes(*comes_back))?;
            }
            writeln!(f)?;
            write!(f, "{:>11}", "")?;
            name_and_place_within(f, WIDTH - 13, &line.function, &line.location())?;
            if !row.tag_name.is_empty() {
                writeln!(f, "{:>13}in scope {}", "", short(&shown(&row.tag_name), WIDTH - 22))?;
            }
        }
        let rest = &survivors[costliest.rows..];
        if !rest.is_empty() {
            let kept: usize = rest.iter().map(|row| row.keep.kept).sum();
            writeln!(f, "{:>11}  in {} others", Bytes(kept), rest.len())?;
        }
        for (what, kept) in [("not tracked", untracked), ("samples, in pages apart from their siblings'", samples)] {
            if kept.blocks > 0 {
                writeln!(f, "{:>11}  kept by {}: {what}", Bytes(kept.kept), blocks(kept))?;
            }
        }
        if costliest.rows > 1 {
            write!(f, "If the first {} all died, {} would come back", costliest.rows, Bytes(costliest.comes_back))?;
            match costliest.keep.kept - costliest.keep.pinned {
                0 => writeln!(f, ".")?,
                soon => writeln!(f, " besides the {} of a collection.", Bytes(soon))?,
            }
        }
        Ok(())
    }

    fn advice(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Retention { stats, mode, pages, survivors, untracked, samples, .. } = &self.retention;
        let matters = |bytes: usize| bytes * NEGLIGIBLE > pages.resident + stats.large.live + stats.due;
        let mut advice = Vec::new();
        if matters(pages.collectable() + stats.due) {
            advice
                .push("Wait a second or two: the helper thread collects while threads rest. If it is off, that stays.");
        }
        if matters(untracked.kept + samples.kept) {
            advice.push(match mode {
                Mode::Exact => "Blocks that are not tracked are older than exact tracking: begin with `TENURE=exact`.",
                _ => "To name the others, track exactly from the start: `TENURE=exact`, or `tenure::set_mode`.",
            });
        }
        if matters(survivors.iter().map(|row| row.keep.pinned).sum()) {
            advice.push("Allocate what stays apart from what goes: before the burst, in one go, or copied after it.");
        }
        if matters(pages.room) && pages.room > pages.mostly_empty.kept {
            advice.push("Most of what is free is room in well filled pages: it serves what comes next.");
        }
        if advice.is_empty() {
            return Ok(());
        }
        writeln!(f, "\nwhat to do")?;
        advice.iter().try_for_each(|sentence| writeln!(f, "  {sentence}"))
    }
}

impl fmt::Display for RetentionReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.answer(f)?;
        self.places(f)?;
        self.classes(f)?;
        self.survivors(f)?;
        self.advice(f)?;
        notes(f, &self.notes)
    }
}

fn n(count: usize) -> Count {
    Count(count as u64)
}

fn blocks(kept: &Kept) -> String {
    format!("{} block{}", n(kept.blocks), if kept.blocks == 1 { "" } else { "s" })
}

fn short(text: &str, room: usize) -> String {
    if text.chars().count() <= room { text.into() } else { text.chars().take(room - 1).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use super::super::{ClassPages, MostlyEmpty, Pages, Together};
    use super::*;
    use crate::snapshot::Ending;
    use std::sync::Arc;

    /// Names that fit nowhere.
    struct Long;

    impl Names for Long {
        fn frames(&mut self, place: &crate::snapshot::Place<'_>) -> Arc<[Frame]> {
            let (function, file) = ("shop::".repeat(30) + "f", "/src".repeat(30) + ".rs");
            [Frame::new(&function, Some(&file), Some(place.address as u32))].into()
        }

        fn notes(&mut self) -> Vec<String> {
            vec!["names are made up".into()]
        }
    }

    /// A gigabyte that twelve sites keep.
    fn kept() -> Retention {
        let mut retention = crate::retention();
        let few = MostlyEmpty { pages: 16_384, blocks: 30_000, live: 1_440_000, kept: 1 << 30, pinned: 64 << 20 };
        let pages =
            Pages { pages: 20_000, resident: 1300 << 20, idle: 900 << 20, mostly_empty: few, ..Pages::default() };
        (retention.pages, retention.classes) = (pages, vec![ClassPages { block_size: 48, pages }; 7]);
        retention.survivors = (0..12).map(row).collect();
        retention.untracked = Kept { blocks: 1, bytes: 48, pages: 1, kept: 1 << 20, pinned: 4096 };
        retention.costliest = Together { rows: 10, comes_back: 60 << 20, ..Together::default() };
        retention
    }

    fn row(site: u32) -> Survivors {
        let kept = (100 << 20) - site as usize;
        Survivors {
            site,
            tag: 2,
            tag_name: "a route\n".repeat(20),
            stack: vec![u64::from(site)],
            ending: Ending::Complete,
            smallest: 48,
            largest: 96 - (site as usize % 2) * 48,
            requested: 144_000,
            keep: Kept { blocks: 3000, bytes: 144_000, pages: 2000, kept, pinned: (site as usize % 3) * kept / 2 },
            comes_back: 5 << 20,
        }
    }

    #[test]
    fn a_text_of_100_columns() {
        let report = kept().report(&mut Long);
        assert_eq!(
            report.lines().iter().map(|line| line.line).collect::<Vec<_>>(),
            (0..10).map(Some).collect::<Vec<_>>()
        );
        let text = report.to_string();
        for line in text.lines() {
            assert!(line.chars().count() <= WIDTH && !line.contains(char::is_control), "{line}");
        }
        for part in [
            "1024.0 MiB lie in 16 384 pages that are at most a quarter full:\nthe 30 000 live blocks",
            "  100.0 MiB  kept by 3 000 blocks of 48 to 96 B: a collection frees 100.0 MiB, their death 5.0 MiB\n",
            "  100.0 MiB  kept by 3 000 blocks of 48 to 96 B: if they died, 5.0 MiB would come back\n",
            "f  …",
            "in scope a route",
            "  200.0 MiB  in 2 others\n",
            "    1.0 MiB  kept by 1 block: not tracked",
            "If the first 10 all died, 60.0 MiB would come back",
            "and 2 size classes more, that keep 2048.0 MiB",
            "That is more than is resident",
            "note: names are made up",
        ] {
            assert!(text.contains(part), "no {part:?} in\n{text}");
        }
    }

    #[cfg(feature = "json")]
    #[test]
    fn it_is_an_object() {
        let kept = kept();
        let json = serde_json::to_value(&kept).expect("JSON");
        assert_eq!(json["survivors"][3]["keep"]["blocks"].as_u64(), Some(3000));
        assert_eq!(json["pages"]["mostly_empty"]["pages"].as_u64(), Some(16_384));
        assert_eq!(serde_json::from_value::<Retention>(json).expect("the same"), kept);
    }
}
