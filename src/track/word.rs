//! What stands in the side table for a tracked block: 16 bytes, which only this module packs and unpacks.

use super::rate::Rate;
use crate::pages::page::Word;
use crate::sync::Ordering;

const SITE: u32 = 22;
const TAG: u32 = 12;
const RATE: u32 = 16;
const SIZE_HIGH: u32 = 14;
const SIZE_LOW: u32 = 28;
const EPOCH: u32 = 36;
const _: () = assert!(SITE + TAG + RATE + SIZE_HIGH == u64::BITS && SIZE_LOW + EPOCH == u64::BITS);

/// Sites are numbered below this.
pub(crate) const SITES: u32 = 1 << SITE;
/// Tags are numbered below this.
pub(crate) const TAGS: usize = 1 << TAG;
/// The largest requested size that a word can hold: 4 TiB. A larger one is held as this.
const LARGEST: u64 = (1 << (SIZE_LOW + SIZE_HIGH)) - 1;

/// What is known of a tracked block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Birth {
    pub(crate) site: u32,
    pub(crate) tag: u16,
    pub(crate) rate: Rate,
    /// Bytes that were asked for.
    pub(crate) requested: u64,
    /// The epoch of the birth, modulo 2^36.
    pub(crate) epoch: u64,
}

/// Writes the word of a block that was just allocated.
#[inline(always)]
pub(crate) fn write(word: &Word, birth: Birth) {
    debug_assert!(birth.site < SITES && (birth.tag as usize) < TAGS && birth.rate != Rate::NONE);
    let size = birth.requested.min(LARGEST);
    let low = size & ((1 << SIZE_LOW) - 1) | birth.epoch << SIZE_LOW;
    let high = birth.site as u64
        | (birth.tag as u64) << SITE
        | (birth.rate.0 as u64) << (SITE + TAG)
        | (size >> SIZE_LOW) << (SITE + TAG + RATE);
    // Release because whoever sees this half must not see what the word said before its block was buried.
    word.0[1].store(low, Ordering::Release);
    word.0[0].store(high, Ordering::Release); // Release: whoever sees this half sees the other
}

/// What stands in the word of a block that was freed: no rate, so no block; but not what a word begins with.
const DEAD: u64 = SITES as u64 - 1;

/// Says that the block is dead.
#[inline(always)]
pub(crate) fn bury(word: &Word) {
    word.0[0].store(DEAD, Ordering::Relaxed); // Relaxed: nothing else is said by it
}

/// Says that a block lives of which nothing is known.
#[inline]
pub(crate) fn leave_out(word: &Word) {
    word.0[0].store(0, Ordering::Relaxed); // Relaxed: as above
}

/// Whether the block was freed, and nothing was allocated there since.
#[inline]
pub(crate) fn is_dead(word: &Word) -> bool {
    word.0[0].load(Ordering::Relaxed) == DEAD // Relaxed: the caller owns the block, or nobody should
}

/// Reads a word; `None` if no tracked block lives there. While other threads allocate and free, what is read is a block
/// that lived at some moment of the call.
#[inline]
pub(crate) fn read(word: &Word) -> Option<Birth> {
    let high = word.0[0].load(Ordering::Acquire); // Acquire: `write`
    let low = word.0[1].load(Ordering::Acquire); // Acquire: before the second look
    seen(high, low, word.0[0].load(Ordering::Relaxed))
}

/// What was read, if the first half was `again` in the end. A word that changed in between is of a block that died or was born
/// meanwhile: neither must be seen. One that has only left its watch, or come back, lives.
#[inline(always)]
fn seen(high: u64, low: u64, again: u64) -> Option<Birth> {
    if again == high || exact(again) == exact(high) { unpack(again, low) } else { None }
}

/// The same, of a block that is tracked on behalf of nobody.
const fn exact(high: u64) -> u64 {
    high | (Rate::EXACT.0 as u64) << (SITE + TAG)
}

/// Takes a block out of its watch, if it is in one that `f` accepts: says in which, and what else the word said. Of several who
/// try, one gets it.
#[cold]
#[inline(never)]
pub(super) fn take_watch(word: &Word, f: impl Fn(u16) -> bool) -> Option<(u16, Birth)> {
    // Relaxed: what is exchanged is compared.
    let (high, low) = (word.0[0].load(Ordering::Relaxed), word.0[1].load(Ordering::Relaxed));
    let birth = unpack(high, low)?;
    let watch = birth.rate.watch().filter(|&watch| f(watch))?;
    // Acquire: what was counted at the block's birth comes before what is counted here. Release: whoever sees this half still
    // sees the other. Relaxed: nothing was taken.
    let taken = word.0[0].compare_exchange(high, exact(high), Ordering::AcqRel, Ordering::Relaxed);
    taken.is_ok().then_some((watch, birth))
}

/// The same for the block's owner: nobody writes the word meanwhile.
#[inline(always)]
pub(crate) fn read_own(word: &Word) -> Option<Birth> {
    // Relaxed: whoever owns the block has what was written when it was allocated.
    unpack(word.0[0].load(Ordering::Relaxed), word.0[1].load(Ordering::Relaxed))
}

#[inline(always)]
fn unpack(high: u64, low: u64) -> Option<Birth> {
    let rate = Rate((high >> (SITE + TAG)) as u16);
    (rate != Rate::NONE).then_some(Birth {
        site: (high & (SITES as u64 - 1)) as u32,
        tag: (high >> SITE) as u16 & (TAGS as u16 - 1),
        rate,
        requested: (high >> (SITE + TAG + RATE)) << SIZE_LOW | low & ((1 << SIZE_LOW) - 1),
        epoch: low >> SIZE_LOW,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let word = Word::default();
        assert_eq!(read(&word), None);
        for (site, tag, rate, requested, epoch) in [
            (0, 0, Rate::EXACT, 0, 0),
            (SITES - 1, TAGS as u16 - 1, Rate::sampled(1 << 19), LARGEST, (1 << EPOCH) - 1),
            (77, 3, Rate::sampled(1), 1 << SIZE_LOW, 5),
        ] {
            let birth = Birth { site, tag, rate, requested, epoch };
            write(&word, birth);
            assert_eq!(read(&word), Some(birth));
        }
        write(&word, Birth { site: 1, tag: 0, rate: Rate::EXACT, requested: u64::MAX, epoch: 0 });
        assert_eq!(read(&word).expect("a block").requested, LARGEST);
        assert!(!is_dead(&word));
        assert_eq!(take_watch(&word, |_| true), None, "it is in none");
        let watched = Birth { site: 5, tag: 6, rate: Rate::watched(7), requested: 1 << 30, epoch: 9 };
        write(&word, watched);
        let halves = || [0, 1].map(|half: usize| word.0[half].load(Ordering::Relaxed));
        let [high, low] = halves();
        assert_eq!(take_watch(&word, |watch| watch == 8), None);
        assert_eq!(take_watch(&word, |watch| watch == 7), Some((7, watched)));
        assert_eq!(read(&word), Some(Birth { rate: Rate::EXACT, ..watched }), "nothing else has changed");
        assert_eq!(take_watch(&word, |_| true), None, "it was taken");
        assert_eq!(
            seen(high, low, halves()[0]).map(|birth| birth.site),
            Some(5),
            "whoever reads meanwhile sees that it lives"
        );
        assert_eq!(seen(high, low, DEAD), None);
        bury(&word);
        assert_eq!((read(&word), is_dead(&word)), (None, true));
        leave_out(&word);
        assert_eq!((read(&word), is_dead(&word)), (None, false));
    }
}
