//! Threads and processes: the end of a thread, `fork`, and a helper thread.

use libc::c_void;
use std::mem::MaybeUninit;
use std::ptr::null_mut;

/// A function that runs at the end of each thread that armed it.
#[derive(Clone, Copy)]
pub(crate) struct ThreadEnd(libc::pthread_key_t);

impl ThreadEnd {
    /// `None` if the process has no key left.
    pub(crate) fn new(f: unsafe extern "C" fn(*mut c_void)) -> Option<Self> {
        let mut key = 0;
        // SAFETY: the key is written before it is used.
        (unsafe { libc::pthread_key_create(&mut key, Some(f)) } == 0).then_some(ThreadEnd(key))
    }

    /// Has the function run at the end of this thread, with `value`, which must not be null. `false` if refused.
    pub(crate) fn arm(self, value: *mut c_void) -> bool {
        // SAFETY: the key is valid from `new` to `cancel`.
        unsafe { libc::pthread_setspecific(self.0, value) == 0 }
    }

    /// The function runs no more, in no thread: its code may be about to be unmapped.
    pub(crate) fn cancel(self) {
        // SAFETY: the key came from `pthread_key_create`.
        unsafe { libc::pthread_key_delete(self.0) };
    }
}

/// Has the functions run around every `fork`, in the forking thread. `false` if the system refuses.
pub(crate) fn on_fork(
    before: unsafe extern "C" fn(),
    parent: unsafe extern "C" fn(),
    child: unsafe extern "C" fn(),
) -> bool {
    // SAFETY: the functions live as long as the program does, and glibc drops them when their library is unloaded.
    unsafe { libc::pthread_atfork(Some(before), Some(parent), Some(child)) == 0 }
}

/// Starts a detached thread on a small stack with every signal blocked. `false` if the system refuses.
/// The thread may not allocate from the global allocator.
pub(crate) fn spawn(f: extern "C" fn(*mut c_void) -> *mut c_void) -> bool {
    // Thread-local variables of the program are carved out of the stack, so a very small one may not do: try twice.
    [128 << 10, 2 << 20].iter().any(|&stack| {
        let mut attr = MaybeUninit::uninit();
        let mut id = MaybeUninit::uninit();
        // SAFETY: the attributes are initialised first and destroyed last; the masks are initialised by the calls.
        unsafe {
            if libc::pthread_attr_init(attr.as_mut_ptr()) != 0 {
                return false;
            }
            libc::pthread_attr_setdetachstate(attr.as_mut_ptr(), libc::PTHREAD_CREATE_DETACHED);
            libc::pthread_attr_setstacksize(attr.as_mut_ptr(), stack);
            let (mut all, mut was) = (MaybeUninit::uninit(), MaybeUninit::uninit());
            libc::sigfillset(all.as_mut_ptr());
            // The new thread inherits the mask: no handler of the program ever runs on it.
            libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), was.as_mut_ptr());
            let started = libc::pthread_create(id.as_mut_ptr(), attr.as_ptr(), f, null_mut()) == 0;
            libc::pthread_sigmask(libc::SIG_SETMASK, was.as_ptr(), null_mut());
            libc::pthread_attr_destroy(attr.as_mut_ptr());
            started
        }
    })
}

/// Whether an address lies in the program itself, and not in a library. Takes the loader's lock.
pub(crate) fn is_in_program(p: *const u8) -> bool {
    struct Question {
        address: usize,
        answer: bool,
    }
    unsafe extern "C" fn first(info: *mut libc::dl_phdr_info, _: usize, question: *mut c_void) -> libc::c_int {
        // SAFETY: the loader passes what it promises, and our own question.
        unsafe {
            let (info, question) = (&*info, &mut *question.cast::<Question>());
            let headers = std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum as usize);
            question.answer = headers.iter().any(|h| {
                let begin = info.dlpi_addr as usize + h.p_vaddr as usize;
                h.p_type == libc::PT_LOAD && (begin..begin + h.p_memsz as usize).contains(&question.address)
            });
        }
        1 // the program comes first, and the others do not matter
    }
    let mut question = Question { address: p.addr(), answer: false };
    // SAFETY: the question outlives the call.
    unsafe { libc::dl_iterate_phdr(Some(first), (&raw mut question).cast()) };
    question.answer
}
