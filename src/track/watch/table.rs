//! What each site has done in one watch.
//!
//! Open addressing by site, in private memory that grows. What finds no room is counted in one line for all.
//!
//! The table also knows what each site held when most was held, without a copy at each new peak: peaks are numbered, and a
//! line notes what it holds before its first change after a peak. A line that has not changed since holds what it held.

use crate::arena::private;
use crate::os::die;
use std::ptr::null_mut;

/// Blocks and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Blocks.
    pub blocks: u64,
    /// Bytes that were requested for them.
    pub bytes: u64,
}

impl Count {
    pub(super) fn add(&mut self, size: u64) {
        self.blocks += 1;
        self.bytes += size;
    }

    pub(super) fn take(&mut self, size: u64) {
        self.blocks = less(self.blocks, 1);
        self.bytes = less(self.bytes, size);
    }

    pub(super) fn resize(&mut self, from: u64, to: u64) {
        self.bytes = less(self.bytes + to, from);
    }
}

/// A difference that is never below zero. An abort, because a panic would unwind out of a free, and with a lock held.
pub(super) fn less(a: u64, b: u64) -> u64 {
    a.checked_sub(b).unwrap_or_else(|| die!("a watch counts more deaths than births"))
}

/// One site. `site` is `None` for all that found no room.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    pub(crate) site: Option<u32>,
    pub(crate) allocated: Count,
    pub(crate) live: Count,
    /// What was live when the watch's live bytes were at their peak, for the first time.
    pub(crate) at_peak: Count,
}

/// As it stands in the table. Zeroes are none.
pub(super) struct Entry {
    site: u32,
    used: u32,
    pub(super) allocated: Count,
    pub(super) live: Count,
    /// What was live at the peak of this number; since a later one, nothing has changed.
    noted: Count,
    peak: u64,
}

const _: () = assert!(size_of::<Entry>() == 64);

impl Entry {
    fn line(&self, peak: u64) -> Line {
        let at_peak = if self.peak == peak { self.noted } else { self.live };
        Line { site: (self.used != 0).then_some(self.site), allocated: self.allocated, live: self.live, at_peak }
    }
}

const FIRST: usize = 64;
const LAST: usize = 8192;

/// Zeroes are an empty one.
pub(super) struct Table {
    entries: *mut Entry,
    /// A power of two, or 0.
    capacity: u32,
    used: u32,
    /// Nothing is added any more: what did not find room once must not find it later, or its death would be another's.
    full: bool,
    /// The number of the last peak.
    peak: u64,
    others: Entry,
}

// SAFETY: the entries are the table's own.
unsafe impl Send for Table {}

impl Table {
    /// The line of a site, about to be changed.
    pub(super) fn line(&mut self, site: u32) -> &mut Entry {
        let peak = self.peak;
        let entry = self.find(site);
        if entry.peak != peak {
            (entry.noted, entry.peak) = (entry.live, peak);
        }
        entry
    }

    /// What is live now is the most that was.
    pub(super) fn is_peak(&mut self) {
        self.peak += 1;
    }

    fn find(&mut self, site: u32) -> &mut Entry {
        let mut at = self.slot_of(site);
        let is_new = |table: &Table, at: Option<usize>| at.is_none_or(|at| table.entries()[at].used == 0);
        if is_new(self, at) && !self.full && self.used as usize * 4 >= self.capacity as usize * 3 {
            self.full = !self.grow();
            at = self.slot_of(site);
        }
        match at {
            Some(at) if !(is_new(self, Some(at)) && self.full) => {
                self.used += (self.entries()[at].used == 0) as u32;
                let entry = &mut self.entries_mut()[at];
                (entry.site, entry.used) = (site, 1);
                entry
            }
            _ => &mut self.others,
        }
    }

    /// Where a site stands, or would.
    fn slot_of(&self, site: u32) -> Option<usize> {
        let mask = (self.capacity as usize).checked_sub(1)?;
        let entries = self.entries();
        let mut at = site.wrapping_mul(0x9E37_79B1) as usize >> 7 & mask;
        // Never full, so this ends.
        while entries[at].used != 0 && entries[at].site != site {
            at = (at + 1) & mask;
        }
        Some(at)
    }

    /// `false` if it may not, or memory is out.
    fn grow(&mut self) -> bool {
        let capacity = (self.capacity as usize * 2).max(FIRST);
        let new: *mut Entry = if capacity > LAST { null_mut() } else { private::take(capacity * 64).cast() };
        if new.is_null() {
            return false;
        }
        let mut old = Table { entries: new, capacity: capacity as u32, ..Table::empty() };
        std::mem::swap(&mut self.entries, &mut old.entries);
        std::mem::swap(&mut self.capacity, &mut old.capacity);
        for entry in old.entries() {
            if let (true, Some(at)) = (entry.used != 0, self.slot_of(entry.site)) {
                // SAFETY: plain figures; the old table is forgotten.
                self.entries_mut()[at] = unsafe { std::ptr::read(entry) };
            }
        }
        old.clear();
        true
    }

    fn empty() -> Table {
        // SAFETY: zeroes are an empty table.
        unsafe { std::mem::zeroed() }
    }

    fn entries(&self) -> &[Entry] {
        if self.entries.is_null() {
            return &[];
        }
        // SAFETY: so many entries, for which zeroes are valid, and which are the table's own.
        unsafe { std::slice::from_raw_parts(self.entries, self.capacity as usize) }
    }

    fn entries_mut(&mut self) -> &mut [Entry] {
        if self.entries.is_null() {
            return &mut [];
        }
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts_mut(self.entries, self.capacity as usize) }
    }

    /// How many lines there are, at most.
    pub(super) fn len(&self) -> usize {
        self.used as usize + 1
    }

    pub(super) fn each(&self, mut f: impl FnMut(Line)) {
        self.entries().iter().filter(|entry| entry.used != 0).for_each(|entry| f(entry.line(self.peak)));
        if self.others.allocated != Count::default() {
            f(self.others.line(self.peak));
        }
    }

    /// Gives the memory back.
    pub(super) fn clear(&mut self) {
        let table = std::mem::replace(self, Table::empty());
        if !table.entries.is_null() {
            // SAFETY: it came from there, with that size, and nobody uses it any more.
            unsafe { private::give(table.entries.cast(), table.capacity as usize * size_of::<Entry>()) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn what_each_site_held_at_the_peak() {
        let mut table = Table::empty();
        let mut live: HashMap<u32, u64> = HashMap::new();
        let (mut sum, mut peak, mut at_peak) = (0u64, 0u64, HashMap::new());
        let mut random = 1u64;
        for step in 0..20_000 {
            random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let (site, size) = ((random >> 33) as u32 % 500, (random >> 50) % 100 + 1);
            let held = live.entry(site).or_default();
            // Up and down in turns, with new peaks now and then.
            if step / 1000 % 2 == 0 || *held < size {
                table.line(site).live.add(size);
                table.line(site).allocated.add(size);
                (*held, sum) = (*held + size, sum + size);
            } else {
                table.line(site).live.bytes -= size;
                (*held, sum) = (*held - size, sum - size);
            }
            if sum > peak {
                peak = sum;
                table.is_peak();
                at_peak = live.clone();
            }
        }
        let (mut lines, mut bytes) = (0, 0);
        table.each(|line| {
            let site = line.site.expect("there is room for all");
            assert_eq!(line.at_peak.bytes, at_peak.get(&site).copied().unwrap_or(0), "site {site}");
            assert_eq!(line.live.bytes, live[&site]);
            (lines, bytes) = (lines + 1, bytes + line.at_peak.bytes);
        });
        assert_eq!((lines, bytes), (500, peak));
        table.clear();
        assert_eq!((table.len(), table.entries().len()), (1, 0));
    }

    #[test]
    fn what_finds_no_room_is_counted_in_one_line() {
        let mut table = Table::empty();
        for site in 0..10_000 {
            let line = table.line(site);
            line.allocated.add(1);
            line.live.add(1);
        }
        for site in 0..10_000 {
            table.line(site).live.take(1);
        }
        let (mut sites, mut others) = (0, 0);
        table.each(|line| {
            assert_eq!(line.live, Count::default());
            match line.site {
                Some(_) => (sites, _) = (sites + 1, assert_eq!(line.allocated.blocks, 1)),
                None => others = line.allocated.blocks,
            }
        });
        assert_eq!((sites, others), (LAST as u64 * 3 / 4, 10_000 - LAST as u64 * 3 / 4));
        table.clear();
    }
}
