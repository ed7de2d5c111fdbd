//! What the builder of [`Tenure`](crate::Tenure) sets, and the environment changes.

pub(crate) mod dumps;
#[cfg(not(loom))]
pub(crate) mod env;
#[cfg(not(loom))]
pub(crate) mod hardened;
pub(crate) mod limits;
mod thresholds;

pub(crate) use dumps::Reports;
pub use dumps::{Dumps, Signal};
pub use limits::Limits;
#[cfg_attr(loom, allow(unreachable_pub, reason = "`generation` exports it"))]
pub use thresholds::{BadThreshold, Thresholds};

/// When fresh memory asks the system for transparent huge pages.
///
/// A huge page costs one page fault where small ones cost 512, and it is resident as a whole from its first touch on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HugePages {
    /// Asked for once the process has committed 2 GiB (the default).
    Auto,
    /// Asked for from the first byte on: fewer page faults and fewer misses of the address cache, for up to 2 MiB of
    /// memory that nothing uses. In a virtual machine whose host takes free memory back, a fresh huge page may cost
    /// milliseconds.
    Always,
    /// Never asked for. Memory that the system makes huge by itself (`enabled` set to `always`) is refused too.
    Never,
}

/// Which blocks are tracked: for which of them the allocator keeps the call stack that allocated it, its tag, its
/// requested size and its epoch of birth.
///
/// A block that was tracked stays so until it is freed, whatever the mode is then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Mode {
    /// None.
    Off,
    /// Samples, Poisson in bytes: a block of `s` bytes is one with p = 1 - exp(-`s` / `mean`), independently of all others.
    /// What is reported is estimated from them, without bias, and carries its standard error. The default, with a mean of
    /// 512 KiB.
    Sampled {
        /// The mean distance between two samples in bytes; it is rounded to ten significant bits. 0 is the same as
        /// [`Mode::Off`].
        mean: u64,
    },
    /// Every block. An allocation with its free costs some 30 to 50 ns more, and each block slot 16 bytes.
    Exact,
}

impl Mode {
    /// The default: one block for each 512 KiB on average.
    pub const SAMPLED: Mode = Mode::Sampled { mean: 512 << 10 };
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Mode::Off | Mode::Sampled { mean: 0 } => write!(f, "off"),
            Mode::Sampled { mean } => write!(f, "sampled={}", Size(mean)),
            Mode::Exact => write!(f, "exact"),
        }
    }
}

/// Bytes as the environment takes them.
pub(crate) struct Size(pub(crate) u64);

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
        match units.into_iter().find(|(shift, _)| self.0 > 0 && self.0.is_multiple_of(1 << shift)) {
            Some((shift, unit)) => write!(f, "{}{unit}", self.0 >> shift),
            None => write!(f, "{}", self.0),
        }
    }
}

/// What the builder chose. The first allocation of the process makes it effective, for the whole process, after the
/// environment had its say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Config {
    pub(crate) huge_pages: HugePages,
    pub(crate) helper_thread: bool,
    pub(crate) mode: Mode,
    pub(crate) depth: u32,
    pub(crate) sites: u32,
    pub(crate) tags: u32,
    /// One sample in so many gets a guarded slot; 0: none does.
    pub(crate) guarded: u32,
    pub(crate) guarded_slots: u32,
    /// Beyond the first MiB one page in so many is checked, in a build with the feature `hardened`.
    pub(crate) checked_pages: u32,
    pub(crate) leaks: Reports,
    pub(crate) dumps: Dumps,
    pub(crate) limits: Limits,
    pub(crate) thresholds: Thresholds,
    /// Whether thresholds begin collections.
    pub(crate) collect: bool,
    /// Whether each collection prints a line.
    pub(crate) trace: bool,
    /// Whether the environment variable is read.
    pub(crate) environment: bool,
}

/// Bounds of what the builder and the environment choose.
pub(crate) mod bounds {
    use std::ops::RangeInclusive;

    /// Frames of a stack.
    pub(crate) const DEPTH: RangeInclusive<u32> = 1..=256;
    /// Sites: one number is for stacks that are not known, one for those that there is no room for.
    pub(crate) const SITES: RangeInclusive<u32> = 16..=1 << 20;
    /// Tags: one number is for no tag, one for those that there is no room for.
    pub(crate) const TAGS: RangeInclusive<u32> = 2..=4096;
    /// Guarded slots: so many always fit into a segment, where OS pages have 4 KiB.
    pub(crate) const SLOTS: RangeInclusive<u32> = 1..=3000;
    /// Of how many samples one is guarded: 0 for none.
    pub(crate) const GUARDED: RangeInclusive<u32> = 0..=u32::MAX;
    /// Of how many pages one is checked.
    #[cfg(feature = "hardened")]
    pub(crate) const CHECKED: RangeInclusive<u32> = 1..=1 << 16;
}

impl Config {
    pub(crate) const DEFAULT: Config = Config {
        huge_pages: HugePages::Auto,
        helper_thread: true,
        mode: Mode::SAMPLED,
        depth: 64,
        sites: 1 << 18,
        tags: 1024,
        guarded: 0,
        guarded_slots: 64,
        checked_pages: 1,
        leaks: Reports::NEVER,
        dumps: Dumps::new(),
        limits: Limits::new(),
        thresholds: Thresholds::DEFAULT,
        collect: true,
        trace: false,
        environment: true,
    };
}

/// The effective configuration: what the process' first allocation found in its `Tenure`.
#[cfg(not(loom))]
pub(crate) mod current {
    use super::dumps::LONGEST_PATH;
    use super::{Config, Dumps, HugePages, Reports};
    use crate::sync::{AtomicBool, AtomicU8, Ordering};
    use std::cell::UnsafeCell;

    static HUGE_PAGES: AtomicU8 = AtomicU8::new(HugePages::Auto as u8);
    static NO_HELPER: AtomicBool = AtomicBool::new(false);
    static TRACE: AtomicBool = AtomicBool::new(false);

    /// Written once, before `DUMPS_CHOSEN` is set, and never again.
    struct Chosen<T>(UnsafeCell<T>);
    // SAFETY: see above; who reads it has seen that it is set.
    unsafe impl<T: Sync> Sync for Chosen<T> {}
    static DUMPS: Chosen<(Dumps, Reports)> = Chosen(UnsafeCell::new((Dumps::new(), Reports::NEVER)));
    /// The path's own place: that of the environment is the program's to overwrite.
    static PATH: Chosen<[u8; LONGEST_PATH]> = Chosen(UnsafeCell::new([0; LONGEST_PATH]));
    static DUMPS_CHOSEN: AtomicBool = AtomicBool::new(false);

    /// Before the process' first operation, under a lock, once.
    pub(crate) fn set(config: &Config) {
        // Relaxed: independent switches, read on slow paths; a thread that misses one for a moment does no harm.
        HUGE_PAGES.store(config.huge_pages as u8, Ordering::Relaxed);
        NO_HELPER.store(!config.helper_thread, Ordering::Relaxed);
        TRACE.store(config.trace, Ordering::Relaxed);
        // SAFETY: nobody reads them yet, and nobody writes them again; the bytes are those of a text.
        unsafe {
            let (path, own) = (config.dumps.path, &mut *PATH.0.get());
            let path = match own.get_mut(..path.len()) {
                _ if std::ptr::eq(path, Dumps::new().path) => path, // nobody chose one
                None => path,                                       // no pattern is that long
                Some(own) => {
                    own.copy_from_slice(path.as_bytes());
                    std::str::from_utf8_unchecked(own)
                }
            };
            *DUMPS.0.get() = (Dumps { path, ..config.dumps }, config.leaks);
        }
        DUMPS_CHOSEN.store(true, Ordering::Release); // Release: who sees this sees what was chosen
    }

    pub(crate) fn huge_pages() -> HugePages {
        match HUGE_PAGES.load(Ordering::Relaxed) {
            n if n == HugePages::Always as u8 => HugePages::Always,
            n if n == HugePages::Never as u8 => HugePages::Never,
            _ => HugePages::Auto,
        }
    }

    pub(crate) fn helper_thread() -> bool {
        !NO_HELPER.load(Ordering::Relaxed)
    }

    pub(crate) fn trace() -> bool {
        TRACE.load(Ordering::Relaxed)
    }

    /// None before the process' first operation.
    pub(crate) fn dumps() -> Dumps {
        chosen().0
    }

    /// Likewise.
    pub(crate) fn leaks() -> Reports {
        chosen().1
    }

    fn chosen() -> (Dumps, Reports) {
        // Acquire: see `set`.
        if !DUMPS_CHOSEN.load(Ordering::Acquire) {
            return (Dumps::new(), Reports::NEVER);
        }
        // SAFETY: written before it was set, and never again.
        unsafe { *DUMPS.0.get() }
    }
}
