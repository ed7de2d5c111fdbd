//! The functions of a file by its symbol table.
//!
//! With `debug = "line-tables-only"` the debug information names a function without its path, `push` and not
//! `alloc::vec::Vec::push`, and the `backtrace` crate looks no further; the symbol table has the whole name of each
//! function that was not inlined.

use std::fs::File;
use std::os::unix::fs::FileExt;

/// A symbol table that was read.
#[derive(Debug)]
pub(super) struct Symtab {
    /// Address in the file, size, and where the name begins; in order.
    functions: Vec<(u64, u64, u32)>,
    names: Vec<u8>,
}

/// More is not read: no program has it.
const LARGEST: u64 = 1 << 30;

fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u64> {
    number(bytes, at).map(|b| u16::from_le_bytes(b).into())
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u64> {
    number(bytes, at).map(|b| u32::from_le_bytes(b).into())
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    number(bytes, at).map(u64::from_le_bytes)
}

impl Symtab {
    /// `None` if the file is none for this system, or has no symbol table.
    pub(super) fn read(path: &str) -> Option<Symtab> {
        let file = File::open(path).ok()?;
        Symtab::parse(|at, len| {
            let mut bytes = vec![0; usize::try_from(len.min(LARGEST)).ok()?];
            file.read_exact_at(&mut bytes, at).ok()?;
            Some(bytes)
        })
    }

    /// `get` reads so many bytes at an offset.
    fn parse(get: impl Fn(u64, u64) -> Option<Vec<u8>>) -> Option<Symtab> {
        const SYMBOLS: u64 = 2;
        const FUNCTION: u8 = 2;
        let head = get(0, 64)?;
        // 64 bits, least significant byte first.
        if !head.starts_with(b"\x7FELF\x02\x01") {
            return None;
        }
        let (size, count) = (u16_at(&head, 0x3A)?, u16_at(&head, 0x3C)?);
        let sections = get(u64_at(&head, 0x28)?, size * count)?;
        let section = |i: u64| sections.get((i * size) as usize..((i + 1) * size) as usize);
        let contents = |s: &[u8]| get(u64_at(s, 0x18)?, u64_at(s, 0x20)?);
        let table = (0..count).filter_map(section).find(|s| u32_at(s, 4) == Some(SYMBOLS))?;
        let names = contents(section(u32_at(table, 0x28)?)?)?;
        let symbols = contents(table)?;
        let function = |s: &[u8]| {
            let (name, info, value, size) = (u32_at(s, 0)?, *s.get(4)?, u64_at(s, 8)?, u64_at(s, 16)?);
            (info & 0xF == FUNCTION && size > 0).then_some((value, size, name as u32))
        };
        let mut functions: Vec<_> = symbols.chunks_exact(24).filter_map(function).collect();
        functions.sort_unstable();
        Some(Symtab { functions, names })
    }

    /// The mangled name of the function at an address of the file.
    pub(super) fn name(&self, address: u64) -> Option<&[u8]> {
        let before = self.functions.partition_point(|f| f.0 <= address);
        let &(begin, size, name) = self.functions[..before].last()?;
        let text = self.names.get(name as usize..).filter(|_| address - begin < size)?;
        text.split(|&b| b == 0).next().filter(|n| !n.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_program_has_this_function() {
        let exe = std::env::current_exe().expect("a path");
        let table = Symtab::read(exe.to_str().expect("UTF-8")).expect("a symbol table");
        let here = this_program_has_this_function as fn() as usize as u64;
        let modules = crate::snapshot::loaded();
        let address = here - modules.iter().find(|m| m.contains(here)).expect("the program").base;
        let name = |at| String::from_utf8_lossy(table.name(at).unwrap_or_default()).into_owned();
        assert!(name(address).contains("this_program_has_this_function"));
        assert!(!name(address - 1).contains("this_program_has_this_function"));
        assert_eq!(table.name(0), None);
        assert_eq!(table.name(u64::MAX), None);
    }

    #[test]
    fn what_is_no_program_has_no_symbols() {
        assert!(Symtab::read("/proc/self/status").is_none() && Symtab::read("/nowhere").is_none());
        let exe = std::fs::read(std::env::current_exe().expect("a path")).expect("the program");
        // Cut off, or spoiled, anywhere in its header.
        let read = |bytes: &[u8]| {
            Symtab::parse(|at, len| Some(bytes.get(at as usize..at.checked_add(len)? as usize)?.to_vec()))
        };
        assert!(read(&exe).is_some() && read(&exe[..exe.len() / 2]).is_none() && read(&exe[..40]).is_none());
        for at in 0..64 {
            let mut bad = exe.clone();
            bad[at] ^= 0xFF;
            read(&bad);
        }
    }
}
