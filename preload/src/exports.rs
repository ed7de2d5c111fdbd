//! The functions that the program calls instead of the C library's.

use crate::ALLOC;
use libc::{EINVAL, ENOMEM, c_int, c_void, size_t};
use std::ptr::null_mut;
use tenure::c;

#[cold]
#[inline(never)]
fn fails(why: c_int) -> *mut c_void {
    // SAFETY: the address of this thread's errno is always valid.
    unsafe { *libc::__errno_location() = why };
    null_mut()
}

/// A block of `size` bytes. Of 0 bytes it is one, too.
#[unsafe(no_mangle)]
pub extern "C" fn malloc(size: size_t) -> *mut c_void {
    c::malloc(&ALLOC, size).cast()
}

/// A block of `n` zeroed elements of `size` bytes.
#[unsafe(no_mangle)]
pub extern "C" fn calloc(n: size_t, size: size_t) -> *mut c_void {
    match n.checked_mul(size) {
        Some(size) => c::zeroed(&ALLOC, size).cast(),
        None => fails(ENOMEM),
    }
}

/// A block of another size with the contents of this one, which is gone then. Of null, `malloc`; to 0 bytes, `free`, and null.
///
/// # Safety
/// The block is the caller's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn realloc(block: *mut c_void, size: size_t) -> *mut c_void {
    if block.is_null() {
        return malloc(size);
    }
    // SAFETY: by the caller's promise.
    unsafe {
        if size == 0 {
            c::free(&ALLOC, block.cast());
            return null_mut();
        }
        c::realloc(&ALLOC, block.cast(), size).cast()
    }
}

/// The same to `n` elements of `size` bytes.
///
/// # Safety
/// As for [`realloc`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn reallocarray(block: *mut c_void, n: size_t, size: size_t) -> *mut c_void {
    match n.checked_mul(size) {
        // SAFETY: by the caller's promise.
        Some(size) => unsafe { realloc(block, size) },
        None => fails(ENOMEM),
    }
}

/// Frees a block; nothing at null. Leaves `errno` alone.
///
/// # Safety
/// As for [`realloc`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn free(block: *mut c_void) {
    // SAFETY: by the caller's promise.
    unsafe { c::free(&ALLOC, block.cast()) }
}

/// C23's: the caller knows the size.
///
/// # Safety
/// As for [`realloc`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn free_sized(block: *mut c_void, _: size_t) {
    // SAFETY: by the caller's promise.
    unsafe { c::free(&ALLOC, block.cast()) }
}

/// C23's: the caller knows alignment and size.
///
/// # Safety
/// As for [`realloc`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn free_aligned_sized(block: *mut c_void, _: size_t, _: size_t) {
    // SAFETY: by the caller's promise.
    unsafe { c::free(&ALLOC, block.cast()) }
}

/// An old name of [`free`], for programs from before glibc 2.26.
///
/// # Safety
/// As for [`realloc`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfree(block: *mut c_void) {
    // SAFETY: by the caller's promise.
    unsafe { c::free(&ALLOC, block.cast()) }
}

/// Stores a block at a multiple of `align`, a power of two and a multiple of a pointer's size, and returns 0; or returns what is
/// wrong, and touches neither `*to` nor `errno`.
///
/// # Safety
/// `to` can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn posix_memalign(to: *mut *mut c_void, align: size_t, size: size_t) -> c_int {
    if !align.is_power_of_two() || align < size_of::<*mut c_void>() {
        return EINVAL;
    }
    // SAFETY: the address of this thread's errno is always valid.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    let was = unsafe { *errno };
    let block = c::aligned(&ALLOC, align, size);
    // SAFETY: as above.
    unsafe { *errno = was };
    if block.is_null() {
        return ENOMEM;
    }
    // SAFETY: by the caller's promise.
    unsafe { to.write(block.cast()) };
    0
}

/// A block at a multiple of `align`, a power of two.
#[unsafe(no_mangle)]
pub extern "C" fn aligned_alloc(align: size_t, size: size_t) -> *mut c_void {
    if align.is_power_of_two() { c::aligned(&ALLOC, align, size).cast() } else { fails(EINVAL) }
}

/// The same; another number than a power of two is rounded up to one.
#[unsafe(no_mangle)]
pub extern "C" fn memalign(align: size_t, size: size_t) -> *mut c_void {
    match align.checked_next_power_of_two() {
        Some(align) => c::aligned(&ALLOC, align, size).cast(),
        None => fails(EINVAL),
    }
}

/// A block that begins with an OS page.
#[unsafe(no_mangle)]
pub extern "C" fn valloc(size: size_t) -> *mut c_void {
    c::aligned(&ALLOC, os_page(), size).cast()
}

/// A block of whole OS pages.
#[unsafe(no_mangle)]
pub extern "C" fn pvalloc(size: size_t) -> *mut c_void {
    match size.checked_next_multiple_of(os_page()) {
        Some(size) => c::aligned(&ALLOC, os_page(), size).cast(),
        None => fails(ENOMEM),
    }
}

fn os_page() -> usize {
    // SAFETY: no preconditions.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as usize }
}

/// How many bytes of a block may be used; 0 of null.
///
/// # Safety
/// As for [`realloc`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn malloc_usable_size(block: *mut c_void) -> size_t {
    // SAFETY: by the caller's promise.
    unsafe { c::usable_size(block.cast()) }
}

/// Gives memory back to the system. Returns 1 if it gave any; 0 too if a call before took so long that this one would be most of what the
/// program does. `keep` is not heeded: what is free needs not be kept.
#[unsafe(no_mangle)]
pub extern "C" fn malloc_trim(keep: size_t) -> c_int {
    let _ = keep;
    c_int::from(c::trim())
}

/// Knows none of glibc's parameters, and says so as glibc does: 1.
#[unsafe(no_mangle)]
pub extern "C" fn mallopt(_: c_int, _: c_int) -> c_int {
    1
}

/// The names by which glibc's own functions can be called past those above. Old programs do, and free what they get with `free`.
macro_rules! glibc_calls_them {
    ($($name:ident($($arg:ident: $type:ty),*) $(-> $result:ty)? = $is:ident;)*) => {$(
        #[doc = concat!("[`", stringify!($is), "`].")]
        ///
        /// # Safety
        /// As for that.
        #[unsafe(no_mangle)]
        #[allow(unused_unsafe, reason = "some of them are safe")]
        pub unsafe extern "C" fn $name($($arg: $type),*) $(-> $result)? {
            // SAFETY: by the caller's promise.
            unsafe { $is($($arg),*) }
        }
    )*};
}

glibc_calls_them! {
    __libc_malloc(size: size_t) -> *mut c_void = malloc;
    __libc_calloc(n: size_t, size: size_t) -> *mut c_void = calloc;
    __libc_realloc(block: *mut c_void, size: size_t) -> *mut c_void = realloc;
    __libc_free(block: *mut c_void) = free;
    __libc_cfree(block: *mut c_void) = free;
    __libc_memalign(align: size_t, size: size_t) -> *mut c_void = memalign;
    __libc_valloc(size: size_t) -> *mut c_void = valloc;
    __libc_pvalloc(size: size_t) -> *mut c_void = pvalloc;
    __posix_memalign(to: *mut *mut c_void, align: size_t, size: size_t) -> c_int = posix_memalign;
}
