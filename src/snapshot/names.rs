//! Names for addresses: what a report needs, and who may supply it.

use super::Module;
use std::sync::Arc;

/// An address within a stack.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Place<'a> {
    /// Within the call, not where it returns to: to be looked up as it is.
    pub address: u64,
    /// The module that held the address when the snapshot was taken.
    pub module: Option<&'a Module>,
}

impl<'a> Place<'a> {
    pub(crate) fn new(address: u64, modules: &'a [Module]) -> Self {
        Place { address, module: modules.iter().find(|m| m.contains(address)) }
    }
}

/// A function that was running: one of the source, so that an address has several where calls were inlined.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Frame {
    /// The function's name, demangled, without the compiler's hash; or module and offset, like `libc.so.6+0x27ab4`, if
    /// it is not known.
    pub function: Arc<str>,
    /// Whether `function` is a name.
    pub named: bool,
    /// The source file as the compiler wrote it.
    pub file: Option<Arc<str>>,
    /// The line in it, from 1 on.
    pub line: Option<u32>,
    /// The last part of the path of the module that the code stands in; `None` if it is not known. Where a function has a
    /// path in its name, nothing depends on this.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub module: Option<Arc<str>>,
}

impl Frame {
    /// A frame of a function with a name.
    pub fn new(function: &str, file: Option<&str>, line: Option<u32>) -> Frame {
        Frame { function: function.into(), named: true, file: file.map(Arc::from), line, module: None }
    }

    /// `file:line`, as far as it is known; empty if nothing is.
    pub fn location(&self) -> String {
        match (&self.file, self.line) {
            (Some(file), Some(line)) => format!("{file}:{line}"),
            (Some(file), None) => file.to_string(),
            _ => String::new(),
        }
    }

    /// Where a table shows it: file and line; the module, if that is all that is known, and not in the name already.
    pub(super) fn place(&self) -> String {
        match (&self.module, self.location()) {
            (Some(module), at) if at.is_empty() && self.named => module.to_string(),
            (_, at) => at,
        }
    }

    /// What stands where there is no frame.
    pub(crate) fn instead(what: &str) -> Frame {
        Frame { named: false, ..Frame::new(what, None, None) }
    }

    /// A frame of which only its place is known.
    pub fn unnamed(place: &Place<'_>) -> Frame {
        let module = place.module.map(|module| module.file_name().into());
        Frame { function: offset_name(place).into(), named: false, file: None, line: None, module }
    }
}

/// Module and offset, or the address alone.
fn offset_name(place: &Place<'_>) -> String {
    match place.module {
        Some(m) => format!("{}+{:#x}", m.file_name(), place.address.wrapping_sub(m.base)),
        None => format!("{:#x}", place.address),
    }
}

/// Whoever can name addresses. [`Symbols`](crate::Symbols) does; a program may bring its own, for snapshots of other
/// processes for example.
pub trait Names {
    /// The frames at a place: at least one, and where calls were inlined the innermost first. What is not known becomes
    /// [`Frame::unnamed`].
    fn frames(&mut self, place: &Place<'_>) -> Arc<[Frame]>;

    /// A report is done: what was held only for speed may go.
    fn finish(&mut self) {}

    /// Sentences that say why names are missing, and what helps, about what was asked for since the last call.
    fn notes(&mut self) -> Vec<String> {
        Vec::new()
    }
}
