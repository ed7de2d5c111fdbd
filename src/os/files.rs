//! Files that are read in place.

use libc::c_void;
use std::fs::File;
use std::ops::Deref;
use std::os::fd::AsRawFd;
use std::ptr::null_mut;

/// Flags for opening a file that may turn out to be none: a pipe, or a device, would be waited for.
pub(crate) const WITHOUT_WAITING: i32 = libc::O_NONBLOCK | libc::O_NOCTTY;

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
    /// The first `len` bytes, which the file must have. `None` if there are none, or the system refuses.
    pub(crate) fn new(file: &File, len: usize) -> Option<Mapped> {
        if len == 0 {
            return None;
        }
        // SAFETY: a new mapping at an address of the system's choice.
        let begin = unsafe { libc::mmap(null_mut(), len, libc::PROT_READ, libc::MAP_PRIVATE, file.as_raw_fd(), 0) };
        (begin != libc::MAP_FAILED).then_some(Mapped { begin: begin.cast(), len })
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
