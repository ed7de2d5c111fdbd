//! Simulated histories, for the tests: births, deaths and sampling of a site's blocks.
//!
//! Time goes in *intervals* between two old collections, of 64 epochs of 64 MiB. A block is old when it has lived for
//! one interval. Lifetimes are mixtures of exponential laws, or fixed; a heavy tail is a mixture over powers of two
//! (Feldmann and Whitt, 1998). Births are Poisson, and what is old at a collection follows exactly (an M/G/∞ queue):
//! of what was born an interval ago, so much survived; of what was old, so much died.
//!
//! Sampled, a block is seen with p = 1 - exp(-size / 512 KiB), and weighs 1/p. Thinned Poisson births are Poisson, so
//! only the blocks that are seen are simulated.

use super::Observation;

pub(super) const KIB: f64 = 1024.0;
pub(super) const MIB: f64 = 1024.0 * KIB;
/// Epochs of an ordinary interval, and what the process allocates in it.
const EPOCHS: f64 = 64.0;
pub(super) const VOLUME: f64 = EPOCHS * 64.0 * MIB;
const MEAN: f64 = 512.0 * KIB;
const MINUTE: f64 = 60e9;

/// splitmix64 (Steele, Lea and Flood, 2014).
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64, stream: u64) -> Random {
        let mut random = Random(seed.wrapping_mul(0xD134_2543_DE82_EF95) ^ stream.wrapping_mul(0x2545_F491_4F6C_DD1D));
        random.uniform();
        random
    }

    /// In (0, 1].
    pub(super) fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (((z ^ (z >> 31)) >> 11) + 1) as f64 / (1u64 << 53) as f64
    }

    pub(super) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// Log-uniform, for what spans decades.
    pub(super) fn decades(&mut self, low: f64, high: f64) -> f64 {
        low * (high / low).powf(self.uniform())
    }

    pub(super) fn normal(&mut self) -> f64 {
        (-2.0 * self.uniform().ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }

    fn poisson(&mut self, mean: f64) -> f64 {
        if mean <= 0.0 {
            return 0.0;
        }
        if mean < 30.0 {
            let (limit, mut product, mut n) = ((-mean).exp(), self.uniform(), 0.0);
            while product > limit {
                product *= self.uniform();
                n += 1.0;
            }
            return n;
        }
        // Cornish and Fisher's expansion, to the third moment.
        let z = self.normal();
        (mean + mean.sqrt() * z + (z * z - 1.0) / 6.0).round().max(0.0)
    }

    fn binomial(&mut self, n: f64, p: f64) -> f64 {
        if n < 30.0 {
            return (0..n as u32).filter(|_| self.uniform() <= p).count() as f64;
        }
        if n * p < 30.0 {
            return self.poisson(n * p).min(n);
        }
        if n * (1.0 - p) < 30.0 {
            return n - self.poisson(n * (1.0 - p)).min(n);
        }
        let (variance, z) = (n * p * (1.0 - p), self.normal());
        (n * p + variance.sqrt() * z + (z * z - 1.0) * (1.0 - 2.0 * p) / 6.0).round().clamp(0.0, n)
    }
}

/// What happens to the clock between two collections.
pub(super) struct Process {
    /// Epochs of an interval: 64 × (1 + up to so much).
    jitter: f64,
    /// The share of intervals in which the process sleeps for 2 to 100 times the interval.
    idle: f64,
    /// A daily cycle of the pace: so many intervals, ± so much, from a random moment on.
    period: f64,
    amplitude: f64,
    phase: f64,
    /// Lifetimes are in seconds, not in epochs, for one site in two.
    pub(super) timed: bool,
    pub(super) epoch: u64,
    pub(super) nanos: u64,
}

/// An interval, in ordinary ones.
#[derive(Clone, Copy)]
pub(super) struct Interval {
    epochs: f64,
    time: f64,
}

pub(super) const PROCESSES: [&str; 4] = ["regular", "irregular epochs", "idle at times", "daily cycle of the pace"];

impl Process {
    pub(super) fn new(kind: &str, random: &mut Random) -> Process {
        let mut process = Process {
            jitter: 0.0,
            idle: 0.0,
            period: 1.0,
            amplitude: 0.0,
            phase: random.uniform(),
            timed: false,
            epoch: 0,
            nanos: 1_700_000_000_000_000_000,
        };
        match kind {
            "regular" => (),
            "irregular epochs" => process.jitter = random.between(0.2, 1.0),
            "idle at times" => process.idle = random.decades(0.01, 0.1),
            "daily cycle of the pace" => {
                process.timed = true;
                (process.period, process.amplitude) = (random.between(60.0, 100.0), random.between(0.3, 0.8));
            }
            _ => panic!("{kind}"),
        }
        process
    }

    pub(super) fn step(&mut self, random: &mut Random, k: usize) -> Interval {
        let pace = 1.0 + self.amplitude * wave(k as f64 / self.period + self.phase);
        let epochs = (EPOCHS * (1.0 + self.jitter * random.uniform())).floor();
        let asleep = if random.uniform() <= self.idle { random.decades(2.0, 100.0) } else { 1.0 };
        let interval = Interval { epochs: epochs / EPOCHS, time: epochs / EPOCHS / pace * asleep };
        self.epoch += epochs as u64;
        self.nanos += (interval.time * MINUTE) as u64;
        interval
    }
}

fn wave(turns: f64) -> f64 {
    (std::f64::consts::TAU * turns).sin()
}

/// Blocks of one size, under one law of life.
#[derive(Clone)]
struct Part {
    /// Of the bytes that the site allocates.
    share: f64,
    size: f64,
    /// Mean lifetime, in intervals. Infinite: they stay.
    life: f64,
    /// All live for exactly that long.
    fixed: bool,
    /// In which intervals they are allocated.
    from: f64,
    until: f64,
    /// All are allocated in this share of the intervals.
    burst: f64,
    /// A cache: no more of them.
    most: f64,
    /// All are freed at once, every so many intervals (± 20 %).
    teeth: f64,
    next_tooth: f64,
    /// How many are old, and for fixed lives of each interval.
    old: f64,
    cohorts: Vec<f64>,
}

impl Part {
    fn new(share: f64, size: f64, life: f64) -> Part {
        let never = f64::INFINITY;
        let (from, until, most, teeth, next_tooth) = (0.0, never, never, never, never);
        let (fixed, burst, old, cohorts) = (false, 1.0, 0.0, Vec::new());
        Part { share, size, life, fixed, from, until, burst, most, teeth, next_tooth, old, cohorts }
    }

    /// How many are old after the next interval; `born`: bytes that the site allocated an interval ago.
    fn step(&mut self, random: &mut Random, k: f64, born: f64, length: f64, age: f64, seen: f64) -> f64 {
        let mut births = born * self.share / self.size * seen;
        if !(self.from..=self.until).contains(&k) {
            births = 0.0;
        }
        if self.burst < 1.0 {
            births *= if random.uniform() <= self.burst { 1.0 / self.burst } else { 0.0 };
        }
        if self.fixed {
            self.cohorts.push(random.poisson(births));
            let whole = self.life.ceil() as usize;
            self.cohorts.drain(..self.cohorts.len().saturating_sub(whole));
            if self.cohorts.len() == whole {
                self.cohorts[0] = random.binomial(self.cohorts[0], 1.0 - (whole as f64 - self.life));
            }
            self.old = self.cohorts.iter().sum();
        } else {
            let stays = (-length / self.life).exp();
            // Survive to be old, and from then to the interval's end.
            let lasts =
                if self.life.is_finite() { (-age / self.life).exp() * self.life / length * (1.0 - stays) } else { 1.0 };
            self.old = random.binomial(self.old, stays) + random.poisson(births * lasts);
        }
        self.old = self.old.min((self.most * seen).round());
        if k >= self.next_tooth {
            self.old = 0.0;
            self.next_tooth = k + self.teeth * random.between(0.8, 1.2);
        }
        self.old
    }
}

/// A call site, or a tag.
pub(super) struct Site {
    sampled: bool,
    timed: bool,
    /// Bytes in an ordinary interval.
    volume: f64,
    /// Its traffic: log-normal with a coefficient of variation, autocorrelated.
    variation: f64,
    memory: f64,
    state: f64,
    /// A daily cycle of its traffic.
    period: f64,
    amplitude: f64,
    phase: f64,
    /// Its traffic rises from 0 in so many intervals.
    starts: f64,
    parts: Vec<Part>,
    /// A random walk, of no mechanism: bytes.
    walk: f64,
    born: f64,
    allocated: f64,
    k: f64,
}

impl Site {
    fn new(sampled: bool, volume: f64, random: &mut Random) -> Site {
        Site {
            sampled,
            timed: false,
            volume,
            variation: random.between(0.0, 0.3),
            memory: random.between(0.0, 0.9),
            state: random.normal(),
            period: 1.0,
            amplitude: 0.0,
            phase: random.uniform(),
            starts: 0.0,
            parts: Vec::new(),
            walk: 0.0,
            born: 0.0,
            allocated: 0.0,
            k: 0.0,
        }
    }

    /// What lives for a while and then dies.
    fn with_churn(mut self, random: &mut Random, longest: f64) -> Site {
        for _ in 0..1 + (random.uniform() * 2.99) as usize {
            let (share, size) = (random.decades(0.001, 0.1), random.decades(32.0, 256.0 * KIB));
            self.parts.push(Part::new(share, size, random.decades(0.25, longest)));
        }
        self
    }

    pub(super) fn step(&mut self, random: &mut Random, interval: Interval) -> Observation {
        self.state = self.memory * self.state + (1.0 - self.memory.powi(2)).sqrt() * random.normal();
        let mut traffic = (self.variation * self.state - self.variation.powi(2) / 2.0).exp();
        traffic *= 1.0 + self.amplitude * wave(self.k / self.period + self.phase);
        if self.starts > 0.0 {
            traffic *= ((self.k + 1.0) / self.starts).min(1.0);
        }
        let born = self.born * interval.epochs;
        self.born = self.volume * traffic;
        let allocated = self.born * interval.epochs;
        let (length, age) =
            if self.timed { (interval.time, interval.time / interval.epochs) } else { (interval.epochs, 1.0) };
        let p_of = |size: f64| if self.sampled { -(-size / MEAN).exp_m1() } else { 1.0 };
        let (mut old_bytes, mut old_variance) = (0.0, 0.0);
        for part in &mut self.parts {
            let p = p_of(part.size);
            let n = part.step(random, self.k, born, length, age, p);
            old_bytes += n * part.size / p;
            old_variance += n * (part.size / p).powi(2) * (1.0 - p);
        }
        if self.walk > 0.0 {
            self.walk = (self.walk * (1.0 + 0.03 * random.normal())).max(MIB);
            let weight = if self.sampled { MEAN } else { 1.0 };
            old_bytes += random.poisson(self.walk / weight) * weight;
            old_variance += if self.sampled { self.walk * weight } else { 0.0 };
        }
        self.allocated += if self.sampled { random.poisson(allocated / MEAN) * MEAN } else { allocated };
        self.k += 1.0;
        Observation { old_bytes, old_variance, allocated_bytes: self.allocated }
    }
}

pub(super) const LEAKLESS: [&str; 11] = [
    "steady",
    "sawtooth",
    "bursts",
    "heavy tail",
    "long sessions",
    "random walk",
    "fixed lives",
    "daily cycle",
    "quick cache",
    "grown, then flat",
    "starting",
];

/// A site that leaks nothing, and whose growth, if any, ends within ten intervals or with its traffic's.
pub(super) fn leakless(kind: &str, sampled: bool, timed: bool, random: &mut Random) -> Site {
    let volume = VOLUME * random.decades(1e-4, 0.3);
    let mut site = Site::new(sampled, volume, random);
    let size = random.decades(32.0, 256.0 * KIB);
    match kind {
        "steady" => site = site.with_churn(random, 10.0),
        "sawtooth" => {
            let mut part = Part::new(random.decades(0.002, 0.1), size, f64::INFINITY);
            part.teeth = random.decades(2.0, 12.0);
            part.next_tooth = part.teeth * random.uniform();
            site.parts.push(part);
        }
        "bursts" => {
            site = site.with_churn(random, 3.0);
            let mut part = Part::new(random.decades(0.005, 0.2), size, random.decades(1.0, 10.0));
            part.burst = random.decades(0.02, 0.3);
            part.fixed = random.uniform() < 0.5;
            site.parts.push(part);
        }
        "heavy tail" => {
            // P(life > x) falls as x^-alpha, from a quarter of an interval to a thousand.
            let (alpha, share) = (random.between(1.2, 2.5), random.decades(0.005, 0.2));
            let lives = || (-2..=10).map(|i| 2f64.powi(i));
            let all: f64 = lives().map(|life| life.powf(-alpha)).sum();
            site.parts.extend(lives().map(|life| Part::new(share * life.powf(-alpha) / all, size, life)));
        }
        "long sessions" => {
            // They come all at once at the start; then a turnover that is slower than any window.
            let life = random.decades(50.0, 1000.0);
            let mut first = Part::new(random.decades(10.0, 1e5) * size / site.volume, size, life);
            let mut later = first.clone();
            first.until = 1.0;
            later.from = 2.0;
            later.share /= life;
            site.variation = 0.0;
            site.parts = vec![first, later];
        }
        "random walk" => site.walk = random.decades(1.0, 1000.0) * MIB,
        "fixed lives" => {
            let mut part = Part::new(random.decades(0.001, 0.1), size, random.decades(1.0, 10.0));
            part.fixed = true;
            site.parts.push(part);
        }
        "daily cycle" => {
            // Over two periods in 200 collections, and more.
            site = site.with_churn(random, 8.0);
            site.variation = random.between(0.0, 0.1);
            (site.period, site.amplitude) = (random.between(60.0, 100.0), random.between(0.3, 0.8));
        }
        "quick cache" => {
            let filled = random.decades(1.0, 10.0);
            site = filling(site, filled, random.between(0.0, 100.0).floor(), random).with_churn(random, 3.0);
        }
        "grown, then flat" => {
            let mut part = Part::new(random.decades(0.005, 0.1), size, f64::INFINITY);
            part.from = random.between(0.0, 180.0).floor();
            part.until = part.from + random.between(0.0, 10.0);
            site.parts.push(part);
            site = site.with_churn(random, 3.0);
        }
        "starting" => {
            site = site.with_churn(random, 10.0);
            site.starts = random.decades(2.0, 30.0);
        }
        _ => panic!("{kind}"),
    }
    // Sessions that outlast a day grow with its traffic until the evening: nobody can tell.
    site.timed = timed && kind != "long sessions";
    site
}

/// A cache that is full after so many intervals.
fn filling(mut site: Site, intervals: f64, from: f64, random: &mut Random) -> Site {
    let mut part = Part::new(random.decades(0.005, 0.1), random.decades(256.0, 64.0 * KIB), f64::INFINITY);
    part.most = intervals * site.volume * part.share / part.size;
    part.from = from;
    site.parts.push(part);
    site
}

pub(super) const GROWING: [&str; 4] =
    ["cache that fills evenly", "turnover that sets in", "sawtooth, long teeth", "first day"];

/// A site that leaks nothing and grows for long: `scale` is the intervals until the cache is full, the mean lifetime,
/// the intervals between two teeth, or the length of a day whose traffic is not what the blocks follow.
pub(super) fn growing(kind: &str, scale: f64, sampled: bool, random: &mut Random) -> Site {
    let volume = VOLUME * random.decades(0.01, 0.3);
    let mut site = Site::new(sampled, volume, random);
    let (share, size) = (random.decades(0.005, 0.1), random.decades(256.0, 64.0 * KIB));
    match kind {
        "cache that fills evenly" => site = filling(site, scale, 0.0, random).with_churn(random, 3.0),
        "turnover that sets in" => site.parts.push(Part::new(share, size, scale)),
        "sawtooth, long teeth" => {
            let mut part = Part::new(share, size, f64::INFINITY);
            (part.teeth, part.next_tooth) = (scale, scale);
            site.parts.push(part);
        }
        "first day" => {
            site = site.with_churn(random, 8.0);
            (site.period, site.amplitude, site.phase) = (scale, random.between(0.3, 0.8), 0.75);
        }
        _ => panic!("{kind}"),
    }
    site
}

/// A leak of so much of what the site allocates, from an interval on, amid churn as in [`leakless`].
pub(super) fn leaking(share: f64, volume: f64, from: f64, sampled: bool, timed: bool, random: &mut Random) -> Site {
    let mut site = Site::new(sampled, VOLUME * volume, random).with_churn(random, 10.0);
    let mut part = Part::new(share, random.decades(32.0, 256.0 * KIB), f64::INFINITY);
    part.from = from;
    site.parts.push(part);
    site.timed = timed;
    site
}
