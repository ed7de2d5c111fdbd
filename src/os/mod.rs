//! What the allocator needs of an operating system: the contract, and one implementation for each system.
//!
//! Nothing here allocates from the global allocator. Nothing here panics. Addresses and lengths that go in are
//! multiples of [`page_size`]; every function says what happens when the system refuses.
//!
//! | function | contract |
//! | --- | --- |
//! | [`page_size`] | the OS page, asked once |
//! | [`reserve`] | address space without memory; null if refused |
//! | [`release`] | gives reserved address space back; only for what nobody has seen yet |
//! | [`commit`] | makes reserved memory readable and writable, zeroed; `false` if refused |
//! | [`protect`] | makes a committed range inaccessible, or accessible again; `false` if refused |
//! | [`purge`] | drops physical memory, keeps the addresses, which read as zero then; `false` if refused |
//! | [`set_huge`] | asks for transparent huge pages in a committed range, or refuses them; best effort |
//! | [`move_pages`] | moves physical memory to another committed range, the old one reads as zero then |
//! | [`barrier`] | every running thread of the process passes a full memory barrier before it returns; `false` if not to be had |
//! | [`prefetch`] | a hint to the processor |
//! | [`resident`] | resident bytes of the process |
//! | [`environment`] | a variable of the environment; `None` if it is not set, or the process runs with more rights than its caller |
//! | [`unix_nanos`], [`uptime_ms`], [`thread_nanos`] | the time of day; a clock that is never set; a thread's processor time |
//! | [`preserving_errno`] | runs something, and leaves `errno` as it was |
//! | [`warn`] | one line to standard error |
//! | [`random`] | numbers that nobody can guess; `None` if the system has none |
//! | [`seed`] | a number that differs from call to call and from process to process |
//! | [`objects::begin`] | once, from code that the loader calls: from then on libraries are found, too |
//! | [`objects::find`] | the loaded object that holds an address, and its unwind tables; no lock, any time, `None` if not known |
//! | [`objects::place`] | the loaded object that holds an address, by its name and base; as for [`objects::find`] |
//! | [`fault::install`] | has somebody explain accesses that the processor refuses, before the process does what it did |
//! | [`objects::changes`] | how often objects were loaded or unloaded; takes the loader's lock |
//! | [`objects::is_readable`] | whether eight bytes can be read at any address at all; a system call |
//! | [`modules::each_module`] | what is loaded, its code and build ids; under the loader's lock |
//! | `startup::is_the_loaders` | whether the loader itself allocated what stands at an address, before it used `malloc` (feature `c-interface`) |
//! | [`loader`] | keeps `fork` and our looks at what is loaded apart |
//! | [`cgroup::each`] | the limits of the process' cgroups, and what they use; `false` if there are none, or they cannot be read |
//! | [`file::Reading`] | a file that is read without allocation |
//! | [`file::File`] | a file that nobody else may read, which is made new and written without allocation |
//! | [`mapped::Mapped`] | a file's bytes, read in place; off the hot path, it allocates |
//! | [`relatives`] | whether the parent runs with the same library; off the hot path, it allocates |
//! | [`end`], `die!` | one line to standard error, then abort |
//!
//! Locks sleep in the kernel, so they stand here too: [`lock::Lock`]; and [`owned::Owned`], for what is held for long.

#[cfg(not(loom))]
pub(crate) mod cgroup;
#[cfg(not(loom))]
pub(crate) mod fault;
#[cfg(not(loom))]
pub(crate) mod file;
#[cfg(all(feature = "internals", not(loom)))]
pub(crate) mod inject;
#[cfg(not(loom))]
pub(crate) mod loader;
pub(crate) mod lock;
#[cfg(all(feature = "symbols", not(loom)))]
pub(crate) mod mapped;
#[cfg(not(loom))]
pub(crate) mod modules;
#[cfg(not(loom))]
pub(crate) mod objects;
#[cfg(not(loom))]
pub(crate) mod owned;
#[cfg(not(loom))]
pub(crate) mod process;
#[cfg(not(loom))]
pub(crate) mod relatives;
#[cfg(all(feature = "c-interface", not(loom)))]
pub(crate) mod startup;
#[cfg(not(loom))]
mod unix;

#[cfg(all(feature = "http", not(loom)))]
pub(crate) use unix::random;
#[cfg(all(feature = "c-interface", not(loom)))]
pub(crate) use unix::set_no_memory;
#[cfg(not(loom))]
pub(crate) use unix::{
    Moved, barrier, commit, environment, futex_wait, futex_wake, move_pages, nap, page_size, preserving_errno,
    processors, protect, purge, register_barrier, release, reserve, resident, seed, set_huge, thread_nanos, unix_nanos,
    uptime_ms, uptime_nanos, warn,
};

/// Begins to fetch what stands at an address, whatever address that is.
#[inline(always)]
#[cfg(not(loom))]
pub(crate) fn prefetch<T>(at: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(at.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// [`end`] with a format string. For corrupted memory and misuse: nothing after it can be trusted.
macro_rules! die {
    ($($arg:tt)*) => { $crate::os::end(format_args!($($arg)*)) };
}
pub(crate) use die;

/// Writes one line to standard error and aborts.
#[cold]
#[inline(never)]
#[cfg(not(loom))]
pub(crate) fn end(what: std::fmt::Arguments<'_>) -> ! {
    unix::warn(what);
    std::process::abort()
}
