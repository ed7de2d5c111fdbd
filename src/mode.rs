//! Which blocks are tracked, changed at run time: for the process, or for one thread for a while.

use crate::allocator::{Hooks, want_exact};
use crate::config::Mode;
use crate::heap::{steal, thread};
use crate::track;
use std::marker::PhantomData;

/// The process' mode. Threads in an [`exact_scope`] track every block, whatever it says.
pub fn mode() -> Mode {
    track::process_mode()
}

/// How call stacks are captured in this process, in words: chosen after trying, at the first stack or the first call of this.
pub fn stack_method() -> &'static str {
    track::method()
}

/// Changes the process' mode. May be called at any moment, from any thread.
///
/// Blocks that live stay as they are: a tracked one is counted when it is freed, an untracked one is not. The calling
/// thread adopts the mode at once, each other one when it has allocated one more block of each size class: what their
/// magazines hold is taken away first, which waits for the allocator's locks, and costs microseconds for each thread.
/// Does not allocate.
///
/// A new rate of sampling is adopted with the next magazine; each sample is weighed by the rate that it was drawn at.
pub fn set_mode(mode: Mode) {
    track::set_process_mode(mode);
    if mode == Mode::Exact {
        // An exact thread looks at the mode at each operation; the others at their next slow path.
        _ = steal::take_idle(true);
    }
    thread::adopt::<Hooks>();
}

/// Until the returned guard is dropped, every block that this thread allocates is tracked, whatever the process' mode.
///
/// Scopes nest. Blocks that were allocated before and are freed meanwhile are counted by what they are. Entering and leaving
/// sends home what the thread's magazines hold, which costs microseconds. Does not allocate.
///
/// ```
/// use tenure::Tenure;
/// # #[global_allocator]
/// # static ALLOC: Tenure = Tenure::new();
/// let _exact = tenure::exact_scope();
/// let block = vec![0u8; 100];
/// assert!(tenure::origin(&block[0]).is_some());
/// ```
#[must_use = "the scope ends when the guard is dropped"]
pub fn exact_scope() -> ExactScope {
    want_exact(true);
    ExactScope { thread: PhantomData }
}

/// The guard of an [`exact_scope`].
#[derive(Debug)]
pub struct ExactScope {
    /// It is of its thread.
    thread: PhantomData<*mut ()>,
}

impl Drop for ExactScope {
    fn drop(&mut self) {
        want_exact(false);
    }
}
