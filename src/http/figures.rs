//! The program's own figures, beside the allocator's.

use serde::Serialize;

/// Where a program puts its figures when it is asked for them: see [`Endpoints::figures`](super::Endpoints::figures).
///
/// A figure `name` is `tenure_program_name` in `/metrics`. Names are of `a` to `z`, `0` to `9` and `_`, 1 to 64 characters, without an
/// ending that OpenMetrics keeps for itself (`_total`, `_info`, ...), and not `figures_left_out`. At most 100 are taken. A figure that comes twice is
/// summed, if it is of the same kind; what is wrong otherwise (a name, a value that is not finite) is left out, and
/// `/debug/tenure/figures?format=text` says why.
#[derive(Debug, Default)]
pub struct Figures {
    pub(super) all: Vec<Figure>,
    pub(super) notes: Vec<String>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Figure {
    pub(super) name: String,
    pub(super) help: String,
    pub(super) kind: FigureKind,
    pub(super) value: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum FigureKind {
    Gauge,
    Counter,
}

/// Behind it stands how many were left out.
const LEFT_OUT: &str = "figures_left_out";
const MOST: usize = 100;
const LONGEST_NAME: usize = 64;
const LONGEST_HELP: usize = 200;
/// What OpenMetrics puts behind names.
const ENDINGS: [&str; 8] = ["_total", "_created", "_info", "_count", "_sum", "_bucket", "_gcount", "_gsum"];

impl Figures {
    /// A figure that rises and falls. Allocates.
    pub fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.add(name, help, FigureKind::Gauge, value);
    }

    /// A figure that only rises, since the process began. Allocates.
    pub fn counter(&mut self, name: &str, help: &str, value: f64) {
        self.add(name, help, FigureKind::Counter, value);
    }

    fn add(&mut self, name: &str, help: &str, kind: FigureKind, value: f64) {
        if let Err(why) = self.try_add(name, help, kind, value)
            && self.notes.len() < MOST
        {
            let name: String = name.chars().take(LONGEST_NAME).collect();
            self.notes.push(format!("the figure {name:?} is left out: {why}"));
        }
    }

    /// What reads figures has panicked: what it gave before stays.
    pub(super) fn panicked(&mut self) {
        self.notes.push("a function that gives figures has panicked: what it said is on standard error".into());
    }

    fn try_add(&mut self, name: &str, help: &str, kind: FigureKind, value: f64) -> Result<(), &'static str> {
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(fits) {
            return Err("its name must be 1 to 64 characters of a to z, 0 to 9 and _");
        }
        if ENDINGS.iter().any(|ending| name.ends_with(ending)) {
            return Err("OpenMetrics keeps the ending of its name for itself: leave it out");
        }
        if name == LEFT_OUT {
            return Err("that name is taken, for how many are left out");
        }
        if !value.is_finite() {
            return Err("its value is not finite");
        }
        if kind == FigureKind::Counter && value < 0.0 {
            return Err("a counter is never negative: make it a gauge");
        }
        if let Some(known) = self.all.iter_mut().find(|known| known.name == name) {
            if known.kind != kind {
                return Err("there is a figure of that name and of another kind");
            }
            // A sum may leave what is finite.
            known.value = (known.value + value).clamp(f64::MIN, f64::MAX);
            return Ok(());
        }
        if self.all.len() == MOST {
            return Err("there are 100 already");
        }
        let help = help.chars().take(LONGEST_HELP).map(|c| if c.is_control() { ' ' } else { c }).collect();
        self.all.push(Figure { name: name.into(), help, kind, value });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_checked_and_summed() {
        let mut figures = Figures::default();
        figures.gauge("pool_bytes", "What the pool keeps.\nAll of it", 5.0);
        figures.gauge("pool_bytes", "", 2.5);
        figures.counter("reused", "Contexts reused.", 7.0);
        assert_eq!((figures.all.len(), figures.all[0].value), (2, 7.5));
        assert_eq!(figures.all[0].help, "What the pool keeps. All of it");
        assert!(figures.notes.is_empty());
        for (name, value) in [
            ("", 1.0),
            ("Pool", 1.0),
            ("a-b", 1.0),
            ("ä", 1.0),
            ("a\nb", 1.0),
            ("hits_total", 1.0),
            ("nan", f64::NAN),
            ("infinite", f64::INFINITY),
            (&"x".repeat(65), 1.0),
            ("reused", 1.0),
        ] {
            let before = figures.notes.len();
            figures.gauge(name, "", value);
            assert_eq!(figures.notes.len(), before + 1, "{name}");
        }
        figures.counter("falls", "", -1.0);
        assert!(figures.notes.iter().all(|note| !note.contains('\n')), "{:?}", figures.notes);
        assert_eq!((figures.all.len(), figures.notes.len()), (2, 11));
        (0..200).for_each(|i| figures.gauge(&format!("g{i}"), "", 1.0));
        assert_eq!(figures.all.len(), 100);
        let mut huge = Figures::default();
        (0..3).for_each(|_| huge.gauge("huge", "", f64::MAX));
        assert!(huge.all[0].value.is_finite());
    }
}
