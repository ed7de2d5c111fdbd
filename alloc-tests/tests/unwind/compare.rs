//! The comparison: [`compare`] walks the stack that it is called on both ways.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::ffi::{c_int, c_void};
use tenure::internals::unwind::{self, Ending, Frame, Registers};
use tenure_alloc_tests::Tenure;

/// The limit of our walks; libgcc's go further.
pub(crate) const DEPTH: usize = 160;

unsafe extern "C-unwind" {
    fn _Unwind_Backtrace(f: extern "C" fn(*mut c_void, *mut c_void) -> c_int, data: *mut c_void) -> c_int;
    fn _Unwind_GetIPInfo(context: *mut c_void, before: *mut c_int) -> usize;
    fn _Unwind_GetCFA(context: *mut c_void) -> usize;
}

/// What libgcc sees: lookup addresses, and the stack pointers that the frames go on with.
struct Theirs {
    n: usize,
    frames: [(usize, usize); DEPTH + 2],
}

extern "C" fn collect(context: *mut c_void, data: *mut c_void) -> c_int {
    // SAFETY: libgcc passes on what `compare` gave it, and its own context.
    unsafe {
        let theirs = &mut *data.cast::<Theirs>();
        let mut before = 0;
        let ip = _Unwind_GetIPInfo(context, &mut before);
        if ip != 0 {
            let Some(place) = theirs.frames.get_mut(theirs.n) else { return 5 }; // _URC_END_OF_STACK
            *place = (ip - usize::from(before == 0), _Unwind_GetCFA(context));
            theirs.n += 1;
        }
        0
    }
}

thread_local! {
    /// The last comparison of this thread, for whoever cannot return it.
    pub(crate) static LAST: Cell<Option<Compared>> = const { Cell::new(None) };
    static INSIDE: Cell<bool> = const { Cell::new(false) };
    static WATCHED: Cell<Option<Tally>> = const { Cell::new(None) };
}

/// How a comparison went. It went well: otherwise the process has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Compared {
    pub(crate) frames: usize,
    pub(crate) ending: Ending,
    /// How many frames were interrupted by a signal, or begin a coroutine.
    pub(crate) interrupted: usize,
    /// How often the stack was another one.
    pub(crate) switches: usize,
}

/// Captures the stack of the caller both ways, and aborts if the two differ.
#[inline(never)]
pub(crate) fn compare() -> Compared {
    let mut ours = [Frame::NONE; DEPTH];
    let (n, ending) = unwind::walk(Registers::here(), &mut ours);
    let mut theirs = Theirs { n: 0, frames: [(0, 0); DEPTH + 2] };
    // SAFETY: the callback and its data are as libgcc wants them.
    unsafe { _Unwind_Backtrace(collect, (&raw mut theirs).cast()) };
    // Their first frame is this function.
    let other = &theirs.frames[1.min(theirs.n)..theirs.n];
    let ours = &ours[..n];
    let same = |(our, their): (&Frame, &(usize, usize))| {
        // A call's return address stands below the caller's stack pointer; the kernel's and a coroutine's do not.
        our.address() == their.0 && (our.is_odd().0 || our.slot() + 8 == their.1)
    };
    let length_fits = match ending {
        Ending::Complete | Ending::NoRules => other.len() == n,
        Ending::Depth => n == DEPTH && other.len() > n,
        Ending::Complex | Ending::Foreign => other.len() >= n,
        new => panic!("an ending that this test does not know: {new:?}"),
    };
    if !length_fits || !ours.iter().zip(other).all(same) {
        differ(ours, other, ending);
    }
    let compared = Compared {
        frames: n,
        ending,
        interrupted: ours.iter().filter(|f| f.is_odd().0).count(),
        switches: ours.iter().filter(|f| f.is_odd().1).count(),
    };
    LAST.set(Some(compared));
    compared
}

/// For C.
pub(crate) extern "C" fn compare_for_c() {
    compare();
}

#[cold]
fn differ(ours: &[Frame], theirs: &[(usize, usize)], ending: Ending) -> ! {
    INSIDE.set(true);
    eprintln!("stacks differ; ours has {} frames and ends with {ending:?}, theirs has {}", ours.len(), theirs.len());
    for i in 0..ours.len().max(theirs.len()) {
        let their = theirs.get(i).map_or("-".into(), |t| format!("{:#x} (CFA {:#x})", t.0, t.1));
        eprintln!("{i:3} {their:40} {}", name(theirs.get(i).map_or(0, |t| t.0)));
        if let Some(our) = ours.get(i) {
            eprintln!("    {:#x?} by {:?}", our.address(), unwind::rule(our.address()));
            if Some(our.address()) != theirs.get(i).map(|t| t.0) {
                eprintln!("    ^^^ {our:x?}");
            }
        }
    }
    std::process::abort()
}

/// The symbol that an address lies behind, if it is an exported one, and its object.
fn name(address: usize) -> String {
    let mut info = std::mem::MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: `dladdr` fills the struct or returns 0; the names live as long as the object.
    unsafe {
        if libc::dladdr(std::ptr::with_exposed_provenance(address), info.as_mut_ptr()) == 0 {
            return "?".into();
        }
        let info = info.assume_init();
        let text = |p: *const i8| if p.is_null() { "?".into() } else { std::ffi::CStr::from_ptr(p).to_string_lossy() };
        format!("{} in {} + {:#x}", text(info.dli_sname), text(info.dli_fname), address - info.dli_fbase.addr())
    }
}

/// What a thread that is watched has compared.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) captures: usize,
    pub(crate) frames: usize,
    /// Captures that did not come to the thread's end nor to the limit.
    pub(crate) early: usize,
}

/// Has every allocation compare that this thread makes while `f` runs.
pub(crate) fn watched(f: impl FnOnce()) -> Tally {
    WATCHED.set(Some(Tally::default()));
    f();
    WATCHED.take().expect("nobody nests this")
}

fn born() {
    let Some(mut tally) = WATCHED.get() else { return };
    if !INSIDE.replace(true) {
        let compared = compare();
        tally.captures += 1;
        tally.frames += compared.frames;
        tally.early += usize::from(!matches!(compared.ending, Ending::Complete | Ending::Depth));
        WATCHED.set(Some(tally));
        INSIDE.set(false);
    }
}

/// `Tenure`, and a comparison at each allocation of a thread that is watched.
pub(crate) struct Comparing;

static TENURE: Tenure = Tenure::new();

// SAFETY: `Tenure` does it all.
unsafe impl GlobalAlloc for Comparing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        born();
        // SAFETY: the caller's promise.
        unsafe { TENURE.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        born();
        // SAFETY: the caller's promise.
        unsafe { TENURE.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        born();
        // SAFETY: the caller's promise.
        unsafe { TENURE.realloc(block, layout, new_size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { TENURE.dealloc(block, layout) }
    }
}
