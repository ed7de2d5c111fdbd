//! What is loaded: the program and its libraries, as the loader sees them.

use libc::{c_int, c_void, dl_phdr_info, size_t};
use std::ffi::CStr;

/// The program or a library, valid during the call that hands it out.
pub(crate) struct Loaded<'a> {
    info: &'a dl_phdr_info,
}

/// A range of memory that holds code, and where it stands in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Code {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) file_offset: usize,
}

/// Calls `f` for everything that is loaded, under the loader's lock: `f` must not allocate, load, or wait for anybody.
pub(crate) fn each_module(mut f: &mut dyn FnMut(Loaded<'_>)) {
    unsafe extern "C" fn call(info: *mut dl_phdr_info, _: size_t, f: *mut c_void) -> c_int {
        // SAFETY: `f` is the reference that was handed in below; the info is valid during the call.
        unsafe { (*f.cast::<&mut dyn FnMut(Loaded<'_>)>())(Loaded { info: &*info }) };
        0
    }
    // SAFETY: the callback has the type that is asked for, and does not unwind as long as `f` does not.
    unsafe { super::loader::each(call, (&raw mut f).cast()) };
}

/// Writes the path of the program's file, and says how long it is; `None` if there is no room. Nothing where there is no
/// `/proc`. Does not allocate.
pub(crate) fn program_path(to: &mut [u8]) -> Option<usize> {
    // SAFETY: a C string, and a buffer as long as said.
    let n = unsafe { libc::readlink(c"/proc/self/exe".as_ptr(), to.as_mut_ptr().cast(), to.len()) };
    // What fills the buffer may have been cut.
    Some(usize::try_from(n).unwrap_or(0)).filter(|&n| n < to.len())
}

impl Loaded<'_> {
    /// As the loader names it; empty for the program itself.
    pub(crate) fn path(&self) -> &[u8] {
        if self.info.dlpi_name.is_null() {
            return &[];
        }
        // SAFETY: the loader's own string, valid during the call.
        unsafe { CStr::from_ptr(self.info.dlpi_name) }.to_bytes()
    }

    /// What is added to the file's addresses.
    pub(crate) fn base(&self) -> usize {
        self.info.dlpi_addr as usize
    }

    fn headers(&self) -> &[libc::Elf64_Phdr] {
        if self.info.dlpi_phdr.is_null() {
            return &[];
        }
        // SAFETY: the loader says how many there are.
        unsafe { std::slice::from_raw_parts(self.info.dlpi_phdr, self.info.dlpi_phnum as usize) }
    }

    fn memory(&self, header: &libc::Elf64_Phdr) -> (usize, usize) {
        let start = self.base().wrapping_add(header.p_vaddr as usize);
        (start, start.wrapping_add(header.p_memsz as usize))
    }

    pub(crate) fn code(&self) -> impl Iterator<Item = Code> {
        self.headers().iter().filter(|h| h.p_type == libc::PT_LOAD && h.p_flags & libc::PF_X != 0).map(|h| {
            let (start, end) = self.memory(h);
            Code { start, end, file_offset: h.p_offset as usize }
        })
    }

    /// What the linker wrote to tell this build from all others; empty if it did not.
    pub(crate) fn build_id(&self) -> &[u8] {
        self.headers().iter().filter(|h| h.p_type == libc::PT_NOTE).find_map(|h| self.gnu_id(h)).unwrap_or(&[])
    }

    fn gnu_id(&self, note: &libc::Elf64_Phdr) -> Option<&[u8]> {
        let (start, end) = self.memory(note);
        // Only what is loaded may be read.
        let readable = |h: &&libc::Elf64_Phdr| h.p_type == libc::PT_LOAD && h.p_flags & libc::PF_R != 0;
        self.headers().iter().filter(readable).map(|h| self.memory(h)).find(|m| m.0 <= start && end <= m.1)?;
        // SAFETY: the notes lie in a readable segment, by the line above.
        find_gnu_id(unsafe { std::slice::from_raw_parts(std::ptr::with_exposed_provenance(start), end - start) })
    }
}

/// Looks through ELF notes: three words (length of the name, length of the contents, type), the name, the contents, each
/// padded to four bytes.
pub(crate) fn find_gnu_id(mut notes: &[u8]) -> Option<&[u8]> {
    const NT_GNU_BUILD_ID: u32 = 3;
    loop {
        let word = |i: usize| Some(u32::from_ne_bytes(notes.get(4 * i..4 * i + 4)?.try_into().ok()?));
        let (name, contents, kind) = (word(0)? as usize, word(1)? as usize, word(2)?);
        let begin = 12usize.checked_add(name.checked_next_multiple_of(4)?)?;
        let end = begin.checked_add(contents)?;
        if kind == NT_GNU_BUILD_ID && notes.get(12..12 + name)? == b"GNU\0" {
            return notes.get(begin..end);
        }
        notes = notes.get(end.checked_next_multiple_of(4)?..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_loaded() {
        let here = the_program_is_loaded as fn() as usize;
        let (mut found, mut all) = (0, 0);
        each_module(&mut |m| {
            all += 1;
            found += m.code().filter(|c| c.start <= here && here < c.end && m.path().is_empty()).count();
        });
        assert!(found == 1 && all > 1, "{found} of {all}");
    }

    #[test]
    fn notes() {
        let note = |kind: u32, name: &[u8], id: &[u8]| {
            let mut all = Vec::new();
            for word in [name.len() as u32, id.len() as u32, kind] {
                all.extend(word.to_ne_bytes());
            }
            for part in [name, id] {
                all.extend(part);
                all.resize(all.len().next_multiple_of(4), 0);
            }
            all
        };
        let two = [note(1, b"GNU\0", &[9; 16]), note(3, b"GNU\0", &[1, 2, 3, 4, 5])].concat();
        assert_eq!(find_gnu_id(&two), Some(&[1, 2, 3, 4, 5][..]));
        assert_eq!(find_gnu_id(&two[..two.len() - 4]), None, "cut off");
        assert_eq!(find_gnu_id(&note(3, b"Go\0\0", &[1; 4])), None, "somebody else's");
        assert_eq!(find_gnu_id(&note(u32::MAX, &[0; 3], &[])), None);
        assert_eq!(find_gnu_id(&[0xFF; 40]), None);
    }
}
