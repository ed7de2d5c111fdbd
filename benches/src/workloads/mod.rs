//! What is measured. Each workload does a fixed amount of work, takes its own time around the part that counts,
//! and uses whatever global allocator its process has.

mod grow;
mod memory;
mod parallel;
mod programs;
mod small;
mod threads;

use std::path::PathBuf;
use std::time::Duration;

/// How much work to do, and on what.
#[derive(Debug, Default)]
pub struct Setting {
    /// A hundredth of the work or less: shows that everything runs, and measures nothing.
    pub smoke: bool,
    /// Operations for a [`Micro`], instead of its own number.
    pub ops: Option<usize>,
    /// What `syn` parses. All allocators of a run must get the same.
    pub files: Vec<PathBuf>,
}

impl Setting {
    /// `full`, or a fraction of it in a smoke run.
    fn scaled(&self, full: usize) -> usize {
        if self.smoke { full.div_ceil(200) } else { full }
    }

    /// How long to wait for memory to be given back.
    fn idle(&self) -> Duration {
        Duration::from_millis(if self.smoke { 50 } else { 2000 })
    }
}

/// What a run found.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Nanoseconds for each operation, or for each pass.
    pub ns: f64,
    /// KiB above the start, by phase, where the workload is about that.
    pub rss: Vec<(&'static str, u64)>,
}

/// A workload that is one cheap operation many times over, so that a caller may say how many times.
pub type Micro = fn(usize) -> Duration;

/// Either kind of workload's code.
#[derive(Clone, Copy, Debug)]
pub enum Code {
    /// The function, and the number of operations of one run.
    Micro(Micro, usize),
    /// The function, which decides itself how much to do.
    Whole(fn(&Setting) -> Outcome),
}

/// A row of the table.
#[derive(Debug)]
pub struct Workload {
    /// Its name in commands and tables.
    pub name: &'static str,
    /// The unit that its time is read in: nanoseconds in one of it, and its name.
    pub unit: (f64, &'static str),
    /// Its code.
    pub code: Code,
    /// Whether its time and its peak are compared, or only what it says about resident memory.
    pub timed: bool,
}

const NS: (f64, &str) = (1.0, "ns");
const US: (f64, &str) = (1e3, "µs");
const MS: (f64, &str) = (1e6, "ms");

const fn micro(name: &'static str, code: Micro, ops: usize) -> Workload {
    Workload { name, unit: NS, code: Code::Micro(code, ops), timed: true }
}

const fn whole(name: &'static str, unit: (f64, &'static str), code: fn(&Setting) -> Outcome) -> Workload {
    Workload { name, unit, code: Code::Whole(code), timed: true }
}

const fn resident(name: &'static str, code: fn(&Setting) -> Outcome) -> Workload {
    Workload { name, unit: MS, code: Code::Whole(code), timed: false }
}

/// Every row, in the order of the table. The numbers of operations make a run last a quarter of a second or so.
pub const WORKLOADS: &[Workload] = &[
    micro("pair32", small::pair32, 20_000_000),
    micro("lifo64", small::lifo64, 20_000_000),
    micro("mixed-1", small::mixed::<1>, 10_000_000),
    micro("mixed-2", small::mixed::<2>, 10_000_000),
    micro("mixed-8", small::mixed::<8>, 10_000_000),
    micro("larson", threads::larson, 8_000_000),
    micro("prodcons", threads::prodcons, 3_000_000),
    micro("churn64", threads::churn64, 2_000_000),
    whole("large", US, grow::large),
    whole("vec-u8", MS, grow::vec_u8),
    whole("vec-u64", MS, grow::vec_u64),
    micro("vec-small", grow::vec_small, 1_500_000),
    whole("json", MS, programs::json),
    whole("btree", MS, programs::btree),
    whole("hashmap", MS, programs::hashmap),
    whole("syn", MS, programs::syn),
    whole("fragment", MS, memory::fragment),
    resident("idle8", memory::idle8),
    resident("empty", memory::empty),
];

/// `pair32` without the allocator: what the loop itself costs. Not a row; the instruction counts need it.
pub const LOOP: Workload = micro("loop", small::bare_loop, 1_000_000);

/// `syn` once more after a first pass: every call stack has been seen. Not a row of the table of allocators.
pub const SYN_WARM: Workload = whole("syn-warm", MS, programs::syn_warm);

impl Workload {
    /// The workload of that name.
    pub fn named(name: &str) -> Option<&'static Self> {
        WORKLOADS.iter().chain([&LOOP, &SYN_WARM]).find(|workload| workload.name == name)
    }

    /// Runs it here and now.
    pub fn run(&self, setting: &Setting) -> Outcome {
        match self.code {
            Code::Micro(code, ops) => {
                let ops = setting.ops.unwrap_or(setting.scaled(ops));
                Outcome { ns: code(ops).as_nanos() as f64 / ops as f64, rss: Vec::new() }
            }
            Code::Whole(code) => code(setting),
        }
    }
}
