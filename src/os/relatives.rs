//! Whether the process that started this one runs with the same library.

use std::fs;
use std::os::unix::process::parent_id;

/// Whether the parent has the library mapped that holds this code. `false` if the code is the program's own, if the parent
/// has ended, and if the system does not say.
///
/// The parent's environment would not tell it: a shell that was told to preload a library for what it starts has not got
/// it itself, and programs write over their environment. Reads two files of `/proc`, so it is for rare occasions.
/// Allocates.
pub(crate) fn parent_has_this_library() -> bool {
    let here = parent_has_this_library as fn() -> bool as usize;
    let Ok(own) = fs::read_to_string("/proc/self/maps") else { return false };
    let Some(library) = own.lines().find(|line| holds(line, here)).and_then(file) else { return false };
    let is_program = fs::metadata("/proc/self/exe").is_ok_and(|program| is_it(&program, library));
    !is_program
        && fs::read_to_string(format!("/proc/{}/maps", parent_id()))
            .is_ok_and(|maps| maps.lines().any(|line| file(line) == Some(library)))
}

/// Whether an address lies in the mapping that a line speaks of: `5581a0000000-5581a0021000 r-xp 00001000 fe:00 1234 /bin/sh`.
fn holds(line: &str, address: usize) -> bool {
    let ends = line.split(' ').next().and_then(|range| range.split_once('-'));
    let number = |text: &str| usize::from_str_radix(text, 16).ok();
    ends.and_then(|(begin, end)| Some(number(begin)? <= address && address < number(end)?)).unwrap_or(false)
}

/// Device and inode of the mapping's file.
fn file(line: &str) -> Option<(&str, &str)> {
    let mut parts = line.split_ascii_whitespace().skip(3);
    Some((parts.next()?, parts.next()?)).filter(|(_, inode)| *inode != "0")
}

fn is_it(program: &fs::Metadata, (_, inode): (&str, &str)) -> bool {
    use std::os::unix::fs::MetadataExt;
    program.ino().to_string() == inode
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_maps() {
        let line = "7f10-7f20 r-xp 00001000 fe:00 1234                       /lib/a b.so";
        assert!(holds(line, 0x7f10) && holds(line, 0x7f1f) && !holds(line, 0x7f20) && !holds(line, 0x7f0f));
        assert_eq!(file(line), Some(("fe:00", "1234")));
        assert_eq!(file("7f10-7f20 rw-p 00000000 00:00 0 "), None);
        assert!(!holds("", 0) && file("").is_none());
    }

    #[test]
    fn what_is_in_the_program_is_in_no_library() {
        assert!(!parent_has_this_library());
    }
}
