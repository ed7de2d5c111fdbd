//! Looking an address of a module up in the module's files.

use super::demangle::demangled;
use super::dwarf::{Called, Info};
use super::elf::Elf;
use super::find::{self, Files};
use super::qualify::{self, Crates};
use super::reasons::Absence;
use super::symtab::Symtab;
use crate::snapshot::{Frame, Module, Place};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is held for speed while a report is made, and what was learnt.
#[derive(Debug, Default)]
pub(super) struct Lookup {
    objects: HashMap<u32, Result<Object, Absence>>,
    crates: Crates,
}

/// The files of a module, opened.
#[derive(Debug)]
struct Object {
    info: Option<Info>,
    symbols: Option<(Symtab, Arc<Elf>)>,
    /// Why debug information is not read though it is there.
    fault: Option<String>,
}

/// The frames at an address, and why there are no more of them if the file is to blame.
pub(super) type Answer = (Vec<Frame>, Option<String>);

impl Lookup {
    /// The frames at a place, the innermost first; none if it has no name. `id`: of the module, among those of `Symbols`.
    pub(super) fn frames(
        &mut self,
        id: u32,
        module: &Module,
        address: u64,
        directories: &[PathBuf],
    ) -> Result<Answer, Absence> {
        let crates = &mut self.crates;
        let object = self.objects.entry(id).or_insert_with(|| {
            let program = std::fs::read_link("/proc/self/exe");
            let is_program = program.is_ok_and(|p| p.to_string_lossy() == module.path.as_str());
            let mut object = Object::open(find::find(module, directories, is_program)?, module);
            object.learn_own_crate(module, crates);
            Ok(object)
        });
        let object = object.as_mut().map_err(|absence| absence.clone())?;
        let place = Place { address, module: Some(module) };
        let frames = object.frames(&place, address.wrapping_sub(module.base), &mut self.crates);
        Ok((frames, object.fault()))
    }

    /// Gives back the files and what was read of them: it may be many times what the names take.
    pub(super) fn finish(&mut self) {
        self.objects = HashMap::new();
    }
}

impl Object {
    fn open(files: Files, module: &Module) -> Object {
        let path = module.path.as_str();
        let (mut info, mut fault) = (None, None);
        if let Some(elf) = files.all.first().filter(|elf| elf.has_debug_info()) {
            // Beside the file itself lies what was split off it, unless this is of another place.
            let beside = if Path::new(path).exists() { Path::new(path) } else { &elf.path };
            match Info::read(elf.clone(), files.shared, beside) {
                Ok(read) => info = Some(read),
                Err(why) => fault = Some(why),
            }
        }
        // Of several files the one that has most: a stripped one names only what other modules use.
        let tables = files.all.into_iter().filter_map(|elf| Some((Symtab::read(&elf)?, elf)));
        let symbols = tables.max_by_key(|(table, _)| table.len());
        Object { info, symbols, fault }
    }

    /// Most stacks begin with frames of this crate, whose directory may have any name: what the loader calls is never
    /// inlined, and tells it.
    fn learn_own_crate(&mut self, module: &Module, crates: &mut Crates) {
        // In either mangling there are the lengths of names before them: most symbols need not be demangled.
        let is_own = |name: &[u8]| name.windows(12).any(|w| w == b"6tenure4init") && demangled(name) == "tenure::init";
        let found = self.symbols.as_ref().and_then(|(table, elf)| table.find(elf, is_own));
        if let Some(address) = found {
            let place = Place { address: module.base.wrapping_add(address), module: Some(module) };
            self.frames(&place, address, crates);
        }
    }

    fn fault(&self) -> Option<String> {
        match &self.info {
            Some(info) if info.is_spent() => Some("its debug information makes no sense".into()),
            _ => self.fault.clone(),
        }
    }

    /// `address`: in the file.
    fn frames(&mut self, place: &Place<'_>, address: u64, crates: &mut Crates) -> Vec<Frame> {
        let mut frames = self.plain(place, address);
        if frames.iter().any(qualify::is_bare) {
            let whole = self.symbol(address);
            qualify::qualify(&mut frames, whole.as_deref(), crates);
        }
        #[cfg(feature = "cpp")]
        if let Some(outer) = frames.last_mut().filter(|outer| outer.named && !outer.function.contains("::"))
            && let Some(whole) = self.symbol(address)
            && super::cpp::is_whole(&outer.function, &whole)
        {
            outer.function = whole.into();
        }
        frames
    }

    /// The frames as the files have them.
    fn plain(&mut self, place: &Place<'_>, address: u64) -> Vec<Frame> {
        let called = self.info.as_mut().map_or(Vec::new(), |info| info.frames(address));
        if called.is_empty() {
            return self.symbol(address).map(|name| Frame::new(&name, None, None)).into_iter().collect();
        }
        let frame =
            |Called { function, file, line }| match function.as_deref().map(demangled).or_else(|| self.symbol(address))
            {
                Some(function) => Some(Frame { file, ..Frame::new(&function, None, line) }),
                None => file.map(|file| Frame { file: Some(file), line, ..Frame::unnamed(place) }),
            };
        called.into_iter().filter_map(frame).collect()
    }

    /// The name of the function at an address as the symbol table has it.
    fn symbol(&self, address: u64) -> Option<String> {
        let (table, elf) = self.symbols.as_ref()?;
        table.name(elf, address).map(demangled)
    }
}

#[cfg(test)]
mod tests;
