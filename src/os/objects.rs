//! The objects (the program, its libraries) that the loader has mapped, and which addresses can be read.

use super::unix::preserving_errno;
use crate::sync::{AtomicBool, Ordering};
use libc::{Elf64_Phdr, c_int, c_void, dl_phdr_info};
use std::ffi::CStr;

/// A loaded object, as far as unwinding needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Object {
    /// The address of its `.eh_frame_hdr`, which stays mapped as long as the object is; 0 if it has none.
    pub(crate) eh_frame_hdr: usize,
}

/// Looks for glibc's function, so that [`find`] knows libraries. Takes the loader's lock, so it is for code that the
/// loader calls; before it, only the program itself is known.
pub(crate) fn begin() {
    glibc::begin();
}

/// The object that holds the address. No lock, no allocation, at any time, also in a signal handler: glibc has a
/// table for it from 2.35 on. Without that, only the program itself is known.
pub(crate) fn find(address: usize) -> Option<Object> {
    match glibc::dl_find_object() {
        Some(f) => glibc::find(f, address),
        None => program(address),
    }
}

/// Where an address lies, for people.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// What is added to the addresses of the object's file.
    pub(crate) base: usize,
    /// As the loader names the object; empty for the program itself.
    path: &'static CStr,
}

impl Place {
    /// The last part of the object's path.
    pub(crate) fn name(&self) -> &str {
        let path = self.path.to_bytes();
        let from = path.iter().rposition(|&c| c == b'/').map_or(0, |at| at + 1);
        match std::str::from_utf8(&path[from..]) {
            Ok("") => "(program)",
            Ok(name) => name,
            Err(_) => "(a name that is no text)",
        }
    }
}

/// The object that holds the address, as for [`find`]. Its name is valid while it is loaded.
pub(crate) fn place(address: usize) -> Option<Place> {
    match glibc::dl_find_object() {
        Some(f) => glibc::place(f, address),
        None => program(address).map(|_| Place { base: program_base(), path: c"" }),
    }
}

/// What was added to the program's addresses: 0 if the kernel does not tell.
fn program_base() -> usize {
    program_headers().map_or(0, |(_, moved_by)| moved_by)
}

#[cfg(all(target_arch = "x86_64", target_env = "gnu"))]
mod glibc {
    use super::{CStr, Object, Place, c_int, c_void};
    use crate::sync::{AtomicPtr, Ordering};
    use std::mem::MaybeUninit;
    use std::ptr::null_mut;

    /// `struct dl_find_object` of x86-64.
    #[repr(C)]
    pub(super) struct Found {
        flags: u64,
        start: *mut c_void,
        end: *mut c_void,
        link_map: *mut c_void,
        eh_frame_hdr: *mut c_void,
        reserved: [u64; 7],
    }

    type Find = unsafe extern "C" fn(*mut c_void, *mut Found) -> c_int;

    static FIND: AtomicPtr<c_void> = AtomicPtr::new(null_mut());

    /// Not by a reference, not even a weak one: the linker would note that the program needs glibc 2.35, and it would
    /// not start with an older one.
    pub(super) fn begin() {
        // A static has a name, by which the linker puts it beside what else each process reads.
        static NAME: [u8; 16] = *b"_dl_find_object\0";
        // SAFETY: the name ends with a null; whoever asks `dlerror` next must not hear of us.
        unsafe {
            let f = libc::dlsym(libc::RTLD_DEFAULT, NAME.as_ptr().cast());
            if f.is_null() {
                libc::dlerror();
            }
            FIND.store(f, Ordering::Relaxed); // Relaxed: the function has been there all the time
            crate::os::process::learn_whether_alone();
        }
    }

    pub(super) fn dl_find_object() -> Option<Find> {
        // SAFETY: that function, with the type that glibc says; null is `None`.
        unsafe { std::mem::transmute::<*mut c_void, Option<Find>>(FIND.load(Ordering::Relaxed)) }
    }

    pub(super) fn find(f: Find, address: usize) -> Option<Object> {
        let mut found = MaybeUninit::<Found>::uninit();
        // SAFETY: any address may be asked for; the result is written if 0 is returned.
        unsafe {
            if f(std::ptr::without_provenance_mut(address), found.as_mut_ptr()) != 0 {
                return None;
            }
            // What is said of the object's range is left alone: where there are holes between segments, as rust-lld
            // makes them, it is one segment's, and the tables lie in another.
            Some(Object { eh_frame_hdr: found.assume_init_ref().eh_frame_hdr.expose_provenance() })
        }
    }

    /// The beginning of `struct link_map`, which `<link.h>` shows.
    #[repr(C)]
    struct LinkMap {
        base: usize,
        path: *const libc::c_char,
    }

    pub(super) fn place(f: Find, address: usize) -> Option<Place> {
        let mut found = MaybeUninit::<Found>::uninit();
        // SAFETY: as above; the object's `link_map` lives as long as it is loaded, and its path with it.
        unsafe {
            if f(std::ptr::without_provenance_mut(address), found.as_mut_ptr()) != 0 {
                return None;
            }
            let map = found.assume_init_ref().link_map.cast::<LinkMap>().as_ref()?;
            let path = if map.path.is_null() { c"" } else { CStr::from_ptr(map.path) };
            Some(Place { base: map.base, path })
        }
    }
}

#[cfg(not(all(target_arch = "x86_64", target_env = "gnu")))]
mod glibc {
    use super::{Object, Place};

    pub(super) fn begin() {}

    pub(super) fn dl_find_object() -> Option<()> {
        None
    }

    pub(super) fn find(_: (), _: usize) -> Option<Object> {
        None
    }

    pub(super) fn place(_: (), _: usize) -> Option<Place> {
        None
    }
}

/// The program itself, from the program headers that the kernel tells of. `None` if the address lies outside.
fn program(address: usize) -> Option<Object> {
    use libc::{PT_GNU_EH_FRAME, PT_LOAD};
    let (headers, moved_by) = program_headers()?;
    let linked_at = |kind| headers.iter().find(|h| h.p_type == kind).map(|h| h.p_vaddr as usize);
    let linked = address.wrapping_sub(moved_by) as u64;
    headers.iter().find(|h| h.p_type == PT_LOAD && linked.wrapping_sub(h.p_vaddr) < h.p_memsz)?;
    Some(Object { eh_frame_hdr: linked_at(PT_GNU_EH_FRAME).map_or(0, |at| at.wrapping_add(moved_by)) })
}

/// The program's headers, and what was added to the addresses in them.
fn program_headers() -> Option<(&'static [Elf64_Phdr], usize)> {
    use libc::{Elf64_Ehdr, PT_LOAD, PT_PHDR};
    // SAFETY: the kernel's table of the program's headers, which stay mapped.
    let (headers, at) = unsafe {
        let at = libc::getauxval(libc::AT_PHDR) as *const Elf64_Phdr;
        let n = libc::getauxval(libc::AT_PHNUM) as usize;
        if at.is_null() || libc::getauxval(libc::AT_PHENT) as usize != size_of::<Elf64_Phdr>() {
            return None;
        }
        (std::slice::from_raw_parts(at, n), at.addr())
    };
    let linked_at = |kind| headers.iter().find(|h| h.p_type == kind).map(|h| h.p_vaddr as usize);
    // Static programs often have no header for the headers: they stand after the file's own, in its first segment.
    let first = || headers.iter().find(|h| h.p_type == PT_LOAD && h.p_offset == 0);
    let headers_linked_at =
        linked_at(PT_PHDR).or_else(|| first().map(|h| h.p_vaddr as usize + size_of::<Elf64_Ehdr>()))?;
    Some((headers, at.wrapping_sub(headers_linked_at)))
}

/// How often objects were loaded and unloaded so far: two equal readings mean that nothing changed between them.
/// Takes the loader's lock, so it is not for the inside of an allocation.
pub(crate) fn changes() -> u64 {
    unsafe extern "C" fn first(info: *mut dl_phdr_info, size: usize, sum: *mut c_void) -> c_int {
        if size >= size_of::<dl_phdr_info>() {
            // SAFETY: the loader's struct, long enough as it says, and our own number.
            unsafe { *sum.cast::<u64>() = (*info).dlpi_adds.wrapping_add((*info).dlpi_subs) };
        }
        1 // the first object knows it all
    }
    let mut sum = 0u64;
    // SAFETY: the callback gets the number that outlives the call.
    unsafe { super::loader::each(first, (&raw mut sum).cast()) };
    sum
}

/// Whether the eight bytes at an address can be read, whatever the address. A system call or two, 100 ns each. Another
/// thread may unmap the address a moment later.
pub(crate) fn is_readable(address: usize) -> bool {
    // Relaxed: decided before anybody relies on it, and both ways say the same.
    if BY_PATH.load(Ordering::Relaxed) { by_path(address) } else { by_mask(address) }
}

/// Whether [`is_readable`] tells the truth about an address that can be read and one that cannot. Emulators (valgrind is
/// one) do the first way's system call themselves, without a look at the address: then it is the second way.
pub(crate) fn probe_works() -> bool {
    let word = 0usize;
    let works = |probe: fn(usize) -> bool| probe((&raw const word).addr()) && !probe(8);
    BY_PATH.store(!works(by_mask), Ordering::Relaxed); // Relaxed: as above
    works(is_readable)
}

static BY_PATH: AtomicBool = AtomicBool::new(false);

/// The kernel copies the set of signals in before it looks at the nonsensical order what to do with it. No file, no right to
/// trace, and no sandbox that allows threads forbids it.
fn by_mask(address: usize) -> bool {
    const NO_SUCH_ORDER: c_int = -1;
    fails_with(|| {
        let none = std::ptr::null::<c_void>();
        // SAFETY: the call fails in any case, and changes nothing.
        unsafe { libc::syscall(libc::SYS_rt_sigprocmask, NO_SUCH_ORDER, address, none, 8usize) }
    }) == Some(libc::EINVAL)
}

/// The kernel copies a path in before it looks for the file. It stops at a zero, so the last byte is asked for, too.
fn by_path(address: usize) -> bool {
    let bad = |at: usize| {
        // SAFETY: asks about a file, and changes nothing.
        fails_with(|| unsafe { libc::syscall(libc::SYS_faccessat, libc::AT_FDCWD, at, libc::F_OK) })
            == Some(libc::EFAULT)
    };
    !bad(address) && !address.checked_add(7).is_none_or(bad)
}

/// The error of a system call, if it fails; `errno` stays as it was.
fn fails_with(call: impl FnOnce() -> libc::c_long) -> Option<c_int> {
    // SAFETY: this thread's own errno.
    preserving_errno(|| (call() == -1).then(|| unsafe { *libc::__errno_location() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_itself() {
        let here = finds_itself as *const () as usize;
        let object = find(here).expect("this program");
        // SAFETY: the loader says that it is there.
        let version = unsafe { std::ptr::with_exposed_provenance::<u8>(object.eh_frame_hdr).read() };
        assert_eq!(version, 1);
        assert_eq!(find(0), None);
        assert_eq!(find(usize::MAX), None);
    }

    #[test]
    fn two_ways_to_the_program_lead_to_one() {
        let here = finds_itself as *const () as usize;
        assert_eq!(program(here), find(here));
        // Static programs hold the C library, too.
        assert!(cfg!(target_env = "musl") || program(libc::malloc as *const () as usize).is_none());
        assert_eq!(program(0), None);
    }

    #[test]
    fn what_can_be_read() {
        let word = 5u64;
        assert!(is_readable((&raw const word).addr()));
        assert!(is_readable(is_readable as *const () as usize));
        assert!(by_path((&raw const word).addr()));
        for unmapped in [0, 8, 4095, 1 << 46, 1 << 60, usize::MAX, usize::MAX - 4095] {
            assert!(!by_mask(unmapped) && !by_path(unmapped), "{unmapped:#x}");
        }
        // SAFETY: an anonymous mapping of our own; the second of its pages cannot be read.
        unsafe {
            let page = super::super::page_size();
            let p = super::super::reserve(0, 2 * page);
            assert!(super::super::commit(p, page));
            assert!(is_readable(p.addr() + page - 8));
            assert!(!is_readable(p.addr() + page - 4), "half of it");
            assert!(!is_readable(p.addr() + page));
            super::super::release(p, 2 * page);
            assert!(!is_readable(p.addr()));
        }
    }

    #[test]
    fn errno_stays() {
        // SAFETY: this thread's own errno.
        unsafe {
            *libc::__errno_location() = 77;
            is_readable(0);
            assert_eq!(*libc::__errno_location(), 77);
        }
    }
}
