//! Which sites and tags are suspects: the statistic behind it.
//!
//! At each old collection we see what the old generation of a site holds. A site is a suspect while, over the last
//! [`STEPS`] collections,
//!
//! 1. *it grew more evenly than chance does*. The null hypothesis is a random walk: what the old generation gains from
//!    one collection to the next is independent and normal with mean 0 (a series that swings about a level is tamer
//!    than that, as its increments take each other back). One-sided t-test of the mean increment for each epoch
//!    (Student, 1908), with the sampling error of the growth as the least variance. [`LEVEL`] is Bonferroni's for a
//!    thousand sites looked at five hundred times each.
//! 2. *it does not slow down*: extrapolated geometrically (Aitken's delta-squared, 1926), no less is to come than came.
//! 3. *allocation does not explain it*: about half of it remains, at least, when what was held before is multiplied by the
//!    growth of what the site allocates, in bytes for each epoch and for each minute, over a short and a long memory.
//! 4. *it is new ground*: half of the growth lies above all that the site held before the window.
//!
//! Only 1 is a statement about probability, and what [`Trend::confidence`] comes from; 2 to 4 can only take suspects
//! away. What cannot be told apart: a cache that fills evenly for longer than the window, or a sawtooth with longer
//! teeth, *is* a leak until it levels off; then it leaves the list within 6 collections. A leak below the noise of its
//! site is found late or never, and one while the pace of the whole process quickens, when that no longer does. Where
//! blocks are sampled, growth by less than what 95 samples stand for cannot be told from chance.
//!
//! On simulated histories (seeds from 40,000): of 800 processes with 1,000 leakless sites each, 0.5 % name any in 200
//! collections; leaks of 1 % of what the process allocates are found within 20 collections in 95.5 % of cases, half of
//! them within 16 to 18, and in 64 % where the pace of the process rises and falls fast. `simulation` says what is
//! drawn, and `TREND_RUNS=800` prints all figures with
//!
//! ```text
//! cargo test --release -p tenure --lib trend::tests::table -- --ignored --nocapture
//! ```
//!
//! Nothing here allocates, reads a clock or takes a lock; a judgement takes about a microsecond, a push a tenth of it.

use std::f64::consts::FRAC_1_SQRT_2;

/// Increments that a judgement is made of. Odd, so that [`tail`] has an even number of degrees of freedom.
pub(crate) const STEPS: usize = 17;

/// Observations that are kept: a window is one more than its increments.
const KEPT: usize = 20;

/// What [`Trend::confidence`] speaks of: so many sites, each looked at so many times.
const FAMILY: f64 = 1000.0 * 500.0;

/// The greatest p of a suspect: in the whole family one false alarm in a hundred.
const LEVEL: f64 = 0.01 / FAMILY;

/// What a sum of recent allocation keeps from one observation to the next: memories of 2.5 and 8 collections.
const KEEP: [f64; 2] = [0.6, 0.88];

/// The same for the pace of the clock, which a site's lifetimes may follow for longer.
const KEEP_PACE: [f64; 2] = [0.88, 0.94];

/// The part of the growth that allocation may explain: about half. From 0.5 down to here false alarms fall by half, and
/// of leaks that begin with the process one in 200 is missed; below, ever more are.
const EXPLAINED: f64 = 0.47;

/// Of what a peak exceeds the present by, this is forgotten at each collection: half of it in 700.
const FORGET: f32 = 1.0 / 1024.0;

/// What a census says about one site or tag.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Observation {
    /// What its old generation holds; an unbiased estimate where blocks are sampled.
    pub(crate) old_bytes: f64,
    /// The variance of that estimate, in bytes²; 0 if it is exact.
    pub(crate) old_variance: f64,
    /// What it has allocated since the process began.
    pub(crate) allocated_bytes: f64,
}

/// One observation's place in time.
#[derive(Clone, Copy)]
struct Time {
    epoch: u64,
    nanos: u64,
    /// Epochs since the observation before, and with the weights of [`KEEP`] those before that.
    recent: [f64; 2],
    /// Nanoseconds for each epoch, with the weights of [`KEEP_PACE`]; 0 while unknown.
    pace: [f64; 2],
}

/// When the observations were made: one for all sites. Zeroed memory is an empty one.
///
/// It need not see every old collection: a second one, with histories of its own, that is pushed to at each eighth finds
/// leaks that are an eighth as fast, after eight times as long.
pub(crate) struct Times {
    count: u32,
    ring: [Time; KEPT],
}

impl Times {
    pub(crate) const fn new() -> Times {
        Times { count: 0, ring: [Time { epoch: 0, nanos: 0, recent: [0.0; 2], pace: [0.0; 2] }; KEPT] }
    }

    /// An old collection, before the sites' [`History::push`]. False: it is not to be pushed to them, because fewer
    /// than `apart` epochs have passed since the last one (what was seen then is seen again). Half of an old
    /// collection's interval is a good `apart`; 0 counts as 1.
    pub(crate) fn push(&mut self, epoch: u64, unix_nanos: u64, apart: u64) -> bool {
        let mut new = Time { epoch, nanos: unix_nanos, recent: [epoch as f64; 2], pace: [0.0; 2] };
        if self.count > 0 {
            let last = *self.back(0);
            if epoch < last.epoch.saturating_add(apart.max(1)) {
                return false;
            }
            new.recent = std::array::from_fn(|h| last.recent[h] * KEEP[h] + (epoch - last.epoch) as f64);
            if let Some(now) = self.typical_pace(&new) {
                new.pace = std::array::from_fn(|h| match last.pace[h] {
                    0.0 => now,
                    pace => pace * KEEP_PACE[h] + now * (1.0 - KEEP_PACE[h]),
                });
            }
        }
        self.ring[self.count as usize % KEPT] = new;
        self.count += 1;
        true
    }

    /// The last one is none: not every history heard of it. The next takes its place, in those that did as well: they keep
    /// what they were told.
    pub(crate) fn take_back(&mut self) {
        self.count = self.count.saturating_sub(1);
    }

    /// The median of the last five intervals: a process that slept for a night has not become slower.
    fn typical_pace(&self, new: &Time) -> Option<f64> {
        let known = self.count.min(5);
        if known < 3 {
            return None;
        }
        let (mut paces, mut later) = ([0.0; 5], new);
        for i in 0..known {
            let earlier = self.back(i);
            let nanos = later.nanos.saturating_sub(earlier.nanos); // the system's clock may be set back
            paces[i as usize] = nanos as f64 / (later.epoch - earlier.epoch) as f64;
            later = earlier;
        }
        let paces = &mut paces[..known as usize];
        paces.sort_unstable_by(f64::total_cmp);
        Some(paces[(paces.len() - 1) / 2])
    }

    /// The observation that is `i` before the last one.
    fn back(&self, i: u32) -> &Time {
        &self.ring[slot(self, i)]
    }
}

/// One observation of a site.
#[derive(Clone, Copy, Debug)]
struct Seen {
    old: f32,
    /// Bytes that it allocated since the observation before, and with the weights of [`KEEP`] those before that.
    recent: [f32; 2],
}

/// Where the observation that is `back` before the last one stands in a ring.
fn slot(times: &Times, back: u32) -> usize {
    (times.count as usize + KEPT - 1 - back as usize) % KEPT
}

#[cfg(test)]
const NOTHING: Seen = Seen { old: 0.0, recent: [0.0; 2] };

/// What is remembered of one site or tag. Zeroed memory is an empty one: a site without old bytes needs none.
///
/// `ring[i]` is of the same observation as `Times::ring[i]`.
pub(crate) struct History {
    ring: [Seen; KEPT],
    /// At the last observation.
    allocated: f64,
    /// Where the present growth began: the last observation that more than half of a climb had been lost at, or that
    /// growth was slower before, by a third.
    low_epoch: u64,
    low_nanos: u64,
    low_count: u32,
    low: f32,
    /// The highest since then.
    top: f32,
    /// `Times::count` at the last observation.
    count: u32,
    /// The most that was held before the ring's first observation, slowly forgotten.
    peak: f32,
    /// Variance for each byte of the last estimate: what a sample stands for.
    grain: f32,
}

const _: () = assert!(size_of::<History>() <= 320);

/// A suspect's growth.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trend {
    /// Growth of the old generation in the window, for each epoch.
    pub(crate) bytes_per_epoch: f64,
    /// The same for each minute, idle ones included. 0 if the system's clock went backward.
    pub(crate) bytes_per_minute: f64,
    /// The epoch at which it began to grow: since then it has grown at two thirds of the present pace or more, and never
    /// lost more than half of what it had gained.
    pub(crate) since_epoch: u64,
    /// When that was, in nanoseconds since 1970.
    pub(crate) since_unix_nanos: u64,
    /// Old collections since then.
    pub(crate) observations: u32,
    /// At least 0.99. If all old generations were random walks without a drift, the probability that among a thousand
    /// sites, in five hundred collections, not one grew as evenly as this one did: 1 − 500,000 p, p of the t-test.
    pub(crate) confidence: f64,
}

/// What a window says, before anything is demanded of it.
#[derive(Clone, Copy, Debug)]
struct Evidence {
    growth: f64,
    epochs: f64,
    nanos: u64,
    /// Of the t-test.
    p: f64,
    /// What the growth of the second half lacks of 1/√2 of the first half's, in standard errors of that.
    slowing: f64,
    /// The part of the growth that allocation explains.
    explained: f64,
    /// The part of the growth that is above what was held before.
    new_ground: f64,
}

impl Evidence {
    fn goes_on(&self) -> bool {
        self.slowing <= 1.0
    }

    fn is_unexplained(&self) -> bool {
        self.explained <= EXPLAINED
    }

    fn is_new(&self) -> bool {
        self.new_ground >= 0.5
    }
}

impl History {
    #[cfg(test)]
    pub(crate) const fn new() -> History {
        History {
            ring: [NOTHING; KEPT],
            allocated: 0.0,
            low_epoch: 0,
            low_nanos: 0,
            low_count: 0,
            low: 0.0,
            top: 0.0,
            count: 0,
            peak: 0.0,
            grain: 0.0,
        }
    }

    /// What was seen at the last of `times`. Where observations of this site are missing, it held nothing.
    pub(crate) fn push(&mut self, times: &Times, seen: Observation) {
        if times.count == 0 || self.count == times.count {
            return;
        }
        let missed = (times.count - 1 - self.count).min(KEPT as u32 - 1);
        let allocated = (seen.allocated_bytes - self.allocated).max(0.0); // an estimate may go backward
        // What it allocated before it had old bytes, it allocated evenly, for all that we know.
        let evenly = (self.count == 0).then(|| seen.allocated_bytes / times.back(0).epoch.max(1) as f64);
        if self.count == 0 {
            self.begin(times, missed.min(1), 0.0);
        }
        let old = seen.old_bytes as f32;
        for back in (0..=missed).rev() {
            let before = self.ring[slot(times, back + 1)].recent;
            let new = if back == 0 { allocated } else { 0.0 };
            let recent = std::array::from_fn(|h| match evenly {
                Some(rate) => (rate * times.back(back).recent[h]) as f32,
                None => (f64::from(before[h]) * KEEP[h] + new) as f32,
            });
            let now = if back == 0 { old } else { 0.0 };
            let gone = std::mem::replace(&mut self.ring[slot(times, back)], Seen { old: now, recent });
            self.peak = self.peak.max(gone.old);
            if now <= self.low || self.top - now > (self.top - self.low) / 2.0 {
                self.begin(times, back, now);
            }
            self.top = self.top.max(now);
        }
        self.peak -= (self.peak - old).max(0.0) * FORGET;
        self.begin_later(times);
        self.allocated = seen.allocated_bytes;
        self.grain = if seen.old_bytes > 0.0 { (seen.old_variance / seen.old_bytes) as f32 } else { 0.0 };
        self.count = times.count;
    }

    /// What was held so far counts no more, or counts again: something was frozen, or is no longer. So nothing was held, and
    /// what comes is new. Called when the observation has its place in `times`, before [`History::push`].
    pub(crate) fn forget_held(&mut self, times: &Times) {
        self.ring.iter_mut().for_each(|seen| seen.old = 0.0);
        self.peak = 0.0;
        self.begin(times, 0, 0.0);
    }

    /// Moves the beginning to the window's if growth was slower before.
    fn begin_later(&mut self, times: &Times) {
        let (now, top) = (self.ring[slot(times, 0)].old, self.top);
        if times.count > STEPS as u32 && self.low_count + (STEPS as u32) < times.count {
            let back = STEPS as u32;
            let (then, epoch) = (self.ring[slot(times, back)].old, times.back(0).epoch);
            let in_window = f64::from(now - then) / (epoch - times.back(back).epoch) as f64;
            if in_window > 1.5 * f64::from(now - self.low) / (epoch - self.low_epoch) as f64 {
                self.begin(times, back, then);
                self.top = top;
            }
        }
    }

    /// Growth, if any, begins at the observation that is `back` before the last one.
    fn begin(&mut self, times: &Times, back: u32, old: f32) {
        let at = times.back(back);
        (self.low_epoch, self.low_nanos, self.low_count) = (at.epoch, at.nanos, times.count - back);
        (self.low, self.top) = (old, old);
    }

    /// Whether this is a suspect. `None` also while the process is younger than a window.
    pub(crate) fn judge(&self, times: &Times) -> Option<Trend> {
        let e = self.evidence(times)?;
        (e.p <= LEVEL && e.goes_on() && e.is_unexplained() && e.is_new()).then(|| Trend {
            bytes_per_epoch: e.growth / e.epochs,
            bytes_per_minute: if e.nanos > 0 { e.growth / (e.nanos as f64 / 60e9) } else { 0.0 },
            since_epoch: self.low_epoch,
            since_unix_nanos: self.low_nanos,
            observations: times.count - self.low_count,
            confidence: 1.0 - (e.p * FAMILY).min(1.0),
        })
    }

    /// `None` where there is no growth.
    fn evidence(&self, times: &Times) -> Option<Evidence> {
        if times.count <= STEPS as u32 || self.count != times.count {
            return None;
        }
        let at = |i: usize| {
            let slot = slot(times, (STEPS - i) as u32);
            (&self.ring[slot], &times.ring[slot])
        };
        let between = |i: usize, j: usize| {
            let ((a, at_a), (b, at_b)) = (at(i), at(j));
            (f64::from(b.old) - f64::from(a.old), (at_b.epoch - at_a.epoch) as f64)
        };
        let (growth, epochs) = between(0, STEPS);
        if growth <= 0.0 {
            return None;
        }
        let slope = growth / epochs;
        // Increments over so many epochs have so many times the variance.
        let squares: f64 = (1..=STEPS)
            .map(|i| {
                let (gained, over) = between(i - 1, i);
                (gained - slope * over).powi(2) / over
            })
            .sum();
        // Growth by new samples alone, each on its own, has a variance too: their grain, for each byte.
        let variance = (squares / (STEPS - 1) as f64).max(f64::from(self.grain) * slope);
        let p = tail(growth / (variance * epochs).sqrt());

        let ((early, early_epochs), (late, late_epochs)) = (between(0, STEPS / 2), between(STEPS - STEPS / 2, STEPS));
        // For a geometric series: what is to come, late × q / (1 - q), is no less than early + late if q² >= 1/2.
        let lacking = FRAC_1_SQRT_2 * early / early_epochs - late / late_epochs;
        let error = (variance * (0.5 / early_epochs + 1.0 / late_epochs)).sqrt();
        let slowing = if lacking > 0.0 { lacking / error.max(f64::MIN_POSITIVE) } else { 0.0 };

        let explained = [0, STEPS / 2]
            .map(|i| {
                let gained = between(i, STEPS).0;
                if gained > 0.0 { explained(at(i), at(STEPS)) / gained } else { 1.0 }
            })
            .into_iter()
            .fold(0.0, f64::max);

        let before = (STEPS as u32 + 1..times.count.min(KEPT as u32))
            .map(|back| self.ring[slot(times, back)].old)
            .fold(self.peak, f32::max);
        let new_ground = (f64::from(at(STEPS).0.old) - f64::from(before)) / growth;
        let nanos = at(STEPS).1.nanos.saturating_sub(at(0).1.nanos);
        Some(Evidence { growth, epochs, nanos, p, slowing, explained, new_ground })
    }
}

/// How many bytes more there would be at `to` if what was held at `from` had grown as allocation did.
///
/// What the site holds in balance is in proportion to what it allocated lately, in bytes (so a process that starts
/// holds more from collection to collection), for each epoch, or, where its blocks live for so many seconds and not for
/// so many epochs, for each second. But what was not allocated lately is not turned over: it does not grow.
fn explained((from, at_from): (&Seen, &Time), (to, at_to): (&Seen, &Time)) -> f64 {
    let quicker = (0..2)
        .filter(|&h| at_from.pace[h] > 0.0 && at_to.pace[h] > 0.0)
        .map(|h| at_from.pace[h] / at_to.pace[h])
        .fold(1.0, f64::max);
    // A quicker clock also calls younger blocks old. What holds of blocks whose mean lifetime is the age of the old one:
    // in balance they are in proportion to pace × exp(-1 / pace), which grows as the square of the pace, or less.
    let quicker = quicker * quicker;
    (0..2)
        .filter(|&h| from.recent[h] > 0.0)
        .map(|h| {
            let (before, after) = (f64::from(from.recent[h]), f64::from(to.recent[h]));
            let each_epoch = after / at_to.recent[h] / (before / at_from.recent[h]);
            // The short memory's sum is noisy: only its mean counts.
            let more = if h == 0 { each_epoch } else { each_epoch.max(after / before) };
            before.min(f64::from(from.old)) * (more * quicker - 1.0)
        })
        .fold(0.0, f64::max)
}

/// The upper tail of Student's t with `STEPS` - 1 degrees of freedom (Abramowitz and Stegun, 26.7.4), to 1e-15.
fn tail(t: f64) -> f64 {
    const FREEDOM: usize = STEPS - 1;
    let cos2 = FREEDOM as f64 / (FREEDOM as f64 + t * t);
    let (mut term, mut sum) = (1.0, 1.0);
    for i in 1..FREEDOM / 2 {
        term *= cos2 * (2 * i - 1) as f64 / (2 * i) as f64;
        sum += term;
    }
    (0.5 - 0.5 * (1.0 - cos2).sqrt().copysign(t) * sum).max(0.0)
}

#[cfg(test)]
mod designs;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
