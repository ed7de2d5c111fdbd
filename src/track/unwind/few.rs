//! The rules of the first addresses that a process meets, in 4 KiB. [`cache`](super::cache) spreads addresses over 32 OS pages: a process
//! that takes a few samples would write to nearly all of them, for a word each.
//!
//! An entry is written once. It is claimed by its rule, and published by its address; an address that is taken back leaves it closed.
//! So who finds an address finds the rule that was written with it, whatever happens meanwhile.

use super::rule::Rule;
use crate::sync::{AtomicU32, AtomicU64, Ordering};

const ENTRIES: usize = 256;
/// Set in the rule of an entry that is claimed.
const CLAIMED: u32 = 1 << 31;
const _: () = assert!(super::rule::BITS <= 31);
/// Rules found before they get into the larger table too, where they are found some nanoseconds sooner: a process that walks so often
/// has more to lose than memory.
const PATIENCE: u32 = 1 << 14;

struct Entry {
    /// 0 while there is none, and once it was taken back.
    address: AtomicU64,
    rule: AtomicU32,
}

pub(super) struct Few {
    entries: [Entry; ENTRIES],
    found: AtomicU32,
}

pub(super) static FEW: Few = Few::new();

impl Few {
    const fn new() -> Few {
        Few {
            entries: [const { Entry { address: AtomicU64::new(0), rule: AtomicU32::new(0) } }; ENTRIES],
            found: AtomicU32::new(0),
        }
    }

    /// Each address may stand in two places.
    fn places(&self, lookup: usize) -> [&Entry; 2] {
        let i = lookup % ENTRIES;
        [&self.entries[i], &self.entries[i ^ 1]]
    }

    /// The rule of an address, and whether it should get into the larger table.
    pub(super) fn find(&self, lookup: usize) -> Option<(Rule, bool)> {
        if lookup == 0 {
            return None; // which an entry without an address would look like
        }
        // Acquire because the rule was written before it.
        let entry = self.places(lookup).into_iter().find(|e| e.address.load(Ordering::Acquire) == lookup as u64)?;
        // Relaxed, both: some more or less are as good.
        let found = self.found.load(Ordering::Relaxed);
        if found < PATIENCE {
            self.found.store(found + 1, Ordering::Relaxed);
        }
        // SAFETY: whoever published the address had written a rule's bits. Relaxed: they never change.
        let rule = unsafe { Rule::from_bits(entry.rule.load(Ordering::Relaxed) & !CLAIMED) };
        Some((rule, found >= PATIENCE))
    }

    /// Keeps a rule if there is room for it. Returns where, so that it can be taken back.
    pub(super) fn add(&self, lookup: usize, rule: Rule) -> Option<Kept<'_>> {
        let bits = rule.bits() | CLAIMED;
        // Relaxed: the address publishes it.
        let claim = |e: &&Entry| e.rule.compare_exchange(0, bits, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        let entry = self.places(lookup).into_iter().find(claim)?;
        entry.address.store(lookup as u64, Ordering::Release); // Release: see `find`
        Some(Kept(entry))
    }

    /// Forgets all rules. What was used stays closed.
    pub(super) fn forget(&self) {
        for entry in &self.entries {
            // To write zeroes where nothing ever stood would make it resident.
            if entry.address.load(Ordering::Relaxed) != 0 {
                entry.address.store(0, Ordering::Relaxed); // Relaxed, both: `cache` orders it
            }
        }
    }
}

/// A rule that was kept.
pub(super) struct Kept<'a>(&'a Entry);

impl Kept<'_> {
    pub(super) fn take_back(self) {
        self.0.address.store(0, Ordering::Relaxed); // Relaxed: whoever still finds it is as early as that
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_is_found_until_it_is_forgotten() {
        static FEW: Few = Few::new();
        let rule = Rule::NO_RULES;
        assert!(FEW.find(4711).is_none());
        assert!(FEW.add(4711, rule).is_some());
        assert_eq!(FEW.find(4711), Some((rule, false)));
        // Two in a place and beside it, and no third; each is found by its own address only.
        assert!(FEW.add(4711 + ENTRIES, rule).is_some());
        assert!(FEW.add(4711 + 2 * ENTRIES, rule).is_none());
        assert!(
            FEW.find(4711 + ENTRIES).is_some() && FEW.find(4711 + 2 * ENTRIES).is_none() && FEW.find(4710).is_none()
        );
        FEW.forget();
        assert!(FEW.find(4711).is_none() && FEW.find(4711 + ENTRIES).is_none());
        // An entry never says two things: readers may have seen its address before.
        assert!(FEW.add(4711, rule).is_none());
    }

    #[test]
    fn who_asks_often_is_sent_on() {
        static FEW: Few = Few::new();
        let kept = FEW.add(16, Rule::NO_RULES).expect("there is room");
        let asked = (0..2 * PATIENCE).take_while(|_| FEW.find(16).is_some_and(|(_, often)| !often)).count();
        assert_eq!(asked, PATIENCE as usize);
        kept.take_back();
        assert!(FEW.find(16).is_none());
    }
}
