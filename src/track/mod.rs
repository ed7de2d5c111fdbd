//! What is known of tracked blocks: how they came to be tracked, which call stack allocated them, under which tag.
//!
//! Beside [`crate::heap`]: neither knows the other, and the allocator joins them.

pub(crate) mod ages;
pub(crate) mod array;
mod capture;
mod counters;
mod last;
pub(crate) mod predict;
pub(crate) mod rate;
pub(crate) mod read;
mod sampler;
pub(crate) mod sites;
pub(crate) mod state;
pub(crate) mod tags;
pub(crate) mod unwind;
pub(crate) mod watch;
pub(crate) mod word;

pub(crate) use state::State;

use crate::config::{Config, Mode};
use crate::pages::page::Word;
use crate::sync::{AtomicBool, AtomicU16, Ordering};
use ages::{Age, Freed, Limits};
use counters::Event;
use rate::Rate;
use unwind::Registers;
use word::Birth;

/// How a stack ended. Part of its identity: the same frames with another ending are another stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(crate) enum Ending {
    /// The outermost function of the thread.
    Complete = 0,
    /// The depth limit: there are more frames.
    Depth = 1,
    /// There are no unwind rules for the last frame's code.
    NoRules = 2,
    /// There are rules, but of a kind that is not followed.
    Complex = 3,
    /// The stack goes on where it could not be read safely.
    Foreign = 4,
}

/// A tracked block that lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Live {
    pub(crate) site: u32,
    pub(crate) tag: u16,
    pub(crate) rate: rate::Rate,
    /// Bytes that were asked for.
    pub(crate) requested: u64,
    /// Bytes of the block. The block is tracked with probability `rate.probability(block_size)`.
    pub(crate) block_size: u64,
    /// The epoch of its birth.
    pub(crate) epoch: u64,
}

/// What was counted, or estimated from samples: each sampled block stands for 1/p blocks and requested/p bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Estimate {
    pub(crate) blocks: f64,
    pub(crate) bytes: f64,
    /// The variances of the two: sums of (1 - p) / p², and of that times the square of the size. 0 for what is exact.
    pub(crate) blocks_variance: f64,
    pub(crate) bytes_variance: f64,
    /// How many blocks were tracked among them: samples, and those that were tracked exactly.
    pub(crate) samples: u64,
}

/// What a site or a tag has done since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Totals {
    pub(crate) allocated: Estimate,
    pub(crate) freed: Estimate,
    /// Of what was freed, what had outlived the epoch of its birth.
    pub(crate) ages: ages::Ages,
    /// The smallest and the largest size requested; of sampled blocks only those that were samples.
    /// `smallest > largest` where nothing was allocated.
    pub(crate) smallest: u64,
    pub(crate) largest: u64,
}

impl Totals {
    /// The smallest and the largest size requested; 0 where nothing was allocated.
    pub(crate) fn sizes(&self) -> (u64, u64) {
        if self.smallest > self.largest { (0, 0) } else { (self.smallest, self.largest) }
    }
}

/// Whether every thread tracks every block, and the rate of the samples where none does. Two switches: a thread that sees
/// one change before the other tracks more or less for a moment, and each block says how it came to be tracked.
static EXACT: AtomicBool = AtomicBool::new(false);
static RATE: AtomicU16 = AtomicU16::new(Rate::NONE.0);

/// Before the first block.
pub(crate) fn configure(config: &Config) {
    set_process_mode(config.mode);
    capture::set_depth(config.depth);
    sites::bound(config.sites);
    tags::bound(config.tags as usize);
}

/// How stacks are captured, in words.
pub(crate) fn method() -> &'static str {
    match unwind::method() {
        unwind::Method::Rules => "by the unwind rules of the code",
        unwind::Method::None if cfg!(feature = "symbols") => "no rules: by the system's unwinder, of samples only",
        unwind::Method::None => "no rules: not captured",
    }
}

/// Chooses what all threads do that have no scope of their own.
pub(crate) fn set_process_mode(mode: Mode) {
    set_process_rate(match mode {
        Mode::Off => Rate::NONE,
        Mode::Sampled { mean } => Rate::sampled(mean),
        Mode::Exact => Rate::EXACT,
    });
}

/// What was chosen for the process.
pub(crate) fn process_mode() -> Mode {
    match process_rate() {
        Rate::EXACT => Mode::Exact,
        rate => rate.mean().map_or(Mode::Off, |mean| Mode::Sampled { mean }),
    }
}

// Relaxed throughout: a thread adopts a change at its next slow path.

/// Chooses what all threads do that have no scope of their own.
pub(crate) fn set_process_rate(rate: Rate) {
    if rate != Rate::EXACT {
        RATE.store(rate.0, Ordering::Relaxed);
    }
    EXACT.store(rate == Rate::EXACT, Ordering::Relaxed);
}

/// What was chosen for the process.
pub(crate) fn process_rate() -> Rate {
    if EXACT.load(Ordering::Relaxed) { Rate::EXACT } else { Rate(RATE.load(Ordering::Relaxed)) }
}

/// The rate of the samples, whether or not samples are taken.
#[inline]
pub(crate) fn sampling_rate() -> Rate {
    Rate(RATE.load(Ordering::Relaxed))
}

/// Whether the thread with this state tracks every block.
#[inline]
pub(crate) fn is_exact(state: &State) -> bool {
    EXACT.load(Ordering::Relaxed) || state.wants_exact()
}

/// Whether a block that the thread with this state frees may wait until its death is counted: where every block is tracked,
/// and nobody watches.
#[inline]
pub(crate) fn may_wait(state: &State) -> bool {
    is_exact(state) && !watch::any()
}

/// How many blocks of this size are allocated until the next sample, itself included; `u64::MAX` for none.
pub(crate) fn draw(state: &mut State, block_size: usize) -> u64 {
    sampler::draw(state, sampling_rate(), block_size)
}

/// Whether a large block is tracked, or so many bytes more of one: and at which rate, if it is.
pub(crate) fn draw_large(state: &mut State, bytes: usize) -> Option<Rate> {
    if is_exact(state) {
        return Some(Rate::EXACT);
    }
    let rate = sampling_rate();
    (sampler::draw(state, rate, bytes) == 1).then_some(rate)
}

/// A tracked block was allocated. Fills its word, unless the thread is in a scope that leaves its blocks out.
#[inline(always)]
pub(crate) fn born(state: &mut State, word: &Word, requested: usize, block_size: usize, rate: Rate, epoch: u64) {
    if state.is_untracked() {
        return word::leave_out(word);
    }
    let site = capture::site(state, Registers::here(), rate.is_exact());
    let (tag, requested) = (counters::countable(state.tag(), rate), requested as u64);
    let event = Event::Allocated(requested);
    let counted = if rate.is_exact() {
        state.prepare();
        state.count_birth(site, tag, event)
    } else {
        counters::count_sample(site, tag, rate, block_size as u64, 0, event)
    };
    // What cannot be counted is not tracked: its death would be counted alone.
    if counted {
        let rate =
            if rate.is_exact() && state.watch() != 0 { watch::born(state.watch(), site, requested) } else { rate };
        word::write(word, Birth { site, tag, rate, requested, epoch });
    } else {
        word::leave_out(word);
    }
}

/// The site of the stack that calls this.
#[inline(always)]
pub(crate) fn site(state: &mut State) -> u32 {
    capture::site(state, Registers::here(), false)
}

/// The site that a tracked block was allocated at.
pub(crate) fn site_of(word: &Word) -> u32 {
    word::read_own(word).map_or(sites::UNKNOWN, |birth| birth.site)
}

/// A tracked block is about to be freed, and is dead since the epoch `now`. `false` if it was freed before.
///
/// `limits` is where generations begin: asked only for blocks that have outlived the epoch of their birth.
#[inline(always)]
pub(crate) fn died(
    state: &mut State,
    word: &Word,
    block_size: usize,
    now: u64,
    limits: impl FnOnce() -> Limits,
) -> bool {
    let Some(Birth { site, tag, rate, requested, epoch }) = word::read_own(word) else {
        let first = !word::is_dead(word);
        word::bury(word);
        return first;
    };
    // Before it is buried, because it may be forgotten at this moment.
    let watch = rate.watch().and_then(|_| word::take_watch(word, |_| true));
    word::bury(word);
    let event = Event::Freed(requested);
    if rate.is_exact() {
        state.count(site, tag, event);
        if let Some((watch, _)) = watch {
            watch::died(watch, site, requested);
        }
    } else {
        counters::count_sample(site, tag, rate, block_size as u64, 0, event);
    }
    if now > epoch {
        let age = Age { epochs: now - epoch, limits: limits() };
        freed_at(state, site, tag, rate, block_size, age, Freed::Block(requested));
    }
    true
}

/// Counts the age of what was freed.
#[cold]
#[inline(never)]
fn freed_at(state: &State, site: u32, tag: u16, rate: Rate, block_size: usize, age: Age, freed: Freed) {
    if rate.is_exact() {
        ages::count(state.table(), site, tag, age, freed);
    } else {
        ages::count_sample(site, tag, rate, block_size as u64, age, freed);
    }
}

/// A tracked block was resized in place. Returns whether it is still tracked: a sampled block that shrinks stays one with
/// the probability of its new size to that of its old one.
///
/// What it shrank by is freed at its age, and what it grew by was born with it. `now` and `limits`: see [`died`].
pub(crate) fn resized(
    state: &mut State,
    word: &Word,
    requested: usize,
    (before, after): (usize, usize),
    now: u64,
    limits: impl FnOnce() -> Limits,
) -> bool {
    let Some(birth) = word::read_own(word) else { return true };
    let (Birth { site, tag, rate, .. }, requested) = (birth, requested as u64);
    let shrunk = |state: &State| {
        if requested < birth.requested && now > birth.epoch {
            let age = Age { epochs: now - birth.epoch, limits: limits() };
            freed_at(state, site, tag, rate, after, age, Freed::Bytes(birth.requested, requested));
        }
    };
    if rate.is_exact() {
        // While it is out of its watch, it cannot be forgotten: its number stays that watch's.
        let watch = rate.watch().and_then(|_| word::take_watch(word, |_| true));
        if let Some((watch, _)) = watch {
            watch::resized(watch, site, birth.requested, requested);
        }
        let rate = if watch.is_some() { rate } else { Rate::EXACT };
        word::write(word, Birth { requested, rate, ..birth });
        state.count(site, tag, Event::Resized(birth.requested, requested));
        shrunk(state);
        return true;
    }
    if after < before {
        let keep = rate.probability(after as u64) / rate.probability(before as u64);
        if sampler::random(state) > keep {
            word::leave_out(word);
            counters::count_sample(site, tag, rate, before as u64, 0, Event::Dropped(birth.requested));
            return false;
        }
    }
    word::write(word, Birth { requested, ..birth });
    counters::count_sample(site, tag, rate, after as u64, before as u64, Event::Resized(birth.requested, requested));
    shrunk(state);
    true
}

#[cfg(feature = "internals")]
pub(crate) use counters::unweighted;

/// All locks of the tracker, for a fork: they are taken before those of private memory.
pub(crate) fn before_fork() {
    watch::before_fork();
    tags::before_fork();
    counters::before_fork();
    predict::before_fork();
    sites::before_fork();
}

/// Frees them.
pub(crate) fn after_fork() {
    sites::after_fork();
    predict::after_fork();
    counters::after_fork();
    tags::after_fork();
    watch::after_fork();
}
