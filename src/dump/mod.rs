//! Snapshots as files.

mod format;
mod json;
mod text;

#[cfg(feature = "json")]
pub(crate) use format::FORMAT;
pub use format::VERSION;
pub use text::{json, raw};
