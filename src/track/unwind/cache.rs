//! The rules of the addresses that were met, for all threads: one word each, one relaxed load when it is there.
//!
//! An entry is a tag and a rule. The index is the address's low bits, and the tag the others: together they are the
//! address, so an entry that matches is the right one. (Return addresses are no multiples of anything: their low bits
//! are as good as any hash of them, and each operation that a hash takes is waited for at each frame.) Each address may
//! stand in two places, at its index and beside it; the index's low bit is in the tag, so the neighbour's entries do not
//! match. The first addresses are kept in [`few`](super::few) instead, until they are asked for often.
//!
//! There is no lock: an entry is written as a whole, and a lost or doubled one costs a miss. What must not happen is
//! that a rule from before a change of the loaded objects is written after [`refresh`] has cleared the tables. So
//! whoever fills reads the generation before it resolves and after it has written, and takes its entry back if that
//! differs. Either it sees the new generation, or `refresh` clears after the write: both have a `SeqCst` fence between
//! their write and what they read or clear next.

use super::few::FEW;
use super::rule::{self, Rule};
use super::{cfi, method};
use crate::os::objects;
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use std::sync::atomic::fence;

/// Lookup addresses are below this; so are all that a process may map without asking for more.
pub(super) const ADDRESSES: usize = 1 << 48;
/// 128 KiB; of real programs, none met so far allocates from so many addresses.
const INDEX_BITS: u32 = 14;
const TAG_BITS: u32 = 48 - INDEX_BITS + 1;
const _: () = assert!(TAG_BITS + rule::BITS == 64);

static TABLE: [AtomicU64; 1 << INDEX_BITS] = [const { AtomicU64::new(0) }; 1 << INDEX_BITS];
static GENERATION: AtomicU32 = AtomicU32::new(0);
/// What the loader said at the last look, plus one; 0 before the first.
static CHANGES: AtomicU64 = AtomicU64::new(0);

/// Where an address's entry stands, and how it begins.
#[inline(always)]
fn place(lookup: usize) -> (usize, u64) {
    let index = lookup & ((1 << INDEX_BITS) - 1);
    (index, (lookup >> INDEX_BITS << 1 | lookup & 1) as u64)
}

#[inline(always)]
fn found(entry: u64, tag: u64) -> Option<Rule> {
    // SAFETY: an entry that is not 0 was made of a rule below.
    (entry >> rule::BITS == tag && entry != 0).then(|| unsafe { Rule::from_bits(entry as u32) })
}

/// The rule for a lookup address: a return address minus one, or the pc itself where a signal interrupted.
///
/// No lock, no allocation, at any time. When it is not hot: see the module's docs for what it costs.
#[inline(always)]
pub(crate) fn rule(lookup: usize) -> Rule {
    if lookup >= ADDRESSES {
        return Rule::NO_RULES;
    }
    let (index, tag) = place(lookup);
    // Relaxed: the entry is the message. The tables that it was made of do not change.
    match found(TABLE[index].load(Ordering::Relaxed), tag) {
        Some(rule) => rule,
        None => rule_cold(lookup, index, tag),
    }
}

#[cold]
#[inline(never)]
fn rule_cold(lookup: usize, index: usize, tag: u64) -> Rule {
    if let Some(rule) = found(TABLE[index ^ 1].load(Ordering::Relaxed), tag) {
        return rule;
    }
    if method::method() == method::Method::None {
        return Rule::NO_RULES;
    }
    // Acquire because what is read of the objects below must not be older than this.
    let generation = GENERATION.load(Ordering::Acquire);
    let few = FEW.find(lookup);
    if let Some((rule, false)) = few {
        return rule;
    }
    // Also what was found and gets into the table from here on: it may be about to be taken back.
    let Some(rule) = cfi::resolve(lookup) else { return Rule::NO_RULES };
    if few.is_none()
        && let Some(kept) = FEW.add(lookup, rule)
    {
        // SeqCst because of the other fence, in `forget`.
        fence(Ordering::SeqCst);
        if GENERATION.load(Ordering::Relaxed) != generation {
            kept.take_back();
        }
        return rule;
    }
    let entry = tag << rule::BITS | u64::from(rule.bits());
    // The newcomer takes the first place, whoever stood there the second. Relaxed: as in `rule`.
    let older = TABLE[index].swap(entry, Ordering::Relaxed);
    if older != 0 {
        TABLE[index ^ 1].store(older, Ordering::Relaxed);
    }
    // SeqCst because of the other fence, in `forget`.
    fence(Ordering::SeqCst);
    if GENERATION.load(Ordering::Relaxed) != generation {
        // Also the one that was moved: it may have been cleared between the two steps.
        for old in [entry, older] {
            for place in [index, index ^ 1] {
                let _ = TABLE[place].compare_exchange(old, 0, Ordering::Relaxed, Ordering::Relaxed);
            }
        }
    }
    rule
}

/// How often [`refresh`] saw a change. Whoever keeps what follows from rules keeps this beside it.
#[inline(always)]
pub(crate) fn generation() -> u32 {
    // Acquire: rules asked for after this are at least as new.
    GENERATION.load(Ordering::Acquire)
}

/// Forgets all rules if objects were loaded or unloaded since the last call, and says whether it did. Takes the
/// loader's lock: for the helper thread and for snapshots, never inside an allocation.
///
/// Only unloading makes rules wrong, and only when other code is loaded to the same addresses. Until the next call,
/// walks through that code may end early or show wrong frames; they read only within the bounds that `walk` says.
pub(crate) fn refresh() -> bool {
    let changes = objects::changes().wrapping_add(1).max(1);
    // Relaxed: two that refresh at once may both clear, which harms nobody.
    let before = CHANGES.swap(changes, Ordering::Relaxed);
    if before == changes {
        return false;
    }
    forget();
    true
}

/// Notes which objects are loaded now, so that [`refresh`] need not take the first look for a change. Takes the
/// loader's lock.
pub(super) fn begin() {
    let changes = objects::changes().wrapping_add(1).max(1);
    let _ = CHANGES.compare_exchange(0, changes, Ordering::Relaxed, Ordering::Relaxed); // Relaxed: as in `refresh`
}

/// What [`refresh`] does when something changed.
pub(crate) fn forget() {
    GENERATION.fetch_add(1, Ordering::AcqRel); // Release: for whoever loads it with Acquire
    fence(Ordering::SeqCst); // the other half is in `rule_cold`
    FEW.forget();
    for entry in &TABLE {
        // To write zeroes where nothing ever stood would make the whole table resident.
        if entry.load(Ordering::Relaxed) != 0 {
            entry.store(0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_tell_all_addresses_apart() {
        for address in (0..ADDRESSES).step_by(0x3_1415_9265) {
            let (index, tag) = place(address);
            assert_eq!((tag as usize >> 1) << INDEX_BITS | index, address);
            assert!(tag >> TAG_BITS == 0 && index < TABLE.len());
            // Beside it, it does not look like the neighbour's own.
            assert_eq!(tag & 1, index as u64 & 1);
        }
    }

    #[test]
    fn forgotten_rules_are_found_again() {
        let here = forgotten_rules_are_found_again as *const () as usize + 1;
        let (first, generation_before) = (rule(here), generation());
        assert_eq!(first, rule(here));
        forget();
        assert_ne!(generation(), generation_before);
        let (index, tag) = place(here);
        assert!(FEW.find(here).is_none() && found(TABLE[index].load(Ordering::Relaxed), tag).is_none());
        assert_eq!(first, rule(here));
        assert_eq!(rule(usize::MAX), Rule::NO_RULES);
        assert_eq!(rule(ADDRESSES), Rule::NO_RULES);
        assert_eq!(rule(0), Rule::NO_RULES);
    }
}
