//! The names of tags. A tag is a small number; its name is kept for ever, in private memory.
//!
//! The names stand in an open-addressing hash table that only grows: looking one up takes no lock, and a name that is
//! not found is looked up again under the lock before it is added.

use super::word::TAGS;
use crate::arena::private;
use crate::os::lock::Lock;
use crate::sync::{AtomicPtr, AtomicUsize, Ordering};
use std::ptr::null_mut;

/// No tag.
pub(crate) const NONE: u16 = 0;
/// The tag of those that came when there was no room for more.
pub(crate) const OTHER: u16 = 1;
const FIRST: usize = 2;

/// Bytes of a name that are kept.
pub(crate) const LONGEST: usize = 255;

/// A name: one byte of length, then the bytes.
static NAMES: [AtomicPtr<u8>; TAGS] = [const { AtomicPtr::new(null_mut()) }; TAGS];
static USED: AtomicUsize = AtomicUsize::new(FIRST);

/// Numbers of tags by the hash of their names; 0 is none. Never more than half full.
static SLOTS: [AtomicUsize; 2 * TAGS] = [const { AtomicUsize::new(0) }; 2 * TAGS];

struct Writer {
    most: usize,
    /// Where the next name is written, and the end of that piece.
    at: *mut u8,
    left: usize,
}

// SAFETY: the piece is the table's.
unsafe impl Send for Writer {}

static WRITER: Lock<Writer> = Lock::new(Writer { most: TAGS, at: null_mut(), left: 0 });
const PIECE: usize = 4 << 10;

/// Bounds the number of tags, the two without a name of their own included.
pub(crate) fn bound(most: usize) {
    WRITER.lock().most = most.clamp(FIRST, TAGS);
}

/// The name, cut to [`LONGEST`] bytes at a character's end.
fn cut(name: &str) -> &str {
    &name[..name.floor_char_boundary(LONGEST)]
}

/// The tag of a name: known, new, or [`OTHER`] if there are too many. The empty name is [`NONE`], and [`OTHER`] has its own, so
/// that a name is of one tag.
///
/// Does not allocate from the global allocator. Takes a lock only for a new name.
pub(crate) fn named(name: &str) -> u16 {
    let name = cut(name);
    if name.is_empty() {
        return NONE;
    }
    if name == name_of(OTHER) {
        return OTHER;
    }
    match find(name) {
        Ok(tag) => tag,
        Err(_) => add(name),
    }
}

/// The number of a name, or the slot where it would stand.
fn find(name: &str) -> Result<u16, usize> {
    // FNV-1a: names are short.
    let hash = name.bytes().fold(0xCBF2_9CE4_8422_2325, |h, b| (h ^ b as u64).wrapping_mul(0x100_0000_01B3));
    let mut i = hash as usize % SLOTS.len();
    loop {
        match SLOTS[i].load(Ordering::Acquire) {
            0 => return Err(i),
            // Acquire because the name must be seen.
            tag if name_of(tag as u16) == name => return Ok(tag as u16),
            _ => i = (i + 1) % SLOTS.len(),
        }
    }
}

#[cold]
fn add(name: &str) -> u16 {
    let mut writer = WRITER.lock();
    let slot = match find(name) {
        Ok(tag) => return tag,
        Err(slot) => slot,
    };
    let tag = USED.load(Ordering::Relaxed); // Relaxed: written under the lock
    if tag >= writer.most {
        return OTHER;
    }
    let need = 1 + name.len();
    if writer.left < need {
        writer.at = private::take(PIECE);
        writer.left = if writer.at.is_null() { 0 } else { PIECE };
    }
    if writer.left < need {
        return OTHER;
    }
    let at = writer.at;
    // SAFETY: so many bytes are left in the piece, and nobody else writes there.
    unsafe {
        at.write(name.len() as u8);
        at.add(1).copy_from_nonoverlapping(name.as_ptr(), name.len());
    }
    writer.at = at.wrapping_add(need);
    writer.left -= need;
    NAMES[tag].store(at, Ordering::Release); // Release: the bytes are written
    SLOTS[slot].store(tag, Ordering::Release); // Release: as above
    USED.store(tag + 1, Ordering::Release); // Release: as above
    tag as u16
}

/// How many tags there are: each is below this.
pub(crate) fn count() -> usize {
    USED.load(Ordering::Acquire) // Acquire: their names are there
}

/// The name of a tag; empty for [`NONE`].
pub(crate) fn name_of(tag: u16) -> &'static str {
    match tag {
        NONE => "",
        OTHER => "other",
        tag => {
            let at = NAMES.get(tag as usize).map_or(null_mut(), |name| name.load(Ordering::Acquire)); // Acquire: `add`
            if at.is_null() {
                return "";
            }
            // SAFETY: a length and so many bytes of UTF-8, which never change and are never unmapped.
            unsafe { std::str::from_utf8_unchecked(std::slice::from_raw_parts(at.add(1), *at as usize)) }
        }
    }
}

pub(super) fn before_fork() {
    WRITER.acquire();
}

pub(super) fn after_fork() {
    WRITER.release();
}

#[cfg(test)]
mod tests {
    use super::*;

    // One test, because the bound is the process'.
    #[test]
    fn names_are_kept_and_bounded() {
        assert_eq!((named(""), name_of(NONE), name_of(OTHER)), (NONE, "", "other"));
        assert_eq!(named("other"), OTHER);
        let checkout = named("checkout");
        assert_eq!((named("checkout"), name_of(checkout)), (checkout, "checkout"));
        let long = "ä".repeat(200);
        assert_eq!(name_of(named(&long)), "ä".repeat(127), "cut at a character's end");
        assert_eq!(named(&long), named(&"ä".repeat(127)));
        let tags: Vec<_> = (0..300).map(|i| named(&format!("route {i}"))).collect();
        for (i, &tag) in tags.iter().enumerate() {
            assert_eq!(name_of(tag), format!("route {i}"));
        }
        bound(count() + 1);
        assert_ne!(named("the last"), OTHER);
        assert_eq!(named("one too many"), OTHER);
        assert_eq!(named("route 7"), tags[7], "those that are known stay");
        bound(TAGS);
        assert_ne!(named("one too many"), OTHER);
    }
}
