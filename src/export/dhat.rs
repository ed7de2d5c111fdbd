//! The format of valgrind's DHAT, for its viewer.

use super::allocator::is_allocator;
use super::asked::Asked;
use super::rounded::Rounded;
use super::stacks::{Stacks, Texts};
use crate::reading::untracked;
use crate::snapshot::{Frame, Names, Site, Snapshot, tracking};
use serde::Serialize;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

/// JSON for DHAT's viewer, `dh_view.html` (valgrind has it in `/usr/libexec/valgrind`), file version 2.
///
/// | in the viewer | is |
/// | --- | --- |
/// | Total | what the stack has allocated since the start |
/// | At t-end | what lives of that |
/// | Max | the largest that lived at any snapshot of the process so far: [`Site::peak`](crate::snapshot::Site::peak) |
/// | At t-gmax | what lives, again: when the heap was largest is not recorded, and the viewer asks for it |
/// | avg lifetime | `NaN`: it is not known |
/// | times | bytes allocated by tracked blocks, so that `/MB` reads "of each megabyte that was allocated" |
///
/// The line `Mode` at the viewer's head says how blocks were tracked, and that t-gmax is t-end. Bytes are as requested. What
/// is estimated is rounded so that sums are off by less than 1.
///
/// The viewer's tree begins at the leaf, so the allocator's own frames are left out. All others are there, inlined ones
/// too, each with its address within the call. Stacks that differ in the allocator's frames only are one, and its Max is
/// the sum of theirs.
///
/// Looks up the names of all frames, each address once: see [`Names`]. Allocates, untracked, some 200 bytes for each site
/// and address beyond what it gives.
pub fn dhat(snapshot: &Snapshot, names: &mut dyn Names) -> String {
    untracked(|| {
        let mut texts = Texts::default();
        let mut stacks = Stacks::new(snapshot, names, line);
        let mut allocators =
            Asked::new(|line| is_allocator(line.split_once(": ").map_or(line, |(_, function)| function)));
        let mut point = Point::rounded();
        let (mut pps, mut known) = (Vec::new(), HashMap::new());
        for site in snapshot.sites() {
            let mut stack = stacks.of(site, &mut texts);
            let own = stack.iter().rposition(|&frame| allocators.of(&texts, frame)).map_or(0, |last| last + 1);
            stack.drain(..if own < stack.len() { own } else { 0 });
            // Number 0 is the root.
            stack.iter_mut().for_each(|frame| *frame += 1);
            // The viewer takes no stack twice.
            let new = point(site);
            match known.get(&stack) {
                Some(&i) => Point::join(&mut pps[i], new),
                None => {
                    known.insert(stack.clone(), pps.len());
                    pps.push(Point { fs: stack, ..new });
                }
            }
        }
        names.finish();
        let te = pps.iter().map(|p| p.tb).sum();
        let root = ["[root]".into()];
        let file = File {
            file_version: 2,
            mode: format!("rust-heap; {}; t-gmax is t-end: the peak is not recorded", tracking(snapshot.mode())),
            verb: "Allocated",
            bklt: true,
            bkacc: false,
            tu: "bytes",
            mtu: "MB",
            tuth: 0,
            cmd: snapshot.modules().first().map_or("", |program| &program.path),
            pid: snapshot.pid(),
            te,
            tg: te,
            pps,
            ftbl: root.iter().chain(texts.all()).cloned().collect(),
        };
        // Every key is a text, and no number is infinite: nothing here can fail.
        serde_json::to_string(&file).unwrap_or_default()
    })
}

#[derive(Serialize)]
struct File<'a> {
    #[serde(rename = "dhatFileVersion")]
    file_version: u32,
    mode: String,
    /// What was done at a point of the program.
    verb: &'static str,
    /// Whether lifetimes of blocks are there, which is what `At t-end` belongs to; and accesses.
    bklt: bool,
    bkacc: bool,
    /// The unit of time, and of a million of them.
    tu: &'static str,
    #[serde(rename = "Mtu")]
    mtu: &'static str,
    /// What counts as a short life.
    tuth: u64,
    cmd: &'a str,
    pid: u32,
    /// The times of the end, and of the peak.
    te: u64,
    tg: u64,
    pps: Vec<Point>,
    ftbl: Vec<Arc<str>>,
}

/// A point of the program: `tb` is total bytes, `tbk` total blocks; likewise `m` at the largest, `g` at t-gmax, `e` at t-end.
/// `tl`, the sum of lifetimes, is left out.
#[derive(Serialize)]
struct Point {
    tb: u64,
    tbk: u64,
    mb: u64,
    mbk: u64,
    gb: u64,
    gbk: u64,
    eb: u64,
    ebk: u64,
    /// Frames, leaf first.
    fs: Vec<u32>,
}

impl Point {
    /// A point for each site, without its frames.
    fn rounded() -> impl FnMut(&Site) -> Point {
        let mut round = [Rounded::default(); 4];
        move |site| {
            let [tb, tbk] = [round[0].next(site.allocated.bytes), round[1].next(site.allocated.blocks)];
            let [eb, ebk] = [round[2].next(site.live.bytes), round[3].next(site.live.blocks)];
            // No sum is made of these, but none may be less than what lives.
            let (mb, mbk) = ((site.peak.bytes.round() as u64).max(eb), (site.peak.blocks.round() as u64).max(ebk));
            Point { tb, tbk, mb, mbk, gb: eb, gbk: ebk, eb, ebk, fs: Vec::new() }
        }
    }

    fn join(&mut self, other: Point) {
        self.tb = self.tb.saturating_add(other.tb);
        self.tbk = self.tbk.saturating_add(other.tbk);
        self.mb = self.mb.saturating_add(other.mb);
        self.mbk = self.mbk.saturating_add(other.mbk);
        self.gb = self.gb.saturating_add(other.gb);
        self.gbk = self.gbk.saturating_add(other.gbk);
        self.eb = self.eb.saturating_add(other.eb);
        self.ebk = self.ebk.saturating_add(other.ebk);
    }
}

/// `0x1234: function (file:line)`, as DHAT writes it.
fn line(address: Option<u64>, frame: &Frame) -> Cow<'_, str> {
    let Some(address) = address else { return (*frame.function).into() };
    let function = &frame.function;
    match (&frame.file, frame.line) {
        (Some(file), Some(line)) => format!("{address:#x}: {function} ({file}:{line})"),
        (Some(file), None) => format!("{address:#x}: {function} ({file})"),
        _ => format!("{address:#x}: {function}"),
    }
    .into()
}

#[cfg(test)]
mod tests;
