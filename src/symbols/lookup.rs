//! Looking an address up in this process.

use crate::snapshot::{Frame, Module, Place};
#[cfg(feature = "symbols")]
use std::sync::OnceLock;

/// What was loaded at the first look-up of the process. The `backtrace` crate reads its list of modules then, and never
/// again: what lies in a module that came later has no name, or a wrong one if it came to where another had been.
#[cfg(feature = "symbols")]
static AT_FIRST: OnceLock<Vec<Module>> = OnceLock::new();

/// Whether a module came after the first look-up, too late to have names.
pub(super) fn is_late(_module: &Module) -> bool {
    #[cfg(feature = "symbols")]
    return !AT_FIRST.get_or_init(crate::snapshot::loaded).contains(_module);
    #[cfg(not(feature = "symbols"))]
    false
}

/// The frames at a place, the innermost first; none if it has no name. The place's module is not late.
#[cfg(feature = "symbols")]
pub(super) fn frames(place: &Place<'_>, f: &mut dyn FnMut(Frame)) {
    // The crate takes an address for one that a call returns to, and looks up the one before it.
    let returns_to = std::ptr::without_provenance_mut((place.address as usize).wrapping_add(1));
    backtrace::resolve(returns_to, |symbol| {
        let file = symbol.filename().map(|p| p.to_string_lossy());
        // `#`: without the compiler's hash.
        let function = symbol.name().map(|n| format!("{n:#}"));
        match function {
            Some(function) => f(Frame::new(&function, file.as_deref(), symbol.lineno())),
            None if file.is_some() => {
                f(Frame { file: file.as_deref().map(Into::into), line: symbol.lineno(), ..Frame::unnamed(place) })
            }
            None => (),
        }
    });
}

#[cfg(not(feature = "symbols"))]
pub(super) fn frames(_: &Place<'_>, _: &mut dyn FnMut(Frame)) {}

/// Gives back the debug information that was read: it may be many times what the names take.
pub(super) fn finish() {
    #[cfg(feature = "symbols")]
    backtrace::clear_symbol_cache();
}
