//! Looking an address up in this process.

use crate::snapshot::{Frame, Module, Place};

/// What is held for speed while a report is made, and what was learnt.
#[derive(Debug, Default)]
pub(super) struct Lookup {
    #[cfg(feature = "symbols")]
    tables: std::collections::HashMap<String, Option<super::symtab::Symtab>>,
    #[cfg(feature = "symbols")]
    crates: super::qualify::Crates,
    #[cfg(feature = "symbols")]
    knows_own_crate: bool,
}

#[cfg(not(feature = "symbols"))]
impl Lookup {
    pub(super) fn is_late(_: &Module) -> bool {
        false
    }

    pub(super) fn frames(&mut self, _: &Place<'_>) -> Vec<Frame> {
        Vec::new()
    }

    pub(super) fn finish(&mut self) {}
}

/// What was loaded at the first look-up of the process. The `backtrace` crate reads its list of modules then, and never
/// again: what lies in a module that came later has no name, or a wrong one if it came to where another had been.
#[cfg(feature = "symbols")]
static AT_FIRST: std::sync::OnceLock<Vec<Module>> = std::sync::OnceLock::new();

#[cfg(feature = "symbols")]
impl Lookup {
    /// Whether a module came after the first look-up, too late to have names.
    pub(super) fn is_late(module: &Module) -> bool {
        !AT_FIRST.get_or_init(crate::snapshot::loaded).contains(module)
    }

    /// The frames at a place, the innermost first; none if it has no name. The place's module is not late.
    pub(super) fn frames(&mut self, place: &Place<'_>) -> Vec<Frame> {
        if !self.knows_own_crate {
            self.learn_own_crate(place);
        }
        self.named(place)
    }

    fn named(&mut self, place: &Place<'_>) -> Vec<Frame> {
        let mut frames = resolve(place);
        if frames.iter().any(super::qualify::is_bare) {
            let whole = self.whole_name(place);
            super::qualify::qualify(&mut frames, whole.as_deref(), &mut self.crates);
        }
        frames
    }

    /// The name of the function at a place as the symbol table has it.
    fn whole_name(&mut self, place: &Place<'_>) -> Option<String> {
        let module = place.module?;
        let path = &module.path;
        let table = self.tables.entry(path.clone()).or_insert_with(|| super::symtab::Symtab::read(path));
        let name = table.as_ref()?.name(place.address.wrapping_sub(module.base))?;
        Some(format!("{:#}", backtrace::SymbolName::new(name)))
    }

    /// Most stacks begin with frames of this crate, whose directory may have any name.
    fn learn_own_crate(&mut self, place: &Place<'_>) {
        let own = Lookup::is_late as fn(&Module) -> bool as usize as u64;
        if let Some(module) = place.module.filter(|m| m.contains(own)) {
            self.knows_own_crate = true;
            self.named(&Place { address: own, module: Some(module) });
        }
    }

    /// Gives back the debug information that was read: it may be many times what the names take.
    pub(super) fn finish(&mut self) {
        self.tables = Default::default();
        backtrace::clear_symbol_cache();
    }
}

#[cfg(feature = "symbols")]
fn resolve(place: &Place<'_>) -> Vec<Frame> {
    let mut frames = Vec::new();
    // The crate takes an address for one that a call returns to, and looks up the one before it.
    let returns_to = std::ptr::without_provenance_mut((place.address as usize).wrapping_add(1));
    backtrace::resolve(returns_to, |symbol| {
        let file = symbol.filename().map(|p| p.to_string_lossy());
        // `#`: without the compiler's hash.
        match symbol.name().map(|n| format!("{n:#}")) {
            Some(function) => frames.push(Frame::new(&function, file.as_deref(), symbol.lineno())),
            None if file.is_some() => {
                let file = file.as_deref().map(Into::into);
                frames.push(Frame { file, line: symbol.lineno(), ..Frame::unnamed(place) });
            }
            None => (),
        }
    });
    frames
}
