//! The line table of a unit: which line of which file each instruction came from.

use super::fuel::{Bad, Fuel};
use super::unit::{Head, Slice};
use gimli::{DebugLine, DebugLineOffset, LineProgramHeader, Reader, Section};
use std::collections::HashMap;
use std::sync::Arc;

/// A line table that was read.
#[derive(Debug)]
pub(super) struct Lines {
    rows: Vec<Row>,
    /// Begin and end, and which rows it has; by begin. A sequence is what lies together: mostly one function.
    sequences: Vec<(u64, u64, u32, u32)>,
    header: LineProgramHeader<Slice>,
    /// Paths that were asked for, by number.
    files: HashMap<u64, Option<Arc<str>>>,
}

/// From this address on.
#[derive(Clone, Copy, Debug)]
struct Row {
    address: u64,
    file: u32,
    line: u32,
}

/// 128 MiB of rows for one unit, which a program that is one unit does not need.
const MOST_ROWS: usize = 1 << 23;
/// What stands before the rows, the names of files in the main. Each of its bytes may claim to be a file.
const LONGEST_HEADER: u64 = 2 << 20;

/// The table that begins at an offset, and nothing behind it: what it says of its own length must be true.
fn table(head: &Head, offset: usize) -> Result<Slice, Bad> {
    let mut all = *head.dwarf.debug_line.reader();
    all.skip(offset)?;
    let mut rest = all;
    let (length, format) = rest.read_initial_length()?;
    let end = (all.len() - rest.len()).checked_add(length).ok_or(Bad)?;
    // The length of the header comes after the version, and from version 5 on two bytes more.
    let version = rest.read_u16()?;
    rest.skip(if version >= 5 { 2 } else { 0 })?;
    if rest.read_word(format)? as u64 > LONGEST_HEADER {
        return Err(Bad);
    }
    all.truncate(end)?;
    Ok(all)
}

impl Lines {
    pub(super) fn read(head: &Head, offset: usize, fuel: &mut Fuel) -> Result<Lines, Bad> {
        let table = table(head, offset)?;
        fuel.burn(table.len())?;
        let unit = &head.unit;
        let program =
            DebugLine::from(table).program(DebugLineOffset(0), unit.header.address_size(), unit.comp_dir, unit.name)?;
        let header = program.header().clone();
        let (mut rows, mut sequences) = (Vec::<Row>::new(), Vec::new());
        let mut first = 0;
        let mut program = program.rows();
        while let Some((_, row)) = program.next_row()? {
            let address = row.address();
            if row.end_sequence() {
                match rows.get(first) {
                    Some(begin) if begin.address < address => {
                        sequences.push((begin.address, address, first as u32, rows.len() as u32));
                    }
                    _ => rows.truncate(first),
                }
                first = rows.len();
                continue;
            }
            let file = u32::try_from(row.file_index()).unwrap_or(u32::MAX);
            let line = row.line().map_or(0, |line| line.get() as u32);
            // Of several at one address the last is meant.
            if rows.len() > first && rows.last().is_some_and(|last| last.address == address) {
                rows.pop();
            }
            if rows.len() == MOST_ROWS {
                return Err(Bad);
            }
            rows.push(Row { address, file, line });
        }
        rows.truncate(first);
        rows.shrink_to_fit();
        sequences.sort_unstable();
        Ok(Lines { rows, sequences, header, files: HashMap::new() })
    }

    /// Bytes that this takes, about.
    pub(super) fn bytes(&self) -> usize {
        self.rows.len() * size_of::<Row>() + self.sequences.len() * 24 + self.header.file_names().len() * 192
    }

    /// Begin and end of what the table speaks of.
    pub(super) fn ranges(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.sequences.iter().map(|s| (s.0, s.1))
    }

    /// File and line at an address, as far as they are known; `None` if the table does not speak of it.
    pub(super) fn find(&mut self, head: &Head, address: u64) -> Option<(Option<Arc<str>>, Option<u32>)> {
        let i = self.sequences.partition_point(|s| s.0 <= address).checked_sub(1)?;
        let (_, end, first, last) = self.sequences[i];
        if address >= end {
            return None;
        }
        let rows = &self.rows[first as usize..last as usize];
        let Row { file, line, .. } = rows[rows.partition_point(|r| r.address <= address).checked_sub(1)?];
        Some((self.file(head, u64::from(file)), (line != 0).then_some(line)))
    }

    /// The path of a file by its number: its directory behind that of the compiler, unless it is absolute.
    pub(super) fn file(&mut self, head: &Head, number: u64) -> Option<Arc<str>> {
        if let Some(known) = self.files.get(&number) {
            return known.clone();
        }
        let path = self.path(head, number);
        self.files.insert(number, path.clone());
        path
    }

    fn path(&self, head: &Head, number: u64) -> Option<Arc<str>> {
        /// The system takes no longer ones.
        const LONGEST: usize = 4096;
        let file = self.header.file(number)?;
        let text = |value| head.dwarf.attr_string(&head.unit, value).ok().map(|text| text.slice());
        let mut path = head.unit.comp_dir.map_or(Vec::new(), |directory| directory.slice().to_vec());
        let mut push = |part: &[u8]| {
            if part.starts_with(b"/") {
                path.clear();
            } else if !path.is_empty() && !path.ends_with(b"/") {
                path.push(b'/');
            }
            path.extend(&part[..part.len().min(LONGEST)]);
        };
        // Directory 0 is the compiler's.
        if file.directory_index() != 0
            && let Some(directory) = file.directory(&self.header)
        {
            push(text(directory)?);
        }
        push(text(file.path_name())?);
        Some(String::from_utf8_lossy(&path).into())
    }
}
