//! Files that are made where nothing may be allocated: they appear whole, or not at all.

use crate::sync::{AtomicU64, Ordering};
use std::ffi::CStr;
use std::fmt;

/// Why the system refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Errno(pub(crate) i32);

impl Errno {
    /// There is a file of that name.
    pub(crate) const EXISTS: Errno = Errno(libc::EEXIST);

    /// What should be a path is too long, or not one.
    pub(crate) const NO_PATH: Errno = Errno(libc::ENAMETOOLONG);
    /// Somebody is at it.
    pub(crate) const BUSY: Errno = Errno(libc::EBUSY);

    fn last() -> Errno {
        // SAFETY: the address of this thread's errno is always valid.
        Errno(unsafe { *libc::__errno_location() })
    }
}

/// Does not allocate, but its words do.
impl From<Errno> for std::io::Error {
    fn from(Errno(error): Errno) -> std::io::Error {
        std::io::Error::from_raw_os_error(error)
    }
}

/// In words. Does not allocate, which `std::io::Error` does.
impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0u8; 128];
        // SAFETY: the buffer is as long as said, and what is written is a C string.
        let known = unsafe { libc::strerror_r(self.0, text.as_mut_ptr().cast(), text.len()) } == 0;
        let words = CStr::from_bytes_until_nul(&text).ok().and_then(|t| t.to_str().ok()).filter(|_| known);
        write!(f, "{} (os error {})", words.unwrap_or("an error without a name"), self.0)
    }
}

/// A file that is being written.
#[derive(Debug)]
pub(crate) struct File(libc::c_int);

impl File {
    /// Makes a file that only its owner may read. Fails if there is something of that name, a symbolic link included.
    pub(crate) fn create(path: &CStr) -> Result<File, Errno> {
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW | libc::O_CLOEXEC;
        loop {
            // SAFETY: a C string, and a mode as `O_CREAT` wants it.
            let fd = unsafe { libc::open(path.as_ptr(), flags, 0o600 as libc::c_uint) };
            match fd {
                0.. => return Ok(File(fd)),
                _ if Errno::last() == Errno(libc::EINTR) => (),
                _ => return Err(Errno::last()),
            }
        }
    }

    pub(crate) fn write_all(&mut self, bytes: &[u8]) -> Result<(), Errno> {
        write_all(self.0, bytes)
    }

    /// Closes it, and says whether all went well: some systems only know then.
    pub(crate) fn close(self) -> Result<(), Errno> {
        let fd = self.0;
        std::mem::forget(self);
        // SAFETY: the descriptor is ours, and not used again. After `EINTR` it is closed too.
        match unsafe { libc::close(fd) } {
            0 => Ok(()),
            _ if Errno::last() == Errno(libc::EINTR) => Ok(()),
            _ => Err(Errno::last()),
        }
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // SAFETY: as above.
        unsafe { libc::close(self.0) };
    }
}

/// A file that is being read.
#[derive(Debug)]
pub(crate) struct Reading(libc::c_int);

impl Reading {
    pub(crate) fn open(path: &CStr) -> Result<Reading, Errno> {
        loop {
            // SAFETY: a C string.
            match unsafe { libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NOCTTY) } {
                fd @ 0.. => return Ok(Reading(fd)),
                _ if Errno::last() == Errno(libc::EINTR) => (),
                _ => return Err(Errno::last()),
            }
        }
    }

    /// The next bytes, as many as there are now; 0 at the end.
    pub(crate) fn read(&mut self, into: &mut [u8]) -> Result<usize, Errno> {
        loop {
            // SAFETY: the buffer is as long as said, and ours.
            match unsafe { libc::read(self.0, into.as_mut_ptr().cast(), into.len()) } {
                n @ 0.. => return Ok(n as usize),
                _ if Errno::last() == Errno(libc::EINTR) => (),
                _ => return Err(Errno::last()),
            }
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        // SAFETY: the descriptor is ours, and not used again.
        unsafe { libc::close(self.0) };
    }
}

fn write_all(fd: libc::c_int, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        // SAFETY: so many bytes are there to be read.
        let n = unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) };
        match n {
            1.. => bytes = &bytes[n as usize..],
            0 => return Err(Errno(libc::EIO)),
            _ if Errno::last() == Errno(libc::EINTR) => (),
            _ if Errno::last() == Errno(libc::EAGAIN) && is_writable_soon(fd) => (),
            _ => return Err(Errno::last()),
        }
    }
    Ok(())
}

/// Waits a second at most until somebody reads what was written before: programs have descriptors that do not wait.
fn is_writable_soon(fd: libc::c_int) -> bool {
    let mut one = libc::pollfd { fd, events: libc::POLLOUT, revents: 0 };
    // SAFETY: one struct is there.
    unsafe { libc::poll(&mut one, 1, 1000) > 0 }
}

/// Writes to standard error, without anybody's lock, if that [is still there](is_stderr).
pub(crate) fn to_stderr(bytes: &[u8]) -> Result<(), Errno> {
    if is_stderr() { write_all(libc::STDERR_FILENO, bytes) } else { Err(Errno(libc::EBADF)) }
}

/// What standard error was when the process began, as far as [`note_stderr`] was called then.
static STDERR_DEVICE: AtomicU64 = AtomicU64::new(0);
static STDERR_INODE: AtomicU64 = AtomicU64::new(0);

/// Remembers what standard error is.
pub(crate) fn note_stderr() {
    if let Some((_, device, inode)) = stderr() {
        STDERR_DEVICE.store(device, Ordering::Relaxed); // Relaxed: before there are threads, and no harm later
        STDERR_INODE.store(inode, Ordering::Relaxed);
    }
}

/// Kind, device and inode of what is open as standard error.
#[allow(clippy::unnecessary_cast, reason = "the types differ from target to target")]
fn stderr() -> Option<(u32, u64, u64)> {
    // SAFETY: zeroes are a valid struct.
    unsafe {
        let mut stat: libc::stat = std::mem::zeroed();
        (libc::fstat(libc::STDERR_FILENO, &mut stat) == 0).then_some((
            stat.st_mode as u32 & libc::S_IFMT as u32,
            stat.st_dev as u64,
            stat.st_ino as u64,
        ))
    }
}

/// Whether descriptor 2 is for messages. A program that has closed it gets the number for the next file or connection that
/// it opens, and a report in a database or on somebody's connection does harm: a socket, or a file that can be read too, must
/// be what was there at the start.
fn is_stderr() -> bool {
    let Some((kind, device, inode)) = stderr() else { return false };
    let same = (device, inode) == (STDERR_DEVICE.load(Ordering::Relaxed), STDERR_INODE.load(Ordering::Relaxed));
    // SAFETY: no preconditions.
    let can_read = || unsafe { libc::fcntl(libc::STDERR_FILENO, libc::F_GETFL) } & libc::O_ACCMODE == libc::O_RDWR;
    same || match kind {
        libc::S_IFSOCK => false,
        libc::S_IFREG => !can_read(),
        _ => true,
    }
}

/// Gives a file another name, unless there is something of that name.
pub(crate) fn rename_new(from: &CStr, to: &CStr) -> Result<(), Errno> {
    // SAFETY: C strings. The system call, because older C libraries have no function for it.
    let done = unsafe {
        libc::syscall(
            libc::SYS_renameat2,
            libc::AT_FDCWD,
            from.as_ptr(),
            libc::AT_FDCWD,
            to.as_ptr(),
            libc::RENAME_NOREPLACE,
        )
    };
    if done == 0 {
        return Ok(());
    }
    match Errno::last() {
        // Kernels before 3.15, file systems that do not know the flag, filters that do not know the call: a second name, and
        // the first one goes.
        Errno(libc::ENOSYS) | Errno(libc::EINVAL) | Errno(libc::EPERM) => match link(from, to) {
            Ok(()) => {
                remove(from);
                Ok(())
            }
            // File systems without second names: what comes to have the name in this moment is lost.
            Err(Errno(libc::EPERM | libc::ENOSYS | libc::EOPNOTSUPP | libc::EMLINK)) if identity(to).is_none() => {
                rename(from, to)
            }
            Err(error) => Err(error),
        },
        error => Err(error),
    }
}

fn link(from: &CStr, to: &CStr) -> Result<(), Errno> {
    // SAFETY: C strings.
    if unsafe { libc::link(from.as_ptr(), to.as_ptr()) } == 0 { Ok(()) } else { Err(Errno::last()) }
}

fn rename(from: &CStr, to: &CStr) -> Result<(), Errno> {
    // SAFETY: C strings.
    if unsafe { libc::rename(from.as_ptr(), to.as_ptr()) } == 0 { Ok(()) } else { Err(Errno::last()) }
}

/// What tells a file from another of its name: where it is, and when it was written last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
    written: (i64, i64),
}

impl Identity {
    pub(crate) const NONE: Identity = Identity { device: 0, inode: 0, written: (0, 0) };
}

/// What there is of that name, a symbolic link included; `None` if there is nothing.
#[allow(clippy::unnecessary_cast, reason = "the types differ from target to target")]
pub(crate) fn identity(path: &CStr) -> Option<Identity> {
    // SAFETY: a C string, and zeroes are a valid struct.
    unsafe {
        let mut stat: libc::stat = std::mem::zeroed();
        (libc::lstat(path.as_ptr(), &mut stat) == 0).then_some(Identity {
            device: stat.st_dev as u64,
            inode: stat.st_ino as u64,
            written: (stat.st_mtime as i64, stat.st_mtime_nsec as i64),
        })
    }
}

/// Whether there is something of that name, a symbolic link included.
pub(crate) fn exists(path: &CStr) -> bool {
    identity(path).is_some()
}

/// Removes a file if it is there.
pub(crate) fn remove(path: &CStr) {
    // SAFETY: a C string.
    unsafe { libc::unlink(path.as_ptr()) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CString;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_is_new_private_and_never_replaces_another() {
        let dir = std::env::temp_dir().join(format!("tenure-file-{}", std::process::id()));
        std::fs::create_dir(&dir).expect("a directory");
        let path = |name: &str| CString::new(dir.join(name).as_os_str().as_bytes()).expect("a path");
        let (part, whole) = (path("part"), path("whole"));
        let mut file = File::create(&part).expect("a file");
        assert_eq!(File::create(&part).expect_err("it is there"), Errno::EXISTS);
        file.write_all(b"some").and_then(|()| file.close()).expect("written");
        let mode = std::fs::metadata(dir.join("part")).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        rename_new(&part, &whole).expect("renamed");
        assert_eq!(std::fs::read(dir.join("whole")).expect("a file"), b"some");
        File::create(&part).expect("the name is free");
        assert_eq!(rename_new(&part, &whole), Err(Errno::EXISTS));
        assert_eq!(std::fs::read(dir.join("whole")).expect("a file"), b"some");
        std::os::unix::fs::symlink("nowhere", dir.join("link")).expect("a link");
        assert_eq!(File::create(&path("link")).expect_err("a link"), Errno::EXISTS);
        let error = File::create(&path("no/such")).expect_err("no directory").to_string();
        assert_eq!(error, "No such file or directory (os error 2)");
        remove(&part);
        assert!(!dir.join("part").exists());
        std::fs::remove_dir_all(&dir).expect("gone");
    }

    #[test]
    fn a_full_pipe_that_does_not_wait_is_waited_for() {
        use std::io::Read;
        use std::os::fd::FromRawFd;
        let mut ends = [0; 2];
        // SAFETY: two numbers are written; the descriptors are ours, and each is closed once.
        let (mut from, to) = unsafe {
            assert_eq!(libc::pipe2(ends.as_mut_ptr(), libc::O_NONBLOCK | libc::O_CLOEXEC), 0);
            libc::fcntl(ends[0], libc::F_SETFL, 0);
            (std::fs::File::from_raw_fd(ends[0]), std::fs::File::from_raw_fd(ends[1]))
        };
        // SAFETY: so many bytes are there.
        while unsafe { libc::write(ends[1], [0u8; 4096].as_ptr().cast(), 4096) } > 0 {}
        let reader = std::thread::spawn(move || {
            // So that the pipe is full at first, which is what this is about; it passes without, too.
            std::thread::sleep(std::time::Duration::from_millis(50));
            let mut all = Vec::new();
            from.read_to_end(&mut all).map(|_| all)
        });
        write_all(ends[1], b"the end").expect("written");
        drop(to);
        assert!(reader.join().expect("no panic").expect("bytes").ends_with(b"the end"));
    }
}
