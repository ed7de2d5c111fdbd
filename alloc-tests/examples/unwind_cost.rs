//! What a captured stack costs: nanoseconds for each frame whose rule is known, for each address that is new, and bytes
//! of stack. Run with `--release`; prints, and checks nothing.

use std::hint::black_box;
use std::time::Instant;
use tenure::internals::unwind::{self, Ending, Frame, Registers};

#[inline(never)]
fn capture(frames: &mut [Frame]) -> (usize, Ending) {
    black_box(unwind::walk(Registers::here(), frames))
}

#[inline(never)]
fn at_depth(n: usize, f: &mut dyn FnMut()) {
    let room = black_box([n; 3]);
    if n == 0 {
        f()
    } else {
        at_depth(n - 1, f)
    }
    black_box(room);
}

/// Nanoseconds of one call, the best of some rounds.
fn nanoseconds(calls: u32, mut f: impl FnMut()) -> f64 {
    let mut round = || {
        let start = Instant::now();
        (0..calls).for_each(|_| f());
        start.elapsed().as_nanos() as f64 / f64::from(calls)
    };
    (0..20).map(|_| round()).fold(f64::MAX, f64::min)
}

/// How deep below this function's own stack pointer `f` writes, in bytes.
#[inline(never)]
fn stack_of(f: impl FnOnce()) -> usize {
    const PATTERN: u8 = 0xa7;
    #[inline(never)]
    fn paint() -> (usize, usize) {
        let mut room = [PATTERN; 64 << 10];
        black_box(&mut room);
        (room.as_ptr().addr(), room.len())
    }
    let (low, len) = paint();
    f();
    // What lies there is nobody's any more; only whole runs of the pattern count as untouched.
    let byte = |i: usize| {
        // SAFETY: below the stack pointer, where `paint` has been, the stack is mapped.
        unsafe { std::ptr::with_exposed_provenance::<u8>(low + i).read_volatile() }
    };
    let untouched = (0..len).take_while(|&i| byte(i) == PATTERN).count();
    Registers::here().sp() - (low + untouched)
}

fn main() {
    assert!(unwind::works(), "stacks cannot be walked here");
    let mut frames = [Frame::NONE; 256];
    let (base, _) = capture(&mut frames);
    println!("frames  ns a capture  ns a frame");
    for depth in [0, 5, 15, 30, 60, 120] {
        let mut result = (0, 0.0);
        at_depth(depth, &mut || {
            let mut frames = [Frame::NONE; 256];
            result = (capture(&mut frames).0, nanoseconds(20_000, || _ = capture(&mut frames)));
        });
        println!("{:6} {:12.1} {:10.2}", result.0, result.1, result.1 / result.0 as f64);
    }
    // Return addresses of std, libc and this program, each looked up for the first time again and again.
    let mut cold = f64::MAX;
    for _ in 0..200 {
        unwind::forget();
        let start = Instant::now();
        capture(&mut frames);
        cold = cold.min(start.elapsed().as_nanos() as f64);
    }
    println!("{:.0} ns for an address that is new", cold / (base + 1) as f64);
    capture(&mut [Frame::NONE; 1]);
    let none = stack_of(|| ());
    let hot = stack_of(|| _ = capture(&mut [Frame::NONE; 1]));
    let one = stack_of(|| {
        unwind::forget();
        black_box(unwind::rule(capture as *const () as usize + 1));
    });
    let all = stack_of(|| {
        unwind::forget();
        capture(&mut [Frame::NONE; 1]);
    });
    let [hot, one, all] = [hot, one, all].map(|n| n - none);
    println!(
        "bytes of stack: {hot} for a walk that knows all, {one} to look a rule up, {all} for a walk that knows nothing"
    );
}
