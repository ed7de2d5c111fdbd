//! What the dashboard's charts know of the past: figures noted as the page or `/metrics` was asked for, and the collections meanwhile.
//!
//! One history for the process, however many [`Endpoints`](super::Endpoints) there are: some 200 KiB of zeroed memory that
//! is touched as it fills. Nothing here allocates but [`read`] and [`recent`].

use crate::generation::{Collection, Event, Generation, Reclaimed, clock, on_collection};
use crate::os::owned::Owned;
use crate::snapshot::Tenuring;
use crate::stats::Stats;
use serde::Serialize;
use std::sync::Once;

/// Points of a line, at most.
const POINTS: usize = 1200;
/// What is older is forgotten.
const HOUR_MS: u64 = 3_600_000;
/// Points are so far apart: a second, less what a timer is early.
const APART_MS: u64 = 900;
/// Collections of each generation that are remembered.
const MARKS: usize = 256;
/// Whoever has the history copies some KiB.
const PATIENCE_MS: u64 = 100;

/// What is plotted against time.
trait At: Copy {
    /// Milliseconds since the process began.
    fn at_ms(&self) -> u64;
}

/// Figures of one moment, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Point {
    pub(crate) at_ms: u64,
    pub(crate) live: u64,
    pub(crate) committed: u64,
    pub(crate) resident: u64,
}

/// Live tracked bytes by generation, youngest first.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Ages {
    pub(crate) at_ms: u64,
    pub(crate) bytes: [f64; 3],
}

/// A collection.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Mark {
    /// When it began, in milliseconds since the process did.
    pub(crate) at_ms: u64,
    pub(crate) generation: Generation,
    pub(crate) number: u64,
    pub(crate) automatic: bool,
    /// Processor time in nanoseconds, all steps together.
    pub(crate) pause_ns: u64,
    pub(crate) reclaimed: Reclaimed,
    /// Bytes that survivors keep and nobody has.
    pub(crate) pinned: u64,
    /// Bytes committed when it had ended.
    pub(crate) committed: u64,
    /// Of an old one: live tracked bytes by generation, youngest first.
    pub(crate) alive: Option<[f64; 3]>,
}

impl At for Point {
    fn at_ms(&self) -> u64 {
        self.at_ms
    }
}

impl At for Ages {
    fn at_ms(&self) -> u64 {
        self.at_ms
    }
}

impl From<&Collection> for Mark {
    fn from(c: &Collection) -> Mark {
        Mark {
            at_ms: c.began_ns / 1_000_000,
            generation: c.generation,
            number: c.number,
            automatic: c.automatic,
            pause_ns: c.pause_ns,
            reclaimed: c.reclaimed,
            pinned: c.pinned,
            committed: c.committed,
            alive: c.census.map(|census| [census.young.bytes, census.middle.bytes, census.old.bytes]),
        }
    }
}

/// Values in the order of their times: `len` of them.
struct Series<T> {
    len: usize,
    points: [T; POINTS],
}

impl<T: At> Series<T> {
    const fn new(nothing: T) -> Self {
        Series { len: 0, points: [nothing; POINTS] }
    }

    fn all(&self) -> &[T] {
        &self.points[..self.len]
    }

    /// Adds a point, unless the last one is too near. Where there is no room, the one of the older half goes that is missed least.
    fn push(&mut self, point: T) {
        let now = point.at_ms();
        if self.all().last().is_some_and(|last| now < last.at_ms() + APART_MS) {
            return;
        }
        let old = self.all().iter().take_while(|p| p.at_ms() + HOUR_MS < now).count();
        self.points.copy_within(old..self.len, 0);
        self.len -= old;
        if self.len == POINTS {
            let gap = |i: usize| self.points[i + 1].at_ms() - self.points[i - 1].at_ms();
            let least = (1..POINTS / 2).min_by_key(|&i| gap(i)).unwrap_or(0);
            self.points.copy_within(least + 1.., least);
            self.len -= 1;
        }
        self.points[self.len] = point;
        self.len += 1;
    }
}

/// The last collections of a generation: the oldest is written over.
#[derive(Clone, Copy)]
struct Marks {
    next: usize,
    all: [Option<Mark>; MARKS],
}

struct Ring {
    points: Series<Point>,
    ages: Series<Ages>,
    /// By generation.
    marks: [Marks; 3],
}

impl Ring {
    const EMPTY: Ring = Ring {
        points: Series::new(Point { at_ms: 0, live: 0, committed: 0, resident: 0 }),
        ages: Series::new(Ages { at_ms: 0, bytes: [0.0; 3] }),
        marks: [Marks { next: 0, all: [None; MARKS] }; 3],
    };

    fn mark(&mut self, mark: Mark) {
        let marks = &mut self.marks[mark.generation as usize];
        marks.all[marks.next] = Some(mark);
        marks.next = (marks.next + 1) % MARKS;
        if let Some(bytes) = mark.alive {
            self.ages.push(Ages { at_ms: now(), bytes });
        }
    }

    /// Oldest first.
    fn marks(&self) -> Vec<Mark> {
        let mut all: Vec<_> = self.marks.iter().flat_map(|marks| marks.all).flatten().collect();
        all.sort_by_key(|mark| (mark.at_ms, mark.number));
        all
    }
}

static RING: Owned<Ring> = Owned::new(Ring::EMPTY);

/// Nothing if another thread has it for very long: a gap in a chart is no loss.
fn with<R>(f: impl FnOnce(&mut Ring) -> R) -> Option<R> {
    let whole = |ring: &mut Ring, inherited: bool| {
        if inherited {
            // A thread that a fork left behind was writing: lengths are what can be wrong.
            (ring.points.len, ring.ages.len) = (0, 0);
            ring.marks.iter_mut().for_each(|marks| (marks.next, _) = (0, marks.all.fill(None)));
        }
        f(ring)
    };
    RING.with(Some(PATIENCE_MS), whole).ok()
}

fn now() -> u64 {
    clock::lived() / 1_000_000
}

fn heard(event: Event<'_>) {
    if let Event::After(collection) = event {
        with(|ring| ring.mark(collection.into()));
    }
}

/// Collections are remembered from now on. Where there is no room for another hook, the charts have no marks.
pub(crate) fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let _ = on_collection(&heard);
    });
}

/// Notes what a reading says, once a second at most. Does not allocate.
pub(crate) fn note(stats: &Stats) {
    let [live, committed, resident] = [stats.live, stats.committed, stats.resident].map(|bytes| bytes as u64);
    with(|ring| ring.points.push(Point { at_ms: now(), live, committed, resident }));
}

/// Notes what lives by generation, once a second at most: for whoever has counted that anyway. Does not allocate.
pub(crate) fn note_ages(tenuring: &Tenuring) {
    let bytes = [&tenuring.young, &tenuring.middle, &tenuring.old].map(|generation| generation.live.bytes);
    with(|ring| ring.ages.push(Ages { at_ms: now(), bytes }));
}

/// A copy of all that is known, each oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    /// Milliseconds since the process began: when the copy was made.
    pub(crate) now_ms: u64,
    pub(crate) points: Vec<Point>,
    pub(crate) ages: Vec<Ages>,
    pub(crate) marks: Vec<Mark>,
}

pub(crate) fn read() -> History {
    let copy = |ring: &mut Ring| History {
        now_ms: now(),
        points: ring.points.all().to_vec(),
        ages: ring.ages.all().to_vec(),
        marks: ring.marks(),
    };
    with(copy).unwrap_or_default()
}

/// The last collections, oldest first.
pub(crate) fn recent(most: usize) -> Vec<Mark> {
    let mut marks = with(|ring| ring.marks()).unwrap_or_default();
    marks.split_off(marks.len().saturating_sub(most))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(at_ms: u64) -> Ages {
        Ages { at_ms, bytes: [at_ms as f64; 3] }
    }

    #[test]
    fn an_hour_fits_and_the_last_minutes_are_whole() {
        let mut series = Series::new(Ages::default());
        for second in 1..=2 * 3600 {
            series.push(at(second * 1000));
            assert!(series.len <= POINTS);
        }
        let times: Vec<_> = series.all().iter().map(|p| p.at_ms / 1000).collect();
        assert!(times.is_sorted() && times.last() == Some(&7200));
        assert!((3600..3620).contains(&times[0]), "an hour ago: {}", times[0]);
        let gaps: Vec<_> = times.windows(2).map(|w| w[1] - w[0]).collect();
        assert!(gaps[POINTS / 2..].iter().all(|&gap| gap == 1), "the newer half is whole");
        assert!(*gaps.iter().max().expect("gaps") <= 12, "evenly thin: {gaps:?}");
    }

    #[test]
    fn what_comes_too_soon_is_left_out() {
        let mut series = Series::new(Ages::default());
        [1000, 1500, 1899, 1900, 2000, 2900].into_iter().for_each(|ms| series.push(at(ms)));
        assert_eq!(series.all().iter().map(|p| p.at_ms).collect::<Vec<_>>(), [1000, 1900, 2900]);
    }

    #[test]
    fn a_collection_leaves_a_mark() {
        listen();
        let done = crate::generation::collect(Generation::Old);
        let find =
            || recent(usize::MAX).into_iter().find(|m| (m.generation, m.number) == (Generation::Old, done.number));
        // Another test's collection may run inside this one's.
        let mark = find().expect("a mark");
        assert_eq!((mark.pause_ns, mark.automatic), (done.pause_ns, false));
        assert!(mark.alive.is_some() && !read().ages.is_empty(), "an old collection counts what lives");
        assert!(recent(1).len() == 1);
    }

    #[test]
    fn the_oldest_marks_go_first() {
        let mut ring = Box::new(Ring::EMPTY);
        let collection = Collection::none(Generation::Young, 0);
        for number in 0..MARKS as u64 + 10 {
            ring.mark(Mark { number, at_ms: number, ..Mark::from(&collection) });
        }
        let numbers: Vec<_> = ring.marks().iter().map(|mark| mark.number).collect();
        assert_eq!((numbers.len(), numbers[0], numbers[MARKS - 1]), (MARKS, 10, MARKS as u64 + 9));
    }
}
