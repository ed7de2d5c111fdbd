//! Whether this process' stacks can be walked: tried once, before anybody relies on it.

use super::{Frame, Registers, cache};
use crate::os::objects;
use crate::sync::{AtomicU8, Ordering};
use std::hint::black_box;

/// How stacks are captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Method {
    /// By the unwind rules of the code.
    Rules = 1,
    /// Not at all: another architecture, a program without unwind tables, or the self-check failed.
    None = 2,
}

/// 0 until it is decided.
static METHOD: AtomicU8 = AtomicU8::new(0);

/// The method. The first call tries it, in a few microseconds; no lock, no allocation.
#[inline]
pub(crate) fn method() -> Method {
    // Relaxed: whoever decides, decides the same.
    match METHOD.load(Ordering::Relaxed) {
        1 => Method::Rules,
        2 => Method::None,
        _ => decide(),
    }
}

/// At the start of the process, or of the library that this is in. Takes the loader's lock, so it is for code that
/// the loader calls (`.init_array`). Until then, walks end with `NoRules` in libraries; what was learnt of them is forgotten.
pub(crate) fn init() {
    objects::begin();
    cache::begin();
    // Relaxed: the loader calls this before there are other threads. An empty table is not touched for nothing.
    if METHOD.load(Ordering::Relaxed) != 0 {
        cache::forget();
    }
}

/// As if the code had no rules, from here on.
#[cfg(feature = "internals")]
pub(crate) fn disable() {
    METHOD.store(Method::None as u8, Ordering::Relaxed); // Relaxed: as in `method`
    cache::forget();
}

#[cold]
fn decide() -> Method {
    // The check itself walks. What others walk in these microseconds is as right as the check will find it.
    METHOD.store(Method::Rules as u8, Ordering::Relaxed); // Relaxed: as in `method`
    // Without the kernel's word on what can be read, no odd stack could be followed: rather none at all than guess.
    let works = cfg!(target_arch = "x86_64") && objects::probe_works() && self_check();
    let method = if works { Method::Rules } else { Method::None };
    METHOD.store(method as u8, Ordering::Relaxed); // Relaxed: as in `method`
    if !works {
        cache::forget();
    }
    method
}

/// Walks through two functions of ours whose return addresses' places are known: right below the stack pointers that
/// their callers had.
fn self_check() -> bool {
    let mut outer = Registers { pc: 0, sp: 0, bp: 0 };
    let mut inner = outer;
    let mut frames = [Frame::NONE; 3];
    let n = check_outer(&mut outer, &mut inner, &mut frames);
    let is = |frame: &Frame, caller: &Registers| {
        frame.slot.wrapping_add(8) == caller.sp && frame.address.abs_diff(caller.pc) < 4096
    };
    n == 3 && is(&frames[0], &inner) && is(&frames[1], &outer)
}

#[inline(never)]
fn check_outer(outer: &mut Registers, inner: &mut Registers, frames: &mut [Frame; 3]) -> usize {
    *outer = Registers::here();
    black_box(check_inner(inner, frames))
}

#[inline(never)]
fn check_inner(inner: &mut Registers, frames: &mut [Frame; 3]) -> usize {
    *inner = Registers::here();
    black_box(check_leaf(frames))
}

#[inline(never)]
fn check_leaf(frames: &mut [Frame; 3]) -> usize {
    super::walk(Registers::here(), frames).0
}
