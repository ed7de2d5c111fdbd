//! Which survivors keep what: the sums over pages.

use super::{Kept, Pages, Survivors, Together};
use crate::os;
use crate::pages::classes::CLASSES;
use crate::snapshot::Ending;
use crate::survey::{Page, outside};
use std::cmp::Reverse;
use std::collections::HashMap;

/// How many of the costliest a report names.
pub(super) const COSTLIEST: usize = 10;
/// How many combinations of sites that share OS pages are told apart.
const SHARED: usize = 1 << 16;

/// Survivors of which nothing is known, and samples: the first two rows.
const UNTRACKED: u32 = 0;
const SAMPLES: u32 = 1;
/// No row.
const NONE: u32 = u32::MAX;

/// The survivors of a site and tag.
#[derive(Clone, Copy, Default)]
struct Row {
    keep: Kept,
    smallest: usize,
    largest: usize,
    requested: u64,
    /// OS pages that it has for itself.
    comes_back: usize,
    /// The last page that it was seen in: pages are numbered from 1 on.
    page: usize,
}

/// A row's bytes in an OS page.
struct Touch {
    os_page: usize,
    row: u32,
    bytes: usize,
}

pub(super) struct Pins {
    pub(super) classes: [Pages; CLASSES],
    rows: Vec<Row>,
    numbers: HashMap<(u32, u16), u32>,
    /// Bytes of OS pages that only these rows touch: two to ten of them, in ascending order, then none.
    shared: HashMap<[u32; COSTLIEST], usize>,
    /// Of the page that is looked at.
    page: usize,
    owners: Vec<u32>,
    touches: Vec<Touch>,
    those: Vec<u32>,
}

/// Divides `total` in proportion to the weights, in whole numbers whose sum is `total`.
fn share_out(total: usize, weights: impl Iterator<Item = usize> + Clone, mut f: impl FnMut(usize, usize)) {
    let sum: usize = weights.clone().sum();
    let (mut weight, mut given) = (0, 0);
    for (i, w) in weights.enumerate() {
        weight += w;
        // Of at most 512 KiB and as many bytes: no overflow.
        let to = total * weight / sum;
        f(i, to - given);
        given = to;
    }
}

impl Pins {
    pub(super) fn new() -> Pins {
        let mut rows = Vec::with_capacity(outside::<Row>());
        rows.resize(2, Row::default());
        Pins {
            classes: [Pages::default(); CLASSES],
            rows,
            numbers: HashMap::with_capacity(outside::<((u32, u16), u32)>()),
            shared: HashMap::with_capacity(outside::<([u32; COSTLIEST], usize)>()),
            page: 0,
            owners: Vec::with_capacity(outside::<u32>()),
            touches: Vec::with_capacity(outside::<Touch>()),
            those: Vec::with_capacity(outside::<u32>()),
        }
    }

    pub(super) fn add(&mut self, page: &Page) {
        let bytes = os::page_size();
        let (mut pinned, mut cached, mut idle, mut holes) = (0, 0, 0, 0);
        for i in 0..page.os_pages() {
            let kind = match () {
                () if page.is_hole(i) => &mut holes,
                () if page.live > 0 && page.is_pinned(i) => &mut pinned,
                () if page.cached > 0 && page.is_cached(i) => &mut cached,
                () => &mut idle,
            };
            *kind += bytes;
        }
        let (live, resident) = (page.live * page.block_size, pinned + cached + idle);
        let all = &mut self.classes[page.class];
        all.pages += 1;
        all.resident += resident;
        all.holes += holes;
        all.live_blocks += page.live;
        all.live += live;
        all.beside += pinned - live;
        match page.live {
            // Without the free blocks that lie elsewhere, the page would not be there.
            0 if page.cached > 0 => all.cached += resident,
            n if n * 2 <= page.capacity => {
                all.cached += cached;
                all.idle += idle;
            }
            _ => all.room += cached + idle,
        }
        if page.is_mostly_empty() {
            let few = &mut all.mostly_empty;
            few.pages += 1;
            few.blocks += page.live;
            few.live += live;
            few.kept += resident;
            few.pinned += pinned;
            self.attribute(page, resident - pinned);
        }
    }

    /// Attributes what a page occupies to its live blocks: the OS pages that they touch, and `rest` more bytes.
    fn attribute(&mut self, page: &Page, rest: usize) {
        let os_page = os::page_size();
        self.page += 1;
        self.owners.clear();
        self.touches.clear();
        let mut births = page.births.iter().peekable();
        for i in page.each_live() {
            let birth = births.next_if(|birth| birth.0 == i).map(|birth| birth.1);
            let number = match birth {
                None => UNTRACKED,
                Some(birth) if !birth.rate.is_exact() => SAMPLES,
                Some(birth) => self.number(birth.site, birth.tag),
            };
            self.owners.push(number);
            let row = &mut self.rows[number as usize];
            row.keep.blocks += 1;
            row.keep.bytes += page.block_size;
            row.keep.pages += usize::from(std::mem::replace(&mut row.page, self.page) != self.page);
            row.smallest = if row.smallest == 0 { page.block_size } else { row.smallest.min(page.block_size) };
            row.largest = row.largest.max(page.block_size);
            row.requested += birth.map_or(0, |birth| birth.requested);
            let (begin, end) = (i * page.block_size, (i + 1) * page.block_size);
            for at in begin / os_page..=(end - 1) / os_page {
                let bytes = end.min((at + 1) * os_page) - begin.max(at * os_page);
                self.touches.push(Touch { os_page: at, row: number, bytes });
            }
        }
        // Blocks came in the order of their addresses, so OS pages did.
        let (rows, those, shared) = (&mut self.rows, &mut self.those, &mut self.shared);
        for touches in self.touches.chunk_by(|a, b| a.os_page == b.os_page) {
            share_out(os_page, touches.iter().map(|t| t.bytes), |i, bytes| {
                let keep = &mut rows[touches[i].row as usize].keep;
                keep.kept += bytes;
                keep.pinned += bytes;
            });
            those.clear();
            those.extend(touches.iter().map(|t| t.row));
            those.sort_unstable();
            those.dedup();
            match those[..] {
                [row] => rows[row as usize].comes_back += os_page,
                // What more rows share, or others with them, ten do not free.
                [first, ..] if first > SAMPLES && those.len() <= COSTLIEST => {
                    let mut key = [NONE; COSTLIEST];
                    key[..those.len()].copy_from_slice(those);
                    if let Some(bytes) = shared.get_mut(&key) {
                        *bytes += os_page;
                    } else if shared.len() < SHARED {
                        shared.insert(key, os_page);
                    }
                }
                _ => (),
            }
        }
        share_out(rest, self.owners.iter().map(|_| 1), |i, bytes| rows[self.owners[i] as usize].keep.kept += bytes);
    }

    fn number(&mut self, site: u32, tag: u16) -> u32 {
        *self.numbers.entry((site, tag)).or_insert_with(|| {
            self.rows.push(Row::default());
            self.rows.len() as u32 - 1
        })
    }

    pub(super) fn untracked(&self) -> Kept {
        self.rows[UNTRACKED as usize].keep
    }

    pub(super) fn samples(&self) -> Kept {
        self.rows[SAMPLES as usize].keep
    }

    /// The rows of sites, without stacks and names, and the first of them together. In the order of what they keep beyond
    /// themselves.
    pub(super) fn costliest_first(&self) -> (Vec<Survivors>, Together) {
        let mut order: Vec<_> = self.numbers.iter().map(|(key, &number)| (number, *key)).collect();
        order.sort_unstable_by_key(|&(number, key)| {
            let keep = self.rows[number as usize].keep;
            (Reverse(keep.beyond()), key)
        });
        let first: Vec<u32> = order.iter().take(COSTLIEST).map(|o| o.0).collect();
        let mut all = Together { rows: first.len(), ..Together::default() };
        for &number in &first {
            let Row { keep, comes_back, .. } = self.rows[number as usize];
            all.keep.blocks += keep.blocks;
            all.keep.bytes += keep.bytes;
            all.keep.pages += keep.pages;
            all.keep.kept += keep.kept;
            all.keep.pinned += keep.pinned;
            all.comes_back += comes_back;
        }
        let theirs =
            self.shared.iter().filter(|(those, _)| those.iter().all(|row| *row == NONE || first.contains(row)));
        all.comes_back += theirs.map(|(_, bytes)| bytes).sum::<usize>();
        let rows = order.into_iter().map(|(number, (site, tag))| {
            let Row { keep, smallest, largest, requested, comes_back, page: _ } = self.rows[number as usize];
            let (tag_name, stack, ending) = (String::new(), Vec::new(), Ending::Complete);
            Survivors { site, tag, tag_name, stack, ending, smallest, largest, requested, keep, comes_back }
        });
        (rows.collect(), all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up() {
        for (total, weights) in [(65536, vec![1; 7]), (4096, vec![48, 4000, 48]), (0, vec![1, 2]), (10, vec![3])] {
            let mut shares = vec![0; weights.len()];
            share_out(total, weights.iter().copied(), |i, bytes| shares[i] = bytes);
            assert_eq!(shares.iter().sum::<usize>(), total);
            let sum: usize = weights.iter().sum();
            for (share, weight) in shares.iter().zip(&weights) {
                assert!(share.abs_diff(total * weight / sum) <= 1, "{shares:?} of {total} for {weights:?}");
            }
        }
    }
}
