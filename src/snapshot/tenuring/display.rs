//! Tenuring tables for people.

use super::{LifeBand, Share, Tenured, Tenuring, TenuringGroups};
use crate::generation::Generation;
use crate::snapshot::display::{CONFIDENCE, ROWS, bytes, count, error, name_and_place, notes, plus_minus, reach, what};
use crate::snapshot::keys::method;
use crate::snapshot::{Estimate, Sum};
use std::fmt;

/// Cells of the bar that is longest.
const BAR: f64 = 20.0;

fn with_error(e: Estimate, text: fn(f64) -> String) -> String {
    format!("{}{}", text(e.value), plus_minus(error(e), text))
}

fn blocks(sum: &Sum) -> String {
    with_error(sum.blocks(), count)
}

/// A share in percent, and how far it may be off: with so many digits that the latter, or how far it is from nothing and from
/// all, shows.
fn share(share: &Share) -> String {
    if share.value.is_nan() {
        return "-".into();
    }
    let percent = share.value * 100.0;
    let reach = reach(share.value, share.interval(CONFIDENCE)) * 100.0;
    let digits = |x: f64| match x {
        x if x <= 0.0 || x >= 10.0 => 0,
        x if x >= 0.1 => 1,
        x if x >= 0.01 => 2,
        _ => 3,
    };
    match reach {
        reach if reach > 0.0 => {
            let digits = digits(reach);
            format!("{percent:.digits$} % ± {reach:.digits$}")
        }
        _ => format!("{percent:.*} %", digits(percent.min(100.0 - percent))),
    }
}

/// A bar in eighths of a cell.
fn bar(share: f64) -> String {
    let eighths = (share.clamp(0.0, 1.0) * BAR * 8.0).round() as usize;
    let rest = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths % 8];
    let bar = "█".repeat(eighths / 8) + rest;
    // What is there is seen.
    if bar.is_empty() && share > 0.0 { "▏".into() } else { bar }
}

impl Tenured {
    fn write(&self, f: &mut fmt::Formatter<'_>, name: &str, ages: &str, reached: &str) -> fmt::Result {
        let (live, n) = (with_error(self.live.bytes(), bytes), blocks(&self.live));
        writeln!(f, "{name:<9}  {ages:>13}  {live:>22}  {n:>22}  {reached:>22}")
    }
}

impl LifeBand {
    fn ages(&self) -> String {
        match self.until {
            Some(until) if until == self.from + 1 => format!("{}", self.from),
            Some(until) => format!("{} to {}", self.from, until - 1),
            None => format!("from {}", self.from),
        }
    }
}

impl fmt::Display for Tenuring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_exact = self.young.reached.blocks().is_exact();
        let meaning = if is_exact { "" } else { "; ±: 95 % interval" };
        writeln!(f, "Tenuring at epoch {}; {}{meaning}.", self.epoch, method(self.mode))?;
        match self.epoch < self.middle.from {
            true => writeln!(
                f,
                "It is too early to say how many blocks die young: that takes {} epochs.",
                self.middle.from
            )?,
            false => {
                let (blocks, bytes) = (share(&self.die_young), share(&self.bytes_die_young));
                writeln!(f, "{blocks} of all blocks die young, and {bytes} of all bytes.")?;
            }
        }
        let unknown = self.died_at_unknown_age;
        if unknown.blocks > 0.0 {
            let n = blocks(&unknown);
            writeln!(f, "Left out: {n} blocks whose age was not counted when they died; memory was out.")?;
        }
        writeln!(
            f,
            "\n{:<9}  {:>13}  {:>22}  {:>22}  {:>22}",
            "", "age in epochs", "live bytes", "live blocks", "blocks promoted to it"
        )?;
        for generation in Generation::ALL {
            let all = self.generation(generation);
            let (ages, reached) = match generation {
                Generation::Young => (format!("below {}", self.middle.from), String::new()),
                Generation::Middle => (format!("below {}", self.old.from), blocks(&all.reached)),
                Generation::Old => (format!("from {}", all.from), blocks(&all.reached)),
            };
            all.write(f, generation.name(), &ages, &reached)?;
        }
        if self.permanent.samples > 0 {
            Tenured { live: self.permanent, ..Tenured::default() }.write(f, "permanent", "", "")?;
        }
        writeln!(
            f,
            "\n{:>13}  {:>21}  {:>21}  {:>16}",
            "age in epochs", "blocks that died", "still living", "come to it"
        )?;
        for band in &self.ages {
            writeln!(
                f,
                "{:>13}  {:>21}  {:>21}  {:>16}  {}",
                band.ages(),
                blocks(&band.died),
                blocks(&band.living),
                share(&band.come_to_it),
                bar(band.come_to_it.value)
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for TenuringGroups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_exact = self.iter().all(|g| g.tenuring.young.reached.blocks().is_exact());
        let meaning = if is_exact { "" } else { "; ±: 95 % interval" };
        writeln!(f, "{}{meaning}. Bytes live now; shares of them by generation.", method(self.mode()))?;
        writeln!(
            f,
            "\n{:>10} {:>6} {:>6} {:>6}  {:>16}  {:>16}  {}",
            "bytes",
            "young",
            "middle",
            "old",
            "blocks die young",
            "promoted to old",
            what(self.by())
        )?;
        let all = f.alternate() || self.is_chosen();
        let shown = if all { self.len() } else { self.len().min(ROWS) };
        for group in &self[..shown] {
            let t = &group.tenuring;
            let live = t.live().bytes;
            let part = |sum: &Sum| match live > 0.0 {
                true => format!("{:.0} %", sum.bytes * 100.0 / live),
                false => "-".into(),
            };
            write!(
                f,
                "{:>10} {:>6} {:>6} {:>6}  {:>16}  {:>16}",
                bytes(live),
                part(&t.young.live),
                part(&t.middle.live),
                part(&t.old.live),
                share(&t.die_young),
                blocks(&t.old.reached)
            )?;
            name_and_place(f, 67, &group.name, &group.location)?;
        }
        let rest: Sum = self[shown..].iter().map(|g| g.tenuring.live()).sum::<Sum>() + self.others().1;
        match self.len() - shown + self.others().0 {
            0 => (),
            others => writeln!(f, "{:>10}  in {others} others", bytes(rest.bytes))?,
        }
        notes(f, self.notes())
    }
}
