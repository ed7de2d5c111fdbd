//! The debug information of a file: from an address to the functions and lines there.
//!
//! What is read stays as long as it is likely to be asked for again, and no longer: a table of units for the file, and of
//! the units that were used last their functions and lines. The formats are `gimli`'s work. The crate `addr2line`, which
//! does the same, is not used: it keeps every unit that it ever looked at, follows inlined calls by recursion as deep as
//! a file says, and does as much work as a file makes it do.

use super::elf::{Contents, Elf};
use super::fuel::{Bad, Fuel};
use super::lines::Lines;
use super::unit::{Functions, Head, Naming, Slice};
use super::units::Units;
use gimli::{AttributeValue, Section, SectionId};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The debug information of a module, opened.
#[derive(Debug)]
pub(super) struct Info {
    /// The file's own, and what several files share.
    places: [Option<Units>; 2],
    /// Units that were used, as long as there is room.
    loaded: HashMap<usize, Loaded>,
    /// What those that are in `loaded` take.
    loaded_bytes: usize,
    heads: HashMap<(Place, usize), Arc<Head>>,
    heads_bytes: usize,
    clock: u64,
    fuel: Fuel,
    /// Beside which file to look for what was split off.
    path: PathBuf,
    package: Option<Option<gimli::DwarfPackage<Slice>>>,
    /// Dropped last.
    held: Held,
}

/// A function that was running, as debug information has it: names are still mangled.
#[derive(Debug, Default)]
pub(super) struct Called {
    pub(super) function: Option<Vec<u8>>,
    pub(super) file: Option<Arc<str>>,
    pub(super) line: Option<u32>,
}

/// Where a unit stands: an index into `places`, or what was split off.
type Place = usize;
const OWN: Place = 0;
const SHARED: Place = 1;
const SPLIT: Place = 2;

/// What a unit was asked for.
#[derive(Debug)]
struct Loaded {
    head: Arc<Head>,
    /// Where its functions are: itself, or what was split off.
    body: Option<(Place, Arc<Head>)>,
    functions: Option<Functions>,
    lines: Option<Lines>,
    used: u64,
    bytes: usize,
}

/// What units may take before those that were not used for longest go; one alone may take more.
const BYTES: usize = 48 << 20;
/// No compiler inlines so deep.
const MOST_FRAMES: usize = 1 << 10;

/// What slices refer to.
#[derive(Debug, Default)]
struct Held {
    files: Vec<Arc<Elf>>,
    own: Vec<Vec<u8>>,
}

impl Held {
    /// The sections of a file that are of use. Those of what was split off have names of their own.
    fn sections(
        &mut self,
        elf: &Arc<Elf>,
        name_of: impl Fn(SectionId) -> Option<&'static str>,
    ) -> Result<gimli::Dwarf<Slice>, String> {
        self.files.push(elf.clone());
        gimli::Dwarf::load(|id| self.section(elf, Some(id).filter(is_of_use).and_then(&name_of)))
    }

    fn section(&mut self, elf: &Elf, name: Option<&str>) -> Result<Slice, String> {
        let bytes: &[u8] = match name.map(|name| elf.debug_section(name)).transpose()? {
            None => &[],
            Some(Contents::InFile(bytes)) => bytes,
            Some(Contents::Own(bytes)) => {
                self.own.push(bytes);
                self.own.last().expect("it was just put there")
            }
        };
        // SAFETY: the bytes stand in a file's mapping or on the heap, where they stay as long as `self` is there, which
        // only ever grows. Slices of it are kept by `Info`, which drops this after them, and handed to nobody else.
        Ok(Slice::new(unsafe { std::slice::from_raw_parts(bytes.as_ptr(), bytes.len()) }, gimli::LittleEndian))
    }
}

fn is_of_use(id: &SectionId) -> bool {
    use SectionId::*;
    matches!(
        id,
        DebugAbbrev
            | DebugAddr
            | DebugInfo
            | DebugLine
            | DebugLineStr
            | DebugStr
            | DebugStrOffsets
            | DebugRanges
            | DebugRngLists
    )
}

impl Info {
    /// The debug information of a file, and of the one that it shares some with; why it cannot be read, in words, if it
    /// cannot. `path`: of the program or library, wherever this was found.
    pub(super) fn read(elf: Arc<Elf>, shared: Option<Arc<Elf>>, path: &Path) -> Result<Info, String> {
        let mut held = Held::default();
        let mut dwarf = held.sections(&elf, |id| Some(id.name()))?;
        let mut bytes = dwarf.debug_info.reader().len() + dwarf.debug_line.reader().len();
        let shared = match shared.map(|elf| held.sections(&elf, |id| Some(id.name()))).transpose()? {
            Some(shared) => {
                bytes += shared.debug_info.reader().len();
                dwarf.set_sup(shared);
                dwarf.sup.clone()
            }
            None => None,
        };
        let mut fuel = Fuel::for_bytes(bytes);
        let own = Units::read(Arc::new(dwarf), true, &mut fuel);
        let shared = shared.map(|dwarf| Units::read(dwarf, false, &mut fuel));
        Ok(Info {
            places: [Some(own), shared],
            loaded: HashMap::new(),
            loaded_bytes: 0,
            heads: HashMap::new(),
            heads_bytes: 0,
            clock: 0,
            fuel,
            path: path.into(),
            package: None,
            held,
        })
    }

    /// Whether the file made more work than an honest one does: it gives no names any more.
    pub(super) fn is_spent(&self) -> bool {
        self.fuel.is_spent()
    }

    /// The functions at an address of the file, the innermost first. None if it knows nothing of it.
    pub(super) fn frames(&mut self, address: u64) -> Vec<Called> {
        for unit in self.places[OWN].as_ref().map_or(Vec::new(), |own| own.at(address)) {
            let Ok(mut loaded) = self.take(unit) else { continue };
            let frames = self.frames_of(&mut loaded, address);
            self.put_back(unit, loaded);
            match frames {
                Ok(frames) if frames.is_empty() => (),
                Ok(frames) => return frames,
                Err(Bad) => return Vec::new(),
            }
        }
        Vec::new()
    }

    /// Takes a unit out of those that are loaded, so that others can be looked at meanwhile.
    fn take(&mut self, unit: u32) -> Result<Loaded, Bad> {
        let at = self.places[OWN].as_ref().and_then(|own| own.begins.get(unit as usize)).copied().ok_or(Bad)?;
        if let Some(loaded) = self.loaded.remove(&(unit as usize)) {
            self.loaded_bytes -= loaded.bytes;
            return Ok(loaded);
        }
        let head = self.head(OWN, at)?;
        Ok(Loaded { head, body: None, functions: None, lines: None, used: 0, bytes: 0 })
    }

    fn put_back(&mut self, unit: u32, mut loaded: Loaded) {
        self.clock += 1;
        loaded.used = self.clock;
        loaded.bytes =
            loaded.functions.as_ref().map_or(0, Functions::bytes) + loaded.lines.as_ref().map_or(0, Lines::bytes);
        self.loaded_bytes += loaded.bytes;
        self.loaded.insert(unit as usize, loaded);
        if self.heads_bytes + self.loaded_bytes <= BYTES {
            return;
        }
        (self.heads, self.heads_bytes) = Default::default();
        let mut by_use: Vec<_> = self.loaded.iter().map(|(&unit, l)| (l.used, unit, l.bytes)).collect();
        by_use.sort_unstable();
        // The last one stays.
        by_use.pop();
        for (_, unit, of_it) in by_use {
            if self.loaded_bytes <= BYTES / 2 {
                break;
            }
            self.loaded_bytes -= of_it;
            self.loaded.remove(&unit);
        }
    }

    fn frames_of(&mut self, loaded: &mut Loaded, address: u64) -> Result<Vec<Called>, Bad> {
        let head = loaded.head.clone();
        let (place, body) = match &loaded.body {
            Some(body) => body.clone(),
            None => loaded.body.insert(self.split(&head).map_or((OWN, head.clone()), |split| (SPLIT, split))).clone(),
        };
        if loaded.functions.is_none() {
            loaded.functions = Some(Functions::read(&body, &mut self.fuel)?);
        }
        if let (None, Some(offset)) = (&loaded.lines, head.lines) {
            loaded.lines = Lines::read(&head, offset, &mut self.fuel).ok();
        }
        let functions = loaded.functions.as_mut().ok_or(Bad)?;
        let location = loaded.lines.as_mut().and_then(|lines| lines.find(&head, address));
        let Some(function) = functions.find(address) else {
            let only = |(file, line)| vec![Called { function: None, file, line }];
            return Ok(location.map_or(Vec::new(), only));
        };
        let inlined = functions.inlined_at(&body, function, address, &mut self.fuel)?;
        if inlined.len() > MOST_FRAMES {
            return Err(Bad);
        }
        let (mut file, mut line) = location.unwrap_or_default();
        let mut frames = Vec::with_capacity(inlined.len() + 1);
        for entry in inlined.into_iter().rev() {
            let call = Naming::read(&body, entry, &mut self.fuel)?;
            let function = self.name(place, &body, call.name, call.elsewhere)?;
            frames.push(Called { function, file: file.take(), line: line.take() });
            let lines = loaded.lines.as_mut();
            file = call.call.0.and_then(|number| lines.and_then(|lines| lines.file(&head, number)));
            line = call.call.1;
        }
        let outermost = Naming::read(&body, function, &mut self.fuel)?;
        let function = self.name(place, &body, outermost.name, outermost.elsewhere)?;
        frames.push(Called { function, file, line });
        Ok(frames)
    }

    /// A name, or that of the entry that is referred to, there or farther on.
    fn name(
        &mut self,
        mut place: Place,
        head: &Arc<Head>,
        mut name: Option<Slice>,
        mut elsewhere: Option<AttributeValue<Slice>>,
    ) -> Result<Option<Vec<u8>>, Bad> {
        /// More is not read of a name.
        const LONGEST: usize = 64 << 10;
        let mut head = head.clone();
        for _ in 0..16 {
            if let Some(name) = name {
                return Ok(Some(name.slice()[..name.len().min(LONGEST)].to_vec()));
            }
            let at = match elsewhere {
                Some(AttributeValue::UnitRef(offset)) => offset.0,
                Some(AttributeValue::DebugInfoRef(offset)) if place != SPLIT => {
                    let (unit, at) = self.containing(place, offset.0)?;
                    head = unit;
                    at
                }
                Some(AttributeValue::DebugInfoRefSup(offset)) if self.places[SHARED].is_some() => {
                    place = SHARED;
                    let (unit, at) = self.containing(SHARED, offset.0)?;
                    head = unit;
                    at
                }
                _ => return Ok(None),
            };
            let found = Naming::read(&head, at, &mut self.fuel)?;
            (name, elsewhere) = (found.name, found.elsewhere);
        }
        Ok(None)
    }

    /// The unit that holds an offset of its section, and where in the unit that is.
    fn containing(&mut self, place: Place, offset: usize) -> Result<(Arc<Head>, usize), Bad> {
        let units = self.places.get(place).and_then(Option::as_ref).ok_or(Bad)?;
        let i = units.begins.partition_point(|&begin| begin <= offset).checked_sub(1).ok_or(Bad)?;
        let begin = units.begins[i];
        Ok((self.head(place, begin)?, offset - begin))
    }

    /// The head of the unit that begins at an offset.
    fn head(&mut self, place: Place, at: usize) -> Result<Arc<Head>, Bad> {
        if let Some(head) = self.heads.get(&(place, at)) {
            return Ok(head.clone());
        }
        let dwarf = &self.places.get(place).and_then(Option::as_ref).ok_or(Bad)?.dwarf;
        let header = dwarf.unit_header(gimli::DebugInfoOffset(at))?;
        let head = Arc::new(Head::read(dwarf, header, &mut self.fuel)?);
        self.heads_bytes += head.bytes;
        self.heads.insert((place, at), head.clone());
        Ok(head)
    }

    /// What was split off a unit (`split-debuginfo`): from the package beside the file, or from where the compiler
    /// left it.
    fn split(&mut self, head: &Head) -> Option<Arc<Head>> {
        let (id, name) = (head.unit.dwo_id?, head.split?);
        if self.package.is_none() {
            let mut path = self.path.clone().into_os_string();
            path.push(".dwp");
            self.package = Some(self.open_package(Path::new(&path)));
        }
        let packed =
            self.package.as_ref().and_then(Option::as_ref).and_then(|p| p.find_cu(id, &head.dwarf).ok().flatten());
        let dwarf = match packed {
            Some(dwarf) => dwarf,
            None => {
                let directory = head.unit.comp_dir.map_or(&[][..], |directory| directory.slice());
                let path = Path::new(OsStr::from_bytes(directory)).join(OsStr::from_bytes(name.slice()));
                let elf = Arc::new(Elf::open(&path).ok()?);
                let mut dwarf = self.held.sections(&elf, |id| id.dwo_name()).ok()?;
                dwarf.make_dwo(&head.dwarf);
                dwarf
            }
        };
        let dwarf = Arc::new(dwarf);
        let mut headers = dwarf.units();
        while let Ok(Some(header)) = headers.next() {
            let mut split = Head::read(&dwarf, header, &mut self.fuel).ok()?;
            if split.unit.dwo_id == Some(id) {
                split.unit.copy_relocated_attributes(&head.unit);
                return Some(Arc::new(split));
            }
        }
        None
    }

    fn open_package(&mut self, path: &Path) -> Option<gimli::DwarfPackage<Slice>> {
        let elf = Arc::new(Elf::open(path).ok()?);
        self.held.files.push(elf.clone());
        // All of them: a unit's share of one that is missing could not be found.
        let load = |id: SectionId| {
            let name = id.dwo_name();
            self.held.section(&elf, name).map_err(|_| gimli::Error::MissingUnitDie)
        };
        gimli::DwarfPackage::load(load, Slice::new(&[], gimli::LittleEndian)).ok()
    }
}

#[cfg(test)]
mod tests;
