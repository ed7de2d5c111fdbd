//! Linux, by way of libc.

use super::lock::Futex;
use crate::sync::{AtomicU64, Ordering};
use libc::{c_int, c_void};
use once_cell::race::OnceNonZeroUsize;
use std::ffi::CStr;
use std::num::NonZeroUsize;
use std::ptr::null_mut;

#[cfg(not(target_os = "linux"))]
compile_error!("tenure runs on Linux for now: another system is another implementation of src/os/mod.rs");
#[cfg(not(target_pointer_width = "64"))]
compile_error!("tenure needs 64-bit addresses: its arenas are ranges of address space");

static PAGE: OnceNonZeroUsize = OnceNonZeroUsize::new();

/// The size of an OS page in bytes. At most 64 KiB.
pub(crate) fn page_size() -> usize {
    PAGE.get_or_init(|| {
        // Not by `sysconf`: each process would touch 128 KiB of the C library for that, which it needs for nothing else.
        let n = NonZeroUsize::new(auxval(libc::AT_PAGESZ)).filter(|n| n.get() <= 64 << 10);
        n.unwrap_or(NonZeroUsize::new(64 << 10).unwrap())
    })
    .get()
}

static PROCESSORS: OnceNonZeroUsize = OnceNonZeroUsize::new();

/// How many processors this process may run on. Asked once: by its first thread, because others may have been given one of their own.
pub(crate) fn processors() -> usize {
    PROCESSORS
        .get_or_init(|| {
            // SAFETY: a set of processors is plain bits, and as long as said.
            let n = unsafe {
                let mut set: libc::cpu_set_t = std::mem::zeroed();
                // By number: the C library's function lies where nothing else does that each process runs.
                match libc::syscall(libc::SYS_sched_getaffinity, 0, size_of_val(&set), &raw mut set) {
                    ..=0 => 1,
                    _ => libc::CPU_COUNT(&set),
                }
            };
            NonZeroUsize::new(n as usize).unwrap_or(NonZeroUsize::MIN)
        })
        .get()
}

fn refused() -> bool {
    #[cfg(feature = "internals")]
    return super::inject::refuses();
    #[cfg(not(feature = "internals"))]
    false
}

/// Reserves `len` bytes of address space, near `hint` if that is free. Null if the system refuses.
pub(crate) fn reserve(hint: usize, len: usize) -> *mut u8 {
    if refused() {
        return null_mut();
    }
    // Without MAP_NORESERVE: what is committed later counts, so that the system refuses a size that it cannot serve.
    // SAFETY: an anonymous mapping at an address of the kernel's choice disturbs nothing.
    let p = unsafe {
        libc::mmap(hint as *mut c_void, len, libc::PROT_NONE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0)
    };
    if p == libc::MAP_FAILED { null_mut() } else { p.cast() }
}

/// Gives address space back to the system.
///
/// # Safety
/// The range was reserved here, and nothing refers to it.
pub(crate) unsafe fn release(at: *mut u8, len: usize) {
    // SAFETY: by the caller's promise.
    unsafe { libc::munmap(at.cast(), len) };
}

/// Makes a reserved range readable and writable. `false` if the system refuses; the range is then as it was.
///
/// # Safety
/// The range lies in a reservation of ours.
pub(crate) unsafe fn commit(at: *mut u8, len: usize) -> bool {
    if refused() {
        return false;
    }
    // SAFETY: by the caller's promise the range is ours.
    unsafe { libc::mprotect(at.cast(), len, libc::PROT_READ | libc::PROT_WRITE) == 0 }
}

/// Makes a committed range inaccessible, or accessible again. What it holds stays. `false` if the system refuses; the range is
/// then as it was.
///
/// # Safety
/// The range is committed and ours, and nobody uses it.
pub(crate) unsafe fn protect(at: *mut u8, len: usize, inaccessible: bool) -> bool {
    let access = if inaccessible { libc::PROT_NONE } else { libc::PROT_READ | libc::PROT_WRITE };
    // SAFETY: by the caller's promise.
    preserving_errno(|| unsafe { libc::mprotect(at.cast(), len, access) == 0 })
}

/// Drops the physical memory of a committed range; it reads as zero from then on. `false` if the system refuses.
///
/// # Safety
/// The range is committed, ours, and holds nothing that anybody will read.
pub(crate) unsafe fn purge(at: *mut u8, len: usize) -> bool {
    // SAFETY: by the caller's promise the contents are dead.
    preserving_errno(|| unsafe { libc::madvise(at.cast(), len, libc::MADV_DONTNEED) == 0 })
}

/// Asks for huge pages in a committed range, or refuses them. Best effort.
///
/// # Safety
/// The range is committed and ours.
pub(crate) unsafe fn set_huge(at: *mut u8, len: usize, wanted: bool) {
    let advice = if wanted { libc::MADV_HUGEPAGE } else { libc::MADV_NOHUGEPAGE };
    // SAFETY: advice changes no contents.
    preserving_errno(|| unsafe { libc::madvise(at.cast(), len, advice) });
}

/// What became of [`move_pages`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moved {
    /// `to` holds the contents, `from` reads as zero.
    Yes,
    /// Both are as they were.
    No,
    /// `from` is as it was; `to` is no memory any more.
    Lost,
}

/// Moves the physical memory of `from` to `to`; what was at `to` is lost.
///
/// In two steps, because a move straight to `to` may unmap it before the kernel looks whether it can move `from` (it
/// cannot, before Linux 6.17, if that consists of several mappings), and then somebody else may map there. The first
/// step goes to a place of the kernel's choice and can fail without a trace.
///
/// # Safety
/// Both ranges are committed, ours, `len` bytes long and disjoint; nobody uses either meanwhile.
pub(crate) unsafe fn move_pages(from: *mut u8, to: *mut u8, len: usize) -> Moved {
    // Not in the libc crate for every target; the value is part of Linux's interface since 5.7.
    const MREMAP_DONTUNMAP: c_int = 4;
    // SAFETY: by the caller's promise both ranges are ours; `between` is, once it exists.
    preserving_errno(|| unsafe {
        let between = libc::mremap(from.cast(), len, len, libc::MREMAP_MAYMOVE | MREMAP_DONTUNMAP);
        if between == libc::MAP_FAILED {
            return Moved::No;
        }
        let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
        if libc::mremap(between, len, len, flags, to.cast::<c_void>()) != libc::MAP_FAILED {
            return Moved::Yes;
        }
        from.copy_from_nonoverlapping(between.cast(), len);
        libc::munmap(between, len);
        Moved::Lost // perhaps not, but nobody can tell
    })
}

const MEMBARRIER_CMD_PRIVATE_EXPEDITED: c_int = 1 << 3;
const MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED: c_int = 1 << 4;

/// Announces that [`barrier`] will be used. `false` where the system has none. May take milliseconds.
pub(crate) fn register_barrier() -> bool {
    // SAFETY: membarrier has no preconditions; an unknown command is an error.
    unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0 }
}

/// Every thread of this process that runs passes a full memory barrier between the call and the return.
/// `false` if the system cannot; [`register_barrier`] comes first. A few microseconds.
pub(crate) fn barrier() -> bool {
    // SAFETY: as above.
    unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0 }
}

/// Sleeps while the word has this value, for at most `millis` (0: without a limit). Wakes also for no reason.
pub(crate) fn futex_wait(word: &Futex, value: u32, millis: u64) {
    let limit = libc::timespec { tv_sec: (millis / 1000) as _, tv_nsec: ((millis % 1000) * 1_000_000) as _ };
    let limit: *const libc::timespec = if millis == 0 { std::ptr::null() } else { &limit };
    let op = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
    preserving_errno(|| {
        // SAFETY: the word and the time limit outlive the call.
        unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), op, value, limit) };
    });
}

/// Sleeps for so many milliseconds, or less.
pub(crate) fn nap(millis: u64) {
    static NOBODY_WAKES: Futex = Futex::new(0);
    futex_wait(&NOBODY_WAKES, 0, millis);
}

/// Wakes up to `n` sleepers on the word.
pub(crate) fn futex_wake(word: &Futex, n: i32) {
    let op = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
    preserving_errno(|| {
        // SAFETY: the kernel only looks for sleepers on that address.
        unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), op, n) };
    });
}

/// A free must not change `errno`: callers look at it after they have cleaned up.
pub(crate) fn preserving_errno<T>(f: impl FnOnce() -> T) -> T {
    // SAFETY: the address of this thread's errno is always valid.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    let was = unsafe { *errno };
    let result = f();
    // SAFETY: as above.
    unsafe { *errno = was };
    result
}

/// Memory is out, and `errno` says so.
#[cfg(feature = "c-interface")]
pub(crate) fn set_no_memory() {
    // SAFETY: the address of this thread's errno is always valid.
    unsafe { *libc::__errno_location() = libc::ENOMEM };
}

/// Resident bytes of the process as the kernel counts them, or `None` without `/proc`. One open, read and close.
pub(crate) fn resident() -> Option<usize> {
    let mut buf = [0u8; 128];
    // SAFETY: the path is a C string, the buffer is as long as said, the descriptor is ours until it is closed.
    let n = unsafe {
        let fd = libc::open(c"/proc/self/statm".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
        if fd < 0 {
            return None;
        }
        let n = libc::read(fd, buf.as_mut_ptr().cast(), buf.len());
        libc::close(fd);
        n
    };
    let text = std::str::from_utf8(buf.get(..usize::try_from(n).ok()?)?).ok()?;
    Some(text.split(' ').nth(1)?.parse::<usize>().ok()? * page_size())
}

/// Now, in nanoseconds since 1970 by the system's clock.
pub(crate) fn unix_nanos() -> u64 {
    nanos_of(libc::CLOCK_REALTIME)
}

/// Milliseconds of a clock that is never set.
pub(crate) fn uptime_ms() -> u64 {
    uptime_nanos() / 1_000_000
}

/// Nanoseconds of the same clock.
pub(crate) fn uptime_nanos() -> u64 {
    nanos_of(libc::CLOCK_MONOTONIC)
}

/// Nanoseconds of processor time that this thread has used. A system call.
pub(crate) fn thread_nanos() -> u64 {
    nanos_of(libc::CLOCK_THREAD_CPUTIME_ID)
}

fn nanos_of(clock: libc::clockid_t) -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the struct is ours.
    unsafe { libc::clock_gettime(clock, &mut now) };
    (now.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(now.tv_nsec as u64)
}

static SEEDS: AtomicU64 = AtomicU64::new(0);

/// A number that is another one at each call and in each process; not zero.
pub(crate) fn seed() -> u64 {
    let at = std::ptr::with_exposed_provenance::<u64>(auxval(libc::AT_RANDOM));
    // SAFETY: null, or 16 random bytes that the kernel has put there.
    let process = if at.is_null() { 0 } else { unsafe { at.read_unaligned() } };
    let n = SEEDS.fetch_add(1, Ordering::Relaxed) + 1; // Relaxed: a counter
    (process ^ n.wrapping_mul(0xD134_2543_DE82_EF95)).max(1)
}

/// 128 bits that nobody can guess. `None` if the system has none, or has none yet.
#[cfg(feature = "http")]
pub(crate) fn random() -> Option<[u8; 16]> {
    let mut bytes = [0; 16];
    // SAFETY: the buffer is as long as is said. As few bytes as these come at once or not at all.
    let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), libc::GRND_NONBLOCK) };
    (got == bytes.len() as isize).then_some(bytes)
}

/// A value of the auxiliary vector, 0 if it is not there.
pub(super) fn auxval(which: libc::c_ulong) -> usize {
    // SAFETY: no preconditions.
    unsafe { libc::getauxval(which) as usize }
}

/// A variable of the environment, or an error if it is not UTF-8. `None` if it is not set, or if the process runs with
/// more rights than its caller (`AT_SECURE`).
pub(crate) fn environment(name: &CStr) -> Option<Result<&'static str, std::str::Utf8Error>> {
    if auxval(libc::AT_SECURE) != 0 {
        return None;
    }
    // SAFETY: a C string. Called before the process' first allocation returns, so that no other thread of a Rust program
    // changes the environment meanwhile; the text is read at once, and never again.
    let value = unsafe { libc::getenv(name.as_ptr()) };
    // SAFETY: what `getenv` returns is a C string.
    (!value.is_null()).then(|| unsafe { CStr::from_ptr(value) }.to_str())
}

/// Writes one line to standard error: no allocation, no lock, cut at 500 bytes. Where nobody reads it, no signal says so:
/// it would end the program, in the middle of an allocation.
pub(crate) fn warn(what: std::fmt::Arguments<'_>) {
    struct Line([u8; 512], usize);
    impl std::fmt::Write for Line {
        fn write_str(&mut self, s: &str) -> std::fmt::Result {
            let n = s.len().min(500 - self.1);
            self.0[self.1..self.1 + n].copy_from_slice(&s.as_bytes()[..n]);
            self.1 += n;
            Ok(())
        }
    }
    let mut line = Line([0; 512], 0);
    let _ = std::fmt::write(&mut line, format_args!("tenure: {what}"));
    line.0[line.1] = b'\n';
    // SAFETY: the buffer holds that many bytes.
    super::process::without_signals_for_writing(|| unsafe { libc::write(2, line.0.as_ptr().cast(), line.1 + 1) });
}
