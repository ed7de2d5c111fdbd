//! Assertions: what code may allocate, hold at most, and leave behind.

use super::measure::{Measured, measure};
use super::report::{self, Column, number};
use super::{Count, Site};
use crate::reading::untracked;
use crate::snapshot::{Filter, Names};
use crate::symbols::Symbols;
use std::fmt::Write;

/// What code may allocate. What is not limited is allowed.
///
/// ```
/// # #[global_allocator]
/// # static ALLOC: tenure::Tenure = tenure::Tenure::new();
/// use tenure::testing::Limits;
///
/// let limits = Limits::new().blocks(2).peak_bytes(4096).no_leak();
/// let sum: u64 = limits.check(|| (0..100).collect::<Vec<u64>>().iter().sum());
/// assert_eq!(sum, 4950);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Limits {
    blocks: Option<u64>,
    bytes: Option<u64>,
    live_blocks: Option<u64>,
    live_bytes: Option<u64>,
    peak_bytes: Option<u64>,
    ignored: Option<Filter>,
}

impl Limits {
    /// None.
    pub fn new() -> Limits {
        Limits::default()
    }

    /// At most so many blocks may be allocated: blocks that are freed again, too.
    pub fn blocks(mut self, most: u64) -> Limits {
        self.blocks = Some(most);
        self
    }

    /// At most so many bytes may be allocated: those that are freed again, too.
    pub fn bytes(mut self, most: u64) -> Limits {
        self.bytes = Some(most);
        self
    }

    /// At most so many blocks may still be held at the end, what the code returns included.
    pub fn live_blocks(mut self, most: u64) -> Limits {
        self.live_blocks = Some(most);
        self
    }

    /// At most so many bytes may still be held at the end, what the code returns included.
    pub fn live_bytes(mut self, most: u64) -> Limits {
        self.live_bytes = Some(most);
        self
    }

    /// Nothing may still be held at the end, by what the code returns neither.
    pub fn no_leak(self) -> Limits {
        self.live_blocks(0).live_bytes(0)
    }

    /// At most so many bytes may be held at once.
    pub fn peak_bytes(mut self, most: u64) -> Limits {
        self.peak_bytes = Some(most);
        self
    }

    /// Leaves out call stacks with a frame that fits this glob: [`Filter`] says how it is matched. For what the standard
    /// library or others set up once, and keep. May be used several times.
    ///
    /// Of the peak is left out what these stacks held when all together held most: the others may have held more at another
    /// moment. Names are looked up only if a limit is exceeded with these stacks.
    ///
    /// ```
    /// # #[global_allocator]
    /// # static ALLOC: tenure::Tenure = tenure::Tenure::new();
    /// # use std::sync::OnceLock;
    /// static ROUTES: OnceLock<Vec<String>> = OnceLock::new();
    /// fn routes() -> &'static [String] {
    ///     ROUTES.get_or_init(|| vec!["/".to_string()])
    /// }
    /// # // Without names nothing fits.
    /// # if cfg!(not(feature = "symbols")) { return }
    /// tenure::testing::Limits::new().no_leak().ignore("*::routes").check(|| assert_eq!(routes().len(), 1));
    /// ```
    pub fn ignore(mut self, glob: &str) -> Limits {
        self.ignored = Some(self.ignored.unwrap_or_default().exclude(glob));
        self
    }

    /// Runs `f` as [`measure`] does, and returns what it returns.
    ///
    /// # Panics
    /// If a limit is exceeded, with a message that says which, and by which lines of code. And as `measure` does.
    #[track_caller]
    pub fn check<T>(&self, f: impl FnOnce() -> T) -> T {
        let measured = measure(f);
        self.verify(&measured);
        measured.value
    }

    /// The same for code that was measured.
    ///
    /// ```
    /// # #[global_allocator]
    /// # static ALLOC: tenure::Tenure = tenure::Tenure::new();
    /// use tenure::testing::{Limits, measure};
    ///
    /// let few = measure(|| vec![0u8; 10]);
    /// let many = measure(|| vec![0u8; 10_000]);
    /// Limits::new().blocks(1).verify(&few);
    /// Limits::new().blocks(few.allocated.blocks).verify(&many);
    /// ```
    ///
    /// # Panics
    /// If a limit is exceeded.
    #[track_caller]
    pub fn verify<T>(&self, measured: &Measured<T>) {
        if let Some(message) = untracked(|| self.violation(measured)) {
            panic!("{}", message.trim_end());
        }
    }

    fn violation<T>(&self, measured: &Measured<T>) -> Option<String> {
        let figures = Figures::of(measured);
        if !self.is_exceeded(&figures) {
            return None;
        }
        report::with_names(|names| self.message(measured, figures, names))
    }

    fn is_exceeded(&self, m: &Figures) -> bool {
        self.exceeded(m).next().is_some()
    }

    /// What is said of a limit that was passed; `None` if it was by what is ignored.
    fn message<T>(&self, measured: &Measured<T>, mut figures: Figures, names: &mut Symbols) -> Option<String> {
        let mut sites = measured.sites.clone();
        if let Some(ignored) = &self.ignored {
            sites.retain(|site| {
                let keep = ignored.keeps(&site.frames(names));
                if !keep {
                    figures.leave_out(site);
                }
                keep
            });
            names.finish();
            if !self.is_exceeded(&figures) {
                return None;
            }
        }
        let mut text = String::from("more memory than allowed\n");
        let mut columns: Vec<Column> = Vec::new();
        for (what, most, is, column) in self.exceeded(&figures) {
            let (unit, how) = what;
            _ = writeln!(text, "  {} {how}, at most {most} allowed", number(is, unit));
            if !columns.contains(&column) {
                columns.push(column);
            }
        }
        columns.iter().for_each(|&column| text += &report::sites(&sites, column, names));
        Some(text)
    }

    /// The limits that were exceeded: of what, how much is allowed, how much it is, and where to look.
    fn exceeded(&self, m: &Figures) -> impl Iterator<Item = ((&'static str, &'static str), u64, u64, Column)> {
        [
            (("block", "allocated"), self.blocks, m.allocated.blocks, Column::Allocated),
            (("byte", "allocated"), self.bytes, m.allocated.bytes, Column::Allocated),
            (("block", "still held at the end"), self.live_blocks, m.live.blocks, Column::Live),
            (("byte", "still held at the end"), self.live_bytes, m.live.bytes, Column::Live),
            (("byte", "held at the peak"), self.peak_bytes, m.peak_bytes, Column::AtPeak),
        ]
        .into_iter()
        .filter_map(|(what, most, is, column)| Some((what, most.filter(|&most| is > most)?, is, column)))
    }
}

/// What limits are about.
struct Figures {
    allocated: Count,
    live: Count,
    peak_bytes: u64,
}

impl Figures {
    fn of<T>(m: &Measured<T>) -> Figures {
        Figures { allocated: m.allocated, live: m.live, peak_bytes: m.peak.bytes }
    }

    fn leave_out(&mut self, site: &Site) {
        for (sum, part) in [(&mut self.allocated, site.allocated), (&mut self.live, site.live)] {
            *sum = Count { blocks: sum.blocks - part.blocks, bytes: sum.bytes - part.bytes };
        }
        self.peak_bytes -= site.at_peak.bytes;
    }
}

/// Runs `f`, which may not allocate. What it frees, and what it resizes in place, is not looked at.
///
/// ```
/// # #[global_allocator]
/// # static ALLOC: tenure::Tenure = tenure::Tenure::new();
/// let mut buffer = Vec::with_capacity(100);
/// tenure::testing::assert_no_alloc(|| buffer.extend(0..100));
/// ```
///
/// ```should_panic
/// # #[global_allocator]
/// # static ALLOC: tenure::Tenure = tenure::Tenure::new();
/// tenure::testing::assert_no_alloc(|| format!("{}", 1));
/// ```
///
/// # Panics
/// If it allocates; and as [`measure`] does.
#[track_caller]
pub fn assert_no_alloc<T>(f: impl FnOnce() -> T) -> T {
    Limits::new().blocks(0).check(f)
}

/// Runs `f`, which may allocate, but must not leave anything behind: in what it returns, in statics, or in leaked blocks.
///
/// ```
/// # #[global_allocator]
/// # static ALLOC: tenure::Tenure = tenure::Tenure::new();
/// let n = tenure::testing::assert_no_leak(|| "a,b,c".split(',').map(str::to_owned).collect::<Vec<_>>().len());
/// assert_eq!(n, 3);
/// ```
///
/// ```should_panic
/// # #[global_allocator]
/// # static ALLOC: tenure::Tenure = tenure::Tenure::new();
/// tenure::testing::assert_no_leak(|| std::mem::forget(vec![0; 10]));
/// ```
///
/// # Panics
/// If anything is left; and as [`measure`] does.
#[track_caller]
pub fn assert_no_leak<T>(f: impl FnOnce() -> T) -> T {
    Limits::new().no_leak().check(f)
}
