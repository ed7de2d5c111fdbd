//! `Tenure`, and a look at the site of each block that a watched thread allocates.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::io::Write;
use tenure::Mode;
use tenure::internals::unwind::{Ending, stack_of};
use tenure::internals::{self, Birth};
use tenure_alloc_tests::Tenure;

/// More than any stack here has.
const FRAMES: usize = 2048;
/// Frames of a stack that the allocator keeps.
pub(crate) const DEPTH: usize = 64;

unsafe extern "C-unwind" {
    fn _Unwind_Backtrace(f: extern "C" fn(*mut c_void, *mut c_void) -> c_int, data: *mut c_void) -> c_int;
    fn _Unwind_GetIPInfo(context: *mut c_void, before: *mut c_int) -> usize;
    fn _Unwind_FindEnclosingFunction(pc: *mut c_void) -> *mut c_void;
}

/// What libgcc sees: lookup addresses, leaf first.
struct Theirs {
    n: usize,
    frames: [usize; FRAMES],
}

extern "C" fn collect(context: *mut c_void, data: *mut c_void) -> c_int {
    // SAFETY: libgcc passes on what `check` gave it, and its own context.
    unsafe {
        let theirs = &mut *data.cast::<Theirs>();
        let mut before = 0;
        let ip = _Unwind_GetIPInfo(context, &mut before);
        if ip != 0 {
            let Some(place) = theirs.frames.get_mut(theirs.n) else { return 5 }; // _URC_END_OF_STACK
            *place = ip - usize::from(before == 0);
            theirs.n += 1;
        }
        0
    }
}

/// What a watched thread has seen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) blocks: usize,
    pub(crate) frames: usize,
    /// Stacks that were cut at the limit.
    pub(crate) cut: usize,
    /// Stacks that ended elsewhere than at the thread's begin or the limit.
    pub(crate) early: usize,
}

thread_local! {
    static WATCHED: Cell<Option<Tally>> = const { Cell::new(None) };
    static CHECKING: Cell<bool> = const { Cell::new(false) };
}

/// Has the site of every block checked that this thread allocates while `f` runs.
pub(crate) fn watched(f: impl FnOnce()) -> Tally {
    if tenure::mode() != Mode::Exact {
        tenure::set_mode(Mode::Exact);
    }
    tenure::internals::adopt_mode();
    assert!(WATCHED.replace(Some(Tally::default())).is_none(), "nobody nests this");
    f();
    WATCHED.take().expect("set above")
}

/// The site of a block.
pub(crate) fn site_of<T>(block: &T) -> u32 {
    // SAFETY: the block came from this allocator, and lives.
    let birth = unsafe { internals::birth((&raw const *block).cast::<u8>().cast_mut()) };
    birth.expect("it is tracked").site
}

fn born(block: *mut u8, by: usize) {
    let Some(mut tally) = WATCHED.get() else { return };
    if block.is_null() || CHECKING.replace(true) {
        return;
    }
    check(block, by, &mut tally);
    WATCHED.set(Some(tally));
    CHECKING.set(false);
}

/// The frames outside the function that begins at `by`.
fn outside(frames: &[usize], by: usize) -> Option<&[usize]> {
    // SAFETY: looks an address up in the unwind tables.
    let begins = |pc: usize| unsafe { _Unwind_FindEnclosingFunction(std::ptr::with_exposed_provenance_mut(pc)).addr() };
    frames.iter().position(|&frame| begins(frame) == by).map(|at| &frames[at + 1..])
}

#[inline(never)]
fn check(block: *mut u8, by: usize, tally: &mut Tally) {
    // SAFETY: the block was just allocated.
    let birth = unsafe { internals::birth(block) };
    let Some(Birth { site, exact: true, .. }) = birth else {
        die(&[], &[], &format!("a block is not tracked exactly: {birth:?}"));
    };
    let mut ours = [0; 256];
    let (n, ending) = stack_of(site, &mut ours);
    let ours = &ours[..n];
    let mut theirs = Theirs { n: 0, frames: [0; FRAMES] };
    // SAFETY: the callback and its data are as libgcc wants them.
    unsafe { _Unwind_Backtrace(collect, (&raw mut theirs).cast()) };
    let theirs = &theirs.frames[..theirs.n];
    let (Some(our), Some(their)) = (outside(ours, by), outside(theirs, by)) else {
        die(ours, theirs, &format!("site {site} ({ending:?}) is not of the function that allocates"));
    };
    let length_fits = match ending {
        Ending::Complete => our.len() == their.len(),
        Ending::Depth => n == DEPTH && our.len() < their.len(),
        Ending::NoRules | Ending::Complex | Ending::Foreign => our.len() <= their.len(),
        new => panic!("an ending that this test does not know: {new:?}"),
    };
    if !length_fits || our != &their[..our.len()] {
        die(our, their, &format!("site {site} ({ending:?}) is not the stack of its block"));
    }
    tally.blocks += 1;
    tally.frames += n;
    tally.cut += usize::from(ending == Ending::Depth);
    tally.early += usize::from(!matches!(ending, Ending::Depth | Ending::Complete));
}

#[cold]
fn die(ours: &[usize], theirs: &[usize], what: &str) -> ! {
    // Not the macro, whose output the harness keeps until the test ends.
    let mut out = std::io::stderr();
    let _ = writeln!(out, "{what}: ours has {} frames, theirs {}", ours.len(), theirs.len());
    for i in 0..ours.len().max(theirs.len()) {
        let (our, their) = (ours.get(i), theirs.get(i));
        let _ = writeln!(out, "{} {:#x?} {:#x?}", if our == their { ' ' } else { '!' }, our, their);
    }
    std::process::abort()
}

/// The allocator of this process.
pub(crate) struct Checked;

static TENURE: Tenure = Tenure::new();

// Functions of their own, so that their frames are in both stacks.
#[inline(never)]
fn allocate(layout: Layout) -> *mut u8 {
    // SAFETY: the caller of `Checked` promises what `Tenure` asks for.
    let block = unsafe { TENURE.alloc(layout) };
    born(block, allocate as *const () as usize);
    block
}

#[inline(never)]
fn allocate_zeroed(layout: Layout) -> *mut u8 {
    // SAFETY: as above.
    let block = unsafe { TENURE.alloc_zeroed(layout) };
    born(block, allocate_zeroed as *const () as usize);
    block
}

#[inline(never)]
fn reallocate(block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
    // SAFETY: as above.
    let new = unsafe { TENURE.realloc(block, layout, new_size) };
    // In place it keeps its site.
    if new != block {
        born(new, reallocate as *const () as usize);
    }
    new
}

// SAFETY: `Tenure` does it all.
unsafe impl GlobalAlloc for Checked {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        allocate(layout)
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        allocate_zeroed(layout)
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        reallocate(block, layout, new_size)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { TENURE.dealloc(block, layout) }
    }
}
