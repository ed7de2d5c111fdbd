//! The snapshot of the process that runs, written as it is read: nothing is allocated, and nothing that is needed for it is
//! held in memory as a whole.
//!
//! Blocks become rows in a small table. What finds its place taken sends the row there to the file, where rows may repeat:
//! a reader adds them up. Epochs are taken together so that there are some thousand, and what a bound on the file's size
//! leaves no room for is counted in the site of what overflows.

use super::format::{self, Done, Lived, Moment, Span};
use super::json::{Json, Sink};
use crate::generation::{self, clock, collector};
use crate::os::{self, file};
use crate::reading::{self, Dying, Room, Who};
use crate::snapshot::{Births, Code, Found, Noted, Row, Site, Sum, Suspect, Tag};
use crate::stats::stats;
use crate::track::word::{Birth, TAGS};
use crate::track::{self, Live, Totals, read};

/// Epochs that are told apart, about.
const EPOCHS: u64 = 1024;
const ROWS: usize = 8192;
const MODULES: usize = 1024;

/// No row waits here.
const NO_ROW: Row = Row {
    site: 0,
    tag: 0,
    block_size: 0,
    epoch: 0,
    live: Sum { blocks: 0.0, bytes: 0.0, blocks_variance: 0.0, bytes_variance: 0.0, samples: 0 },
};

/// What a dump needs. Zeroed memory is one; most of it is never touched.
pub(super) struct Workspace {
    out: [u8; 64 << 10],
    births: [Birth; read::MOST_BIRTHS],
    dying: [Dying; 4096],
    sites: [Totals; 512],
    tags: [Totals; TAGS],
    rows: [Row; ROWS],
    spans: [Span; MODULES],
    modules: [Noted; MODULES],
    code: [Code; MODULES],
    text: [u8; 256 << 10],
}

// What is said of it at the head of `dump`.
const _: () = assert!(size_of::<Workspace>() <= 5 << 20);

/// A file that is being written, through a buffer. The first error ends it.
struct Out<'a> {
    file: file::File,
    buffer: &'a mut [u8],
    used: usize,
    written: u64,
    result: Result<(), file::Errno>,
}

impl Sink for Out<'_> {
    fn put(&mut self, mut bytes: &[u8]) {
        self.written += bytes.len() as u64;
        while !bytes.is_empty() {
            let n = bytes.len().min(self.buffer.len() - self.used);
            self.buffer[self.used..self.used + n].copy_from_slice(&bytes[..n]);
            self.used += n;
            bytes = &bytes[n..];
            if self.used == self.buffer.len() {
                self.flush();
            }
        }
    }

    fn written(&self) -> u64 {
        self.written
    }
}

impl Out<'_> {
    fn flush(&mut self) {
        let bytes = &self.buffer[..std::mem::take(&mut self.used)];
        if self.result.is_ok() {
            self.result = self.file.write_all(bytes);
        }
    }
}

/// Writes a snapshot of this process, of about `most` bytes at most, and closes the file. Returns its bytes.
///
/// Does not allocate. Takes the allocator's locks one after the other, each for a moment, and once the loader's.
pub(super) fn write(space: &mut Workspace, file: file::File, most: u64) -> Result<u64, file::Errno> {
    let Workspace { out, births, dying, sites, tags, rows, spans, modules, code, text } = space;
    let mut out = Out { file, buffer: out, used: 0, written: 0, result: Ok(()) };
    let mut room = Room { births, dying, sites, tags };
    let mut found = Found::new(modules, code, text);
    found.look();
    let spans = list(&found, spans);
    format::file(&mut Json::new(&mut out), |j| members(j, &mut room, rows, &found, spans, most), |_| ());
    out.flush();
    let written = out.written;
    out.result.and_then(|()| out.file.close()).map(|()| written)
}

/// The code of all modules, in order.
fn list<'a>(found: &Found<'_>, spans: &'a mut [Span]) -> &'a [Span] {
    let (mut n, mut module) = (0, 0);
    found.each(|_, _, base, code| {
        for (c, free) in code.iter().zip(&mut spans[n..]) {
            *free = Span { start: c.start, end: c.end, base, module };
            n += 1;
        }
        module += 1;
    });
    let spans = &mut spans[..n];
    spans.sort_unstable_by_key(|s| s.start);
    spans
}

fn members(j: &mut Json<'_>, room: &mut Room<'_>, rows: &mut [Row], found: &Found<'_>, spans: &[Span], most: u64) {
    let stats = stats();
    let step = (stats.epoch / EPOCHS).max(1).next_power_of_two();
    let bands = clock::bands();
    let births = Births::new(stats.epoch, &bands).coarser(step);
    format::moment(
        j,
        &Moment {
            unix_nanos: os::unix_nanos(),
            began_unix_nanos: clock::began(),
            pid: std::process::id(),
            mode: track::process_mode(),
            epoch_step: step,
            bands,
        },
    );
    format::generations(j, &generation::read());
    format::suspects(j, collector::suspects().iter().map(Suspect::from));
    format::stats(j.key("stats"), &stats);
    j.key("modules").array(|j| {
        found.each(|path, build_id, base, code| {
            let code = code.iter().map(|c| (c.start, c.end, c.file_offset));
            format::module(j, path, |j| j.hex(build_id), base, code);
        });
    });
    let told_apart = sites_within(most / 2);
    // Before the totals, so that no block is read that its site knows nothing of.
    j.key("rows").array(|j| write_rows(j, room, rows, told_apart, &births, most / 8 * 3));
    write_totals(j, room, spans, told_apart);
}

/// How many sites fit into so many bytes, with their stacks.
fn sites_within(bytes: u64) -> u32 {
    const SITE: u64 = 500;
    const FRAME: u64 = 20;
    let mut left = bytes;
    let fits = |&site: &u32| {
        let mut cost = SITE;
        read::stack(site, &mut |_| cost += FRAME);
        left = left.saturating_sub(cost);
        left > 0
    };
    let count = read::site_count();
    match (0..count).take_while(fits).count() as u32 {
        // Those that come while this is written find room too.
        all if all == count => u32::MAX,
        some => some,
    }
}

/// The live blocks, each as it is read. From `most` bytes on, and from site `told_apart` on, they are of the site of what
/// overflows.
fn write_rows(j: &mut Json<'_>, room: &mut Room<'_>, rows: &mut [Row], told_apart: u32, births: &Births, most: u64) {
    rows.fill(NO_ROW);
    let most = j.written() + most;
    reading::each_live(room, &mut |block: Live| {
        let probability = block.rate.probability(block.block_size);
        if probability <= 0.0 {
            return; // no tracked block
        }
        let live = Sum::of(block.requested, probability);
        let (site, tag, epoch) = if block.site < told_apart && j.written() < most {
            (block.site, block.tag, births.first(block.epoch))
        } else {
            (Site::OVERFLOW, Tag::NONE, births.coarsest(block.epoch))
        };
        let row = Row { site, tag, block_size: block.block_size, epoch, live };
        let slot = &mut rows[slot_of(&row)];
        if slot.key() == row.key() {
            slot.live += live;
            return;
        }
        let before = std::mem::replace(slot, row);
        if before.live.samples > 0 {
            format::row(j, &before);
        }
    });
    rows.iter().filter(|row| row.live.samples > 0).for_each(|row| format::row(j, row));
}

/// Where a row waits for others of its key. Multiplicative hashing (Knuth, The Art of Computer Programming 3, 6.4).
fn slot_of(row: &Row) -> usize {
    let mix = |hash: u64, word: u64| (hash ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
    let hash = [u64::from(row.site) << 16 | u64::from(row.tag), row.block_size, row.epoch].into_iter().fold(0, mix);
    (hash >> 32) as usize % ROWS
}

/// Sites, then tags: in the order in which they are read.
fn write_totals(j: &mut Json<'_>, room: &mut Room<'_>, spans: &[Span], told_apart: u32) {
    let mut overflow = Totals::NONE;
    j.key("sites").begin_array();
    reading::totals(room, &mut |who, totals| match who {
        Who::Site(Site::OVERFLOW) => overflow.join(totals),
        Who::Site(number) if number < told_apart => write_site(j, number, totals, spans),
        Who::Site(_) => overflow.join(totals),
        Who::Tag(number) => {
            if number == Tag::NONE {
                write_site(j, Site::OVERFLOW, &overflow, spans);
                j.end_array();
                j.key("tags").begin_array();
            }
            done(totals, |done| format::tag(j, number, read::tag_name(number), done));
        }
    });
    j.end_array();
}

fn write_site(j: &mut Json<'_>, number: u32, totals: &Totals, spans: &[Span]) {
    done(totals, |done| {
        format::site(j, number, totals.sizes(), done, |j| {
            read::stack(number, &mut |address| format::place(j, spans, address as u64)).into()
        });
    });
}

fn done(totals: &Totals, f: impl FnOnce(&Done<'_>)) {
    let (allocated, freed) = (&totals.allocated.into(), &totals.freed.into());
    f(&Done { allocated, freed, lifetimes: Lived::Read(&totals.ages), live: None });
}
