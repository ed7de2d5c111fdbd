//! What samples say against what is true.

use crate::snapshot::testing::{Made, Random, Table};
use crate::snapshot::{By, Estimate, Sum};
use crate::track::Live;
use crate::track::rate::Rate;

const SEEDS: u64 = 2_000;

/// Blocks of one size class, and the sizes that were requested.
struct Class {
    block_size: u64,
    requested: Vec<u64>,
}

/// `n` sizes of a Pareto distribution from 16 bytes to 4 MiB, in classes; the smaller `alpha`, the more skewed.
fn population(n: usize, alpha: f64) -> Vec<Class> {
    let mut random = Random(42);
    let mut classes: Vec<Class> = Vec::new();
    for _ in 0..n {
        let requested = (16.0 * random.uniform().powf(-1.0 / alpha)).min(4e6) as u64;
        let step = (requested.next_power_of_two() / 16).max(8);
        let block_size = requested.next_multiple_of(step);
        match classes.iter_mut().find(|c| c.block_size == block_size) {
            Some(class) => class.requested.push(requested),
            None => classes.push(Class { block_size, requested: vec![requested] }),
        }
    }
    classes
}

/// Each block is a trial for itself; the next sample is found in one step.
fn sample(classes: &[Class], rate: Rate, random: &mut Random) -> Sum {
    let mut sum = Sum::default();
    for class in classes {
        let p = rate.probability(class.block_size);
        let mut next = 0.0;
        loop {
            next += if p < 1.0 { (random.uniform().ln() / (1.0 - p).ln()).floor() } else { 0.0 };
            let Some(&requested) = class.requested.get(next as usize) else { break };
            sum += Sum::of(requested, p);
            next += 1.0;
        }
    }
    sum
}

#[derive(Default)]
pub(super) struct Figures {
    sum: f64,
    square: f64,
    error: f64,
    covered: u64,
    seeds: u64,
}

impl Figures {
    fn add(&mut self, e: Estimate, truth: f64) {
        self.count(e.value, e.standard_error, e.interval(0.95), truth);
    }

    pub(super) fn count(&mut self, value: f64, error: f64, (low, high): (f64, f64), truth: f64) {
        self.sum += value / truth;
        self.square += (value / truth).powi(2);
        self.error += error.powi(2) / truth.powi(2);
        self.covered += u64::from(low <= truth && truth <= high);
        self.seeds += 1;
    }

    /// The standard error of the bias.
    pub(super) fn spread(&self) -> f64 {
        let (n, mean) = (self.seeds as f64, self.sum / self.seeds as f64);
        ((self.square / n - mean * mean).max(0.0) / n).sqrt()
    }

    /// Bias, share of the truth within the interval, and what is said of the variance over what it is.
    pub(super) fn read(&self) -> (f64, f64, f64) {
        let n = self.seeds as f64;
        let mean = self.sum / n;
        (mean - 1.0, self.covered as f64 / n, self.error / n / (self.square / n - mean * mean))
    }
}

/// Bytes and blocks over all seeds with a sample, and the mean number of samples. `aim`: about how many there will be.
fn run(classes: &[Class], aim: u64) -> (Figures, Figures, f64) {
    let (mut bytes, mut blocks, mut samples) = (Figures::default(), Figures::default(), 0);
    let all = || classes.iter().flat_map(|c| &c.requested);
    let (true_bytes, true_blocks) = (all().sum::<u64>(), all().count());
    for seed in 0..SEEDS {
        let sum = sample(classes, Rate::sampled(true_bytes / aim), &mut Random(seed * 7919 + 1));
        samples += sum.samples;
        // What has no sample is in no report.
        if sum.samples > 0 {
            bytes.add(sum.bytes(), true_bytes as f64);
            blocks.add(sum.blocks(), true_blocks as f64);
        }
    }
    (bytes, blocks, samples as f64 / SEEDS as f64)
}

/// How skewed sizes are, and from where on the counts of blocks are asserted too: what a count rests on most are the
/// smallest blocks, which are sampled least, so that with sizes over five orders of magnitude (0.7) it takes hundreds of
/// samples until they are seen.
const SKEWED: [(f64, u64); 4] = [(0.7, 1000), (1.0, 60), (1.2, 20), (2.0, 10)];

#[test]
fn from_thirty_samples_on_estimates_are_unbiased_and_cover_what_they_say() {
    for (alpha, blocks_from) in SKEWED {
        let classes = population(40_000, alpha);
        for aim in [60, 100, 300, 1000] {
            let (bytes, blocks, samples) = run(&classes, aim);
            assert!(samples >= 30.0);
            for (what, figures) in [("bytes", Some(bytes)), ("blocks", (aim >= blocks_from).then_some(blocks))] {
                let Some(figures) = figures else { continue };
                let (bias, covered, variance) = figures.read();
                let said = format!("{what}, {alpha}, {samples} samples: {bias:.4} {covered:.4} {variance:.3}");
                assert!(bias.abs() <= 0.02, "bias: {said}");
                assert!((0.93..=0.97).contains(&covered), "coverage: {said}");
                assert!((0.9..=1.1).contains(&variance), "variance: {said}");
            }
        }
    }
}

#[test]
fn one_large_block_has_narrow_limits() {
    // It was a sample almost surely. As a Poisson count this is 40 thousand million, whose limits would take seconds.
    let one = Estimate { value: 8e5, standard_error: 4.0, samples: 1 };
    let (low, high) = one.interval(0.95);
    assert!((low - (8e5 - 7.84)).abs() < 0.01 && (high - (8e5 + 7.84)).abs() < 0.01, "{low} {high}");
    // Below, the limits of a Poisson count, as printed in tables: it is not as good as normally distributed.
    let (low, high) = Estimate { value: 100.0, standard_error: 10.0, samples: 1 }.interval(0.95);
    assert!((low - 81.364).abs() < 0.001 && (high - 121.627).abs() < 0.001, "{low} {high}");
    // The two ways meet where one takes over.
    let [below, above] =
        [999.0, 1001.0].map(|n: f64| Estimate { value: n, standard_error: n.sqrt(), samples: 1 }.interval(0.95));
    assert!((above.0 - below.0).abs() < 4.0 && (above.1 - below.1).abs() < 4.0, "{below:?} {above:?}");
}

#[test]
fn below_thirty_samples_the_interval_covers_at_least_what_it_says() {
    for (alpha, blocks_from) in SKEWED {
        let classes = population(40_000, alpha);
        for aim in [2, 5, 10, 20] {
            let (bytes, blocks, samples) = run(&classes, aim);
            assert!(samples < 30.0);
            let (_, covered, _) = bytes.read();
            assert!(covered >= 0.93, "bytes, {alpha}, {samples} samples: {covered}");
            let (_, covered, _) = blocks.read();
            assert!(aim < blocks_from || covered >= 0.93, "blocks, {alpha}, {samples} samples: {covered}");
        }
    }
}

#[test]
fn a_large_block_is_certain_and_a_tracked_one_exact() {
    let rate = Rate::sampled(512 << 10);
    let large = Sum::of(64 << 20, rate.probability(64 << 20));
    let (low, high) = large.bytes().interval(0.95);
    assert!(low > 0.999_999 * large.bytes && high < 1.000_001 * large.bytes, "{low} {high}");
    let exact: Sum = (1..=1000).map(|n| Sum::of(n, 1.0)).sum();
    assert!((exact.blocks, exact.bytes, exact.samples) == (1000.0, 500_500.0, 1000));
    assert!(exact.bytes().is_exact() && exact.bytes().interval(0.95) == (500_500.0, 500_500.0));
}

#[test]
fn equal_weights_have_garwoods_limits() {
    // Three blocks of 64 bytes, one in 8192 tracked.
    let weight = 8192.0;
    let e = Estimate { value: 3.0 * weight, standard_error: 3f64.sqrt() * weight, samples: 3 };
    let (low, high) = e.interval(0.95);
    assert!((low / weight - 0.618_672).abs() < 1e-5 && (high / weight - 8.767_273).abs() < 1e-5, "{low} {high}");
}

/// Blocks of the earlier snapshot die or live on, others are born: how far off the difference is must be what it says.
#[test]
fn a_difference_knows_which_samples_it_has_twice() {
    let rate = Rate::sampled(4096);
    let block = |requested: u64, epoch: u64| Live { site: 2, tag: 0, rate, requested, block_size: requested, epoch };
    // Of 4,000 blocks one in ten dies, and 300 are born after the earlier snapshot's epoch.
    let (truth, mut squares, mut said, mut naive) = (-400.0 + 300.0, 0.0, 0.0, 0.0);
    for seed in 0..SEEDS {
        let mut random = Random(seed * 31 + 7);
        let (mut earlier, mut later) = (Made::default(), Made::default());
        (earlier.stats.epoch, later.stats.epoch) = (5, 9);
        for i in 0..4300 {
            if random.uniform() <= rate.probability(64 * (i % 3 + 1)) {
                let (old, dead) = (i < 4000, i % 10 == 0);
                let block = block(64 * (i % 3 + 1), if old { i % 5 } else { 6 + i % 3 });
                earlier.blocks.extend(old.then_some(block));
                later.blocks.extend((!old || !dead).then_some(block));
            }
        }
        let (earlier, later) = (earlier.snapshot(), later.snapshot());
        let diff = later.diff(&earlier, By::Function, &mut Table::default());
        squares += (diff.total().blocks.value - truth).powi(2);
        said += diff.total().blocks.standard_error.powi(2);
        naive += earlier.tracked().blocks_variance + later.tracked().blocks_variance;
    }
    assert!((0.9..=1.1).contains(&(said / squares)), "{said} {squares}");
    assert!(naive > 5.0 * said, "errors that are only added are many times as large: {naive} {said}");
}
