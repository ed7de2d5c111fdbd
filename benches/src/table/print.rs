//! The tables, as Markdown on standard output.

use crate::allocators::{self, ALLOCATORS, REFERENCE, SUBJECT};
use crate::compare::{Comparison, NEARLY_BEST, Results, Rounds, geometric_mean};
use crate::workloads::{WORKLOADS, Workload};

pub(super) fn all(header: &str, results: &Results) {
    let tables = Tables::new(results);
    println!("{header}");
    tables.times();
    tables.against_peers();
    tables.peaks();
    tables.fragmentation();
    tables.idle_and_empty();
    tables.ranges();
}

struct Tables<'a> {
    results: &'a Results,
    /// In the order of the columns.
    allocators: Vec<&'a str>,
    peers: Vec<&'a str>,
    /// The rows whose time and peak are compared.
    timed: Vec<&'static Workload>,
}

impl<'a> Tables<'a> {
    fn new(results: &'a Results) -> Self {
        let allocators = results.allocators(ALLOCATORS.iter().map(|allocator| allocator.name));
        let peers = allocators.iter().copied().filter(|name| *name != SUBJECT).collect();
        let run = results.workloads(WORKLOADS.iter().map(|workload| workload.name));
        let timed = WORKLOADS.iter().filter(|workload| workload.timed && run.contains(&workload.name)).collect();
        Self { results, allocators, peers, timed }
    }

    fn times(&self) {
        println!("### Time: medians, the best of each row in bold\n");
        self.best_marked(|workload| (workload.unit, "time_ns"));
    }

    /// One row for each timed workload, one column for each allocator.
    fn best_marked(&self, of: impl Fn(&Workload) -> ((f64, &'static str), &'static str)) {
        head("workload", &self.allocators);
        for workload in &self.timed {
            let ((divisor, unit), metric) = of(workload);
            let median = |name: &&str| self.results.median(workload.name, name, metric, Rounds::All);
            let medians: Vec<Option<f64>> = self.allocators.iter().map(median).collect();
            let best = medians.iter().flatten().copied().fold(f64::INFINITY, f64::min);
            let cells = medians.iter().map(|median| match median {
                Some(median) if *median == best => format!("**{}**", short(median / divisor)),
                Some(median) => short(median / divisor),
                None => "–".into(),
            });
            row(&format!("{}, {unit}", workload.name), cells);
        }
        println!();
    }

    fn against_peers(&self) {
        println!(
            "### Time of {SUBJECT} as a ratio: to the best peer (chosen in one half of the rounds, compared in the other, both ways), and to {REFERENCE}\n"
        );
        head("workload", &["to the best peer", "best peer", &format!("to {REFERENCE}")]);
        let mut best_ratios = Vec::new();
        let mut reference_ratios = Vec::new();
        for workload in &self.timed {
            let best = self.results.time_against_best(workload.name, &self.peers);
            let median = |name| self.results.median(workload.name, name, "time_ns", Rounds::All);
            let reference = median(SUBJECT).zip(median(REFERENCE)).map(|(ours, theirs)| ours / theirs);
            reference_ratios.extend(reference);
            row(workload.name, [ratio(best.as_ref()), peers(best.as_ref()), number(reference)]);
            best_ratios.extend(best.map(|best| (best.ratio, workload.name)));
        }
        row(
            "**geometric mean**",
            [number(mean(&best_ratios)), String::new(), number(geometric_mean(&reference_ratios))],
        );
        println!("\n{}.\n", worst(&best_ratios));
    }

    fn peaks(&self) {
        println!("### Peak RSS, MiB: medians\n");
        self.best_marked(|_| ((1024.0, "MiB"), "peak_kib"));
        println!(
            "### Peak RSS of {SUBJECT} as a ratio to the leanest peer within {NEARLY_BEST} of the fastest peer's time (chosen and compared in different halves)\n"
        );
        head("workload", &["ratio", "leanest peer"]);
        let mut ratios = Vec::new();
        for workload in &self.timed {
            let leanest = self.results.peak_against_leanest(workload.name, &self.peers);
            row(workload.name, [ratio(leanest.as_ref()), peers(leanest.as_ref())]);
            ratios.extend(leanest.map(|leanest| (leanest.ratio, workload.name)));
        }
        row("**geometric mean**", [number(mean(&ratios)), String::new()]);
        println!("\n{}.\n", worst(&ratios));
    }

    /// What a workload says about resident memory, in MiB: one row for each allocator, one column for each phase.
    fn resident(&self, workload: &str, phases: &[(&str, &str)]) {
        let titles: Vec<&str> = phases.iter().map(|(_, title)| *title).collect();
        head("allocator", &titles);
        for name in &self.allocators {
            let cell = |(phase, _): &(&str, &str)| {
                let metric = format!("rss_{phase}_kib");
                let median = self.results.median(workload, name, &metric, Rounds::All);
                median.map_or_else(|| "–".into(), |kib| format!("{:.1}", kib / 1024.0))
            };
            row(name, phases.iter().map(cell));
        }
        println!();
    }

    fn was_run(&self, workload: &str) -> bool {
        self.results.samples.iter().any(|sample| sample.workload == workload)
    }

    fn fragmentation(&self) {
        if !self.was_run("fragment") {
            return;
        }
        println!("### fragment: RSS above the start, MiB\n");
        let phases = [
            ("fill", "filled"),
            ("free90", "90 % freed"),
            ("refill", "refilled"),
            ("freed", "all freed"),
            ("idle", "two seconds later"),
        ];
        self.resident("fragment", &phases);
        let size_classed = |name: &&&str| allocators::named(name).is_some_and(|allocator| !allocator.coalesces);
        let peers_here: Vec<&str> = self.peers.iter().filter(size_classed).copied().collect();
        if let Some(best) = self.results.against_lowest("fragment", "rss_refill_kib", &peers_here) {
            println!(
                "After the refill, {SUBJECT} to the best size-classed peer ({}): {:.2}.\n",
                peers(Some(&best)),
                best.ratio
            );
        }
    }

    fn idle_and_empty(&self) {
        if self.was_run("idle8") {
            println!("### idle8: RSS above the start, MiB\n");
            self.resident(
                "idle8",
                &[("allocated", "allocated"), ("freed", "all freed"), ("idle", "two seconds later")],
            );
        }
        if !self.was_run("empty") {
            return;
        }
        println!("### empty: RSS of a program that does nothing, MiB\n");
        let rss = |name| self.results.median("empty", name, "rss_empty_kib", Rounds::All);
        head("allocator", &["RSS", "above the system allocator's"]);
        for name in &self.allocators {
            let above = rss(name).zip(rss("system")).map(|(ours, system)| (ours - system) / 1024.0);
            row(name, [number(rss(name).map(|kib| kib / 1024.0)), number(above)]);
        }
        println!();
    }

    fn ranges(&self) {
        println!("### Time: the fastest and the slowest run\n");
        head("workload", &self.allocators);
        for workload in &self.timed {
            let cell = |name: &&str| {
                let values = self.results.values(workload.name, name, "time_ns", Rounds::All);
                let low = values.iter().copied().fold(f64::INFINITY, f64::min) / workload.unit.0;
                let high = values.iter().copied().fold(0.0, f64::max) / workload.unit.0;
                if values.is_empty() { "–".into() } else { format!("{} to {}", short(low), short(high)) }
            };
            row(&format!("{}, {}", workload.name, workload.unit.1), self.allocators.iter().map(cell));
        }
        println!();
    }
}

fn head(first: &str, columns: &[&str]) {
    println!("| {first} | {} |", columns.join(" | "));
    println!("| --- |{}", " ---: |".repeat(columns.len()));
}

fn row(first: &str, cells: impl IntoIterator<Item = String>) {
    println!("| {first} | {} |", cells.into_iter().collect::<Vec<_>>().join(" | "));
}

/// Three digits, or all that stand before the point.
fn short(value: f64) -> String {
    let decimals = match value {
        v if v < 9.995 => 2,
        v if v < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "–".into(), |value| format!("{value:.2}"))
}

fn ratio(comparison: Option<&Comparison>) -> String {
    number(comparison.map(|comparison| comparison.ratio))
}

fn peers(comparison: Option<&Comparison>) -> String {
    match comparison.map(|comparison| &comparison.peers) {
        Some([first, second]) if first == second => first.clone(),
        Some([first, second]) => format!("{first}, {second}"),
        None => "–".into(),
    }
}

fn mean(ratios: &[(f64, &str)]) -> Option<f64> {
    geometric_mean(&ratios.iter().map(|(ratio, _)| *ratio).collect::<Vec<_>>())
}

fn worst(ratios: &[(f64, &str)]) -> String {
    let worst = ratios.iter().max_by(|a, b| a.0.total_cmp(&b.0));
    worst.map_or_else(|| "No row was compared".into(), |(ratio, row)| format!("Worst row: {row}, {ratio:.2}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits() {
        assert_eq!(short(3.456), "3.46");
        assert_eq!(short(9.996), "10.0");
        assert_eq!(short(99.96), "100");
        assert_eq!(short(1234.5), "1234");
    }
}
