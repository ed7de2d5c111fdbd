//! When a dump is written without being asked for: at exit, before a failure, at a peak, on a signal, again and again.

use crate::allocator::{self, Listener};
use crate::arena::{SLICE, slices};
use crate::config::{Dumps, current};
use crate::os::{self, lock::Futex, process};
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
/// 1 if the signal came.
static SIGNALLED: Futex = Futex::new(0);
/// Whether this process, or one that it was forked from, has seen to its exit and its signal.
static ARMED: AtomicBool = AtomicBool::new(false);

/// What was chosen is known, or this is a forked child. Handlers are inherited, threads are not.
fn begin() {
    let dumps = current::dumps();
    if !ARMED.swap(true, Ordering::Relaxed) {
        if dumps.peak > 0 {
            PEAK.store(dumps.peak, Ordering::Relaxed); // Relaxed, throughout: independent switches
        }
        if (dumps.exit || current::leaks()) && !process::at_exit(at_exit) {
            os::warn(format_args!("the system takes no function for the exit: nothing will be written then"));
        }
        if let Some(signal) = dumps.signal {
            // SAFETY: the handler sets a flag and makes a system call, which leaves `errno` alone.
            if !unsafe { process::on_signal(signal, on_signal) } {
                os::warn(format_args!("the system takes no handler for {}: it will cause no dump", signal.name()));
            }
        }
    } else {
        FAILED.store(0, Ordering::Relaxed); // what failed in the parent did not fail here
    }
    if dumps.needs_thread() && !process::spawn(wait) {
        os::warn(format_args!("no thread could be started: there will be no dumps on a signal or after a time"));
    }
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
    // What the reports themselves need is nobody's peak.
    PEAK.store(u64::MAX, Ordering::Relaxed);
    if current::dumps().exit {
        write(AT_EXIT, format_args!("exit"));
    }
    if current::leaks() {
        super::leaks::print();
    }
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

extern "C" fn on_signal(_: i32) {
    SIGNALLED.store(1, Ordering::Relaxed);
    os::futex_wake(&SIGNALLED, 1);
}

/// Waits for the signal and for the time.
extern "C" fn wait(_: *mut c_void) -> *mut c_void {
    let Dumps { signal, every_secs, .. } = current::dumps();
    process::receive(signal, c"tenure-dump");
    let every = u64::from(every_secs) * 1000;
    let mut next = os::uptime_ms() + every;
    loop {
        // 0 is no limit.
        let left = if every == 0 { 0 } else { next.saturating_sub(os::uptime_ms()).max(1) };
        os::futex_wait(&SIGNALLED, 0, left);
        if SIGNALLED.swap(0, Ordering::Relaxed) != 0 {
            write(None, format_args!("signal {}", signal.map_or("", |signal| signal.name())));
        }
        if every > 0 && os::uptime_ms() >= next {
            write(None, format_args!("every {every_secs} s"));
            // What was missed is not made up for.
            next = (next + every).max(os::uptime_ms());
        }
    }
}
