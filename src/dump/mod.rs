//! Snapshots written to files: when asked for, when something happens, and when memory is out.
//!
//! ```no_run
//! tenure::dump::to("/tmp/service.json")?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! [`Dumps`](crate::config::Dumps) has them written by themselves: at exit, before an allocation fails, on a signal, at a peak, again
//! and again. By the builder ([`Tenure::dumps`](crate::Tenure::dumps)) or by the environment, without a new build:
//!
//! ```sh
//! TENURE=exact,dump=peak:2GiB,dump=signal:USR2,dump_path=/tmp/service.%p.%n.json ./service
//! ```
//!
//! **What is in a file**: everything that is in a [`Snapshot`](crate::Snapshot), as JSON by
//! `docs/snapshot.schema.json` in tenure's repository. A dump is *raw*: call stacks are places in modules, which are named by path and build id, and functions have no names. Read it with
//! [`export::from_file`](crate::export), which finds the names where the modules' files are, on whichever machine, or with
//! the program `tenure` (`cargo install tenure --features cli`), which prints and converts it.
//!
//! **How it is written.** Without allocating, from memory that the program was linked with (5 MiB that cost nothing until
//! they are used) and 24 KiB of stack, by whichever thread has the occasion, while all threads run on. So it can be written
//! when memory is out. It takes some 40 ns a live tracked block and 3 µs a call stack. Two threads write one after the other;
//! an allocation that causes a dump waits five seconds for its turn.
//!
//! **Files** are new, and only their owner may read them. A file has its name only when it is whole: what a process that is
//! killed has written until then is there and complete, and the one that it was writing ends in `.part`. One line on standard
//! error says what was written and why, or what kept it from being written.

pub(crate) mod format;
pub(crate) mod json;
mod leaks;
mod live;
mod occasion;
mod series;

pub use leaks::leaks;
pub(crate) use occasion::init;

use crate::config::current;
use crate::os::file::Errno;
use crate::os::owned::Owned;
use crate::os::process::without_signals_for_writing;
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Writes a snapshot of this process to a new file.
///
/// Does not allocate; waits for a dump that another thread is writing. The path is cut nowhere: one of more than 3,800 bytes
/// is an error, as is a file of that name, and whatever the system says; `EBUSY` from a signal handler that interrupts one. After
/// an error nothing is left behind. The file is bounded as [`Dumps::max_bytes`](crate::config::Dumps::max_bytes) says.
pub fn to(path: impl AsRef<Path>) -> io::Result<()> {
    within(path.as_ref().as_os_str().as_bytes(), current::dumps().most_bytes)
}

/// The same with a bound on the file's bytes.
pub(crate) fn within(path: &[u8], most: u64) -> io::Result<()> {
    let done = with_writer(None, |series, space| series.at(path, |file| live::write(space, file, most)));
    Ok(done.and_then(|done| done).map(|_| ())?)
}

/// Writes a snapshot of this process to the next file of the series that [`Dumps`](crate::config::Dumps) describes, as if one of the
/// occasions had come that it names. It need not name any.
///
/// Errors and cost as for [`to`].
pub fn now() -> io::Result<()> {
    let done = next(None, |_, done| done).and_then(|done| done);
    Ok(done.map(|_| ())?)
}

/// Writes the next file of the series, and has `tell` make something of its path and its bytes, or of the path and what went
/// wrong. [`Errno::BUSY`] if others have not done with theirs after so many milliseconds.
fn next<T>(patience: Option<u64>, tell: impl FnOnce(&series::Path, Result<u64, Errno>) -> T) -> Result<T, Errno> {
    let dumps = current::dumps();
    with_writer(patience, |series, space| {
        let done = series.next(&dumps, |file| live::write(space, file, dumps.most_bytes));
        tell(&series.path, done)
    })
}

/// What whoever writes a dump needs.
struct Writer {
    series: series::Series,
    space: MaybeUninit<live::Workspace>,
}

/// The one that there is.
static WRITER: Owned<Writer> = Owned::new(Writer { series: series::Series::new(), space: MaybeUninit::zeroed() });

/// Runs `f` with what a writer needs, one thread at a time. [`Errno::BUSY`] if this thread is at it already, or others are for
/// longer than so many milliseconds.
fn with_writer<T>(
    patience: Option<u64>,
    f: impl FnOnce(&mut series::Series, &mut live::Workspace) -> T,
) -> Result<T, Errno> {
    let done = WRITER.with(patience, |Writer { series, space }, inherited| {
        if inherited {
            series.reset();
        }
        // SAFETY: a workspace is integers and floats, so that any bytes are one, also those that another thread was writing when
        // this process was forked off.
        let space = unsafe { space.assume_init_mut() };
        without_signals_for_writing(|| f(series, space))
    });
    done.map_err(|_| Errno::BUSY)
}
