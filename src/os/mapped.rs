//! Files that are read in place.

use libc::c_void;
use std::fs::OpenOptions;
use std::ops::Deref;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::ptr::null_mut;

/// A file's bytes, mapped for reading: they take physical memory only where they are looked at, and the system may take
/// that back at any time.
///
/// As with every mapped file, whoever cuts the file short while it is read ends the process (`SIGBUS`). Linkers,
/// installers and `strip` write a new file instead.
#[derive(Debug)]
pub(crate) struct Mapped {
    begin: *const u8,
    len: usize,
}

// SAFETY: the bytes are only read, and belong to no thread.
unsafe impl Send for Mapped {}
// SAFETY: as above.
unsafe impl Sync for Mapped {}

impl Mapped {
    /// Why it cannot be read, in words, if it cannot. What is no regular file is not waited for.
    pub(crate) fn open(path: &Path) -> Result<Mapped, String> {
        let in_words = |e: std::io::Error| e.to_string();
        let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path);
        let file = file.map_err(in_words)?;
        let about = file.metadata().map_err(in_words)?;
        if !about.is_file() {
            return Err("it is no regular file".into());
        }
        let len = usize::try_from(about.len()).unwrap_or(usize::MAX);
        if len == 0 {
            return Err("it is empty".into());
        }
        // SAFETY: a new mapping at an address of the system's choice.
        let begin = unsafe { libc::mmap(null_mut(), len, libc::PROT_READ, libc::MAP_PRIVATE, file.as_raw_fd(), 0) };
        match begin == libc::MAP_FAILED {
            true => Err("it cannot be mapped".into()),
            false => Ok(Mapped { begin: begin.cast(), len }),
        }
    }
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: mapped from `new` to `drop`, readable, and never written through this mapping.
        unsafe { std::slice::from_raw_parts(self.begin, self.len) }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: the mapping that `new` made, which nobody borrows any more.
        unsafe { libc::munmap(self.begin.cast_mut().cast::<c_void>(), self.len) };
    }
}
