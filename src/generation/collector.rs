//! Collections: one at a time, in steps.
//!
//! A collection is a list of things to do ([`Stage`]), each in pieces of some microseconds. Whoever asks for one does all of them. An
//! automatic one is done by threads that allocate, on their slow paths, for as long as [`budget`] allows at once; then they
//! go on until the process has allocated [`PACE`] of an epoch more, or [`PACE_MOST`]. No lock is held from one step to the next; what a
//! vanished thread was doing at a fork is forgotten in the child.

use super::census::{Counting, Suspects};
use super::record::{Collection, GenerationStats, Reclaimed};
use super::{Generation, clock, helper, hooks, pressure};
use crate::arena::slices::{self, Interval, Unpurged};
use crate::config::current;
use crate::heap::steal;
use crate::os;
use crate::os::owned::{Busy, Owned};
use crate::pages::page::HOLES;
use crate::pages::shard::{self, Sent};
use crate::sync::{AtomicBool, AtomicU64, Ordering};

/// What a collection does, in this order; each generation begins where the one before it ends.
#[derive(Clone, Copy)]
enum Stage {
    /// Young: what magazines and depots did not use goes home. Pages become empty by that, and are retired.
    Home(steal::Round),
    /// Middle: tracked pages that are empty are retired, which samples now and then would make anew.
    Spare,
    /// What stayed free for an interval is purged.
    Purge,
    /// So are the holes of pages that nothing was taken from for an interval.
    Holes,
    /// The next interval begins.
    Interval,
    /// Old: what ended threads left is adopted.
    Adopt,
    /// The living are counted by generation, and the suspects renewed.
    Count,
    /// If much is free, or all of it was asked for, all of it is purged: so many bytes, or it would not end while others free as
    /// much,
    PurgeAll(usize),
    /// and, if it was asked for, every hole is dug.
    HolesAll,
}

/// A collection that has begun.
struct Running {
    done: Collection,
    stage: Stage,
    /// Whether memory is purged: see [`interval_is_over`].
    purges: bool,
    began: u64,
}

struct Collector {
    running: Option<Running>,
    counting: Counting,
    /// Collections of each generation.
    numbers: [u64; 3],
}

/// What was done: apart, so that whoever reads it does not wait for a collection.
struct Record {
    suspects: Suspects,
    stats: [GenerationStats; 3],
}

static RECORD: Owned<Record> = Owned::new(Record { suspects: Suspects::NONE, stats: [GenerationStats::NONE; 3] });

static COLLECTOR: Owned<Collector> =
    Owned::new(Collector { running: None, counting: Counting::new(), numbers: [0; 3] });

/// What the last steps of automatic collections cost, and of which generation each was; and how many there were.
#[cfg(feature = "internals")]
static PAUSES: ([AtomicU64; 1 << 14], AtomicU64) = ([const { AtomicU64::new(0) }; 1 << 14], AtomicU64::new(0));

/// Gives `f` the last 16,384 steps of automatic collections at most: processor time in nanoseconds.
#[cfg(feature = "internals")]
pub(crate) fn each_pause(mut f: impl FnMut(Generation, u64)) {
    let all = PAUSES.0.iter().map(|pause| pause.load(Ordering::Relaxed)).filter(|&pause| pause > 0);
    all.for_each(|pause| f(Generation::ALL[(pause & 3) as usize], pause >> 2));
}

#[cfg(feature = "internals")]
pub(crate) fn forget_pauses() {
    PAUSES.0.iter().for_each(|pause| pause.store(0, Ordering::Relaxed));
}

/// Whether no automatic collection begins.
static DISABLED: AtomicBool = AtomicBool::new(false);
/// Whether an automatic collection has begun and not ended.
static PENDING: AtomicBool = AtomicBool::new(false);
/// Whether a thread is at a step.
static AT_WORK: AtomicBool = AtomicBool::new(false);
/// Bytes allocated by the process when its next step is due.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Milliseconds between two looks at magazines, at least; and when the last one was.
const BETWEEN_LOOKS: u64 = 100;
static LOOKED: AtomicU64 = AtomicU64::new(0);
/// Milliseconds between two automatic collections that purge, at least; and when the last one did.
const BETWEEN_PURGES: u64 = 1000;
static PURGED: AtomicU64 = AtomicU64::new(0);
/// Bytes that were allocated from magazines since these were looked at.
static SMALL: AtomicU64 = AtomicU64::new(0);

/// The part of an epoch that the process allocates between two steps, as a power of two.
const PACE: u32 = 6;
/// But no more than so many bytes: shorter thresholds and the soft limit do not wait for longer.
const PACE_MOST: u64 = 16 << 20;
/// Bytes of holes that are dug at a time.
const DUG_AT_ONCE: usize = 1 << 20;
/// Sparse pages that are looked at for them at a time.
const LOOKED_AT_ONCE: usize = 64;

/// Nanoseconds after which a step ends. A piece that has begun is finished, which may take as long again.
fn budget(generation: Generation) -> u64 {
    match generation {
        Generation::Young => 30_000,
        Generation::Middle => 300_000,
        Generation::Old => 1_000_000,
    }
}

// Relaxed throughout: switches and hints; the collector's owner sees to the rest.

pub(super) fn enable(on: bool) {
    DISABLED.store(!on, Ordering::Relaxed);
}

pub(super) fn is_enabled() -> bool {
    !DISABLED.load(Ordering::Relaxed)
}

/// A thread has allocated so many more bytes: does what is due of an automatic collection, if anything is. Called on slow paths,
/// with no lock held.
#[inline]
pub(crate) fn allocated(bytes: usize, large: bool) {
    if !large {
        SMALL.fetch_add(bytes as u64, Ordering::Relaxed);
    }
    look(clock::allocated(bytes));
}

/// Whether an automatic collection looks at magazines. A thread that waits for its processor is not idle, and epochs may pass in
/// milliseconds; and in one that passes in a few large blocks, nobody had the occasion to use a magazine: those that are idle go
/// home with the next middle collection.
fn looks_at_magazines(generation: Generation) -> bool {
    let (last, now) = (LOOKED.load(Ordering::Relaxed), os::uptime_ms());
    let enough = generation > Generation::Young || SMALL.load(Ordering::Relaxed) >= clock::get().young_bytes / 16;
    if !enough || now < last + BETWEEN_LOOKS {
        return false;
    }
    SMALL.store(0, Ordering::Relaxed);
    LOOKED.store(now, Ordering::Relaxed);
    true
}

fn look(allocated: u64) {
    let due = clock::wanted().is_some() || PENDING.load(Ordering::Relaxed);
    if due && allocated >= NEXT.load(Ordering::Relaxed) && is_enabled() {
        step(allocated);
    }
}

/// Does what is due while the process makes no call.
pub(crate) fn help() {
    clock::catch_up();
    if clock::wanted().is_some() || PENDING.load(Ordering::Relaxed) {
        NEXT.store(0, Ordering::Relaxed);
        look(clock::total());
    }
}

#[cold]
#[inline(never)]
fn step(allocated: u64) {
    // A look, so that the others do not ask the system who they are each time while whoever is at it waits for its processor.
    if AT_WORK.swap(true, Ordering::Relaxed) {
        return;
    }
    // Whoever has it collects because it was asked to, or this is a signal handler above it.
    let ended = with(Some(0), |collector| {
        let begins = if collector.running.is_none() { clock::take_wanted() } else { None };
        if let Some(generation) = begins {
            collector.begin(generation, true);
        }
        let ended = collector.run(true);
        PENDING.store(collector.running.is_some(), Ordering::Relaxed);
        NEXT.store(allocated + (clock::get().young_bytes >> PACE).min(PACE_MOST), Ordering::Relaxed);
        ended
    });
    AT_WORK.store(false, Ordering::Relaxed);
    // What is due now, nobody may ever free anything to be told.
    helper::due(slices::due());
    if let Ok(Some(collection)) = ended {
        trace(&collection);
        hooks::ended(&collection);
    }
}

/// In a forked child, whoever was at a step is gone, or goes on.
pub(super) fn after_fork_in_child() {
    AT_WORK.store(false, Ordering::Relaxed);
}

/// With nothing held: standard error may be a pipe that is full.
fn trace(done: &Collection) {
    if current::trace() {
        os::preserving_errno(|| os::warn(format_args!("{done}")));
    }
}

/// A whole collection, after what has begun of an automatic one. Waits for other threads' steps.
pub(super) fn collect(generation: Generation, automatic: bool) -> Result<Collection, Busy> {
    let mut before = None;
    let collection = with(None, |collector| {
        if collector.running.is_some() {
            before = collector.run(false);
            PENDING.store(false, Ordering::Relaxed);
        }
        if !automatic {
            clock::tick_now();
            clock::restart(generation);
            clock::satisfy(generation);
        }
        collector.begin(generation, automatic);
        collector.run(false)
    })?;
    helper::due(slices::due());
    if let Some(before) = before {
        trace(&before);
        hooks::ended(&before);
    }
    collection.as_ref().into_iter().for_each(trace);
    collection.ok_or(Busy)
}

/// Ends an automatic collection that has begun, if one has.
pub(super) fn finish() -> Option<Collection> {
    if !PENDING.load(Ordering::Relaxed) {
        return None;
    }
    let done = with(None, |collector| {
        PENDING.store(false, Ordering::Relaxed);
        collector.run(false)
    });
    helper::due(slices::due());
    let done = done.ok().flatten();
    done.as_ref().into_iter().for_each(trace);
    done
}

/// The suspects of the last old collection.
pub(crate) fn suspects() -> Suspects {
    record(|record| record.suspects).unwrap_or(Suspects::NONE)
}

pub(super) fn stats() -> [GenerationStats; 3] {
    record(|record| record.stats).unwrap_or([GenerationStats::NONE; 3])
}

/// Held for as long as it takes to copy it.
fn record<R>(f: impl FnOnce(&mut Record) -> R) -> Option<R> {
    let whole = |record: &mut Record, inherited| {
        if inherited {
            // A thread that is gone was writing it when the process was forked.
            record.suspects = Suspects::NONE;
            record.stats.iter_mut().for_each(|stats| stats.last = None);
        }
        f(record)
    };
    RECORD.with(None, whole).ok()
}

/// Runs `f` with the collector, as [`Owned::with`] does. If a thread that is gone had it when the process was forked, that
/// thread's collection is nobody's, whoever comes first.
fn with<R>(patience: Option<u64>, f: impl FnOnce(&mut Collector) -> R) -> Result<R, Busy> {
    COLLECTOR.with(patience, |collector, inherited| {
        if inherited {
            collector.running = None;
            collector.counting.abandon();
        }
        f(collector)
    })
}

impl Collector {
    fn begin(&mut self, generation: Generation, automatic: bool) {
        let began = os::uptime_nanos();
        let round = match !automatic || looks_at_magazines(generation) {
            true => steal::Round::new(is_whole(generation, automatic)),
            false => steal::Round::OVER,
        };
        self.running = Some(Running {
            began,
            stage: Stage::Home(round),
            purges: !automatic || generation > Generation::Young && (pressure::is_near() || interval_is_over()),
            done: Collection {
                number: self.numbers[generation as usize] + 1,
                automatic,
                began_ns: clock::lived(),
                committed_before: committed(),
                ..Collection::none(generation, clock::epoch())
            },
        });
    }

    /// Goes on with what runs: to its end, or for as long as a step lasts. Returns it if it has ended.
    fn run(&mut self, bounded: bool) -> Option<Collection> {
        let running = self.running.as_mut()?;
        let (begun, cpu) = (os::uptime_nanos(), os::thread_nanos());
        let until = if bounded { begun + budget(running.done.generation) } else { u64::MAX };
        let mut more = true;
        while more && os::uptime_nanos() < until {
            more = running.piece(&mut self.counting, !bounded);
        }
        if !more {
            running.done.pinned = pinned();
            running.done.committed = committed();
        }
        let done = &mut running.done;
        let pause = os::thread_nanos().saturating_sub(cpu);
        done.steps += 1;
        done.pause_ns += pause;
        done.longest_pause_ns = done.longest_pause_ns.max(pause);
        #[cfg(feature = "internals")]
        if bounded {
            let at = PAUSES.1.fetch_add(1, Ordering::Relaxed) as usize % PAUSES.0.len();
            PAUSES.0[at].store(pause << 2 | done.generation as u64, Ordering::Relaxed);
        }
        if more {
            return None;
        }
        done.wall_ns = os::uptime_nanos().saturating_sub(running.began);
        let done = *done;
        self.running = None;
        self.numbers[done.generation as usize] += 1;
        record(|record| {
            if done.census.is_some() {
                record.suspects = *self.counting.suspects();
            }
            record.stats[done.generation as usize].add(&done);
        });
        Some(done)
    }
}

impl Stage {
    fn after_purging(generation: Generation, counting: &mut Counting) -> Stage {
        if generation == Generation::Old {
            counting.begin();
        }
        Stage::Adopt
    }
}

/// Whether what has stayed free since the last automatic collection purged is not about to be used again: epochs may pass in
/// milliseconds, and memory that is purged and used again costs more than it is worth.
fn interval_is_over() -> bool {
    let (last, now) = (PURGED.load(Ordering::Relaxed), os::uptime_ms());
    let over = now >= last + BETWEEN_PURGES;
    if over {
        PURGED.store(now, Ordering::Relaxed);
    }
    over
}

impl Running {
    /// Does a piece of what is to do; waits for others' purges, if it is to. `false` when nothing is left.
    fn piece(&mut self, counting: &mut Counting, waits: bool) -> bool {
        let all = is_whole(self.done.generation, self.done.automatic);
        let (generation, reclaimed) = (self.done.generation, &mut self.done.reclaimed);
        let next = match &mut self.stage {
            Stage::Home(round) => match round.step() {
                Some(sent) => {
                    add(reclaimed, sent);
                    return true;
                }
                None if generation == Generation::Young => return false,
                None => Stage::Spare,
            },
            Stage::Spare if !self.purges => Stage::after_purging(generation, counting),
            Stage::Spare => {
                add(reclaimed, shard::retire_spare(all));
                Stage::Purge
            }
            Stage::Purge => match purge_one(Some(Interval::Middle), waits) {
                Some(bytes) => {
                    reclaimed.purged += bytes as u64;
                    return true;
                }
                None => Stage::Holes,
            },
            Stage::Holes => {
                let (dug, more) = shard::dig_some(DUG_AT_ONCE, LOOKED_AT_ONCE, Some(Interval::Middle));
                reclaimed.purged += dug as u64;
                if more {
                    return true;
                }
                Stage::Interval
            }
            Stage::Interval => {
                slices::begin_interval(Interval::Middle);
                Stage::after_purging(generation, counting)
            }
            // A middle one ends here.
            Stage::Adopt if generation == Generation::Middle => return false,
            Stage::Adopt => match shard::adopt_abandoned() {
                Some((bytes, sent)) => {
                    reclaimed.adopted += bytes as u64;
                    add(reclaimed, sent);
                    return true;
                }
                None => Stage::Count,
            },
            Stage::Count => match counting.piece() {
                None => return true,
                Some(census) => {
                    self.done.census = Some(census);
                    // Decided once: it is all or nothing.
                    let due = slices::due();
                    let little = due as u64 * 100 <= committed() * u64::from(clock::get().free_percent);
                    if !self.purges || !all && little {
                        return false;
                    }
                    Stage::PurgeAll(due)
                }
            },
            Stage::PurgeAll(left) => {
                let purged = if *left > 0 { purge_one(None, waits) } else { None };
                if let Some(bytes) = purged {
                    reclaimed.purged += bytes as u64;
                    *left = left.saturating_sub(bytes);
                    return true;
                }
                if !all {
                    return false;
                }
                shard::mark_sparse();
                Stage::HolesAll
            }
            Stage::HolesAll => {
                let (dug, more) = shard::dig_some(DUG_AT_ONCE, LOOKED_AT_ONCE, None);
                reclaimed.purged += dug as u64;
                return more;
            }
        };
        self.stage = next;
        true
    }
}

/// Whoever asks for an old collection wants all that can be had.
fn is_whole(generation: Generation, automatic: bool) -> bool {
    generation == Generation::Old && !automatic
}

/// A collection that is asked for waits for others' purges, a millisecond so many times: they are short, but there may be one after the other.
const PATIENCE: u32 = 200;

/// [`slices::purge_one`]. `None` if nothing is left, or it would be waited for.
fn purge_one(interval: Option<Interval>, waits: bool) -> Option<usize> {
    let mut waited = 0;
    loop {
        match slices::purge_one(interval) {
            Ok(bytes) => return Some(bytes),
            Err(Unpurged::Busy) if waits && waited < PATIENCE => {
                waited += 1;
                os::nap(1);
            }
            Err(_) => return None,
        }
    }
}

fn add(reclaimed: &mut Reclaimed, sent: Sent) {
    reclaimed.sent_home += sent.bytes as u64;
    reclaimed.retired += sent.retired as u64;
}

/// [`Stats::committed`](crate::Stats::committed).
fn committed() -> u64 {
    slices::counts().0.committed(HOLES.load(Ordering::Relaxed)) as u64
}

/// Bytes of physical memory in pages that no block has.
fn pinned() -> u64 {
    shard::free().saturating_sub(HOLES.load(Ordering::Relaxed)) as u64
}
