//! The largest live values seen, by site and by tag.
//!
//! Tables of fixed size, without a lock: two snapshots may be taken at the same time, and `fork` may come in between.

use super::{Peak, Sum};
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// Sites of one snapshot that are entered, the largest first, so that many small ones do not fill the table.
pub(super) const NOTED: usize = 2048;
const SLOTS: usize = 16 << 10;
/// Sites in the table, at most: the rest stays free so that searches end soon.
const MOST: u32 = (SLOTS / 4 * 3) as u32;
const TAGS: usize = crate::track::word::TAGS;

/// The bits of non-negative floats, which are ordered as the floats are.
struct Largest {
    blocks: AtomicU64,
    bytes: AtomicU64,
}

// Relaxed throughout: the maxima order nothing, and each stands for itself.
impl Largest {
    const fn new() -> Largest {
        Largest { blocks: AtomicU64::new(0), bytes: AtomicU64::new(0) }
    }

    fn raise(&self, live: &Sum) -> Peak {
        let raise =
            |to: &AtomicU64, value: f64| f64::from_bits(to.fetch_max(value.to_bits(), Ordering::Relaxed)).max(value);
        Peak { blocks: raise(&self.blocks, live.blocks), bytes: raise(&self.bytes, live.bytes) }
    }
}

pub(super) struct Table {
    /// A site's number and 1; 0 in an empty slot.
    sites: [AtomicU32; SLOTS],
    largest: [Largest; SLOTS],
    used: AtomicU32,
    tags: [Largest; TAGS],
}

/// Of this process.
pub(super) static SEEN: Table = Table::new();

impl Table {
    pub(super) const fn new() -> Self {
        Table {
            sites: [const { AtomicU32::new(0) }; SLOTS],
            largest: [const { Largest::new() }; SLOTS],
            used: AtomicU32::new(0),
            tags: [const { Largest::new() }; TAGS],
        }
    }

    /// What a site holds now, made part of its maximum, which is returned. A site that is not known is entered if `enter`
    /// and if there is room.
    pub(super) fn site(&self, number: u32, live: &Sum, enter: bool) -> Peak {
        let now = Peak { blocks: live.blocks, bytes: live.bytes };
        let first = number.wrapping_mul(0x9E37_79B9) as usize >> 16;
        for slot in (0..SLOTS).map(|i| (first + i) % SLOTS) {
            let mut holds = self.sites[slot].load(Ordering::Relaxed);
            if holds == 0 {
                if !enter || self.used.load(Ordering::Relaxed) >= MOST {
                    return now;
                }
                match self.sites[slot].compare_exchange(0, number + 1, Ordering::Relaxed, Ordering::Relaxed) {
                    Ok(_) => {
                        self.used.fetch_add(1, Ordering::Relaxed);
                        holds = number + 1;
                    }
                    Err(other) => holds = other,
                }
            }
            if holds == number + 1 {
                return self.largest[slot].raise(live);
            }
        }
        now
    }

    /// The same for a tag.
    pub(super) fn tag(&self, number: u16, live: &Sum) -> Peak {
        self.tags.get(number as usize).map_or(Peak { blocks: live.blocks, bytes: live.bytes }, |t| t.raise(live))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(blocks: f64, bytes: f64) -> Sum {
        Sum { blocks, bytes, ..Sum::default() }
    }

    #[test]
    fn the_largest_of_each_figure_is_kept() {
        static TABLE: Table = Table::new();
        assert_eq!(TABLE.site(7, &sum(3.0, 100.0), true), Peak { blocks: 3.0, bytes: 100.0 });
        assert_eq!(TABLE.site(7, &sum(1.0, 200.5), false), Peak { blocks: 3.0, bytes: 200.5 });
        assert_eq!(TABLE.site(7, &sum(0.0, 0.0), false), Peak { blocks: 3.0, bytes: 200.5 });
        assert_eq!(TABLE.site(0, &sum(9.0, 9.0), true), Peak { blocks: 9.0, bytes: 9.0 });
        assert_eq!(TABLE.tag(3, &sum(5.0, 5.0)), Peak { blocks: 5.0, bytes: 5.0 });
        assert_eq!(TABLE.tag(3, &sum(4.0, 6.0)), Peak { blocks: 5.0, bytes: 6.0 });
        // Not entered: what it holds now is all that is known.
        TABLE.site(8, &sum(9.0, 9.0), false);
        assert_eq!(TABLE.site(8, &sum(1.0, 1.0), false), Peak { blocks: 1.0, bytes: 1.0 });
    }

    #[test]
    fn a_full_table_says_what_lives_now() {
        static TABLE: Table = Table::new();
        for site in 0..2 * SLOTS as u32 {
            TABLE.site(site, &sum(2.0, 2.0), true);
        }
        assert_eq!(TABLE.used.load(Ordering::Relaxed), MOST);
        assert_eq!(TABLE.site(5, &sum(1.0, 1.0), true).blocks, 2.0);
        assert_eq!(TABLE.site(2 * SLOTS as u32 - 1, &sum(1.0, 1.0), true).blocks, 1.0);
    }
}
