//! The functions of a file by its symbol table.
//!
//! With `debug = "line-tables-only"` the debug information names a function without its path, `push` and not
//! `alloc::vec::Vec::push`; the symbol table has the whole name of each function that was not inlined. Where there is no
//! debug information at all, it has the only names.

use super::elf::{Elf, u16_at, u32_at, u64_at};

/// A symbol table that was read.
#[derive(Debug)]
pub(super) struct Symtab {
    /// Address in the file, size, and where the name begins; in order.
    functions: Vec<(u64, u32, u32)>,
}

const SYMBOLS: u32 = 2;
const DYNAMIC_SYMBOLS: u32 = 11;
/// 64 MiB of functions, more than any program has.
const MOST: usize = 1 << 22;

/// All symbols and their names, or those that other modules use, if that is what there is.
fn tables(elf: &Elf) -> Option<(&[u8], &[u8])> {
    elf.with_link(SYMBOLS).or_else(|| elf.with_link(DYNAMIC_SYMBOLS))
}

impl Symtab {
    /// `None` if the file has no symbols.
    pub(super) fn read(elf: &Elf) -> Option<Symtab> {
        const FUNCTIONS: [u8; 2] = [2, 10];
        let (symbols, _) = tables(elf)?;
        let function = |s: &[u8]| {
            let (name, info, section) = (u32_at(s, 0)?, *s.get(4)?, u16_at(s, 6)?);
            let (value, size) = (u64_at(s, 8)?, u32::try_from(u64_at(s, 16)?).ok()?);
            (FUNCTIONS.contains(&(info & 0xF)) && size > 0 && section != 0).then_some((value, size, name))
        };
        let mut functions: Vec<_> = symbols.chunks_exact(24).filter_map(function).take(MOST).collect();
        functions.sort_unstable();
        functions.shrink_to_fit();
        Some(Symtab { functions })
    }

    /// How many functions it names.
    pub(super) fn len(&self) -> usize {
        self.functions.len()
    }

    /// The address of the first function with such a mangled name.
    pub(super) fn find(&self, elf: &Elf, is_it: impl Fn(&[u8]) -> bool) -> Option<u64> {
        let (_, names) = tables(elf)?;
        self.functions.iter().find(|f| is_it(text(names, f.2, 256))).map(|f| f.0)
    }

    /// The mangled name of the function at an address of the file that this was read from. Of several names the
    /// plainest, `malloc` rather than `__libc_malloc`.
    pub(super) fn name<'a>(&self, elf: &'a Elf, address: u64) -> Option<&'a [u8]> {
        let (_, names) = tables(elf)?;
        let before = &self.functions[..self.functions.partition_point(|f| f.0 <= address)];
        let begin = before.last()?.0;
        let same = before.iter().rev().take_while(|f| f.0 == begin).take(64);
        let text = |f: &(u64, u32, u32)| Some(text(names, f.2, 64 << 10)).filter(|n| !n.is_empty());
        // Versions of a function for old programs end with theirs: `memcpy@GLIBC_2.2.5`.
        let plain = |name: &[u8]| (name.contains(&b'@'), name.iter().take_while(|&&b| b == b'_').count(), name.len());
        // Mangled names begin with underscores, and none is plainer than the other: the last remains.
        let mangled = |name: &[u8]| name.starts_with(b"_R") || name.starts_with(b"_Z");
        same.filter(|f| address - f.0 < u64::from(f.1))
            .filter_map(text)
            .min_by_key(|name| if mangled(name) { (false, 1, 0) } else { plain(name) })
    }
}

/// The text at an offset, up to its end or so many bytes: nobody may send us through the whole file.
fn text(names: &[u8], at: u32, most: usize) -> &[u8] {
    let rest = names.get(at as usize..).unwrap_or_default();
    rest[..rest.len().min(most)].split(|&b| b == 0).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::elf::tests::own;
    use super::*;

    #[test]
    fn this_program_has_this_function() {
        let elf = own();
        let table = Symtab::read(&elf).expect("a symbol table");
        let here = this_program_has_this_function as fn() as usize as u64;
        let modules = crate::snapshot::loaded();
        let address = here - modules.iter().find(|m| m.contains(here)).expect("the program").base;
        let name = |at| String::from_utf8_lossy(table.name(&elf, at).unwrap_or_default()).into_owned();
        assert!(name(address).contains("this_program_has_this_function"));
        assert!(!name(address - 1).contains("this_program_has_this_function"));
        assert_eq!(table.name(&elf, 0), None);
        assert_eq!(table.name(&elf, u64::MAX), None);
    }
}
