//! What the unwinder that is linked into this library asks the C library for (`build.rs`).

use libc::{c_int, c_void};

/// glibc's `_dl_find_object`, by name: a reference would be noted in the library, and glibc older than 2.35 would refuse to load it. There,
/// nothing is found, and a panic of this library ends the process.
///
/// # Safety
/// As glibc documents it.
#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap__dl_find_object(address: *mut c_void, found: *mut c_void) -> c_int {
    // A static has a name, by which the linker puts it beside what each process reads: it is one with the string of `os::objects`.
    static NAME: [u8; 16] = *b"_dl_find_object\0";
    type Find = unsafe extern "C" fn(*mut c_void, *mut c_void) -> c_int;
    // SAFETY: the name ends with a null; a function of that name has this type. The rest is the caller's promise.
    unsafe {
        let find = libc::dlsym(libc::RTLD_DEFAULT, NAME.as_ptr().cast());
        if find.is_null() { -1 } else { std::mem::transmute::<*mut c_void, Find>(find)(address, found) }
    }
}
