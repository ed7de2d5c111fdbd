//! The constants that the builder of [`Tenure`](crate::Tenure) sets.

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

/// What the builder chose. The first allocation of the process makes it effective, for the whole process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Config {
    pub(crate) huge_pages: HugePages,
    pub(crate) helper_thread: bool,
}

impl Config {
    pub(crate) const DEFAULT: Config = Config { huge_pages: HugePages::Auto, helper_thread: true };
}

/// The effective configuration: what the process' first allocation found in its `Tenure`.
#[cfg(not(loom))]
pub(crate) mod current {
    use super::{Config, HugePages};
    use crate::sync::{AtomicBool, AtomicU8, Ordering};

    static HUGE_PAGES: AtomicU8 = AtomicU8::new(HugePages::Auto as u8);
    static NO_HELPER: AtomicBool = AtomicBool::new(false);

    pub(crate) fn set(config: &Config) {
        // Relaxed: independent switches, read on slow paths; a thread that misses one for a moment does no harm.
        HUGE_PAGES.store(config.huge_pages as u8, Ordering::Relaxed);
        NO_HELPER.store(!config.helper_thread, Ordering::Relaxed);
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
}
