//! Measuring: what code allocates, what it still holds at the end, how much it held at most.

use super::{Count, report};
use crate::mode;
use crate::reading::{self, untracked};
use crate::scope::watch::{Handle, Inside, Watching};
use crate::snapshot::{self, Ending, Frame, Names, Place, loaded, outermost_of_interest};
use crate::track::read;
use crate::track::watch::{Kind, MOST};
use std::fmt;
use std::future::Future;
use std::hint::black_box;
use std::pin::Pin;
use std::task::{Context, Poll};

/// What code has allocated, and what came of it: requested bytes, to the block and to the byte.
///
/// `allocated` = `freed` + `live`, in blocks and in bytes. A block that was there before is not counted, nor is its free. One that
/// is resized in place stays the block that it is: what it grows by is added to the bytes allocated, what it shrinks by to
/// those freed. One that moves is an allocation and a free.
///
/// Its `Display` is a table with the ten sites that allocated most; it looks up names.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Measured<T> {
    /// What the code returned. What it holds counts as `live`.
    pub value: T,
    /// What was allocated.
    pub allocated: Count,
    /// What of that was freed, by whichever thread.
    pub freed: Count,
    /// What of it was still held at the end.
    pub live: Count,
    /// The most blocks and the most bytes that were held at once; not necessarily both at the same moment.
    pub peak: Count,
    /// How often a block was resized in place.
    pub resized: u64,
    /// The call stacks that allocated, most bytes first.
    pub sites: Vec<Site>,
}

impl<T> Measured<T> {
    /// The same with another value.
    pub fn with<U>(self, value: U) -> Measured<U> {
        let Measured { value: _, allocated, freed, live, peak, resized, sites } = self;
        Measured { value, allocated, freed, live, peak, resized, sites }
    }
}

impl<T> fmt::Display for Measured<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = untracked(|| {
            let sites = report::with_names(|names| report::sites(&self.sites, report::Column::Allocated, names));
            report::summary(self) + &sites
        });
        f.write_str(&text)
    }
}

/// What one call stack has done in code that was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Site {
    /// The same for the same stack as long as the process lives; [`snapshot::Site::OVERFLOW`] for what came after 6,144 sites.
    pub number: u32,
    /// What it allocated.
    pub allocated: Count,
    /// What of that was still held at the end.
    pub live: Count,
    /// What it held when [`Measured::peak`] bytes were held, for the first time.
    pub at_peak: Count,
}

impl Site {
    /// The call stack, leaf first: addresses within the calls, to be looked up as they are. And how it ended. Allocates.
    pub fn stack(&self) -> (Vec<u64>, Ending) {
        untracked(|| {
            let mut stack = Vec::new();
            let ending = read::stack(self.number, &mut |at| stack.push(at as u64)).into();
            (stack, ending)
        })
    }

    /// Its functions, leaf first, those of the allocator and the standard library too. Costs and allocates as `names` do.
    pub fn frames(&self, names: &mut dyn Names) -> Vec<Frame> {
        untracked(|| {
            let modules = loaded();
            let (stack, _) = self.stack();
            stack.iter().flat_map(|&at| names.frames(&Place::new(at, &modules)).to_vec()).collect()
        })
    }

    /// The program's own line that allocated. `None` if there is no stack.
    pub fn line(&self, names: &mut dyn Names) -> Option<Frame> {
        untracked(|| outermost_of_interest(&self.frames(names)).cloned())
    }
}

/// Runs `f`, and says what it has allocated: on this thread, and on threads and tasks that [`inherit`](crate::inherit) or
/// [`InScopeExt`](crate::InScopeExt) have brought into its scope.
///
/// Exact, and of this code only, whatever other threads do meanwhile; they are not slowed down. In `f` each allocation costs
/// about as much as in [`Mode::Exact`](crate::Mode::Exact), and some 100 ns more. Beginning and ending cost microseconds.
///
/// ```
/// # #[global_allocator]
/// # static ALLOC: tenure::Tenure = tenure::Tenure::new();
/// use tenure::testing::measure;
///
/// let m = measure(|| {
///     drop(vec![0u8; 1000]);
///     vec![0u8; 24]
/// });
/// assert_eq!((m.allocated.blocks, m.allocated.bytes), (2, 1024));
/// assert_eq!((m.live.blocks, m.live.bytes), (1, 24), "what it has returned");
/// assert_eq!(m.peak.bytes, 1000);
/// ```
///
/// # Panics
/// If tenure is not the global allocator; or if there are 8,192 scopes that are open, or whose blocks live in one that is.
#[track_caller]
pub fn measure<T>(f: impl FnOnce() -> T) -> Measured<T> {
    let scope = Scope::begin();
    let value = f();
    scope.end().with(value)
}

/// [`measure`] for a future: what is allocated while it is polled, on whichever threads that is. As a closure, it is gone
/// when it is over: what is live then is what it returned, or left elsewhere.
///
/// ```
/// # #[global_allocator]
/// # static ALLOC: tenure::Tenure = tenure::Tenure::new();
/// # use std::{future::Future, pin::pin, task::{Context, Poll, Waker}};
/// # fn block_on<F: Future>(future: F) -> F::Output {
/// #     match pin!(future).poll(&mut Context::from_waker(Waker::noop())) { Poll::Ready(v) => v, _ => unreachable!() }
/// # }
/// let m = block_on(tenure::testing::measure_async(async { vec![1u32; 5].len() }));
/// assert_eq!((m.value, m.allocated.bytes, m.live.bytes), (5, 20, 0));
/// ```
///
/// # Panics
/// As [`measure`] does.
#[track_caller]
pub fn measure_async<F: Future>(future: F) -> Measure<F> {
    Measure { future: Some(future), watching: open(Kind::Counts) }
}

/// A future that is measured: see [`measure_async`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Measure<F> {
    /// Dropped where it ends, and before the watch is.
    future: Option<F>,
    watching: Watching,
}

impl<F: Future> Future for Measure<F> {
    type Output = Measured<F::Output>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: `future` is pinned with the whole: nothing moves out of it, and there is no `Drop` or `Unpin` of our own.
        let (mut future, watching) = unsafe {
            let this = self.get_unchecked_mut();
            (Pin::new_unchecked(&mut this.future), &this.watching)
        };
        let inside = watching.handle().enter();
        let polled = future.as_mut().as_pin_mut().expect("a future that is over is not polled again").poll(context);
        if polled.is_ready() {
            future.set(None);
        }
        drop(inside);
        polled.map(|value| {
            watching.close();
            read(watching).with(value)
        })
    }
}

/// What is allocated from here until its end, by this thread, and by threads and tasks in its scope: where a closure does
/// not fit.
///
/// Scopes nest: an outer one counts what inner ones do. One that is dropped says nothing. It is of its thread, so in a task
/// it must not stand across an `.await`, even if the task never moves: use [`measure_async`] there.
///
/// ```
/// # #[global_allocator]
/// # static ALLOC: tenure::Tenure = tenure::Tenure::new();
/// use tenure::testing::Scope;
///
/// let scope = Scope::begin();
/// let worker = std::thread::spawn(tenure::inherit(|| vec![0u8; 100]));
/// let block = worker.join().unwrap();
/// assert!(scope.so_far().live.bytes >= 100);
/// drop(block);
/// let m = scope.end();
/// assert_eq!(m.allocated.bytes, m.freed.bytes + m.live.bytes);
/// ```
#[derive(Debug)]
#[must_use = "a scope that is dropped says nothing"]
pub struct Scope {
    /// Left before the watch is closed.
    inside: Option<Inside>,
    watching: Watching,
}

impl Scope {
    /// Counts from here on. Costs microseconds.
    ///
    /// # Panics
    /// As [`measure`] does.
    #[track_caller]
    pub fn begin() -> Scope {
        Scope::of(Kind::Counts)
    }

    #[track_caller]
    pub(super) fn of(kind: Kind) -> Scope {
        let watching = open(kind);
        Scope { inside: watching.begin(), watching }
    }

    /// What was counted until now. What this costs and allocates is not counted.
    pub fn so_far(&self) -> Measured<()> {
        read(&self.watching)
    }

    /// Ends it.
    pub fn end(mut self) -> Measured<()> {
        self.stop()
    }

    /// Leaves it, and says what was counted.
    pub(super) fn stop(&mut self) -> Measured<()> {
        self.inside = None;
        self.watching.close();
        read(&self.watching)
    }
}

/// A watch within the one that this thread is in.
#[track_caller]
pub(super) fn open(kind: Kind) -> Watching {
    if Handle::current().is_none() && !is_global() {
        panic!(
            "tenure is not this program's global allocator, so nothing can be measured; add\n\n    \
             #[global_allocator]\n    static ALLOC: tenure::Tenure = tenure::Tenure::new();\n\nto the test's root file"
        );
    }
    match Watching::open(kind) {
        Some(watching) => watching,
        None => panic!(
            "no scope for memory tests is left: {MOST} are open, or their blocks live in one that is (or memory is out); \
             end some, or put fewer of them into one process"
        ),
    }
}

/// Whether what this thread allocates comes from here.
pub(crate) fn is_global() -> bool {
    let _exact = mode::exact_scope();
    let probe = black_box(Box::new(0u8));
    reading::held((&raw const *probe).cast_mut()).is_some()
}

fn read(watching: &Watching) -> Measured<()> {
    untracked(|| {
        let (totals, lines) = watching.read();
        let number = |site: Option<u32>| site.unwrap_or(snapshot::Site::OVERFLOW);
        let mut sites: Vec<Site> = lines
            .into_iter()
            .map(|l| Site { number: number(l.site), allocated: l.allocated, live: l.live, at_peak: l.at_peak })
            .collect();
        sites.sort_unstable_by_key(|s| (std::cmp::Reverse(s.allocated.bytes), s.number));
        let crate::track::watch::Totals { allocated, freed, live, peak, resized } = totals;
        Measured { value: (), allocated, freed, live, peak, resized, sites }
    })
}
