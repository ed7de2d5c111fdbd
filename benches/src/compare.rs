//! Medians, and the ratio to the best peer.
//!
//! The smallest of nine noisy medians is smaller than any of the nine really is. Whoever chooses the best peer
//! and compares with it in the same runs therefore compares with luck. Here the runs are split into two halves,
//! odd rounds and even rounds: one half chooses the peer, the other compares with it; then the other way round;
//! the ratio is the geometric mean of both. A single round leaves nothing to split, and chooses and compares in
//! one: good for seeing that all works.

use crate::allocators::SUBJECT;

/// One figure from one run of one worker.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// From 1 on.
    pub round: usize,
    /// The row.
    pub workload: String,
    /// The column.
    pub allocator: String,
    /// What the figure is: `time_ns`, `peak_kib`, `rss_fill_kib`, ...
    pub metric: String,
    /// The figure.
    pub value: f64,
}

/// Which rounds to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounds {
    /// Every one.
    All,
    /// The first, the third, ...
    Odd,
    /// The second, the fourth, ...
    Even,
}

impl Rounds {
    fn contain(self, round: usize) -> bool {
        match self {
            Self::All => true,
            Self::Odd => round % 2 == 1,
            Self::Even => round.is_multiple_of(2),
        }
    }
}

/// A comparison of the subject with peers chosen by a rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// The subject's figure divided by the peer's.
    pub ratio: f64,
    /// The peer that each half chose.
    pub peers: [String; 2],
}

/// The figures of all runs.
#[derive(Clone, Debug, Default)]
pub struct Results {
    /// In the order in which they were taken.
    pub samples: Vec<Sample>,
}

/// A peer is as good as the fastest if it takes at most this much longer: among those, the leanest is compared.
pub const NEARLY_BEST: f64 = 1.15;

impl Results {
    /// The figures of one cell.
    pub fn values(&self, workload: &str, allocator: &str, metric: &str, rounds: Rounds) -> Vec<f64> {
        self.samples
            .iter()
            .filter(|s| s.workload == workload && s.allocator == allocator && s.metric == metric)
            .filter(|s| rounds.contain(s.round))
            .map(|s| s.value)
            .collect()
    }

    /// Their median.
    pub fn median(&self, workload: &str, allocator: &str, metric: &str, rounds: Rounds) -> Option<f64> {
        median(self.values(workload, allocator, metric, rounds))
    }

    /// The names of the allocators that were run, in the order of `known`.
    pub fn allocators<'a>(&self, known: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
        known.filter(|name| self.samples.iter().any(|s| s.allocator == *name)).collect()
    }

    /// The names of the workloads that were run, in the order of `known`.
    pub fn workloads<'a>(&self, known: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
        known.filter(|name| self.samples.iter().any(|s| s.workload == *name)).collect()
    }

    /// The subject's time against the fastest of `peers`.
    pub fn time_against_best(&self, workload: &str, peers: &[&str]) -> Option<Comparison> {
        self.crossed(workload, "time_ns", |rounds| self.lowest(workload, "time_ns", peers, rounds))
    }

    /// The subject's peak RSS against the leanest of those `peers` that are nearly as fast as the fastest of them.
    pub fn peak_against_leanest(&self, workload: &str, peers: &[&str]) -> Option<Comparison> {
        self.crossed(workload, "peak_kib", |rounds| {
            let time = |peer: &str| self.median(workload, peer, "time_ns", rounds);
            let limit = NEARLY_BEST * time(self.lowest(workload, "time_ns", peers, rounds)?)?;
            let fast: Vec<&str> =
                peers.iter().copied().filter(|peer| time(peer).is_some_and(|time| time <= limit)).collect();
            self.lowest(workload, "peak_kib", &fast, rounds)
        })
    }

    /// The subject's figure against the lowest one of `peers`.
    pub fn against_lowest(&self, workload: &str, metric: &str, peers: &[&str]) -> Option<Comparison> {
        self.crossed(workload, metric, |rounds| self.lowest(workload, metric, peers, rounds))
    }

    fn lowest<'a>(&self, workload: &str, metric: &str, peers: &[&'a str], rounds: Rounds) -> Option<&'a str> {
        let figures = peers.iter().filter_map(|peer| Some((*peer, self.median(workload, peer, metric, rounds)?)));
        figures.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(peer, _)| peer)
    }

    /// `choose` in one half, compare in the other, both ways.
    fn crossed<'a>(
        &self,
        workload: &str,
        metric: &str,
        choose: impl Fn(Rounds) -> Option<&'a str>,
    ) -> Option<Comparison> {
        let ratio = |peer: &str, rounds| {
            Some(self.median(workload, SUBJECT, metric, rounds)? / self.median(workload, peer, metric, rounds)?)
        };
        let both = |choosing, comparing| {
            let peer = choose(choosing)?;
            Some((peer.to_owned(), ratio(peer, comparing)?))
        };
        match (both(Rounds::Odd, Rounds::Even), both(Rounds::Even, Rounds::Odd)) {
            (Some((first, a)), Some((second, b))) => Some(Comparison { ratio: (a * b).sqrt(), peers: [first, second] }),
            _ => {
                let (peer, ratio) = both(Rounds::All, Rounds::All)?;
                Some(Comparison { ratio, peers: [peer.clone(), peer] })
            }
        }
    }
}

/// The middle of the values; the mean of the two in the middle if their number is even.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = values.get(values.len() / 2)?;
    let lower = values[(values.len() - 1) / 2];
    Some(f64::midpoint(lower, *upper))
}

/// The median, between the order statistics that hold the true one with 95 % probability at least.
///
/// This follows from the values' order alone (the binomial distribution of how many lie below the median): no assumption
/// about the noise.
pub fn interval(mut values: Vec<f64>) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    let n = values.len();
    // P(fewer than k of n lie below the median), for a binomial distribution with p = 1/2.
    let (mut k, mut below, mut term) = (0, 0.0, 0.5f64.powi(n as i32));
    while k < n / 2 && below + term <= 0.025 {
        below += term;
        k += 1;
        term = term * (n - k + 1) as f64 / k as f64;
    }
    let middle = median(values.clone()).unwrap_or(f64::NAN);
    (values[k.saturating_sub(1)], middle, values[n - k.max(1)])
}

/// The geometric mean; none of nothing.
pub fn geometric_mean(values: &[f64]) -> Option<f64> {
    let logs: f64 = values.iter().map(|value| value.ln()).sum();
    (!values.is_empty()).then(|| (logs / values.len() as f64).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(cells: &[(&str, &str, &[f64])]) -> Results {
        let sample = |allocator: &str, metric: &str, i: usize, value: f64| Sample {
            round: i + 1,
            workload: "row".into(),
            allocator: allocator.into(),
            metric: metric.into(),
            value,
        };
        let samples = cells.iter().flat_map(|(allocator, metric, values)| {
            values.iter().enumerate().map(move |(i, value)| sample(allocator, metric, i, *value))
        });
        Results { samples: samples.collect() }
    }

    #[test]
    fn medians() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn the_interval_of_thirty() {
        // The 10th and the 21st of 30: the table in every textbook.
        let (low, middle, high) = interval((1..=30).rev().map(f64::from).collect());
        assert_eq!((low, middle, high), (10.0, 15.5, 21.0));
    }

    #[test]
    fn one_value_is_its_own_interval() {
        assert_eq!(interval(vec![2.0]), (2.0, 2.0, 2.0));
    }

    #[test]
    fn geometric_means() {
        assert_eq!(geometric_mean(&[]), None);
        assert!((geometric_mean(&[0.5, 2.0]).expect("two values") - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_lucky_half_chooses_but_does_not_compare() {
        // Each peer is lucky in one half. Chosen and compared in one, both would look like 1; really they take 2.
        let time = "time_ns";
        let results = results(&[("tenure", time, &[2.0, 2.0]), ("a", time, &[1.0, 2.0]), ("b", time, &[2.0, 1.0])]);
        let found = results.time_against_best("row", &["a", "b"]).expect("all ran");
        assert_eq!(found, Comparison { ratio: 1.0, peers: ["a".into(), "b".into()] });
    }

    #[test]
    fn one_round_chooses_and_compares() {
        let results = results(&[("tenure", "time_ns", &[3.0]), ("a", "time_ns", &[2.0]), ("b", "time_ns", &[4.0])]);
        let found = results.time_against_best("row", &["a", "b"]).expect("all ran");
        assert_eq!(found, Comparison { ratio: 1.5, peers: ["a".into(), "a".into()] });
    }

    #[test]
    fn a_lean_peer_counts_only_if_it_is_fast() {
        let results = results(&[
            ("tenure", "time_ns", &[1.0]),
            ("tenure", "peak_kib", &[300.0]),
            ("fast", "time_ns", &[1.0]),
            ("fast", "peak_kib", &[400.0]),
            ("nearly", "time_ns", &[1.14]),
            ("nearly", "peak_kib", &[200.0]),
            ("slow", "time_ns", &[1.2]),
            ("slow", "peak_kib", &[100.0]),
        ]);
        let found = results.peak_against_leanest("row", &["fast", "nearly", "slow"]).expect("all ran");
        assert_eq!(found.peers[0], "nearly");
        assert_eq!(found.ratio, 1.5);
    }

    #[test]
    fn what_did_not_run_is_not_compared() {
        assert_eq!(results(&[("tenure", "time_ns", &[1.0])]).time_against_best("row", &["a"]), None);
    }
}
