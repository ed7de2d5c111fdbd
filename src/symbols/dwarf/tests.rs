//! Files that are spoiled, or written to do harm.

use super::*;
use std::fs;

/// A file that goes with this.
struct File(PathBuf);

impl File {
    fn new(name: &str, bytes: &[u8]) -> File {
        let path = std::env::temp_dir().join(format!("tenure-symbols-{}-{name}", std::process::id()));
        fs::write(&path, bytes).expect("a file");
        File(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        _ = fs::remove_file(&self.0);
    }
}

/// An ELF file of these sections.
fn elf(sections: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = b"\x7FELF\x02\x01\x01".to_vec();
    bytes.resize(64, 0);
    let (mut names, mut headers) = (vec![0u8], vec![0u8; 64]);
    let strings = ("names", Vec::new());
    for (name, contents) in sections.iter().chain([&strings]) {
        let mut header = [0u8; 64];
        header[..4].copy_from_slice(&(names.len() as u32).to_le_bytes());
        header[4] = 1;
        names.extend(name.bytes().chain([0]));
        let contents = if *name == "names" { names.clone() } else { contents.clone() };
        header[24..32].copy_from_slice(&(bytes.len() as u64).to_le_bytes());
        header[32..40].copy_from_slice(&(contents.len() as u64).to_le_bytes());
        bytes.extend(contents);
        headers.extend(header);
    }
    let (at, count) = (bytes.len() as u64, sections.len() as u16 + 2);
    bytes[0x28..0x30].copy_from_slice(&at.to_le_bytes());
    bytes[0x36..0x38].copy_from_slice(&56u16.to_le_bytes());
    bytes[0x3A..0x3C].copy_from_slice(&64u16.to_le_bytes());
    bytes[0x3C..0x3E].copy_from_slice(&count.to_le_bytes());
    bytes[0x3E..0x40].copy_from_slice(&(count - 1).to_le_bytes());
    bytes.extend(headers);
    bytes
}

/// Abbreviations: a unit and a function with begin and size; an inlined call with nothing; one with a list of ranges.
const ABBREVIATIONS: &[u8] = &[
    1, 0x11, 1, 0x11, 1, 0x12, 7, 0, 0, // unit
    2, 0x2E, 1, 0x11, 1, 0x12, 7, 3, 8, 0, 0, // function
    3, 0x1D, 1, 0, 0, // call
    4, 0x1D, 0, 0x55, 0x17, 0, 0, // call
    0,
];

/// A unit with one function `f` at 0x1000, and in it these entries.
fn unit(entries: &[u8]) -> Vec<u8> {
    let mut body = vec![4, 0, 0, 0, 0, 0, 8];
    for code in [1u8, 2] {
        body.push(code);
        body.extend(0x1000u64.to_le_bytes());
        body.extend(0x100u64.to_le_bytes());
    }
    body.extend(b"f\0");
    body.extend(entries);
    let mut all = (body.len() as u32).to_le_bytes().to_vec();
    all.extend(body);
    all
}

fn info(file: &File) -> Info {
    let elf = Arc::new(Elf::open(&file.0).expect("an ELF file"));
    Info::read(elf, None, &file.0).expect("debug information")
}

fn names(frames: &[Called]) -> Vec<&[u8]> {
    frames.iter().map(|f| f.function.as_deref().unwrap_or_default()).collect()
}

#[test]
fn a_file_that_is_put_together_by_hand() {
    let file = File::new("hand", &elf(&[(".debug_abbrev", ABBREVIATIONS.to_vec()), (".debug_info", unit(&[0, 0]))]));
    let mut info = info(&file);
    assert_eq!(names(&info.frames(0x1000)), [b"f"]);
    assert!(info.frames(0xFFF).is_empty() && info.frames(0x1100).is_empty());
}

/// Recursion would have ended the process.
#[test]
fn calls_that_are_nested_without_end() {
    let deep = unit(&vec![3; 4 << 20]);
    let file = File::new("deep", &elf(&[(".debug_abbrev", ABBREVIATIONS.to_vec()), (".debug_info", deep)]));
    assert_eq!(names(&info(&file).frames(0x1000)), [b"f"]);
}

/// Half a million calls that share a list of half a million ranges: it would take an hour.
#[test]
fn work_without_end() {
    let calls: Vec<u8> = std::iter::repeat_n([4, 0, 0, 0, 0], 1 << 19).flatten().collect();
    // Empty ranges, so that no table fills up before.
    let mut list: Vec<u8> = std::iter::repeat_n(0x1010u64.to_le_bytes(), 1 << 20).flatten().collect();
    list.extend([0; 16]);
    let sections = [(".debug_abbrev", ABBREVIATIONS.to_vec()), (".debug_info", unit(&calls)), (".debug_ranges", list)];
    let file = File::new("work", &elf(&sections));
    let mut info = info(&file);
    info.fuel = Fuel::for_bytes(0).divided(64);
    assert!(info.frames(0x1000).is_empty() && info.is_spent());
    assert!(info.frames(0x1000).is_empty(), "and it stays so");
}

/// Whatever is spoiled, there is an answer, and the next file is read as before.
#[test]
fn spoiled_bytes() {
    let good = fs::read("/proc/self/exe").expect("this program");
    let part = |name: &str| {
        let elf = Elf::open(Path::new("/proc/self/exe")).expect("this program");
        let Ok(Contents::InFile(section)) = elf.debug_section(name) else { panic!("{name}") };
        let at = good.windows(64.min(section.len())).position(|w| w == &section[..w.len()]).expect("it is in the file");
        (at, section.len())
    };
    let headers = u64::from_le_bytes(good[0x28..0x30].try_into().expect("eight bytes")) as usize;
    let parts = [
        (0, 64),
        (headers, good.len() - headers),
        part(".debug_abbrev"),
        part(".debug_info"),
        part(".debug_line"),
        part(".debug_ranges"),
    ];
    let modules = crate::snapshot::loaded();
    let here = spoiled_bytes as fn() as usize as u64;
    let base = modules.iter().find(|m| m.contains(here)).expect("the program").base;
    let mut random = 1u64;
    let mut next = |below: usize| {
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (random >> 33) as usize % below.max(1)
    };
    let (mut refused, mut answered, mut named) = (0, 0, 0);
    for round in 0..48 {
        let (begin, len) = parts[round % parts.len()];
        let mut bad = good.clone();
        for _ in 0..1 << (round / parts.len()) {
            bad[begin + next(len)] = next(256) as u8;
        }
        if round % 8 == 7 {
            bad.truncate(next(good.len()));
        }
        let file = File::new("bad", &bad);
        let read = Elf::open(&file.0).and_then(|elf| {
            let elf = Arc::new(elf);
            _ = super::super::symtab::Symtab::read(&elf).map(|table| table.name(&elf, here - base).is_some());
            Info::read(elf, None, &file.0)
        });
        let Ok(mut info) = read else {
            refused += 1;
            continue;
        };
        for address in (0..40).map(|k| here - base + k * 977) {
            answered += 1;
            named += usize::from(!info.frames(address).is_empty());
        }
    }
    assert!(refused > 0 && named > 0 && named < answered, "{refused} files refused, {named} of {answered} named");
}
