//! What glibc's loader allocated before there was a `malloc` to call: from the end of its own data, then from OS pages that it
//! maps. It frees nothing of that, and neither should anybody else; who does so all the same is not stopped for it.

use libc::{c_int, c_void, dl_phdr_info, size_t};

/// Whether the loader itself allocated what stands at an address. Looks at all that is loaded, under the loader's lock.
pub(crate) fn is_the_loaders(p: *mut u8) -> bool {
    let mut look = Look { page: p.addr() & !(super::page_size() - 1), p: p.addr(), found: false };
    // SAFETY: the callback takes such data, and does not unwind.
    unsafe { super::loader::each(each, (&raw mut look).cast()) };
    look.found
}

struct Look {
    p: usize,
    page: usize,
    found: bool,
}

/// # Safety
/// `data` is a [`Look`].
unsafe extern "C" fn each(info: *mut dl_phdr_info, _: size_t, data: *mut c_void) -> c_int {
    // SAFETY: by the caller's promise; the loader's struct is valid during the call.
    let (look, info) = unsafe { (&mut *data.cast::<Look>(), &*info) };
    let os_page = super::page_size();
    // The names of what the program was started with, and the loader's other notes on it, share a few OS pages. (The names of what is
    // loaded later are blocks of ours: whoever asks knows those.)
    // (The program's own name is empty, and lies elsewhere.)
    // SAFETY: null, or a C string.
    let named = !info.dlpi_name.is_null() && unsafe { *info.dlpi_name } != 0;
    look.found |= named && info.dlpi_name.addr() & !(os_page - 1) == look.page;
    // What is left of the loader's last OS page of data.
    if info.dlpi_addr as usize == super::unix::auxval(libc::AT_BASE) {
        // SAFETY: so many headers stand there.
        let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum as usize) };
        let ends = headers.iter().filter(|h| h.p_type == libc::PT_LOAD);
        let end = ends.map(|h| info.dlpi_addr as usize + h.p_vaddr as usize + h.p_memsz as usize).max().unwrap_or(0);
        look.found |= (end..end.next_multiple_of(os_page)).contains(&look.p);
    }
    c_int::from(look.found)
}
