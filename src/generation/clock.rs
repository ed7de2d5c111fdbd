//! The clock: one epoch for each `young_bytes` that the process allocates, counted in block bytes, and one for each
//! `idle_ms` in which it allocates less.
//!
//! Threads report what they allocated in steps of at least 64 KiB, so the clock is behind by up to that for each thread.
//! Nobody wakes a process that sleeps: the epochs that passed meanwhile are made up for when somebody looks ([`catch_up`]).

use crate::config::Thresholds;
use crate::os;
use crate::sync::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use crate::track::ages::Limits;

/// Ages of live blocks, youngest first: what a collection of each does stands at the head of
/// [`generation`](crate::generation).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Generation {
    /// Younger than [`Thresholds::young_per_middle`] epochs.
    Young,
    /// Younger than that times [`Thresholds::middle_per_old`].
    Middle,
    /// Older.
    Old,
}

impl Generation {
    /// All three, youngest first.
    pub const ALL: [Generation; 3] = [Generation::Young, Generation::Middle, Generation::Old];

    /// In lower case, as in exports.
    pub const fn name(self) -> &'static str {
        match self {
            Generation::Young => "young",
            Generation::Middle => "middle",
            Generation::Old => "old",
        }
    }
}

impl std::fmt::Display for Generation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

// Relaxed throughout: the clock orders nothing, it counts.

static ALLOCATED: AtomicU64 = AtomicU64::new(0);
static EPOCH: AtomicU64 = AtomicU64::new(0);
/// What `ALLOCATED` is when the epoch ends.
static DUE: AtomicU64 = AtomicU64::new(Thresholds::DEFAULT.young_bytes);
/// When the epoch began, by [`os::uptime_ms`].
static TICKED_MS: AtomicU64 = AtomicU64::new(0);
/// Young collections since the last middle one in the low half, middle ones since the last old one in the high half.
static COUNTS: AtomicU64 = AtomicU64::new(0);
/// Blocks that were born before this epoch are permanent.
static PERMANENT: AtomicU64 = AtomicU64::new(0);

static YOUNG_BYTES: AtomicU64 = AtomicU64::new(Thresholds::DEFAULT.young_bytes);
static YOUNG_PER_MIDDLE: AtomicU32 = AtomicU32::new(Thresholds::DEFAULT.young_per_middle);
static MIDDLE_PER_OLD: AtomicU32 = AtomicU32::new(Thresholds::DEFAULT.middle_per_old);
static FREE_PERCENT: AtomicU32 = AtomicU32::new(Thresholds::DEFAULT.free_percent);
static IDLE_MS: AtomicU64 = AtomicU64::new(Thresholds::DEFAULT.idle_ms);

/// When the process began, in nanoseconds since 1970, and by [`os::uptime_nanos`].
static BEGAN: AtomicU64 = AtomicU64::new(0);
static BEGAN_UPTIME: AtomicU64 = AtomicU64::new(0);

/// The generation whose collection is due: its number and one; 0: none.
static WANTED: AtomicU8 = AtomicU8::new(0);

/// Before the first block.
pub(crate) fn begin(thresholds: &Thresholds) {
    BEGAN.store(os::unix_nanos(), Ordering::Relaxed);
    BEGAN_UPTIME.store(os::uptime_nanos(), Ordering::Relaxed);
    TICKED_MS.store(os::uptime_ms(), Ordering::Relaxed);
    set(thresholds);
}

/// When the process began, in nanoseconds since 1970.
pub(crate) fn began() -> u64 {
    BEGAN.load(Ordering::Relaxed)
}

/// Nanoseconds since the process began, by a clock that is never set.
pub(crate) fn lived() -> u64 {
    os::uptime_nanos().saturating_sub(BEGAN_UPTIME.load(Ordering::Relaxed))
}

/// The thresholds of now. While another thread changes them, some may be old and some new.
pub(crate) fn get() -> Thresholds {
    Thresholds {
        young_bytes: YOUNG_BYTES.load(Ordering::Relaxed),
        young_per_middle: YOUNG_PER_MIDDLE.load(Ordering::Relaxed),
        middle_per_old: MIDDLE_PER_OLD.load(Ordering::Relaxed),
        free_percent: FREE_PERCENT.load(Ordering::Relaxed),
        idle_ms: IDLE_MS.load(Ordering::Relaxed),
    }
}

/// Changes the thresholds, which are within their bounds. The epoch that runs ends as the new ones say, as if they had held since
/// it began.
pub(crate) fn set(to: &Thresholds) {
    let was = YOUNG_BYTES.swap(to.young_bytes, Ordering::Relaxed);
    YOUNG_PER_MIDDLE.store(to.young_per_middle, Ordering::Relaxed);
    MIDDLE_PER_OLD.store(to.middle_per_old, Ordering::Relaxed);
    FREE_PERCENT.store(to.free_percent, Ordering::Relaxed);
    IDLE_MS.store(to.idle_ms, Ordering::Relaxed);
    let moved = |due: u64| Some(due.saturating_sub(was) + to.young_bytes);
    _ = DUE.fetch_update(Ordering::Relaxed, Ordering::Relaxed, moved);
}

/// A thread has allocated so many more bytes. Returns the sum over all.
pub(crate) fn allocated(bytes: usize) -> u64 {
    let before = ALLOCATED.fetch_add(bytes as u64, Ordering::Relaxed);
    let now = before + bytes as u64;
    if now >= DUE.load(Ordering::Relaxed) {
        end_epoch(now);
    } else if before >> LOOK != now >> LOOK {
        catch_up();
    }
    now
}

/// The clock of the system is looked at once for so many bytes, as a power of two.
const LOOK: u32 = 20;

#[cold]
fn end_epoch(now: u64) {
    let due = DUE.load(Ordering::Relaxed);
    // Of several threads that see the threshold passed, one ticks.
    if now >= due && next_due(due, now) {
        TICKED_MS.store(os::uptime_ms(), Ordering::Relaxed);
        tick(1);
    }
}

fn next_due(due: u64, now: u64) -> bool {
    let next = now + YOUNG_BYTES.load(Ordering::Relaxed);
    DUE.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
}

/// Lets the epochs pass that an idle process has missed, at least one if an idle interval is over.
///
/// What was allocated since the last look (at most 64 KiB a thread, of tracked blocks) is as old then as the interval was long.
pub(crate) fn catch_up() {
    let (last, idle, now) = (TICKED_MS.load(Ordering::Relaxed), IDLE_MS.load(Ordering::Relaxed), os::uptime_ms());
    let missed = now.saturating_sub(last) / idle;
    let done = last + missed * idle;
    if missed > 0 && TICKED_MS.compare_exchange(last, done, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
        next_due(DUE.load(Ordering::Relaxed), ALLOCATED.load(Ordering::Relaxed));
        tick(missed);
    }
}

/// A young collection begins that nobody waited for.
pub(crate) fn tick_now() {
    next_due(DUE.load(Ordering::Relaxed), ALLOCATED.load(Ordering::Relaxed));
    TICKED_MS.store(os::uptime_ms(), Ordering::Relaxed);
    EPOCH.fetch_add(1, Ordering::Relaxed);
}

/// So many epochs have passed: what is due by that?
fn tick(epochs: u64) {
    EPOCH.fetch_add(epochs, Ordering::Relaxed);
    let (per_middle, per_old) = (YOUNG_PER_MIDDLE.load(Ordering::Relaxed), MIDDLE_PER_OLD.load(Ordering::Relaxed));
    let mut wanted = Generation::Young;
    let counted = |counts: u64| {
        let young = (counts & u64::from(u32::MAX)) + epochs;
        let middle = (counts >> 32) + young / u64::from(per_middle);
        let due = [young >= per_middle.into(), middle >= per_old.into()];
        wanted = Generation::ALL[if due[0] { 1 + usize::from(due[1]) } else { 0 }];
        // A threshold that was lowered is passed with the next middle collection, not forgotten.
        let middle = if wanted == Generation::Old { middle % u64::from(per_old) } else { middle };
        Some((young % u64::from(per_middle)) | (middle << 32))
    };
    _ = COUNTS.fetch_update(Ordering::Relaxed, Ordering::Relaxed, counted);
    want(wanted);
}

/// The collection of a generation is due: it, or that of an older one, is begun at the next occasion.
pub(crate) fn want(generation: Generation) {
    WANTED.fetch_max(generation as u8 + 1, Ordering::Relaxed);
}

/// What is due.
#[inline]
pub(crate) fn wanted() -> Option<Generation> {
    match WANTED.load(Ordering::Relaxed) {
        0 => None,
        n => Generation::ALL.get(usize::from(n) - 1).copied(),
    }
}

/// What is due, which is begun now.
pub(crate) fn take_wanted() -> Option<Generation> {
    wanted()?;
    // Whatever it is by now: an older generation's must not be lost.
    let wanted = WANTED.swap(0, Ordering::Relaxed);
    Generation::ALL.get(usize::from(wanted).checked_sub(1)?).copied()
}

/// What is due is done by a collection of this generation, if it is not an older one's.
pub(crate) fn satisfy(generation: Generation) {
    let left = |wanted: u8| (wanted <= generation as u8 + 1).then_some(0);
    _ = WANTED.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left);
}

/// A collection that nobody waited for begins: the counts start anew.
pub(crate) fn restart(generation: Generation) {
    let counted = |counts: u64| {
        let (young, middle) = (counts & u64::from(u32::MAX), counts >> 32);
        Some(match generation {
            Generation::Young => (young + 1) | (middle << 32),
            Generation::Middle => (middle + 1) << 32,
            Generation::Old => 0,
        })
    };
    _ = COUNTS.fetch_update(Ordering::Relaxed, Ordering::Relaxed, counted);
}

/// Bytes allocated since the epoch began, young collections since the last middle one, middle ones since the last old one.
pub(crate) fn progress() -> (u64, u32, u32) {
    let begun = DUE.load(Ordering::Relaxed).saturating_sub(YOUNG_BYTES.load(Ordering::Relaxed));
    let counts = COUNTS.load(Ordering::Relaxed);
    (ALLOCATED.load(Ordering::Relaxed).saturating_sub(begun), counts as u32, (counts >> 32) as u32)
}

/// Bytes that were allocated since the start.
pub(crate) fn total() -> u64 {
    ALLOCATED.load(Ordering::Relaxed)
}

/// The current epoch: 0 at the start of the process.
#[inline]
pub(crate) fn epoch() -> u64 {
    EPOCH.load(Ordering::Relaxed)
}

/// Ages of the generations in epochs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct Bands {
    /// Blocks of this age are middle-aged.
    pub(crate) middle: u64,
    /// Blocks of this age are old.
    pub(crate) old: u64,
    /// Blocks that were born before this epoch are permanent; 0: none.
    pub(crate) permanent: u64,
}

impl Bands {
    /// The generation of a block that was born in an epoch, now; `None` if it is permanent.
    #[inline]
    pub(crate) fn of(&self, birth: u64, now: u64) -> Option<Generation> {
        (birth >= self.permanent).then(|| self.of_age(now.saturating_sub(birth)))
    }

    /// The generation of an age in epochs.
    #[inline]
    pub(crate) fn of_age(&self, age: u64) -> Generation {
        match age {
            age if age < self.middle => Generation::Young,
            age if age < self.old => Generation::Middle,
            _ => Generation::Old,
        }
    }
}

/// The bands of now.
pub(crate) fn bands() -> Bands {
    let middle = u64::from(YOUNG_PER_MIDDLE.load(Ordering::Relaxed));
    let old = middle * u64::from(MIDDLE_PER_OLD.load(Ordering::Relaxed));
    Bands { middle, old, permanent: PERMANENT.load(Ordering::Relaxed) }
}

/// Where the middle and the old generation begin now, as the tracker takes it.
#[cold]
pub(crate) fn limits() -> Limits {
    let Bands { middle, old, .. } = bands();
    Limits { middle, old }
}

/// What lives now is permanent; the next blocks are born in the next epoch.
pub(crate) fn freeze() {
    let next = EPOCH.fetch_add(1, Ordering::Relaxed) + 1;
    PERMANENT.fetch_max(next, Ordering::Relaxed);
}

/// Nothing is permanent.
pub(crate) fn unfreeze() {
    PERMANENT.store(0, Ordering::Relaxed);
}

/// Changes the length of an epoch, from now on, to whatever tests want; time ends none.
#[cfg(feature = "internals")]
pub(crate) fn set_young_bytes(bytes: u64) {
    set(&Thresholds { young_bytes: bytes, idle_ms: 86_400_000, ..get() });
    DUE.store(ALLOCATED.load(Ordering::Relaxed) + bytes, Ordering::Relaxed);
}
