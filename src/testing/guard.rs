//! Guards for code that may not allocate.

use super::measure::{Scope, Site, open};
use super::report::{self, Column, number};
use crate::os::{self, modules};
use crate::reading::untracked;
use crate::scope::watch::Handle;
use crate::symbols::Symbols;
use crate::track::read;
use crate::track::watch::{self, Count, Kind};
use std::panic::Location;
use std::thread;

/// Until the returned guard is dropped, this thread may not allocate. If it has, dropping the guard panics, with the call
/// stacks; nothing happens in the allocation itself. While the thread panics already, nothing is said.
///
/// It is for this thread, and for threads and tasks that [`inherit`](crate::inherit) or [`InScopeExt`](crate::InScopeExt) bring
/// into its scope; what other threads do is not looked at, though this one has started them (to start one allocates). What
/// is freed, and what is resized in place, is not looked at.
///
/// ```should_panic
/// # #[global_allocator]
/// # static ALLOC: tenure::Tenure = tenure::Tenure::new();
/// let mut samples = Vec::with_capacity(2);
/// let guard = tenure::testing::no_alloc();
/// samples.extend([1, 2]);
/// samples.push(3); // grows
/// drop(guard); // panics here
/// ```
///
/// # Panics
/// As [`measure`](super::measure()) does.
#[track_caller]
pub fn no_alloc() -> NoAlloc {
    NoAlloc { scope: Scope::of(Kind::Forbids), began: Location::caller() }
}

/// Like [`no_alloc`], but the first allocation ends the process: with a line on standard error, its call stack as modules
/// and offsets, which needs no memory, then as names as far as that can be had; then an abort. For code where it would be
/// too late afterwards, and for a debugger or a core dump.
///
/// ```
/// # #[global_allocator]
/// # static ALLOC: tenure::Tenure = tenure::Tenure::new();
/// let mut samples = Vec::with_capacity(2);
/// let _guard = tenure::testing::no_alloc_or_abort();
/// samples.extend([1, 2]);
/// ```
///
/// # Panics
/// As [`measure`](super::measure()) does.
#[track_caller]
pub fn no_alloc_or_abort() -> NoAlloc {
    watch::on_forbidden(end);
    NoAlloc { scope: Scope::of(Kind::Aborts), began: Location::caller() }
}

/// The guard of [`no_alloc`] or [`no_alloc_or_abort`].
#[derive(Debug)]
#[must_use = "the scope ends when the guard is dropped"]
pub struct NoAlloc {
    scope: Scope,
    began: &'static Location<'static>,
}

impl Drop for NoAlloc {
    fn drop(&mut self) {
        let measured = self.scope.stop();
        if measured.allocated.blocks == 0 || thread::panicking() {
            return;
        }
        let text = untracked(|| {
            let (blocks, bytes) = (measured.allocated.blocks, measured.allocated.bytes);
            let mut text = format!(
                "{} ({}) allocated where none may be, since {}\n",
                number(blocks, "block"),
                number(bytes, "byte"),
                self.began
            );
            text += &report::with_names(|names| report::sites(&measured.sites, Column::Allocated, names));
            text
        });
        panic!("{}", text.trim_end());
    }
}

/// Runs `f`, which may allocate though a guard of [`no_alloc`] or [`no_alloc_or_abort`] stands. A scope that measures counts it all
/// the same.
///
/// ```
/// # #[global_allocator]
/// # static ALLOC: tenure::Tenure = tenure::Tenure::new();
/// let _guard = tenure::testing::no_alloc();
/// let line = tenure::testing::permit(|| format!("{} ms", 3));
/// assert_eq!(line, "3 ms");
/// ```
///
/// # Panics
/// If there is no scope left, as in [`measure`](super::measure()): each call takes one for as long as a block lives that it has
/// permitted.
#[track_caller]
pub fn permit<T>(f: impl FnOnce() -> T) -> T {
    if Handle::current().is_none() {
        return f();
    }
    let watching = open(Kind::Permits);
    let _inside = watching.handle().enter();
    f()
}

/// Says what was allocated where none may be, and ends the process.
fn end(site: u32, requested: u64) -> ! {
    untracked(|| {
        // First what needs no memory and few locks: this may be in the middle of anything.
        os::warn(format_args!("{requested} bytes are allocated where none may be; the call stack:"));
        read::stack(site, &mut warn_of_place);
        let site =
            Site { number: site, allocated: Count::default(), live: Count::default(), at_peak: Count::default() };
        let frames = report::stack(&site, &mut Symbols::new());
        frames.iter().for_each(|frame| os::warn(format_args!("  {frame}")));
    });
    std::process::abort()
}

/// Module and offset, without an allocation.
fn warn_of_place(address: usize) {
    let mut known = false;
    modules::each_module(&mut |module| {
        if module.code().any(|code| code.start <= address && address < code.end) {
            known = true;
            let file = module.path().rsplit(|&b| b == b'/').next().and_then(|file| std::str::from_utf8(file).ok());
            let file = file.filter(|file| !file.is_empty()).unwrap_or("the program");
            os::warn(format_args!("  {file}+{:#x}", address.wrapping_sub(module.base())));
        }
    });
    if !known {
        os::warn(format_args!("  {address:#x}"));
    }
}
