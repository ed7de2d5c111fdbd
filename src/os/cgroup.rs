//! What the cgroups of the process allow it, read without allocation: the process may be in its first one.
//!
//! `/proc/self/cgroup` says in which group the process is, `/proc/self/mountinfo` where the groups' files are. A limit of any
//! group above counts as well, up to the root of what is mounted. Version 2 has `memory.max` and `memory.high`, version 1
//! `memory.limit_in_bytes`; where both are mounted (a hybrid), the memory controller is in one of them, and version 1 says so.
//! Formats: the kernel's `Documentation/admin-guide/cgroup-v2.rst`, `cgroup-v1/memory.rst` and `filesystems/proc.rst`.

use super::file;
use super::preserving_errno;
use std::ffi::CStr;

/// A group, and what all processes in it and below it have together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    /// Beyond this the kernel kills. `u64::MAX`: no limit.
    pub(crate) max: u64,
    /// Beyond this it slows down. `u64::MAX`: no limit.
    pub(crate) high: u64,
    /// What it has and cannot simply drop: without the cache of files.
    pub(crate) used: u64,
}

/// Bytes of a line or a path; what is longer is taken for not there.
const LONGEST: usize = 1024;
/// Groups above each other that are looked at: nobody nests deeper.
const DEEPEST: usize = 64;

/// Calls `f` with the group of the process that limits memory, and with those above it. `false` if there is none, or it cannot
/// be read. Some 20 system calls for each group; needs 4 KiB of stack.
pub(crate) fn each(mut f: impl FnMut(Group)) -> bool {
    preserving_errno(|| each_from(&Files, &mut f))
}

/// Where files are read: the system, or texts of a test.
trait Source {
    /// Calls `f` with each line, without its end, until it says stop. `false` if there is no such file.
    fn lines(&self, path: &CStr, f: &mut dyn FnMut(&[u8]) -> bool) -> bool;
}

struct Files;

impl Source for Files {
    fn lines(&self, path: &CStr, f: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        let Ok(mut file) = file::Reading::open(path) else { return false };
        let mut buffer = [0; LONGEST];
        let (mut len, mut skip) = (0, false);
        loop {
            let n = match file.read(&mut buffer[len..]) {
                Ok(n) => n,
                Err(_) => return false,
            };
            len += n;
            let mut rest = &buffer[..len];
            while let Some(end) = rest.iter().position(|&b| b == b'\n') {
                if !std::mem::take(&mut skip) && !f(&rest[..end]) {
                    return true;
                }
                rest = &rest[end + 1..];
            }
            if n == 0 {
                if !rest.is_empty() && !skip {
                    f(rest);
                }
                return true;
            }
            let (from, left) = (len - rest.len(), rest.len());
            // A line that is longer than the room for it.
            if left == LONGEST {
                skip = true;
                len = 0;
            } else {
                buffer.copy_within(from..len, 0);
                len = left;
            }
        }
    }
}

/// A path that grows and shrinks, with a zero behind it.
struct Path {
    bytes: [u8; LONGEST],
    len: usize,
}

impl Path {
    const fn new() -> Path {
        Path { bytes: [0; LONGEST], len: 0 }
    }

    fn push(&mut self, text: &[u8]) -> Option<()> {
        // One byte is for the zero.
        let room = self.bytes[..LONGEST - 1].get_mut(self.len..self.len + text.len())?;
        room.copy_from_slice(text);
        self.len += text.len();
        Some(())
    }

    /// What the kernel writes into `mountinfo`, where white space and backslashes are three octal digits.
    fn push_escaped(&mut self, mut text: &[u8]) -> Option<()> {
        while let Some((&first, rest)) = text.split_first() {
            match (first, rest) {
                (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..]) => {
                    self.push(&[(a - b'0') << 6 | (b - b'0') << 3 | (c - b'0')])?;
                    text = &rest[3..];
                }
                _ => {
                    self.push(&[first])?;
                    text = rest;
                }
            }
        }
        Some(())
    }

    fn text(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn cut(&mut self, len: usize) {
        self.bytes[len..self.len].fill(0);
        self.len = len;
    }

    /// Calls `f` with the path of a file of this directory.
    fn with<T>(&mut self, name: &[u8], f: impl FnOnce(&CStr) -> T) -> Option<T> {
        let len = self.len;
        let path = self.push(b"/").and_then(|()| self.push(name));
        let result = path.and_then(|()| CStr::from_bytes_until_nul(&self.bytes).ok().map(f));
        self.cut(len);
        result
    }
}

/// Which of the two interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// How the group of the process is called. Version 1 if it has the memory controller.
fn group(source: &impl Source, path: &mut Path) -> Option<Version> {
    let mut found = None;
    source.lines(c"/proc/self/cgroup", &mut |line| {
        // ID:CONTROLLERS:PATH, and a path may hold colons.
        let mut parts = line.splitn(3, |&b| b == b':');
        let (Some(id), Some(controllers), Some(name)) = (parts.next(), parts.next(), parts.next()) else { return true };
        let version = match () {
            () if controllers.split(|&b| b == b',').any(|c| c == b"memory") => Version::One,
            () if controllers.is_empty() && id == b"0" => Version::Two,
            () => return true,
        };
        path.cut(0);
        found = path.push(name).map(|()| version);
        version != Version::One
    });
    found
}

/// Where the groups of that kind are mounted: appends that to `place`, and what it shows of the hierarchy to `root`.
fn mount(source: &impl Source, version: Version, group: &[u8], place: &mut Path, root: &mut Path) -> Option<()> {
    let mut found = None;
    source.lines(c"/proc/self/mountinfo", &mut |line| {
        // ID PARENT MAJOR:MINOR ROOT PLACE OPTIONS [TAGS ...] - TYPE SOURCE OPTIONS
        let mut fields = line.split(|&b| b == b' ');
        let (Some(here), Some(at)) = (fields.nth(3), fields.next()) else { return true };
        let mut rest = fields.skip_while(|&field| field != b"-").skip(1);
        let (kind, options) = (rest.next(), rest.nth(1));
        let right = match version {
            Version::Two => kind == Some(b"cgroup2"),
            Version::One => {
                kind == Some(b"cgroup") && options.is_some_and(|o| o.split(|&b| b == b',').any(|c| c == b"memory"))
            }
        };
        if !right {
            return true;
        }
        // The first one, unless a later one shows the group and that does not.
        let mut shown = Path::new();
        let shows = shown.push_escaped(here).is_some() && below(shown.text(), group).is_some();
        if found.is_none() || shows {
            place.cut(0);
            root.cut(0);
            found = place.push_escaped(at).and_then(|()| root.push_escaped(here));
        }
        !shows
    });
    found
}

/// The part of a group's path below what is mounted; `None` if it is not shown there.
fn below<'a>(root: &[u8], group: &'a [u8]) -> Option<&'a [u8]> {
    let root = root.strip_suffix(b"/").unwrap_or(root);
    let rest = group.strip_prefix(root)?;
    // Of a group outside of the process' namespace, the path begins with dots.
    let climbs = group.split(|&b| b == b'/').any(|part| part == b"..");
    (!climbs && (rest.is_empty() || rest.starts_with(b"/"))).then(|| rest.strip_suffix(b"/").unwrap_or(rest))
}

fn each_from(source: &impl Source, f: &mut dyn FnMut(Group)) -> bool {
    let (mut name, mut place, mut root) = (Path::new(), Path::new(), Path::new());
    let Some(version) = group(source, &mut name) else { return false };
    if mount(source, version, name.text(), &mut place, &mut root).is_none() {
        return false;
    }
    let top = place.len;
    // In a container that sees its own groups under the names of others, what is mounted is the group itself.
    let rest = below(root.text(), name.text()).unwrap_or_default();
    if place.push(rest).is_none() {
        return false;
    }
    let mut seen = false;
    for _ in 0..DEEPEST {
        if let Some(group) = read(source, version, &mut place) {
            seen = true;
            f(group);
        }
        if place.len <= top {
            break;
        }
        let end = place.text().iter().rposition(|&b| b == b'/').unwrap_or(top).max(top);
        place.cut(end);
    }
    seen
}

/// The limits and the use of a group. `None` if it has no such files, as the root of all groups.
fn read(source: &impl Source, version: Version, place: &mut Path) -> Option<Group> {
    let (max, high, used) = match version {
        Version::Two => ("memory.max", Some("memory.high"), "memory.current"),
        Version::One => ("memory.limit_in_bytes", None, "memory.usage_in_bytes"),
    };
    let max = number(source, place, max)?;
    let high = high.and_then(|high| number(source, place, high)).unwrap_or(u64::MAX);
    if max == u64::MAX && high == u64::MAX {
        return Some(Group { max, high, used: 0 });
    }
    let used = number(source, place, used).unwrap_or(0).saturating_sub(files(source, version, place));
    Some(Group { max, high, used })
}

/// A file's number; `u64::MAX` for `max`, and for what version 1 writes instead: the largest multiple of an OS page, which is
/// more than any machine has. `None` for what is no number.
fn number(source: &impl Source, place: &mut Path, name: &str) -> Option<u64> {
    const NO_MACHINE_HAS: u64 = 1 << 60;
    let mut found = None;
    place.with(name.as_bytes(), |path| {
        source.lines(path, &mut |line| {
            found = match line {
                b"max" => Some(u64::MAX),
                digits => decimal(digits).map(|n| if n >= NO_MACHINE_HAS { u64::MAX } else { n }),
            };
            false
        })
    });
    found
}

/// A whole number, which saturates; `None` if it is none.
fn decimal(digits: &[u8]) -> Option<u64> {
    let add = |n: u64, &b: &u8| b.is_ascii_digit().then(|| n.saturating_mul(10).saturating_add(u64::from(b - b'0')));
    (!digits.is_empty()).then(|| digits.iter().try_fold(0, add)).flatten()
}

/// Bytes of the cache of files, which the kernel drops when it needs memory.
fn files(source: &impl Source, version: Version, place: &mut Path) -> u64 {
    let keys: [&[u8]; 2] = match version {
        Version::Two => [b"inactive_file", b"active_file"],
        Version::One => [b"total_inactive_file", b"total_active_file"],
    };
    let mut sum = 0u64;
    place.with(b"memory.stat", |path| {
        source.lines(path, &mut |line| {
            let mut parts = line.split(|&b| b == b' ');
            if let (Some(key), Some(value)) = (parts.next(), parts.next())
                && keys.contains(&key)
            {
                sum = sum.saturating_add(decimal(value).unwrap_or(0));
            }
            true
        })
    });
    sum
}

#[cfg(test)]
mod tests;
