//! A program's, library's or debug file, as far as names need it. Whatever stands in it is taken for a claim: every
//! offset and length is checked.

use crate::os::mapped::Mapped;
use crate::os::modules::find_gnu_id;
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress, inflate_flags};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// An ELF file of 64 bits, least significant byte first, of whatever machine.
#[derive(Debug)]
pub(super) struct Elf {
    pub(super) path: PathBuf,
    bytes: Mapped,
    sections: Vec<Section>,
    /// What is executable: where it begins and ends, in the file's addresses.
    pub(super) code: Vec<(u64, u64)>,
    /// In hexadecimal; empty if there is none.
    pub(super) build_id: String,
}

#[derive(Clone, Copy, Debug)]
struct Section {
    name: usize,
    kind: u32,
    flags: u64,
    offset: u64,
    size: u64,
    link: u32,
}

/// A section, uncompressed: where in the file it stands, or its own bytes.
#[derive(Debug)]
pub(super) enum Contents<'a> {
    InFile(&'a [u8]),
    Own(Vec<u8>),
}

/// Sections and program headers are looked through one by one, so there may not be any number of them.
const MOST_HEADERS: u64 = 1 << 20;
/// What compressed sections may grow to. Nothing is known of them but what the file says.
const LARGEST_UNCOMPRESSED: u64 = 1 << 30;

const NO_BITS: u32 = 8;
const NOTES: u32 = 7;

fn number<const N: usize>(bytes: &[u8], at: u64) -> Option<[u8; N]> {
    let at = usize::try_from(at).ok()?;
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

pub(super) fn u16_at(bytes: &[u8], at: u64) -> Option<u16> {
    number(bytes, at).map(u16::from_le_bytes)
}

pub(super) fn u32_at(bytes: &[u8], at: u64) -> Option<u32> {
    number(bytes, at).map(u32::from_le_bytes)
}

pub(super) fn u64_at(bytes: &[u8], at: u64) -> Option<u64> {
    number(bytes, at).map(u64::from_le_bytes)
}

fn part(bytes: &[u8], at: u64, len: u64) -> Option<&[u8]> {
    bytes.get(usize::try_from(at).ok()?..usize::try_from(at.checked_add(len)?).ok()?)
}

impl Elf {
    /// Why it cannot be read, in words, if it cannot. What is no regular file is not waited for.
    pub(super) fn open(path: &Path) -> Result<Elf, String> {
        let bytes = Mapped::open(path)?;
        Elf::parse(path, bytes).ok_or_else(|| "it is no ELF file of 64 bits, or a spoiled one".into())
    }

    fn parse(path: &Path, bytes: Mapped) -> Option<Elf> {
        const LOAD: u32 = 1;
        const EXECUTABLE: u32 = 1;
        // 64 bits, least significant byte first.
        if !bytes.starts_with(b"\x7FELF\x02\x01") {
            return None;
        }
        let section = |at: u64| {
            Some(Section {
                name: u32_at(&bytes, at)? as usize,
                kind: u32_at(&bytes, at.checked_add(4)?)?,
                flags: u64_at(&bytes, at.checked_add(8)?)?,
                offset: u64_at(&bytes, at.checked_add(24)?)?,
                size: u64_at(&bytes, at.checked_add(32)?)?,
                link: u32_at(&bytes, at.checked_add(40)?)?,
            })
        };
        let (at, size) = (u64_at(&bytes, 0x28)?, u16_at(&bytes, 0x3A)?);
        let mut sections = Vec::new();
        if let Some(first) = section(at).filter(|_| at > 0 && size >= 64) {
            // Where there are more than fit into the header, the first section says how many.
            let count = u16_at(&bytes, 0x3C).map(u64::from).filter(|&n| n > 0).unwrap_or(first.size);
            let strings = u16_at(&bytes, 0x3E).map(u32::from).filter(|&n| n != 0xFFFF).unwrap_or(first.link);
            sections =
                (0..count.min(MOST_HEADERS)).map_while(|i| section(at.checked_add(i * u64::from(size))?)).collect();
            let names = sections.get(strings as usize).map_or(0, |s: &Section| s.offset as usize);
            sections.iter_mut().for_each(|s| s.name = s.name.saturating_add(names));
        }
        let (at, size) = (u64_at(&bytes, 0x20)?, u64::from(u16_at(&bytes, 0x36)?));
        let header = |i: u64| {
            let at = at.checked_add(i * size)?;
            let is_code = u32_at(&bytes, at)? == LOAD && u32_at(&bytes, at.checked_add(4)?)? & EXECUTABLE != 0;
            let (begin, len) = (u64_at(&bytes, at.checked_add(16)?)?, u64_at(&bytes, at.checked_add(40)?)?);
            Some(is_code.then_some((begin, begin.wrapping_add(len))))
        };
        let code = (0..u64::from(u16_at(&bytes, 0x38)?)).map_while(header).flatten().collect();
        // A few, and short ones: nobody may send us through the whole file.
        let notes = |s: &Section| find_gnu_id(part(&bytes, s.offset, s.size.min(64 << 10))?);
        let build_id = sections.iter().filter(|s| s.kind == NOTES).take(64).find_map(notes);
        let build_id = build_id.map_or(String::new(), hex);
        Some(Elf { path: path.into(), bytes, sections, code, build_id })
    }

    fn name(&self, section: &Section) -> &[u8] {
        let text = self.bytes.get(section.name..).unwrap_or_default();
        // No name is longer, and nobody may send us through the whole file.
        text[..text.len().min(64)].split(|&b| b == 0).next().unwrap_or_default()
    }

    fn find(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|s| s.kind != NO_BITS && self.name(s) == name.as_bytes())
    }

    /// A section as it stands in the file.
    fn raw(&self, section: &Section) -> Option<&[u8]> {
        part(&self.bytes, section.offset, section.size).filter(|_| section.kind != NO_BITS)
    }

    /// Whether there is debug information; a file of its own may hold that.
    pub(super) fn has_debug_info(&self) -> bool {
        [".debug_info", ".zdebug_info"].iter().any(|name| self.find(name).is_some_and(|s| s.size > 0))
    }

    /// The section of this type, and the one that it is linked with.
    pub(super) fn with_link(&self, kind: u32) -> Option<(&[u8], &[u8])> {
        let section = self.sections.iter().find(|s| s.kind == kind)?;
        Some((self.raw(section)?, self.raw(self.sections.get(section.link as usize)?)?))
    }

    /// A section of debug information; empty if it is not there. Why it cannot be read, in words, if it cannot.
    ///
    /// Three ways to store one: as it is; compressed, by a flag, behind a header; by an older convention, by its name.
    pub(super) fn debug_section(&self, name: &str) -> Result<Contents<'_>, String> {
        const COMPRESSED: u64 = 0x800;
        const ZLIB: u32 = 1;
        let spoiled = || format!("its section {name} is cut off or spoiled");
        if let Some(section) = self.find(name) {
            let raw = self.raw(section).ok_or_else(spoiled)?;
            if section.flags & COMPRESSED == 0 {
                return Ok(Contents::InFile(raw));
            }
            return match u32_at(raw, 0) {
                Some(ZLIB) => inflate(raw.get(24..).unwrap_or_default(), u64_at(raw, 8)).ok_or_else(spoiled),
                _ => Err(format!("its section {name} is compressed with something else than zlib")),
            };
        }
        let old = name.strip_prefix(".debug_").and_then(|rest| self.find(&format!(".zdebug_{rest}")));
        let Some(section) = old else { return Ok(Contents::InFile(&[])) };
        let raw = self.raw(section).filter(|raw| raw.starts_with(b"ZLIB")).ok_or_else(spoiled)?;
        let size = number(raw, 4).map(u64::from_be_bytes);
        inflate(raw.get(12..).unwrap_or_default(), size).ok_or_else(spoiled)
    }

    /// The file that debug information was moved to by `strip`, and its checksum.
    pub(super) fn debug_link(&self) -> Option<(&OsStr, u32)> {
        let raw = self.raw(self.find(".gnu_debuglink")?)?;
        let len = raw.iter().position(|&b| b == 0)?;
        // A name, not a path: nobody may lead us elsewhere.
        let name = Path::new(OsStr::from_bytes(&raw[..len])).file_name()?;
        Some((name, u32_at(raw, (len as u64 + 4) & !3)?))
    }

    /// The file that holds what several debug files share, and its build id in hexadecimal.
    pub(super) fn shared_link(&self) -> Option<(&Path, String)> {
        let raw = self.raw(self.find(".gnu_debugaltlink")?)?;
        let len = raw.iter().position(|&b| b == 0)?;
        Some((Path::new(OsStr::from_bytes(&raw[..len])), hex(&raw[len + 1..])))
    }

    /// Whether the whole file has this checksum, the one of zip and of [`debug_link`](Self::debug_link).
    pub(super) fn has_checksum(&self, wanted: u32) -> bool {
        let mut table = [0u32; 256];
        for (i, entry) in table.iter_mut().enumerate() {
            *entry = (0..8).fold(i as u32, |c, _| if c & 1 == 0 { c >> 1 } else { c >> 1 ^ 0xEDB8_8320 });
        }
        let sum = self.bytes.iter().fold(!0u32, |c, &b| c >> 8 ^ table[usize::from(c as u8 ^ b)]);
        !sum == wanted
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn inflate(from: &[u8], size: Option<u64>) -> Option<Contents<'static>> {
    // The format cannot shrink anything further.
    let most = (from.len() as u64).saturating_mul(1032).min(LARGEST_UNCOMPRESSED);
    let size = size.filter(|&s| s <= most)?;
    // What is refused costs the names, not the process.
    let (size, mut to) = (usize::try_from(size).ok()?, Vec::new());
    to.try_reserve_exact(size).ok()?;
    to.resize(size, 0);
    let flags = inflate_flags::TINFL_FLAG_PARSE_ZLIB_HEADER | inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
    let (status, _, written) = decompress(&mut DecompressorOxide::new(), from, &mut to, 0, flags);
    (status == TINFLStatus::Done && written == to.len()).then_some(Contents::Own(to))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn own() -> Elf {
        Elf::open(Path::new("/proc/self/exe")).expect("this program")
    }

    #[test]
    fn this_program() {
        let (elf, modules) = (own(), crate::snapshot::loaded());
        let here = this_program as fn() as usize as u64;
        let module = modules.iter().find(|m| m.contains(here)).expect("the program");
        assert_eq!(elf.build_id, module.build_id);
        let code: Vec<_> = module.code.iter().map(|c| (c.start - module.base, c.end - module.base)).collect();
        assert_eq!(elf.code, code);
        assert!(elf.has_debug_info());
        assert!(matches!(elf.debug_section(".debug_info"), Ok(Contents::InFile(bytes)) if bytes.len() > 1000));
        assert!(matches!(elf.debug_section(".debug_nothing"), Ok(Contents::InFile([]))));
    }

    #[test]
    fn what_is_no_program_is_refused_in_words() {
        let why = |path: &str| Elf::open(Path::new(path)).expect_err("no program");
        assert!(why("/nowhere").contains("No such file"));
        assert!(why("/").contains("no regular file") && why("/dev/null").contains("no regular file"));
        assert!(why(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).contains("no ELF file"));
        assert!(why("/proc/self/status").contains("empty"));
    }

    #[test]
    fn checksums() {
        let path = std::env::temp_dir().join(format!("tenure-checksum-{}", std::process::id()));
        // The shortest that is taken: a header and nothing else.
        let mut bytes = b"\x7FELF\x02\x01".to_vec();
        bytes.resize(64, 0);
        std::fs::write(&path, &bytes).expect("a file");
        let elf = Elf::open(&path).expect("a header");
        std::fs::remove_file(&path).expect("it is there");
        // By Python's zlib.crc32.
        assert!(elf.has_checksum(CHECKSUM) && !elf.has_checksum(CHECKSUM ^ 1));
        assert!(!elf.has_debug_info() && elf.build_id.is_empty() && elf.debug_link().is_none());
    }

    const CHECKSUM: u32 = 0x9df8b494;

    #[test]
    fn a_size_that_cannot_be_is_not_believed() {
        assert!(inflate(&[0; 100], Some(1 << 40)).is_none());
        assert!(inflate(&[0; 100], Some(100)).is_none(), "no zlib stream");
    }
}
