//! What needs no oracle. The comparison with libgcc is in `alloc-tests/tests/unwind.rs`.

use super::*;
use crate::track::Ending;
use std::hint::black_box;

/// musl's first functions have no rules.
#[cfg(target_arch = "x86_64")]
const END: Ending = if cfg!(target_env = "gnu") { Ending::Complete } else { Ending::NoRules };

#[inline(never)]
fn leaf(frames: &mut [Frame]) -> (usize, Ending) {
    walk(Registers::here(), frames)
}

#[inline(never)]
fn deep(n: usize, frames: &mut [Frame]) -> (usize, Ending) {
    black_box(if n == 0 { leaf(frames) } else { deep(n - 1, frames) })
}

#[test]
fn this_process_can_be_walked() {
    assert_eq!(method(), if cfg!(target_arch = "x86_64") { Method::Rules } else { Method::None });
}

#[cfg(target_arch = "x86_64")]
#[test]
fn slots_hold_the_words() {
    let mut frames = [Frame::NONE; 64];
    let (n, ending) = leaf(&mut frames);
    assert_eq!(ending, END);
    assert!(n > 2 && n < 64, "{n}");
    // The first slot died with `leaf`.
    for frame in &frames[1..n] {
        // SAFETY: the stack of a function that still runs.
        assert_eq!(unsafe { walk::load(frame.slot) }, frame.word());
    }
    assert!(frames[..n].windows(2).all(|w| w[0].slot < w[1].slot), "one stack");
}

#[cfg(target_arch = "x86_64")]
#[test]
fn the_depth_limit_is_an_ending_of_its_own() {
    let mut all = [Frame::NONE; 200];
    let (n, ending) = deep(20, &mut all);
    assert_eq!(ending, END);
    assert!(n > 20);
    for limit in [0, 1, 7, n - 1, n, n + 1] {
        let mut frames = vec![Frame::NONE; limit];
        let (got, ending) = deep(20, &mut frames);
        assert_eq!((got, ending), (n.min(limit), if limit < n { Ending::Depth } else { END }), "{limit}");
    }
}

/// The induction of the module's docs, tried: distances and RBP words of one walk foretell another.
#[cfg(target_arch = "x86_64")]
#[test]
fn distances_from_the_first_stack_pointer_are_the_same() {
    #[inline(never)]
    fn capture(frames: &mut [Frame]) -> (usize, usize) {
        let here = Registers::here();
        (here.sp, black_box(walk(here, frames).0))
    }
    #[inline(never)]
    fn lower(frames: &mut [Frame]) -> (usize, usize) {
        let room = black_box([0u8; 512]);
        let result = capture(frames);
        black_box(&room);
        result
    }
    let mut stacks = vec![];
    for _ in 0..2 {
        let mut frames = [Frame::NONE; 64];
        let (sp, n) = lower(&mut frames);
        stacks.push((sp, frames[..n].to_vec()));
    }
    let [(sp1, one), (sp2, two)] = &stacks[..] else { panic!() };
    assert_eq!(one.len(), two.len());
    for (a, b) in one.iter().zip(two) {
        assert_eq!((a.slot - sp1, a.how), (b.slot - sp2, b.how));
        assert_eq!(
            a.bp_slot.wrapping_sub(*sp1) * usize::from(a.bp_slot != 0),
            b.bp_slot.wrapping_sub(*sp2) * usize::from(b.bp_slot != 0)
        );
    }
}

#[test]
fn nonsense_ends_a_walk() {
    let mut frames = [Frame::NONE; 8];
    let here = Registers::here();
    for pc in [0, 1, 4096, 1 << 47, 1 << 48, usize::MAX] {
        assert_eq!(walk(Registers { pc, ..here }, &mut frames), (0, Ending::NoRules), "{pc:#x}");
    }
    for sp in [0, 8, 4097, usize::MAX] {
        let (n, ending) = walk(Registers { sp, bp: sp, ..here }, &mut frames);
        assert!(n == 0 && ending != Ending::Complete);
    }
}
