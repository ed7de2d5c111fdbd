//! What lies in magazines and depots, and what was ever allocated: read from outside, while threads run.

use super::magazine::{CAPACITY, Magazine, Slot};
#[cfg(feature = "internals")]
use super::thread::Heap;
use super::thread::{ClassHeap, each, each_ever, each_standing};
use super::{Pair, depot, is_magazine, slow};
use crate::pages::classes::CLASSES;
use crate::pages::page::Word;
use std::sync::atomic::Ordering::Relaxed;

/// Free blocks of each class in threads' magazines and in the depot, given to `f(class, magazines, depot)`.
pub(crate) fn cached(mut f: impl FnMut(usize, usize, usize)) {
    let mut held = [0; CLASSES];
    each(|heap, words| {
        for (class, held) in held.iter_mut().enumerate() {
            let (pair, k) = (heap.pair(words, class), &heap.classes[class]);
            // Relaxed: the owner runs on; a word that it changes meanwhile makes the count a moment old.
            *held += popped_last(pair.pop.load(Relaxed), k.cut.load(Relaxed), class);
            let push = pair.push.load(Relaxed);
            if !push.is_null() {
                *held += pushed(push, class);
            }
            *held += k.kept.load(Relaxed) * CAPACITY[class] as usize;
        }
        heap.tracked_cached(|class, blocks| held[class] += blocks);
    });
    for (class, held) in held.into_iter().enumerate() {
        f(class, held, depot::of(class).blocks());
    }
}

/// Gives `f` the free blocks in threads' magazines and in depots, and the tracked ones that were freed and are not buried.
/// While threads run on, a block that was popped a moment ago may be among them. `f` is called with locks held: it must
/// neither allocate nor take one.
pub(crate) fn each_free(mut f: impl FnMut(*mut u8)) {
    each_standing(|heap, words| {
        heap.dying.each(|freed| f(freed.block));
        let Some(words) = words else { return };
        for class in 0..CLASSES {
            free_of(heap.pair(words, class), &heap.classes[class], class, &mut f);
        }
        heap.each_tracked(|class, pair, k| free_of(pair, k, class, &mut f));
    });
    (0..CLASSES).for_each(|class| depot::of(class).each_block(&mut f));
}

/// The free blocks of a class in a thread's magazines.
fn free_of(pair: Pair<'_>, k: &ClassHeap, class: usize, f: &mut impl FnMut(*mut u8)) {
    // Relaxed, all of it: a moment old.
    let (pop, push, cut) = (pair.pop.load(Relaxed), pair.push.load(Relaxed), k.cut.load(Relaxed));
    let mut give = |slot: *mut Slot| {
        // SAFETY: slots of a magazine, whose memory is never unmapped.
        let block = if slot == cut { k.saved.load(Relaxed) } else { unsafe { (*slot).load(Relaxed) } };
        if !block.is_null() {
            f(block);
        }
    };
    (0..popped_last(pop, cut, class)).for_each(|i| give(pop.wrapping_sub(i)));
    if !push.is_null() {
        let top = push.wrapping_sub(1);
        (0..slots_from(top, class)).for_each(|i| give(top.wrapping_sub(i)));
    }
    for m in k.each_kept() {
        (0..CAPACITY[class] as usize).for_each(|i| give(m.top().wrapping_sub(i)));
    }
}

/// How many blocks [`dying`] may find at most, unless more than a few threads begin meanwhile.
pub(crate) fn most_dying() -> usize {
    let mut heaps = 64;
    each_ever(|_| heaps += 1);
    heaps * super::dying::WAIT
}

/// Gives `f` the tracked blocks that were freed and whose words do not say so yet, with word and class. In the child of a `fork`
/// those too that threads have freed which do not exist there, and whose words will never say so.
pub(crate) fn dying(mut f: impl FnMut(*mut u8, *const Word, usize, u64)) {
    each_standing(|heap, _| heap.dying.each(|freed| f(freed.block, freed.word, freed.class, freed.at)));
}

/// Blocks of a pop magazine: from the pop word down to a null that is not a sample's cut, which stands for a block.
pub(super) fn popped_last(pop: *mut Slot, cut: *mut Slot, class: usize) -> usize {
    let slots = if is_magazine(pop) { slots_from(pop, class) } else { 0 };
    let at = |i| pop.wrapping_sub(i);
    // SAFETY: slots of a magazine, whose memory is never unmapped.
    (0..slots).take_while(|&i| at(i) == cut || !unsafe { (*at(i)).load(Relaxed) }.is_null()).count()
}

/// Blocks of a push magazine: below the push word, but for what somebody took out of its lower end.
pub(super) fn pushed(push: *mut Slot, class: usize) -> usize {
    let top = push.wrapping_sub(1);
    // SAFETY: as above.
    (0..slots_from(top, class)).filter(|&i| !unsafe { (*top.wrapping_sub(i)).load(Relaxed) }.is_null()).count()
}

/// Slots from this one down to the lowest that a magazine of the class uses for a block.
fn slots_from(slot: *mut Slot, class: usize) -> usize {
    slot.addr().saturating_sub(Magazine::of(slot).start(class).addr()) / size_of::<Slot>()
}

/// Blocks of each class that were allocated since the start.
pub(crate) fn allocated(mut f: impl FnMut(usize, u64)) {
    each_ever(|heap| {
        for (class, k) in heap.classes.iter().enumerate() {
            f(class, k.popped.load(Relaxed) + k.tracked.load(Relaxed));
        }
        heap.tracked_allocated(&mut f);
    });
    // What is still in a pop magazine was counted when it was put there.
    each(|heap, words| {
        for class in 0..CLASSES {
            let left =
                popped_last(heap.pair(words, class).pop.load(Relaxed), heap.classes[class].cut.load(Relaxed), class);
            f(class, (left as u64).wrapping_neg());
        }
    });
    (0..CLASSES).for_each(|class| f(class, slow::orphans(class)));
}

/// Checks that every block in this thread's magazines or in a depot is one of that class, and out. Panics if not.
#[cfg(feature = "internals")]
pub(crate) fn check_all() {
    use crate::pages::page::page_of;
    let mut fault = None;
    let mut check = |block: *mut u8, class: usize| {
        // SAFETY: a block in a magazine is out, so its page exists.
        let page = unsafe { &*page_of(block) };
        if page.class() != class {
            fault = Some("a block lies in a magazine of another class");
        } else if page.is_home(block) {
            fault = Some("a block that is home lies in a magazine");
        }
    };
    super::words(|words| {
        let heap = words.heap.load(Relaxed);
        if heap.is_null() || heap == Heap::ENDED {
            return;
        }
        // SAFETY: heaps live for ever; inside the gate, what this thread's words lead to is its own: nobody takes a block and
        // sends it home while it is looked at.
        unsafe {
            (*heap).gate.enter();
            for class in 0..CLASSES {
                let pair = (*heap).pair(words, class);
                Magazine::blocks(pair.pop.load(Relaxed)).for_each(|b| check(b, class));
                let push = pair.push.load(Relaxed);
                if !push.is_null() {
                    Magazine::blocks(push.wrapping_sub(1)).for_each(|b| check(b, class));
                }
            }
            (*heap).gate.leave();
        }
    });
    for class in 0..CLASSES {
        depot::of(class).each_block(|block| check(block, class));
    }
    // With no lock held, nor inside the gate: a panic allocates.
    assert_eq!(fault, None);
}
