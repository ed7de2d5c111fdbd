//! How long requests took, by route, in a bounded number of counters.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Counters for each doubling of the time: a time is told to 3 %.
const STEPS: usize = 32;
/// From a microsecond to more than an hour.
const COUNTERS: usize = 32 * STEPS;

/// Of one route.
#[derive(Clone)]
pub(crate) struct Latency {
    counts: Vec<u64>,
    all: u64,
    errors: u64,
    /// Told to come back: no error.
    busy: u64,
    max: Duration,
}

impl Default for Latency {
    fn default() -> Latency {
        Latency { counts: vec![0; COUNTERS], all: 0, errors: 0, busy: 0, max: Duration::ZERO }
    }
}

fn counter(time: Duration) -> usize {
    let micros = (time.as_micros() as u64).max(1);
    let power = micros.ilog2() as usize;
    let step = ((micros - (1 << power)) as usize * STEPS) >> power;
    (power * STEPS + step).min(COUNTERS - 1)
}

/// Where a counter ends.
fn end(counter: usize) -> Duration {
    let (power, step) = (counter / STEPS, counter % STEPS);
    Duration::from_micros((1 << power) + (((step as u64 + 1) << power) / STEPS as u64))
}

impl Latency {
    pub(crate) fn add(&mut self, time: Duration, status: u16) {
        self.counts[counter(time)] += 1;
        self.all += 1;
        self.busy += u64::from(matches!(status, 429 | 503));
        self.errors += u64::from(!matches!(status, 200..=299 | 429 | 503));
        self.max = self.max.max(time);
    }

    fn merge(&mut self, other: &Latency) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(sum, count)| *sum += count);
        (self.all, self.errors, self.busy) = (self.all + other.all, self.errors + other.errors, self.busy + other.busy);
        self.max = self.max.max(other.max);
    }

    /// This part of the requests took no longer.
    fn quantile(&self, part: f64) -> Duration {
        let (mut left, wanted) = (0, (self.all as f64 * part).ceil() as u64);
        let at = self.counts.iter().position(|count| {
            left += count;
            left >= wanted
        });
        at.map_or(self.max, end).min(self.max)
    }
}

/// Of all routes. Prints as a table.
#[derive(Clone, Default)]
pub(crate) struct Latencies(BTreeMap<&'static str, Latency>);

impl Latencies {
    pub(crate) fn add(&mut self, route: &'static str, time: Duration, status: u16) {
        self.0.entry(route).or_default().add(time, status);
    }

    pub(crate) fn merge(&mut self, other: &Latencies) {
        other.0.iter().for_each(|(route, latency)| self.0.entry(route).or_default().merge(latency));
    }

    /// The table, of requests in so much time.
    pub(crate) fn table(&self, time: Duration) -> impl fmt::Display {
        fmt::from_fn(move |f| {
            writeln!(
                f,
                "{:<16} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>7} {:>6}",
                "route", "requests", "per s", "p50 ms", "p90 ms", "p99 ms", "max ms", "errors", "busy"
            )?;
            let mut all = Latency::default();
            self.0.values().for_each(|latency| all.merge(latency));
            for (route, latency) in self.0.iter().map(|(&route, latency)| (route, latency)).chain([("all", &all)]) {
                let per_second = latency.all as f64 / time.as_secs_f64();
                write!(f, "{route:<16} {:>9} {per_second:>9.1}", latency.all)?;
                for time in [0.5, 0.9, 0.99].map(|part| latency.quantile(part)).into_iter().chain([latency.max]) {
                    write!(f, " {:>9.3}", time.as_secs_f64() * 1e3)?;
                }
                writeln!(f, " {:>7} {:>6}", latency.errors, latency.busy)?;
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_right_to_a_few_percent() {
        let mut latency = Latency::default();
        (1..=10_000).for_each(|n| latency.add(Duration::from_micros(n * 7), 200));
        for part in [0.01, 0.5, 0.9, 0.99, 1.0] {
            let (told, right) = (latency.quantile(part).as_secs_f64(), part * 0.07);
            assert!((right..right * 1.04).contains(&told), "{part}: {told} for {right}");
        }
        latency.add(Duration::from_secs(4000), 500);
        assert_eq!((latency.quantile(1.0), latency.errors), (Duration::from_secs(4000), 1));
    }
}
