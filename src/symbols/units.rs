//! Which units a file has, and which of them speaks of an address.

use super::fuel::{Bad, Fuel};
use super::lines::Lines;
use super::unit::{Head, Slice};
use std::sync::Arc;

/// The units of a file.
#[derive(Debug)]
pub(super) struct Units {
    pub(super) dwarf: Arc<gimli::Dwarf<Slice>>,
    /// Where each begins.
    pub(super) begins: Vec<usize>,
    /// By begin.
    ranges: Vec<Range>,
}

#[derive(Clone, Copy, Debug)]
struct Range {
    begin: u64,
    end: u64,
    /// The end of whichever range so far reaches farthest.
    reach: u64,
    unit: u32,
}

/// 64 MiB of them. Ranges of a unit that touch are one, so that a program has far fewer.
const MOST_RANGES: usize = 1 << 21;
impl Units {
    /// As far as they can be read. `addressed`: with the ranges that they speak of.
    pub(super) fn read(dwarf: Arc<gimli::Dwarf<Slice>>, addressed: bool, fuel: &mut Fuel) -> Units {
        let (mut begins, mut ranges) = (Vec::new(), Vec::<Range>::new());
        let mut headers = dwarf.units();
        while !fuel.is_spent()
            && let Ok(Some(header)) = headers.next()
        {
            let Some(at) = header.debug_info_offset() else { continue };
            begins.push(at.0);
            if !addressed || matches!(header.type_(), gimli::UnitType::Partial | gimli::UnitType::Type { .. }) {
                continue;
            }
            let unit = begins.len() as u32 - 1;
            let mut add = |begin, end| {
                let full = ranges.len() == MOST_RANGES;
                match ranges.last_mut() {
                    // Between functions there is a little room, which belongs to nobody.
                    Some(last) if last.unit == unit && last.end <= begin && begin - last.end < 64 => last.end = end,
                    _ if full => return Err(Bad),
                    _ => ranges.push(Range { begin, end, reach: 0, unit }),
                }
                Ok(())
            };
            // A unit that is spoiled is passed over.
            _ = Head::read(&dwarf, header, fuel).and_then(|head| {
                let mut any = false;
                head.extent.each(&head, fuel, |begin, end| {
                    any = true;
                    add(begin, end)
                })?;
                match head.lines {
                    Some(offset) if !any => {
                        Lines::read(&head, offset, fuel)?.ranges().try_for_each(|(begin, end)| add(begin, end))
                    }
                    _ => Ok(()),
                }
            });
        }
        ranges.sort_unstable_by_key(|r| (r.begin, r.end, r.unit));
        let mut reach = 0;
        for range in &mut ranges {
            reach = reach.max(range.end);
            range.reach = reach;
        }
        ranges.shrink_to_fit();
        Units { dwarf, begins, ranges }
    }

    /// The units that speak of an address; of what the linker left out, some may seem to.
    pub(super) fn at(&self, address: u64) -> Vec<u32> {
        let before = &self.ranges[..self.ranges.partition_point(|r| r.begin <= address)];
        let near = before.iter().rev().take_while(|r| r.reach > address).take(1024);
        let mut units: Vec<u32> = Vec::new();
        near.filter(|r| address < r.end).for_each(|r| units.push(r.unit));
        units.truncate(16);
        units
    }
}
