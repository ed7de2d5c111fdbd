//! The constants that the builder of [`Tenure`](crate::Tenure) sets.

/// When fresh memory asks the system for transparent huge pages.
///
/// A huge page costs one page fault where small ones cost 512, and it is resident as a whole from its first touch on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HugePages {
    /// Asked for once the process has committed enough memory that a partly used huge page no longer shows (the default).
    Auto,
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
    use crate::sync::{AtomicBool, Ordering};

    static NO_HUGE_PAGES: AtomicBool = AtomicBool::new(false);
    static NO_HELPER: AtomicBool = AtomicBool::new(false);

    pub(crate) fn set(config: &Config) {
        // Relaxed: independent switches, read on slow paths; a thread that misses one for a moment does no harm.
        NO_HUGE_PAGES.store(config.huge_pages == HugePages::Never, Ordering::Relaxed);
        NO_HELPER.store(!config.helper_thread, Ordering::Relaxed);
    }

    pub(crate) fn huge_pages() -> bool {
        !NO_HUGE_PAGES.load(Ordering::Relaxed)
    }

    pub(crate) fn helper_thread() -> bool {
        !NO_HELPER.load(Ordering::Relaxed)
    }
}
