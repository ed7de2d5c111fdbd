#![doc = include_str!("../README.md")]
#![cfg_attr(loom, allow(dead_code, unused_imports, unused_macros))]

#[cfg(not(loom))]
mod allocator;
#[cfg(not(loom))]
mod arena;
mod config;
#[cfg(not(loom))]
pub mod dump;
#[cfg(not(loom))]
pub mod export;
#[cfg(not(loom))]
pub mod generation;
mod heap;
#[cfg(all(feature = "http", not(loom)))]
pub mod http;
#[cfg(all(feature = "internals", not(loom)))]
#[doc(hidden)]
pub mod internals;
#[cfg(not(loom))]
pub mod limits;
#[cfg(not(loom))]
mod mode;
#[cfg(not(loom))]
mod origin;
mod os;
#[cfg(not(loom))]
mod pages;
#[cfg(not(loom))]
mod reading;
#[cfg(not(loom))]
mod scope;
#[cfg(not(loom))]
pub mod snapshot;
#[cfg(not(loom))]
mod stats;
#[cfg(not(loom))]
mod survey;
#[cfg(not(loom))]
mod symbols;
mod sync;
#[cfg(not(loom))]
pub mod testing;
#[cfg(not(loom))]
mod track;
#[cfg(not(loom))]
mod units;

#[cfg(not(loom))]
pub use allocator::Tenure;
#[cfg(all(feature = "c-interface", not(loom)))]
#[doc(hidden)]
pub use allocator::c;
pub use config::{Dumps, HugePages, Limits, Mode, Signal, Thresholds};
#[cfg(not(loom))]
pub use mode::{ExactScope, exact_scope, mode, set_mode, stack_method};
#[cfg(not(loom))]
pub use origin::{Origin, Traced, origin, reset_peak, traced};
#[cfg(not(loom))]
pub use scope::{InScope, InScopeExt, Scope, Tag, inherit, inherit_each, scope};
#[cfg(not(loom))]
pub use snapshot::{Retention, Snapshot, retention, snapshot};
#[cfg(not(loom))]
pub use stats::{ClassStats, LargeStats, LimitStats, Stats, stats};
#[cfg(not(loom))]
pub use symbols::Symbols;

/// The loader calls this before `main`, or when it loads the library that this crate is in.
#[cfg(not(loom))]
extern "C" fn init() {
    allocator::init((&raw const INIT).cast());
    dump::init();
}

#[cfg(not(loom))]
#[used]
#[cfg_attr(target_os = "linux", unsafe(link_section = ".init_array"))]
static INIT: extern "C" fn() = init;
