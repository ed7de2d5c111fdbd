//! A unit of debug information: what one run of the compiler wrote. Which functions it holds, and what was inlined where.

use super::fuel::{Bad, Fuel};
use gimli::{AttributeValue, DwAt, EndianSlice, LittleEndian, RangeListsOffset, UnitOffset};
use std::collections::HashMap;
use std::sync::Arc;

/// A piece of a file. Nobody may keep one longer than the file: see `dwarf::Held`.
pub(super) type Slice = EndianSlice<'static, LittleEndian>;
type Value = AttributeValue<Slice>;

/// The head of a unit, without which nothing in it can be read.
#[derive(Debug)]
pub(super) struct Head {
    /// Of the file that the unit stands in.
    pub(super) dwarf: Arc<gimli::Dwarf<Slice>>,
    pub(super) unit: gimli::Unit<Slice>,
    /// The addresses that it speaks of.
    pub(super) extent: Extent,
    /// Where its line table stands.
    pub(super) lines: Option<usize>,
    /// The file that it was split off to.
    pub(super) split: Option<Slice>,
    /// Bytes that this takes, about.
    pub(super) bytes: usize,
}

/// The length of the table of abbreviations at the begin of `bytes`, which many units may share: each is charged for it.
fn abbreviations(mut bytes: Slice) -> Result<usize, Bad> {
    use gimli::Reader;
    /// Compilers need some KiB.
    const MOST: usize = 1 << 20;
    let all = bytes.len();
    bytes.truncate(all.min(MOST))?;
    while bytes.read_uleb128()? != 0 {
        bytes.read_uleb128()?;
        bytes.read_u8()?;
        loop {
            let (name, form) = (bytes.read_uleb128()?, bytes.read_uleb128()?);
            if form == u64::from(gimli::DW_FORM_implicit_const.0) {
                bytes.read_sleb128()?;
            }
            if (name, form) == (0, 0) {
                break;
            }
        }
    }
    Ok(all.min(MOST) - bytes.len())
}

impl Head {
    /// Line tables are left alone: they are read when a line is asked for.
    pub(super) fn read(
        dwarf: &Arc<gimli::Dwarf<Slice>>,
        header: gimli::UnitHeader<Slice>,
        fuel: &mut Fuel,
    ) -> Result<Head, Bad> {
        use gimli::{Reader, Section};
        let mut table = *dwarf.debug_abbrev.reader();
        table.skip(header.debug_abbrev_offset().0)?;
        // What does not end has been read too.
        let len = abbreviations(table);
        fuel.burn(64 + *len.as_ref().unwrap_or(&(1 << 20)))?;
        let len = len?;
        table.truncate(len)?;
        let abbreviations = gimli::DebugAbbrev::from(table).abbreviations(gimli::DebugAbbrevOffset(0))?;
        let (encoding, kind) = (header.encoding(), dwarf.file_type);
        let mut unit = gimli::Unit {
            abbreviations: Arc::new(abbreviations),
            name: None,
            comp_dir: None,
            low_pc: 0,
            str_offsets_base: gimli::DebugStrOffsetsBase::default_for_encoding_and_file(encoding, kind),
            addr_base: gimli::DebugAddrBase(0),
            loclists_base: gimli::DebugLocListsBase::default_for_encoding_and_file(encoding, kind),
            rnglists_base: gimli::DebugRngListsBase::default_for_encoding_and_file(encoding, kind),
            line_program: None,
            dwo_id: match header.type_() {
                gimli::UnitType::Skeleton(id) | gimli::UnitType::SplitCompilation(id) => Some(id),
                _ => None,
            },
            header,
        };
        let mut root = Vec::new();
        let mut entries = unit.header.entries_raw(&unit.abbreviations, None)?;
        let first = entries.read_abbreviation()?.ok_or(Bad)?;
        attributes(&mut entries, first, fuel, |name, value| {
            root.push((name, value));
            Ok(())
        })?;
        let mut lines = None;
        // What others are relative to comes first.
        for &(name, value) in &root {
            match value {
                Value::DebugStrOffsetsBase(base) => unit.str_offsets_base = base,
                Value::DebugAddrBase(base) => unit.addr_base = base,
                Value::DebugRngListsBase(base) => unit.rnglists_base = base,
                Value::DebugLineRef(offset) if name == gimli::DW_AT_stmt_list => lines = Some(offset.0),
                Value::DwoId(id) => unit.dwo_id = unit.dwo_id.or(Some(id)),
                _ => (),
            }
        }
        let (mut extent, mut split) = (Extent::default(), None);
        for &(name, value) in &root {
            match name {
                gimli::DW_AT_name => unit.name = dwarf.attr_string(&unit, value).ok(),
                gimli::DW_AT_comp_dir => unit.comp_dir = dwarf.attr_string(&unit, value).ok(),
                gimli::DW_AT_dwo_name | gimli::DW_AT_GNU_dwo_name => split = dwarf.attr_string(&unit, value).ok(),
                gimli::DW_AT_low_pc => unit.low_pc = dwarf.attr_address(&unit, value)?.unwrap_or(0),
                _ => (),
            }
            extent.note(dwarf, &unit, name, value)?;
        }
        Ok(Head { dwarf: dwarf.clone(), unit, extent, lines, split, bytes: 512 + len * 16 })
    }

    fn entries(&self, from: Option<usize>) -> Result<gimli::EntriesRaw<'_, Slice>, Bad> {
        Ok(self.unit.header.entries_raw(&self.unit.abbreviations, from.map(UnitOffset))?)
    }
}

/// Gives `f` the attributes of the entry that was begun.
fn attributes(
    entries: &mut gimli::EntriesRaw<'_, Slice>,
    abbreviation: &gimli::Abbreviation,
    fuel: &mut Fuel,
    mut f: impl FnMut(DwAt, Value) -> Result<(), Bad>,
) -> Result<(), Bad> {
    fuel.burn(1 + abbreviation.attributes().len())?;
    for &specification in abbreviation.attributes() {
        let attribute = entries.read_attribute(specification)?;
        f(attribute.name(), attribute.value())?;
    }
    Ok(())
}

/// The addresses of a unit, of a function or of an inlined call: one range or a list of them.
#[derive(Debug, Default)]
pub(super) struct Extent {
    low: Option<u64>,
    high: Option<u64>,
    size: Option<u64>,
    list: Option<RangeListsOffset>,
}

impl Extent {
    fn note(
        &mut self,
        dwarf: &gimli::Dwarf<Slice>,
        unit: &gimli::Unit<Slice>,
        name: DwAt,
        value: Value,
    ) -> Result<(), Bad> {
        match (name, value) {
            (gimli::DW_AT_low_pc, value) => self.low = dwarf.attr_address(unit, value)?,
            (gimli::DW_AT_high_pc, Value::Udata(size)) => self.size = Some(size),
            (gimli::DW_AT_high_pc, value) => self.high = dwarf.attr_address(unit, value)?,
            (gimli::DW_AT_ranges, value) => self.list = dwarf.attr_ranges_offset(unit, value)?,
            _ => (),
        }
        Ok(())
    }

    /// Gives `f` begin and end of each range that is not empty.
    pub(super) fn each(
        &self,
        head: &Head,
        fuel: &mut Fuel,
        mut f: impl FnMut(u64, u64) -> Result<(), Bad>,
    ) -> Result<(), Bad> {
        let mut give = |begin, end| if begin < end { f(begin, end) } else { Ok(()) };
        if let Some(list) = self.list {
            let mut ranges = head.dwarf.ranges(&head.unit, list)?;
            while let Some(raw) = ranges.next_raw()? {
                fuel.burn(1)?;
                if let Some(range) = ranges.convert_raw(raw)? {
                    give(range.begin, range.end)?;
                }
            }
            return Ok(());
        }
        match (self.low, self.high, self.size) {
            (Some(begin), Some(end), _) => give(begin, end),
            // A begin of -1, which stands for what was left out, ends before it begins.
            (Some(begin), None, Some(size)) => give(begin, begin.wrapping_add(size)),
            _ => Ok(()),
        }
    }
}

/// The functions of a unit.
#[derive(Debug, Default)]
pub(super) struct Functions {
    /// Begin, end, and where its entry stands; by begin.
    ranges: Vec<(u64, u64, usize)>,
    /// What was inlined into those that were asked for, by entry.
    inlined: HashMap<usize, Vec<Inlined>>,
    inlined_ranges: usize,
}

/// A range of an inlined call.
#[derive(Debug)]
struct Inlined {
    begin: u64,
    end: u64,
    /// How many inlined calls it stands in.
    depth: usize,
    entry: usize,
}

/// What a unit may hold of functions, and a function of inlined calls. More has been written by no compiler.
const MOST: usize = 1 << 21;

fn room<T>(all: &[T]) -> Result<(), Bad> {
    if all.len() < MOST { Ok(()) } else { Err(Bad) }
}

impl Functions {
    pub(super) fn read(head: &Head, fuel: &mut Fuel) -> Result<Functions, Bad> {
        let mut ranges = Vec::new();
        let mut entries = head.entries(None)?;
        while !entries.is_empty() {
            fuel.burn(1)?;
            let entry = entries.next_offset().0;
            let Some(abbreviation) = entries.read_abbreviation()? else { continue };
            if abbreviation.tag() != gimli::DW_TAG_subprogram {
                fuel.burn(abbreviation.attributes().len())?;
                entries.skip_attributes(abbreviation.attributes())?;
                continue;
            }
            let mut extent = Extent::default();
            attributes(&mut entries, abbreviation, fuel, |name, value| {
                extent.note(&head.dwarf, &head.unit, name, value)
            })?;
            extent.each(head, fuel, |begin, end| {
                room(&ranges)?;
                ranges.push((begin, end, entry));
                Ok(())
            })?;
        }
        ranges.sort_unstable();
        ranges.shrink_to_fit();
        Ok(Functions { ranges, ..Functions::default() })
    }

    /// Bytes that this takes.
    pub(super) fn bytes(&self) -> usize {
        self.ranges.len() * size_of::<(u64, u64, usize)>() + self.inlined_ranges * size_of::<Inlined>()
    }

    /// The entry of the function at an address. What the linker left out may seem to lie anywhere below, so of several the
    /// one that begins last.
    pub(super) fn find(&self, address: u64) -> Option<usize> {
        let before = &self.ranges[..self.ranges.partition_point(|r| r.0 <= address)];
        before.iter().rev().take(16).find(|r| address < r.1).map(|r| r.2)
    }

    /// The entries of the calls that were inlined at an address of a function, the outermost first.
    pub(super) fn inlined_at(
        &mut self,
        head: &Head,
        function: usize,
        address: u64,
        fuel: &mut Fuel,
    ) -> Result<Vec<usize>, Bad> {
        if !self.inlined.contains_key(&function) {
            let all = inlined(head, function, fuel)?;
            self.inlined_ranges += all.len();
            self.inlined.insert(function, all);
        }
        let all = &self.inlined[&function];
        fuel.burn(1 + all.len() / 8)?;
        let mut chain = Vec::new();
        for call in all.iter().filter(|c| c.begin <= address && address < c.end) {
            if call.depth == chain.len() {
                chain.push(call.entry);
            }
        }
        Ok(chain)
    }
}

/// All calls that were inlined into a function, in the order of the file, so that each comes after the one that it
/// stands in. Not by recursion: nobody knows how deep a file goes.
fn inlined(head: &Head, function: usize, fuel: &mut Fuel) -> Result<Vec<Inlined>, Bad> {
    let mut entries = head.entries(Some(function))?;
    let outside = entries.next_depth();
    let first = entries.read_abbreviation()?.ok_or(Bad)?;
    attributes(&mut entries, first, fuel, |_, _| Ok(()))?;
    let mut all = Vec::new();
    // Depths of the inlined calls that the next entry stands in, and of a function within this one.
    let (mut around, mut other) = (Vec::new(), None);
    while !entries.is_empty() && entries.next_depth() > outside {
        let (depth, entry) = (entries.next_depth(), entries.next_offset().0);
        let Some(abbreviation) = entries.read_abbreviation()? else { continue };
        while around.last().is_some_and(|&outer| depth <= outer) {
            around.pop();
        }
        other = other.filter(|&outer| depth > outer);
        if other.is_some() || abbreviation.tag() != gimli::DW_TAG_inlined_subroutine {
            if abbreviation.tag() == gimli::DW_TAG_subprogram {
                other = other.or(Some(depth));
            }
            fuel.burn(1 + abbreviation.attributes().len())?;
            entries.skip_attributes(abbreviation.attributes())?;
            continue;
        }
        let mut extent = Extent::default();
        attributes(&mut entries, abbreviation, fuel, |name, value| extent.note(&head.dwarf, &head.unit, name, value))?;
        extent.each(head, fuel, |begin, end| {
            room(&all)?;
            all.push(Inlined { begin, end, depth: around.len(), entry });
            Ok(())
        })?;
        around.push(depth);
    }
    all.shrink_to_fit();
    Ok(all)
}

/// What an entry says of its name, or of the entry that has it.
#[derive(Debug, Default)]
pub(super) struct Naming {
    pub(super) name: Option<Slice>,
    pub(super) elsewhere: Option<Value>,
    /// Where an inlined call stands: file and line.
    pub(super) call: (Option<u64>, Option<u32>),
}

impl Naming {
    /// The linker's name goes before the one in the source, which has no path.
    pub(super) fn read(head: &Head, entry: usize, fuel: &mut Fuel) -> Result<Naming, Bad> {
        let (mut found, mut whole) = (Naming::default(), false);
        let mut entries = head.entries(Some(entry))?;
        let abbreviation = entries.read_abbreviation()?.ok_or(Bad)?;
        let text = |value| head.dwarf.attr_string(&head.unit, value).ok();
        attributes(&mut entries, abbreviation, fuel, |name, value| {
            match name {
                gimli::DW_AT_linkage_name | gimli::DW_AT_MIPS_linkage_name => {
                    if let Some(name) = text(value) {
                        (found.name, whole) = (Some(name), true);
                    }
                }
                gimli::DW_AT_name if !whole => found.name = text(value),
                gimli::DW_AT_abstract_origin | gimli::DW_AT_specification => found.elsewhere = Some(value),
                gimli::DW_AT_call_file => {
                    if let Value::FileIndex(file) = value
                        && (file > 0 || head.unit.header.version() >= 5)
                    {
                        found.call.0 = Some(file);
                    }
                }
                gimli::DW_AT_call_line => {
                    found.call.1 = value.udata_value().map(|line| line as u32).filter(|&line| line != 0);
                }
                _ => (),
            }
            Ok(())
        })?;
        fuel.burn(found.name.map_or(0, |name| name.len() / 64))?;
        Ok(found)
    }
}
