//! What the allocator held at each step, side by side.

use crate::text::{bytes, count, percent, print};
use std::cmp::Reverse;
use std::time::{Duration, Instant};
use tenure::{ClassStats, Stats};

/// Rows of the list of size classes.
const ROWS: usize = 8;
/// The program idles for at least so long, and at most [`MOST`].
const LEAST: Duration = Duration::from_secs(1);
const MOST: Duration = Duration::from_secs(4);
/// When no more than this is due, what could go back has.
const REST: usize = 1 << 20;
/// When no more than this is due, the allocator starts no thread to give it back (see `Tenure::helper_thread`).
const NOT_WORTH_IT: usize = 4 << 20;

/// The statistics at several moments, each with its name.
pub(crate) struct Readings(Vec<(String, Stats)>);

/// Does nothing until the memory that was dropped has gone back to the system, and a second at least. Nothing is called
/// for it: the program sleeps, and looks. Returns when it was, if it was.
pub(crate) fn idle() -> Option<Duration> {
    let start = Instant::now();
    let most = if tenure::stats().due < NOT_WORTH_IT { LEAST } else { MOST };
    let mut returned = None;
    while start.elapsed() < LEAST || returned.is_none() && start.elapsed() < most {
        std::thread::sleep(Duration::from_millis(50));
        if returned.is_none() && tenure::stats().due <= REST {
            returned = Some(start.elapsed());
        }
    }
    returned
}

impl Readings {
    pub(crate) fn begin() -> Self {
        let mut readings = Readings(Vec::new());
        readings.take("at the start");
        readings
    }

    pub(crate) fn take(&mut self, name: &str) {
        self.0.push((name.to_string(), tenure::stats()));
    }

    /// `returned` is what [`idle`] saw.
    pub(crate) fn print(&self, returned: Option<Duration>) {
        print(format_args!("\n{:<28}", "memory: tenure::stats()"));
        self.0.iter().for_each(|(name, _)| print(format_args!("{name:>13}")));
        print(format_args!("\n"));
        self.row("live", |stats| bytes(stats.live));
        self.row("committed", |stats| bytes(stats.committed));
        self.row("  in magazines and depots", |stats| bytes(stats.in_magazines + stats.in_depots));
        self.row("  free, due to go back", |stats| bytes(stats.due));
        self.row("given back since the start", |stats| bytes(stats.purged));
        self.row("holes in pages in use", |stats| bytes(stats.holes));
        self.row("resident (the system says)", |stats| bytes(stats.resident));
        self.row("live blocks", |stats| count(stats.live_blocks));
        self.row("blocks allocated", |stats| count(stats.allocated_blocks));
        let [_, (name, held), (_, dropped), (_, idle)] = &*self.0 else { return };
        classes(name, held);
        let part = percent(held.resident.saturating_sub(idle.resident), held.resident);
        match returned.map(|after| after.as_secs_f64()) {
            Some(_) if dropped.due <= REST => print(format_args!("\nThis was too little to be worth giving back.\n")),
            Some(after) => print(format_args!(
                "\n{after:.1} s after the drop the free memory had gone back: {part:.0} % of what was resident. No call \
                 asked for it.\n"
            )),
            None if idle.due < NOT_WORTH_IT => print(format_args!(
                "\n{} stay for what comes next: below {} no thread starts to give memory back.\n",
                bytes(idle.due),
                bytes(NOT_WORTH_IT)
            )),
            None => print(format_args!("\n{} are still due to go back.\n", bytes(idle.due))),
        }
    }

    fn row(&self, name: &str, of: impl Fn(&Stats) -> String) {
        print(format_args!("{name:<28}"));
        self.0.iter().for_each(|(_, stats)| print(format_args!("{:>13}", of(stats))));
        print(format_args!("\n"));
    }
}

fn live(class: &ClassStats) -> u64 {
    class.live_blocks * class.block_size as u64
}

/// The size classes that hold most, and the rest in one line.
fn classes(name: &str, stats: &Stats) {
    let mut classes = stats.classes.to_vec();
    classes.retain(|class| class.pages > 0);
    classes.sort_by_key(|class| Reverse(live(class)));
    let (most, rest) = classes.split_at(ROWS.min(classes.len()));
    let line = |name: &str, columns: [&str; 4]| {
        print(format_args!("{name:<28}"));
        columns.iter().for_each(|text| print(format_args!("{text:>13}")));
        print(format_args!("\n"));
    };
    print(format_args!("\n"));
    line(&format!("{name}, by block size"), ["live", "live blocks", "pages", "fill"]);
    for class in most {
        let (name, fill) = (format!("{} bytes", class.block_size), format!("{:.0} %", class.fill() * 100.0));
        line(&name, [&bytes(live(class)), &count(class.live_blocks), &count(class.pages), &fill]);
    }
    let sum = |of: fn(&ClassStats) -> u64| rest.iter().map(of).sum::<u64>();
    let (held, blocks, pages) = (sum(live), sum(|class| class.live_blocks), sum(|class| class.pages as u64));
    line(&format!("{} other sizes", rest.len()), [&bytes(held), &count(blocks), &count(pages), ""]);
    let large = &stats.large;
    line("large blocks (above 64 KiB)", [&bytes(large.live), &count(large.live_blocks), "", ""]);
}
