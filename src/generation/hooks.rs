//! What the program wants to be called for, before and after collections: never inside an allocation.

use super::record::Collection;
use super::{Generation, pressure};
use crate::config;
use crate::os::lock::Futex;
use crate::os::owned::Owned;
use crate::os::{self, process};
use crate::sync::{AtomicU32, AtomicU64, Ordering, compiler_fence};
use std::cell::Cell;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::null_mut;

/// What a hook is called for.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A collection is about to begin, which the program asked for, or which [`poll`](super::poll) begins.
    Before(Generation),
    /// A collection has ended. Of automatic ones, hooks hear later, in order.
    After(&'a Collection),
}

/// What is called: for as long as the program runs.
pub type Hook = &'static (dyn Fn(Event<'_>) + Sync);

/// The most hooks that there can be.
pub(super) const MOST: usize = 16;
/// Automatic collections that wait for hooks to hear of them, at most; the oldest are forgotten.
const WAITING: usize = 32;

/// A hook that was added.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "without it, the hook cannot be removed"]
pub struct HookId(u64);

/// There are 16 hooks already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyHooks;

impl std::fmt::Display for TooManyHooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "there are {MOST} hooks already, and no more were added; remove one first")
    }
}

impl std::error::Error for TooManyHooks {}

/// A place for a hook.
#[derive(Clone, Copy)]
struct Slot {
    /// 0: free. Written after the hook: a `fork` in the middle of that leaves a slot that is free.
    id: u64,
    hook: Option<Hook>,
}

struct Hooks {
    all: [Slot; MOST],
    next: u64,
    waiting: [Option<Collection>; WAITING],
}

static HOOKS: Owned<Hooks> =
    Owned::new(Hooks { all: [Slot { id: 0, hook: None }; MOST], next: 0, waiting: [None; WAITING] });
/// How many there are.
static COUNT: AtomicU32 = AtomicU32::new(0);
/// Collections that were forgotten before hooks could hear of them.
static FORGOTTEN: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// This thread is calling hooks.
    static CALLING: Cell<bool> = const { Cell::new(false) };
}

/// Nobody holds the hooks for longer than it takes to copy them, and nobody calls anything meanwhile.
fn with<R>(f: impl FnOnce(&mut Hooks) -> R) -> Option<R> {
    HOOKS.with(None, |hooks, inherited| f(hooks.whole(inherited))).ok()
}

impl Hooks {
    /// What a thread that is gone was writing when the process was forked may be half written.
    fn whole(&mut self, inherited: bool) -> &mut Hooks {
        if inherited {
            self.waiting = [None; WAITING];
            let count = self.all.iter().filter(|slot| slot.id != 0).count();
            COUNT.store(count as u32, Ordering::Relaxed); // Relaxed: a hint
        }
        self
    }
}

pub(super) fn add(hook: Hook) -> Result<HookId, TooManyHooks> {
    let added = with(|hooks| {
        let free = hooks.all.iter_mut().find(|slot| slot.id == 0)?;
        hooks.next += 1;
        free.hook = Some(hook);
        compiler_fence(Ordering::Release); // because the number says that the hook is there, also to a forked child
        free.id = hooks.next;
        COUNT.fetch_add(1, Ordering::Relaxed); // Relaxed: a hint
        Some(HookId(hooks.next))
    });
    added.flatten().ok_or(TooManyHooks)
}

pub(super) fn remove(id: HookId) {
    with(|hooks| {
        for slot in hooks.all.iter_mut().filter(|slot| slot.id == id.0) {
            slot.id = 0;
            COUNT.fetch_sub(1, Ordering::Relaxed); // Relaxed: a hint
        }
    });
}

/// Calls each hook that is there now, in the order of their slots. A panic ends that hook's call and nothing else. Not while this thread calls hooks
/// already: a hook may collect, and is not called for that.
pub(super) fn call(event: Event<'_>) {
    if COUNT.load(Ordering::Relaxed) == 0 {
        return;
    }
    calling(|| {
        // Each is looked at when its turn comes: it may have been removed while another was called.
        let last = with(|hooks| hooks.next).unwrap_or(0);
        for slot in 0..MOST {
            let slot = with(|hooks| hooks.all[slot]).filter(|slot| 0 < slot.id && slot.id <= last);
            if let Some(hook) = slot.and_then(|slot| slot.hook) {
                contained(|| hook(event));
            }
        }
    });
}

/// Runs what calls hooks, unless this thread calls some already.
pub(super) fn calling(f: impl FnOnce()) {
    struct Back;
    impl Drop for Back {
        fn drop(&mut self) {
            CALLING.set(false);
        }
    }
    if !CALLING.replace(true) {
        let _back = Back;
        f();
    }
}

/// Runs a hook. A panic goes no further.
pub(super) fn contained(hook: impl FnOnce()) {
    // The panic hook of the program has said what it was.
    let Err(payload) = catch_unwind(AssertUnwindSafe(hook)) else { return };
    // What a panic carries is the program's, too: it may panic as it goes. What that carries is left where it is.
    if let Err(another) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(another);
    }
}

/// Calls hooks for the automatic collections that they have not heard of, and for the soft limit. Returns for how many things.
pub(super) fn tell() -> usize {
    if CALLING.get() {
        return 0;
    }
    let pressed = usize::from(pressure::tell());
    // One at a time: together they are some 10 KiB, and the thread's stack may be small. No more than there are now, or a hook
    // that allocates much would be called for ever.
    let now = with(|hooks| hooks.waiting.iter().flatten().count()).unwrap_or(0);
    let waiting = std::iter::from_fn(|| {
        with(|hooks| {
            let oldest = hooks.waiting[0].take();
            hooks.waiting.rotate_left(1);
            oldest
        })?
    });
    pressed + waiting.take(now).map(|collection| call(Event::After(&collection))).count()
}

/// Automatic collections that ended while so many others waited that hooks never heard of them.
pub(super) fn forgotten() -> u64 {
    FORGOTTEN.load(Ordering::Relaxed) // Relaxed: a statistic
}

/// An automatic collection has ended, in the middle of an allocation: hooks hear of it elsewhere.
pub(super) fn ended(collection: &Collection) {
    if COUNT.load(Ordering::Relaxed) == 0 {
        return;
    }
    // Not waited for: whoever has them copies them, but this may be a signal handler above it.
    let kept = HOOKS.with(Some(0), |hooks, inherited| {
        let hooks = hooks.whole(inherited);
        let free = hooks.waiting.iter().position(Option::is_none).unwrap_or_else(|| {
            hooks.waiting.rotate_left(1);
            FORGOTTEN.fetch_add(1, Ordering::Relaxed); // Relaxed: a statistic
            WAITING - 1
        });
        hooks.waiting[free] = Some(*collection);
    });
    if kept.is_err() {
        FORGOTTEN.fetch_add(1, Ordering::Relaxed);
    }
    wake();
}

const NONE: u32 = 0;
const SLEEPS: u32 = 1;
const WOKEN: u32 = 2;
/// The thread that calls hooks.
static THREAD: Futex = Futex::new(NONE);
/// It ends when there was nothing to do for so long.
const LINGER_MS: u64 = 5000;
/// Hooks are the program's code.
const STACK: usize = 2 << 20;

/// Has the thread call what hooks are to hear, if there may be one. No lock is held.
pub(super) fn wake() {
    if !config::current::helper_thread() {
        return;
    }
    // Release because the thread is to see what waits. It does by its lock, too.
    match THREAD.swap(WOKEN, Ordering::AcqRel) {
        NONE if !process::spawn_with(STACK, run) => THREAD.store(NONE, Ordering::Release),
        SLEEPS => os::futex_wake(&THREAD, 1),
        _ => (),
    }
}

extern "C" fn run(_: *mut c_void) -> *mut c_void {
    process::receive(None, c"tenure-hooks");
    loop {
        THREAD.store(SLEEPS, Ordering::Release); // Release: as in `wake`. What came before is seen now, what comes later wakes
        if tell() > 0 {
            continue;
        }
        os::futex_wait(&THREAD, SLEEPS, LINGER_MS);
        // Acquire and Release: whoever finds it gone has it started anew.
        if THREAD.compare_exchange(SLEEPS, NONE, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            return null_mut();
        }
    }
}

/// In a forked child there is no such thread.
pub(super) fn after_fork_in_child() {
    THREAD.store(NONE, Ordering::Relaxed); // Relaxed: there is no other thread
}
