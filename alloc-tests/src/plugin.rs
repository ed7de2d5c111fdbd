//! Loads the cdylib of `examples/plugin.rs`, which brings its own `Tenure` into a process that has another allocator.

use std::ffi::{CStr, CString, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// A library that was loaded by `dlopen`. It stays until [`close`](Self::close).
#[derive(Debug)]
pub struct Plugin {
    handle: *mut c_void,
    /// Allocates, checks and frees, from a seed; returns the number of faults.
    pub work: extern "C" fn(seed: u64) -> u64,
    /// Does the same on some threads of its own, started by std.
    pub work_on_threads: extern "C" fn(seed: u64) -> u64,
    /// A block full of its pattern, for anybody to give back through `free`.
    pub allocate: extern "C" fn(size: usize, key: u64) -> *mut u8,
    /// Checks the pattern and frees; returns the number of faults.
    pub free: unsafe extern "C" fn(block: *mut u8, size: usize, key: u64) -> u64,
    /// Calls back with so many frames of the library between.
    pub call_back: extern "C" fn(depth: usize, f: extern "C" fn()) -> usize,
}

// SAFETY: the functions may be called from any thread, and the handle is used only by `close`.
unsafe impl Send for Plugin {}
// SAFETY: as above.
unsafe impl Sync for Plugin {}

impl Plugin {
    /// Loads it.
    ///
    /// # Panics
    /// If it is not there: `cargo test` builds the examples, `cargo test --test dlopen` does not.
    pub fn open() -> Plugin {
        let path = CString::new(path().as_os_str().as_bytes()).expect("a path has no null");
        // SAFETY: the library's initialisers may run: they are ours.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        assert!(!handle.is_null(), "{}", error());
        // SAFETY: these are the types that the example exports the functions with.
        unsafe {
            Plugin {
                handle,
                work: std::mem::transmute::<*mut c_void, extern "C" fn(u64) -> u64>(symbol(handle, c"plugin_work")),
                work_on_threads: std::mem::transmute::<*mut c_void, extern "C" fn(u64) -> u64>(symbol(
                    handle,
                    c"plugin_work_on_threads",
                )),
                allocate: std::mem::transmute::<*mut c_void, extern "C" fn(usize, u64) -> *mut u8>(symbol(
                    handle,
                    c"plugin_allocate",
                )),
                call_back: std::mem::transmute::<*mut c_void, extern "C" fn(usize, extern "C" fn()) -> usize>(symbol(
                    handle,
                    c"plugin_call_back",
                )),
                free: std::mem::transmute::<*mut c_void, unsafe extern "C" fn(*mut u8, usize, u64) -> u64>(symbol(
                    handle,
                    c"plugin_free",
                )),
            }
        }
    }

    /// Closes the library; the functions must not be called any more, also through copies of their addresses.
    ///
    /// # Safety
    /// No call is running.
    pub unsafe fn close(self) {
        // SAFETY: the handle is open, and the caller answers for the calls.
        assert_eq!(unsafe { libc::dlclose(self.handle) }, 0, "{}", error());
    }
}

fn path() -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test");
    let profile = test.parent().and_then(|deps| deps.parent()).expect("target/<profile>/deps/<test>");
    let path = profile.join("examples").join("libplugin.so");
    assert!(path.exists(), "{} is not there: cargo build -p tenure-alloc-tests --example plugin", path.display());
    path
}

/// # Safety
/// The handle is open.
unsafe fn symbol(handle: *mut c_void, name: &CStr) -> *mut c_void {
    // SAFETY: the caller's promise; the name ends with a null.
    let address = unsafe { libc::dlsym(handle, name.as_ptr()) };
    assert!(!address.is_null(), "{}", error());
    address
}

fn error() -> String {
    // SAFETY: dlerror returns null or a string that stays until the next call on this thread.
    unsafe {
        let message = libc::dlerror();
        if message.is_null() { "no error".into() } else { CStr::from_ptr(message).to_string_lossy().into_owned() }
    }
}
