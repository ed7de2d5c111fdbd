//! Collections: one at a time, in steps.
//!
//! A collection is a list of things to do ([`Stage`]), each in pieces of some microseconds. Whoever asks for one does all of them. An
//! automatic one is done by threads that allocate, on their slow paths, for as long as [`budget`] allows at once; then they
//! go on until the process has allocated [`PACE`] of an epoch more. No lock is held from one step to the next; what a
//! vanished thread was doing at a fork is forgotten in the child.

use super::census::{Counting, Suspects};
use super::record::{Collection, GenerationStats, Reclaimed};
use super::{Generation, clock, hooks};
use crate::arena::SLICE;
use crate::arena::slices::{self, Interval};
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
    /// If much is free, or all of it was asked for, all of it is purged,
    PurgeAll,
    /// and, if it was asked for, every hole is dug.
    HolesAll,
}

/// A collection that has begun.
struct Running {
    done: Collection,
    stage: Stage,
    began: u64,
}

struct Collector {
    running: Option<Running>,
    counting: Counting,
    suspects: Suspects,
    stats: [GenerationStats; 3],
}

static COLLECTOR: Owned<Collector> = Owned::new(Collector {
    running: None,
    counting: Counting::new(),
    suspects: Suspects::NONE,
    stats: [GenerationStats::NONE; 3],
});

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
/// Bytes allocated by the process when its next step is due.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Bytes that were allocated from magazines since these were looked at.
static SMALL: AtomicU64 = AtomicU64::new(0);

/// The part of an epoch that the process allocates between two steps, as a power of two.
const PACE: u32 = 6;
/// Bytes of holes that are dug at a time.
const DUG_AT_ONCE: usize = 1 << 20;

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

/// Whether it is worth while to look at magazines. In an epoch that passes in a few large blocks, nobody had the occasion to use one:
/// those that are idle go home with the next middle collection.
fn looks_at_magazines(generation: Generation) -> bool {
    let enough = SMALL.load(Ordering::Relaxed) >= clock::get().young_bytes / 16;
    if enough || generation != Generation::Young {
        SMALL.store(0, Ordering::Relaxed);
    }
    enough || generation != Generation::Young
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
    // Whoever has it is at work, or this is a signal handler above it.
    let ended = COLLECTOR.with(Some(0), |collector, inherited| {
        collector.inherit(inherited);
        if collector.running.is_none() {
            collector.begin(clock::take_wanted()?, true);
        }
        let ended = collector.run(true);
        PENDING.store(collector.running.is_some(), Ordering::Relaxed);
        NEXT.store(allocated + (clock::get().young_bytes >> PACE), Ordering::Relaxed);
        ended
    });
    if let Ok(Some(collection)) = ended {
        hooks::ended(&collection);
    }
}

/// A whole collection, after what has begun of an automatic one. Waits for other threads' steps.
pub(super) fn collect(generation: Generation, automatic: bool) -> Result<Collection, Busy> {
    let mut before = None;
    let collection = COLLECTOR.with(None, |collector, inherited| {
        collector.inherit(inherited);
        if collector.running.is_some() {
            before = collector.run(false);
            PENDING.store(false, Ordering::Relaxed);
        }
        if !automatic {
            clock::tick_now();
            clock::restart(generation);
            // What is due by now is done by this.
            if clock::wanted().is_some_and(|wanted| wanted <= generation) {
                clock::take_wanted();
            }
        }
        collector.begin(generation, automatic);
        collector.run(false)
    })?;
    if let Some(before) = before {
        hooks::ended(&before);
    }
    collection.ok_or(Busy)
}

/// The suspects of the last old collection. Waits for a step of a collection.
pub(crate) fn suspects() -> Suspects {
    read(|collector| collector.suspects).unwrap_or(Suspects::NONE)
}

pub(super) fn stats() -> [GenerationStats; 3] {
    read(|collector| collector.stats).unwrap_or([GenerationStats::NONE; 3])
}

/// Whoever asks may be the first in a forked child, and the last to be told what was inherited.
fn read<T>(f: impl FnOnce(&Collector) -> T) -> Result<T, Busy> {
    COLLECTOR.with(None, |collector, inherited| {
        collector.inherit(inherited);
        f(collector)
    })
}

impl Collector {
    /// A thread that is gone had this when the process was forked: its collection is nobody's.
    fn inherit(&mut self, inherited: bool) {
        if inherited {
            self.running = None;
            self.counting.abandon();
        }
    }

    fn begin(&mut self, generation: Generation, automatic: bool) {
        let began = os::uptime_nanos();
        let round = match !automatic || looks_at_magazines(generation) {
            true => steal::Round::new(is_whole(generation, automatic)),
            false => steal::Round::OVER,
        };
        self.running = Some(Running {
            began,
            stage: Stage::Home(round),
            done: Collection {
                number: self.stats[generation as usize].collections + 1,
                automatic,
                began_ns: os::unix_nanos().saturating_sub(clock::began()),
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
            more = running.piece(&mut self.counting);
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
        if done.census.is_some() {
            self.suspects = *self.counting.suspects();
        }
        self.stats[done.generation as usize].add(&done);
        if current::trace() {
            os::preserving_errno(|| os::warn(format_args!("{done}")));
        }
        Some(done)
    }
}

impl Running {
    /// Does a piece of what is to do. `false` when nothing is left.
    fn piece(&mut self, counting: &mut Counting) -> bool {
        let whole = is_whole(self.done.generation, self.done.automatic);
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
            Stage::Spare => {
                add(reclaimed, shard::retire_spare(whole));
                Stage::Purge
            }
            Stage::Purge => match slices::purge_one(Some(Interval::Middle)) {
                Some(bytes) => {
                    reclaimed.purged += bytes as u64;
                    return true;
                }
                None => Stage::Holes,
            },
            Stage::Holes => {
                let dug = shard::dig_holes(DUG_AT_ONCE, Some(Interval::Middle));
                reclaimed.purged += dug as u64;
                if dug >= DUG_AT_ONCE {
                    return true;
                }
                Stage::Interval
            }
            Stage::Interval => {
                slices::begin_interval(Interval::Middle);
                if generation == Generation::Middle {
                    return false;
                }
                counting.begin();
                Stage::Adopt
            }
            Stage::Adopt => match shard::adopt_abandoned() {
                Some(bytes) => {
                    reclaimed.adopted += bytes as u64;
                    return true;
                }
                None => Stage::Count,
            },
            Stage::Count => match counting.piece() {
                None => return true,
                Some(census) => {
                    self.done.census = Some(census);
                    Stage::PurgeAll
                }
            },
            Stage::PurgeAll => {
                let much = slices::due() as u64 * 100 > committed() * u64::from(clock::get().free_percent);
                match if whole || much { slices::purge_one(None) } else { None } {
                    Some(bytes) => {
                        reclaimed.purged += bytes as u64;
                        return true;
                    }
                    None if whole => {
                        shard::mark_sparse();
                        Stage::HolesAll
                    }
                    None => return false,
                }
            }
            Stage::HolesAll => {
                let dug = shard::dig_holes(DUG_AT_ONCE, None);
                reclaimed.purged += dug as u64;
                return dug >= DUG_AT_ONCE;
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

fn add(reclaimed: &mut Reclaimed, sent: Sent) {
    reclaimed.sent_home += sent.bytes as u64;
    reclaimed.retired += sent.retired as u64;
}

/// [`Stats::committed`](crate::Stats::committed).
fn committed() -> u64 {
    let counts = slices::counts().0;
    ((counts.used + counts.due) * SLICE).saturating_sub(HOLES.load(Ordering::Relaxed)) as u64
}

/// Bytes of physical memory in pages that no block has.
fn pinned() -> u64 {
    shard::free().saturating_sub(HOLES.load(Ordering::Relaxed)) as u64
}
