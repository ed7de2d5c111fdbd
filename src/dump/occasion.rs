//! When a dump is written without being asked for: at exit, before a failure, at a peak, on a signal, again and again. And
//! when a report is printed.

use crate::allocator::{self, Listener};
use crate::arena::{SLICE, slices};
use crate::config::{Dumps, Reports, Signal, current};
use crate::heap::thread;
use crate::os::{self, file, lock::Futex, process};
use crate::reading::untracked;
use crate::stats;
use crate::sync::{AtomicBool, AtomicU64, Ordering};
use crate::units::Bytes;
use std::ffi::c_void;
use std::fmt;

static LISTENER: Listener = Listener { begin, allocated, failed };

/// Called by the loader.
pub(crate) fn init() {
    allocator::listen(&LISTENER);
}

/// Milliseconds from one dump before a failure to the next.
const BETWEEN_FAILURES: u64 = 60_000;

/// The bytes in use at which the next dump is written.
static PEAK: AtomicU64 = AtomicU64::new(u64::MAX);
/// When the last dump before a failure was written, by [`os::uptime_ms`]; 0: never.
static FAILED: AtomicU64 = AtomicU64::new(0);
/// What the signals ask for that came.
static SIGNALLED: Futex = Futex::new(0);
const DUMP: u32 = 1;
const REPORT: u32 = 2;
/// Whether this process, or one that it was forked from, has seen to its exit and its signal.
static ARMED: AtomicBool = AtomicBool::new(false);

/// What was chosen is known, or this is a forked child. Handlers are inherited, threads are not.
fn begin() {
    let (dumps, reports) = (current::dumps(), current::leaks());
    if !ARMED.swap(true, Ordering::Relaxed) {
        if dumps.peak > 0 {
            PEAK.store(dumps.peak, Ordering::Relaxed); // Relaxed, throughout: independent switches
        }
        if reports != Reports::NEVER {
            file::note_stderr();
        }
        if (dumps.exit || reports.exit) && !process::at_exit(at_exit) {
            os::warn(format_args!("the system takes no function for the exit: nothing will be written then"));
        }
        for signal in signals() {
            // SAFETY: the handler sets a flag and makes a system call, which leaves `errno` alone.
            if !unsafe { process::on_signal(signal, on_signal) } {
                os::warn(format_args!("the system takes no handler for {}: it will cause nothing", signal.name()));
            }
        }
    } else {
        FAILED.store(0, Ordering::Relaxed); // what failed in the parent did not fail here
    }
    /// Reports look names up, which dumps do not.
    const REPORTS_STACK: usize = 2 << 20;
    let started = match (reports.signal, dumps.needs_thread()) {
        (Some(_), _) => process::spawn_with(REPORTS_STACK, wait),
        (None, true) => process::spawn(wait),
        (None, false) => true,
    };
    if !started {
        os::warn(format_args!("no thread could be started: nothing will be written on a signal or after a time"));
    }
}

/// Those that something is to be written on.
fn signals() -> impl Iterator<Item = Signal> {
    let (dump, report) = (current::dumps().signal, current::leaks().signal);
    dump.into_iter().chain(report.filter(|_| report != dump))
}

/// How long an allocation waits for a dump of another thread. Not for ever: that thread may wait for a lock of the loader, under
/// which this one allocates.
const PATIENCE: Option<u64> = Some(5000);

/// How long the exit waits: as long as a dump may take, but not for ever, for the same reason.
const AT_EXIT: Option<u64> = Some(60_000);

/// Writes the next dump, and says so. Leaves `errno` alone: it runs in the middle of an allocation, perhaps.
fn write(patience: Option<u64>, why: fmt::Arguments<'_>) {
    // Of an error too, the path is told.
    let tell = |path: &_, done| match done {
        Ok(bytes) => os::warn(format_args!("{why}: wrote {path}, {}", Bytes(bytes as usize))),
        Err(error) => os::warn(format_args!("{why}: nothing written to {path}: {error}")),
    };
    os::preserving_errno(|| {
        if super::next(patience, tell).is_err() {
            os::warn(format_args!("{why}: nothing written, because another dump is being written"));
        }
    });
}

extern "C" fn at_exit() {
    if thread::is_interrupted() {
        // POSIX leaves undefined what such an exit does; that it should hang is in nobody's interest.
        os::warn(format_args!(
            "exit: called by a signal's handler in the middle of an allocation, so nothing is written"
        ));
        return;
    }
    // What the reports themselves need is nobody's peak.
    PEAK.store(u64::MAX, Ordering::Relaxed);
    if current::dumps().exit {
        write(AT_EXIT, format_args!("exit"));
    }
    let reports = current::leaks();
    if reports.exit && (reports.children || !is_minor()) {
        super::leaks::print("exit");
    }
}

/// Whether this is one of the many short processes that scripts and compilers start: it runs with the library of the process
/// that started it, and holds little. Nobody has asked for its report.
fn is_minor() -> bool {
    const LITTLE: usize = 1 << 20;
    untracked(|| stats::stats().live < LITTLE && os::relatives::parent_has_this_library())
}

fn allocated() {
    let due = PEAK.load(Ordering::Relaxed);
    if due == u64::MAX {
        return;
    }
    let used = (slices::counts().0.used * SLICE) as u64;
    // Of several threads that pass it, one writes.
    let next = used.saturating_add(used / 4);
    if used >= due && PEAK.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
        write(PATIENCE, format_args!("{} in use, more than {}", Bytes(used as usize), Bytes(due as usize)));
    }
}

fn failed(bytes: usize) {
    if !current::dumps().failure {
        return;
    }
    let (last, now) = (FAILED.load(Ordering::Relaxed), os::uptime_ms().max(1));
    let due = last == 0 || now >= last + BETWEEN_FAILURES;
    if due && FAILED.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
        write(PATIENCE, format_args!("no memory for {bytes} bytes"));
    }
}

extern "C" fn on_signal(number: i32) {
    let is_it = |signal: Option<Signal>| signal.is_some_and(|signal| process::number(signal) == number);
    let dump = if is_it(current::dumps().signal) { DUMP } else { 0 };
    let report = if is_it(current::leaks().signal) { REPORT } else { 0 };
    SIGNALLED.fetch_or(dump | report, Ordering::Relaxed);
    os::futex_wake(&SIGNALLED, 1);
}

/// Waits for the signals and for the time.
extern "C" fn wait(_: *mut c_void) -> *mut c_void {
    let Dumps { signal, every_secs, .. } = current::dumps();
    process::receive(signals(), c"tenure-dump");
    let every = u64::from(every_secs) * 1000;
    let mut next = os::uptime_ms() + every;
    loop {
        // 0 is no limit.
        let left = if every == 0 { 0 } else { next.saturating_sub(os::uptime_ms()).max(1) };
        os::futex_wait(&SIGNALLED, 0, left);
        let asked = SIGNALLED.swap(0, Ordering::Relaxed);
        if asked & DUMP != 0 {
            write(None, format_args!("signal {}", signal.map_or("", |signal| signal.name())));
        }
        if asked & REPORT != 0 {
            super::leaks::print("the signal");
        }
        if every > 0 && os::uptime_ms() >= next {
            write(None, format_args!("every {every_secs} s"));
            // What was missed is not made up for.
            next = (next + every).max(os::uptime_ms());
        }
    }
}
