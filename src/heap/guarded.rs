//! Samples in guarded slots: how they are freed, and what is said when one is misused.

use super::SlowPath;
use super::thread::with_tracker;
use crate::config::Config;
use crate::os::{self, die};
use crate::pages::classes::block_size;
use crate::pages::guarded::{self, Known, State};
use crate::pages::loose;

/// Frees a block of a slot.
///
/// # Safety
/// The address lies among the slots. If no block that lives begins there, the process ends.
#[cold]
#[inline(never)]
pub(super) unsafe fn free<S: SlowPath>(config: &Config, block: *mut u8) {
    let Some(known) = guarded::live_at(block) else { return wrong::<S>(block) };
    if let Some(p) = guarded::written_beside(&known) {
        let side = if p < block { "before" } else { "behind" };
        tell::<S>(&known, format_args!("{} bytes {side} it were overwritten, seen at its free", known.distance(p)));
        die!("heap overflow of {block:p}, a guarded block of {} bytes", known.requested);
    }
    let first = with_tracker::<S, _>(config, |tracker| {
        let site = S::site(tracker);
        // SAFETY: the block lives, or another thread frees it too at this moment: then the word is dead, and is not given back
        // twice.
        unsafe {
            let first = S::died(tracker, &*known.word, block_size(known.class), S::now());
            if first {
                guarded::give(block, site);
                loose::give(known.word);
            }
            first
        }
    });
    if !first {
        wrong::<S>(block);
    }
}

/// A free of what is no block.
#[cold]
fn wrong<S: SlowPath>(p: *mut u8) {
    let what = match guarded::around(p) {
        Some(known) => {
            // If it lives still, another thread frees it at this moment.
            let twice = known.block == p;
            tell::<S>(&known, format_args!("it is freed{} at this moment", if twice { " again" } else { "" }));
            if twice {
                "was freed twice: it is a guarded block"
            } else {
                "is freed, which is not the beginning of a block"
            }
        }
        None => "is freed, which nobody was given",
    };
    die!("{p:p} {what}");
}

/// Says of an access that was refused what it was, if that was among the slots. In a signal handler.
pub(crate) fn explain<S: SlowPath>(p: *mut u8) -> bool {
    let Some(known) = guarded::around(p) else { return false };
    let (begin, end) = (known.block.addr(), known.block.addr() + known.requested);
    let what = match known.state {
        State::Freed if (begin..end).contains(&p.addr()) => "use after free",
        // It was free at the access, and was handed out since.
        State::Live if (begin..end).contains(&p.addr()) => "access where a block was handed out at this moment",
        _ if p.addr() < begin => "heap underflow",
        _ => "heap overflow",
    };
    os::warn(format_args!("{what}: the program accessed {p:p}"));
    if (begin..end).contains(&p.addr()) {
        tell::<S>(&known, format_args!("byte {} of it", p.addr() - begin));
    } else {
        let side = if p.addr() < begin { "before" } else { "behind" };
        tell::<S>(&known, format_args!("{} bytes {side} it", known.distance(p)));
    }
    true
}

/// What is known of a block.
fn tell<S: SlowPath>(known: &Known, what: std::fmt::Arguments<'_>) {
    os::warn(format_args!("guarded block {:p} of {} bytes: {what}", known.block, known.requested));
    os::warn(format_args!("allocated by thread {} at", known.allocated.1));
    S::stack(known.allocated.0);
    if known.state == State::Freed {
        os::warn(format_args!("freed by thread {} at", known.freed.1));
        S::stack(known.freed.0);
    }
}
