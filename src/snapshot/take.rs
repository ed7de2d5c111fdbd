//! Taking a snapshot.

use super::aggregate::Aggregate;
use super::peaks::{self, SEEN};
use super::{Births, Difference, Mode, Parts, Peak, Row, Site, Snapshot, Sum, Suspect, Tag, Untracked, modules};
use crate::generation::clock::{self, Bands};
use crate::generation::{self, Generations, collector};
use crate::os;
use crate::reading::{self, Room, Who};
use crate::stats::{Stats, stats};
use crate::track::{Totals, read};

/// Reads everything that is tracked.
///
/// Threads run on meanwhile. It allocates (and what it allocates is not tracked), takes the locks that [`stats()`] takes,
/// and for a moment the loader's. It costs some 25 ns a live tracked block and a microsecond a site.
///
/// **Do not call it** in a signal handler, or in the child of a `fork` of a process with other threads.
pub fn snapshot() -> Snapshot {
    // First, before there is anything of the snapshot's own to be counted.
    let stats = stats();
    reading::refresh();
    reading::untracked(|| take(stats))
}

fn take(stats: Stats) -> Snapshot {
    let bands = clock::bands();
    let mut blocks = Aggregate::new(Births::new(stats.epoch, &bands));
    let (mut sites, mut tags) = (Vec::new(), Vec::new());
    Room::with(|room| {
        reading::each_live(room, &mut |block| blocks.add(block));
        reading::totals(room, &mut |who, totals| match who {
            // Numbers go to sites before anything is counted for them.
            Who::Site(number) if totals.allocated.blocks > 0.0 => sites.push(new_site(number, totals)),
            Who::Site(_) => (),
            Who::Tag(number) => tags.push(new_tag(number, read::tag_name(number), totals)),
        });
    });
    let mut parts = assemble(stats, bands, blocks, sites, tags);
    parts.generations = generation::read();
    parts.suspects = collector::suspects().iter().map(Suspect::from).collect();
    parts.unix_nanos = os::unix_nanos();
    parts.began_unix_nanos = clock::began();
    parts.pid = std::process::id();
    parts.mode = crate::track::process_mode();
    parts.modules = modules::loaded();
    for site in &mut parts.sites {
        let mut stack = Vec::with_capacity(64);
        site.ending = read::stack(site.number, &mut |address| stack.push(address as u64)).into();
        stack.shrink_to_fit();
        site.stack = stack;
    }
    raise_peaks(&mut parts);
    debug_assert_eq!(super::check::check(&parts), Ok(()));
    Snapshot { parts }
}

/// Puts together what was read, in whatever order it was.
pub(super) fn assemble(
    stats: Stats,
    bands: Bands,
    blocks: Aggregate,
    mut sites: Vec<Site>,
    mut tags: Vec<Tag>,
) -> Parts {
    let (rows, epoch_step) = blocks.finish();
    // A site or a tag may have come between one reading and the other.
    let known = sites.len();
    sites.sort_unstable_by_key(|s| s.number);
    for row in rows.chunk_by(|a, b| a.site == b.site).map(|c| c[0]) {
        if sites[..known].binary_search_by_key(&row.site, |s| s.number).is_err() {
            sites.push(new_site(row.site, &Totals::NONE));
        }
    }
    sites.sort_unstable_by_key(|s| s.number);
    let known = tags.len();
    tags.sort_unstable_by_key(|t| t.number);
    for row in &rows {
        let missing = tags[..known].binary_search_by_key(&row.tag, |t| t.number).is_err();
        if missing && !tags[known..].iter().any(|t| t.number == row.tag) {
            tags.push(new_tag(row.tag, "", &Totals::NONE));
        }
    }
    tags.sort_unstable_by_key(|t| t.number);
    let mut parts = Parts {
        unix_nanos: 0,
        began_unix_nanos: 0,
        pid: 0,
        mode: Mode::Off,
        epoch_step,
        bands,
        generations: Generations::default(),
        suspects: Vec::new(),
        suspects_left_out: 0,
        tracked: Sum::default(),
        untracked: untracked(&stats, &rows),
        stats,
        sites,
        tags,
        rows,
        modules: Vec::new(),
    };
    sum_up(&mut parts);
    parts.tracked = parts.rows.iter().map(|r| r.live).sum();
    parts
}

pub(super) fn new_site(number: u32, totals: &Totals) -> Site {
    let (smallest, largest) = totals.sizes();
    Site {
        number,
        stack: Vec::new(),
        ending: super::Ending::Complete,
        live: Sum::default(),
        allocated: totals.allocated.into(),
        freed: totals.freed.into(),
        lifetimes: (&totals.ages).into(),
        smallest,
        largest,
        peak: Peak::default(),
    }
}

pub(super) fn new_tag(number: u16, name: &str, totals: &Totals) -> Tag {
    let (allocated, freed, lifetimes) = (totals.allocated.into(), totals.freed.into(), (&totals.ages).into());
    Tag { number, name: name.into(), live: Sum::default(), allocated, freed, lifetimes, peak: Peak::default() }
}

/// What lives of each site and tag, from the rows.
pub(super) fn sum_up(parts: &mut Parts) {
    parts.sites.iter_mut().for_each(|s| s.live = Sum::default());
    parts.tags.iter_mut().for_each(|t| t.live = Sum::default());
    let mut sites = parts.sites.iter_mut();
    for rows in parts.rows.chunk_by(|a, b| a.site == b.site) {
        // Both are in order, and every row has its site.
        if let Some(site) = sites.find(|s| s.number == rows[0].site) {
            site.live = rows.iter().map(|r| r.live).sum();
        }
    }
    for row in &parts.rows {
        if let Ok(i) = parts.tags.binary_search_by_key(&row.tag, |t| t.number) {
            parts.tags[i].live += row.live;
        }
    }
}

/// All that lives less what is tracked, in blocks and in bytes of whole blocks.
pub(super) fn untracked(stats: &Stats, rows: &[Row]) -> Untracked {
    let (mut blocks, mut bytes) = ((0.0, 0.0), (0.0, 0.0));
    for row in rows {
        let size = row.block_size as f64;
        blocks = (blocks.0 + row.live.blocks, blocks.1 + row.live.blocks_variance);
        bytes = (bytes.0 + row.live.blocks * size, bytes.1 + row.live.blocks_variance * size * size);
    }
    Untracked {
        blocks: Difference::new(stats.live_blocks as f64 - blocks.0, blocks.1),
        bytes: Difference::new(stats.live as f64 - bytes.0, bytes.1),
    }
}

fn raise_peaks(parts: &mut Parts) {
    let mut order: Vec<usize> = (0..parts.sites.len()).collect();
    if order.len() > peaks::NOTED {
        let less = |&i: &usize| std::cmp::Reverse(parts.sites[i].live.bytes.to_bits());
        order.select_nth_unstable_by_key(peaks::NOTED, less);
    }
    for (i, &site) in order.iter().enumerate() {
        let site = &mut parts.sites[site];
        site.peak = SEEN.site(site.number, &site.live, i < peaks::NOTED && site.live.samples > 0);
    }
    for tag in &mut parts.tags {
        tag.peak = SEEN.tag(tag.number, &tag.live);
    }
}
