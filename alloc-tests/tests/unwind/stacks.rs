//! Stacks that are not a thread's own, or hardly one: coroutines, segments, small ones, the child of a fork.

use crate::compare::{Compared, compare, watched};
use std::ffi::c_void;
use std::hint::black_box;
use std::mem::MaybeUninit;
use tenure::internals::unwind::{self, Ending};

/// A function that calls itself, each time on a new stack.
#[inline(never)]
fn on_segments(n: usize) -> Compared {
    if n == 0 { compare() } else { black_box(stacker::grow(2 << 20, || black_box(on_segments(n - 1)))) }
}

#[test]
fn segments_of_stacker() {
    for n in 0..=4 {
        let seen = on_segments(n);
        assert_eq!((seen.ending, seen.switches), (Ending::Complete, n), "{n} segments");
        black_box(watched(|| drop(black_box(stacker::grow(1 << 20, || format!("{n}"))))));
    }
    // Further than a walk goes on.
    assert_eq!(on_segments(6).ending, Ending::Foreign);
}

#[test]
fn a_recursion_that_grows_its_stack() {
    #[inline(never)]
    fn down(n: usize) -> Compared {
        stacker::maybe_grow(32 << 10, 512 << 10, || {
            let room = black_box([n; 50]);
            let compared = if n == 0 { compare() } else { down(n - 1) };
            black_box(room);
            compared
        })
    }
    for n in [10, 100, 2000] {
        assert_ne!(down(n).frames, 0);
    }
}

/// Coroutines: frames on both sides of each change, also when one resumes another.
#[test]
fn coroutines() {
    use corosensei::{Coroutine, CoroutineResult};
    for _ in 0..3 {
        let mut coroutine = Coroutine::new(|yielder, mut input: usize| {
            loop {
                let seen = compare();
                watched(|| drop(black_box(format!("{input}"))));
                input = yielder.suspend((seen, input));
            }
            #[allow(unreachable_code)]
            ()
        });
        for i in 0..5 {
            let CoroutineResult::Yield((seen, _)) = coroutine.resume(i) else { panic!("it never returns") };
            assert_eq!((seen.ending, seen.switches), (Ending::Complete, 1), "{seen:?}");
        }
        let mut outer = Coroutine::new(move |_: &corosensei::Yielder<(), ()>, ()| {
            let mut inner = Coroutine::new(|_: &corosensei::Yielder<(), ()>, ()| compare());
            inner.resume(()).as_return()
        });
        let seen = outer.resume(()).as_return().flatten().expect("both return");
        assert_eq!((seen.ending, seen.switches), (Ending::Complete, 2));
        coroutine.force_unwind();
    }
}

/// As small as a thread's stack may be, and no rule in the cache. Without optimisation, the way through the tables
/// takes 12 KiB, which with the thread's own block does not fit.
#[test]
fn the_smallest_stack() {
    extern "C" fn start(_: *mut c_void) -> *mut c_void {
        unwind::forget();
        let mut frames = [unwind::Frame::NONE; 16];
        let (n, ending) = unwind::walk(unwind::Registers::here(), &mut frames);
        std::ptr::without_provenance_mut(usize::from(ending == Ending::Complete) * n)
    }
    // SAFETY: the attributes are initialised before use, the thread is joined.
    unsafe {
        let (mut attributes, mut thread, mut result) =
            (MaybeUninit::uninit(), MaybeUninit::uninit(), std::ptr::null_mut());
        libc::pthread_attr_init(attributes.as_mut_ptr());
        let size = libc::PTHREAD_STACK_MIN * if cfg!(debug_assertions) { 2 } else { 1 };
        assert_eq!(libc::pthread_attr_setstacksize(attributes.as_mut_ptr(), size), 0);
        let error = libc::pthread_create(thread.as_mut_ptr(), attributes.as_ptr(), start, std::ptr::null_mut());
        assert_eq!(error, 0);
        libc::pthread_join(thread.assume_init(), &mut result);
        assert!(result.addr() > 0, "the walk did not come to the thread's end");
    }
}

#[test]
fn in_the_child_of_a_fork() {
    // SAFETY: the child captures, which neither locks nor allocates, and leaves at once.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            unwind::forget();
            let seen = compare();
            libc::_exit((seen.ending != Ending::Complete).into());
        }
        let mut status = -1;
        assert_eq!(libc::waitpid(child, &mut status, 0), child);
        assert_eq!(status, 0);
    }
}

/// A call on another stack, whose caller's frame is marked as one that a signal interrupted.
#[test]
fn a_call_on_another_stack() {
    for n in [0, 3] {
        let stack = corosensei::stack::DefaultStack::new(1 << 20).expect("memory");
        let seen = corosensei::on_stack(stack, || if n == 0 { compare() } else { black_box(on_segments(n)) });
        assert_eq!((seen.ending, seen.switches), (Ending::Complete, n + 1));
        assert!(seen.interrupted > 0);
    }
}

/// An RBP that is not what the rule says: nothing is read there unless it can be.
#[test]
fn a_broken_frame_pointer() {
    #[repr(align(64))]
    struct Aligned([u8; 64]);
    #[inline(never)]
    fn walk_with(bp: usize) -> (usize, Ending) {
        let mut local = Aligned([0; 64]);
        black_box(&mut local.0);
        let mut frames = [unwind::Frame::NONE; 8];
        let result = unwind::walk(unwind::Registers::here().with_bp(bp), &mut frames);
        black_box(&mut local.0);
        result
    }
    let unmapped = [0usize, 8, 0x1000, 1 << 40, 1 << 46, 1 << 47, 1 << 63, usize::MAX - 7, usize::MAX - 15];
    for bp in unmapped.into_iter().chain([3, 0x1001, usize::MAX]) {
        assert_eq!(walk_with(bp), (0, Ending::Foreign), "{bp:#x}");
    }
    // Near enough to be read without a question, and not aligned.
    let near = 0usize;
    assert_eq!(walk_with((&raw const near).addr() + 4), (0, Ending::Foreign));
    // Memory, but no stack: it is followed as another one, and leads nowhere.
    let heap = vec![0x11usize; 1000];
    assert_eq!(walk_with(heap.as_ptr().addr()), (1, Ending::NoRules));
}

/// A stack that nobody has described: the walk ends, and says why.
#[test]
fn made_up_registers() {
    let mut frames = [unwind::Frame::NONE; 8];
    let mut stack = [0usize; 64];
    for word in [1, 0x1000, 1 << 47, 1 << 48, usize::MAX, compare as *const () as usize + 1] {
        stack.fill(word);
        let (n, ending) = unwind::walk_from(compare as *const () as usize, stack.as_ptr().addr(), word, &mut frames);
        assert!(ending != Ending::Complete && n <= 8, "{word:#x}: {n}, {ending:?}");
    }
    // No return address: how the first functions of some threads end.
    stack.fill(0);
    let result = unwind::walk_from(compare as *const () as usize, stack.as_ptr().addr(), 0, &mut frames);
    assert_eq!(result, (0, Ending::Complete));
}
