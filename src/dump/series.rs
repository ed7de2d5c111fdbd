//! Which file a dump goes to, and which one goes for it.

use crate::config::Dumps;
use crate::config::dumps::{LONGEST_PATH, MOST_KEPT};
use crate::os::file::{self, Errno, File, Identity};
use std::ffi::CStr;
use std::fmt::{self, Write};

/// What is written before it is whole has this after its name.
const PART: &str = ".part";

/// Numbers that are tried, when files of other processes have the names.
const TRIES: u32 = 1000;

/// Bytes of a path that messages show.
const SHOWN: usize = 300;

/// A path for the system, in memory of its own.
pub(super) struct Path {
    bytes: [u8; LONGEST_PATH + 64],
    len: usize,
}

impl Path {
    pub(super) const fn new() -> Path {
        Path { bytes: [0; LONGEST_PATH + 64], len: 0 }
    }

    /// This path. `None` if it is too long, or not one for the system.
    pub(super) fn set(&mut self, path: &[u8]) -> Option<&mut Path> {
        self.clear();
        self.bytes.get_mut(..path.len()).filter(|_| path.len() <= LONGEST_PATH)?.copy_from_slice(path);
        self.len = path.len();
        (!path.contains(&0)).then_some(self)
    }

    /// All of it: in a forked child, what another thread was writing may stand behind the end.
    fn clear(&mut self) {
        self.bytes.fill(0);
        self.len = 0;
    }

    /// The path of a dump's number.
    fn fill(&mut self, pattern: &str, number: u32) {
        self.clear();
        let pid = std::process::id();
        let (mut parts, mut numbered) = (pattern.split('%'), false);
        // A pattern fits, and its numbers are short.
        _ = self.write_str(parts.next().unwrap_or(""));
        while let Some(part) = parts.next() {
            match part.as_bytes().first() {
                Some(b'p') => _ = write!(self, "{pid}{}", &part[1..]),
                Some(b'n') => {
                    numbered = true;
                    _ = write!(self, "{number}{}", &part[1..]);
                }
                // Two `%` stand for one, and what comes after it is no letter of ours.
                _ => _ = write!(self, "%{}", parts.next().unwrap_or("")),
            }
        }
        if !numbered {
            _ = write!(self, ".{number}");
        }
    }

    pub(super) fn as_c(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.bytes).unwrap_or(c"")
    }
}

impl Write for Path {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        // One byte stays zero.
        let to = self.bytes[..LONGEST_PATH + 63].get_mut(self.len..self.len + s.len()).ok_or(fmt::Error)?;
        to.copy_from_slice(s.as_bytes());
        self.len += s.len();
        Ok(())
    }
}

/// For a line of text that has more to say: its end, if it is long, and without orders to a terminal.
impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = &self.bytes[..self.len];
        if let Some(cut) = self.len.checked_sub(SHOWN).filter(|&cut| cut > 0) {
            f.write_char('…')?;
            shown = &shown[cut..];
        }
        for chunk in shown.utf8_chunks() {
            chunk.valid().chars().try_for_each(|c| f.write_char(if c.is_control() { '?' } else { c }))?;
            if !chunk.invalid().is_empty() {
                f.write_char(char::REPLACEMENT_CHARACTER)?;
            }
        }
        Ok(())
    }
}

/// The dumps that this process has written by a pattern.
pub(super) struct Series {
    /// Whose they are: a forked child begins its own.
    pid: u32,
    /// The number of the last one.
    number: u32,
    /// The numbers of those that are kept, the oldest first, and what tells them from others that come to have their names.
    kept: [(u32, Identity); MOST_KEPT as usize],
    count: usize,
    pub(super) path: Path,
    part: Path,
}

impl Series {
    pub(super) const fn new() -> Series {
        Series {
            pid: 0,
            number: 0,
            kept: [(0, Identity::NONE); MOST_KEPT as usize],
            count: 0,
            path: Path::new(),
            part: Path::new(),
        }
    }

    /// Begins anew after a thread that is no more, which may have been in the middle of anything here.
    pub(super) fn reset(&mut self) {
        (self.pid, self.number, self.count) = (0, 0, 0);
        self.path.clear();
        self.part.clear();
    }

    /// Has `write` fill the next file, which then gets its name, [`Series::path`], and removes the oldest if there are too
    /// many. Files that were there before stay, as does what has the name of the oldest and is another file.
    pub(super) fn next<T>(&mut self, dumps: &Dumps, write: impl FnOnce(File) -> Result<T, Errno>) -> Result<T, Errno> {
        let pid = std::process::id();
        if self.pid != pid {
            (self.pid, self.number, self.count) = (pid, 0, 0);
        }
        let mut file = Err(Errno::EXISTS);
        for _ in 0..TRIES {
            self.number = self.number.wrapping_add(1);
            self.path.fill(dumps.path, self.number);
            if file::exists(self.path.as_c()) {
                continue;
            }
            file = create(&self.path, &mut self.part);
            match file.as_ref().err() {
                // Whoever has just finished a file of this name has made room for ours: there are two now.
                None if file::exists(self.path.as_c()) => file::remove(self.part.as_c()),
                Some(&Errno::EXISTS) => (),
                _ => break,
            }
            file = Err(Errno::EXISTS);
        }
        let written = finish(&self.path, &self.part, write, file?)?;
        if self.count == dumps.keep as usize {
            let (oldest, was) = self.kept[0];
            self.kept.copy_within(1..self.count, 0);
            self.count -= 1;
            self.part.fill(dumps.path, oldest);
            // In another directory by now, or moved away, the name may be somebody else's.
            if file::identity(self.part.as_c()) == Some(was) {
                file::remove(self.part.as_c());
            }
        }
        let identity = file::identity(self.path.as_c()).unwrap_or(Identity::NONE);
        self.kept[self.count] = (self.number, identity);
        self.count += 1;
        Ok(written)
    }

    /// Has `write` fill a file of this path, which is new.
    pub(super) fn at<T>(&mut self, path: &[u8], write: impl FnOnce(File) -> Result<T, Errno>) -> Result<T, Errno> {
        let path = self.path.set(path).ok_or(Errno::NO_PATH)?;
        if file::exists(path.as_c()) {
            return Err(Errno::EXISTS);
        }
        let file = create(path, &mut self.part)?;
        finish(path, &self.part, write, file)
    }
}

fn create(path: &Path, part: &mut Path) -> Result<File, Errno> {
    part.clear();
    part.bytes[..path.len].copy_from_slice(&path.bytes[..path.len]);
    part.len = path.len;
    _ = part.write_str(PART);
    File::create(part.as_c())
}

/// A file has its name only when it is whole.
fn finish<T>(path: &Path, part: &Path, write: impl FnOnce(File) -> Result<T, Errno>, file: File) -> Result<T, Errno> {
    let done = write(file).and_then(|written| file::rename_new(part.as_c(), path.as_c()).map(|()| written));
    if done.is_err() {
        file::remove(part.as_c());
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Some bytes were written, and not yet counted, when the process was forked.
    #[test]
    fn what_a_vanished_thread_left_is_no_path() {
        let mut series = Series::new();
        series.path.bytes[..9].copy_from_slice(b"long/path");
        series.reset();
        series.path.fill("a", 1);
        assert_eq!(series.path.as_c(), c"a.1");
    }

    #[test]
    fn patterns() {
        let mut path = Path::new();
        let pid = std::process::id();
        for (pattern, filled) in [
            ("a", "a.7".to_string()),
            ("%n", "7".into()),
            ("/t/%p-%n%%.json", format!("/t/{pid}-7%.json")),
            ("%%n%%%%p%p", format!("%n%%p{pid}.7")),
            ("%%", "%.7".into()),
        ] {
            path.fill(pattern, 7);
            assert_eq!((path.to_string(), path.as_c().to_str()), (filled.clone(), Ok(&*filled)), "{pattern}");
        }
        assert!(path.set(&[b'a'; LONGEST_PATH + 1]).is_none() && path.set(b"a\0b").is_none());
        path.fill(&"a".repeat(LONGEST_PATH), u32::MAX);
        assert!(path.as_c().to_bytes().ends_with(b"a.4294967295"));
        assert_eq!(path.to_string(), format!("…{}.4294967295", "a".repeat(289)));
        assert!(path.set(b"b").is_some_and(|p| p.as_c() == c"b"));
        path.fill("a\u{1b}[2J\nä", 1);
        assert_eq!(path.to_string(), "a?[2J?ä.1");
    }
}
