//! A snapshot as the text of its file.

use crate::dump::format::{self, Done, Lived, Moment, Span};
use crate::dump::json::Json;
use crate::reading::untracked;
use crate::snapshot::{Frame, Names, Place, Snapshot};
use std::collections::BTreeSet;

/// A snapshot without names, on one line, as `docs/snapshot.schema.json` in tenure's repository has it: stacks are places
/// in modules, which are named by path and build id. What a [dump](crate::dump) consists of: it can be given names later,
/// on another machine perhaps.
///
/// Allocates, untracked, some 200 bytes for each row and site, and 10 for each frame.
pub fn raw(snapshot: &Snapshot) -> String {
    text(snapshot, None)
}

/// A snapshot and the names of all its places: what [`raw`] writes, with `names` filled.
///
/// Looks up the names of all frames: see [`Names`]. Allocates, untracked, some 200 bytes for each row, site and place.
pub fn json(snapshot: &Snapshot, names: &mut dyn Names) -> String {
    text(snapshot, Some(names))
}

fn text(snapshot: &Snapshot, names: Option<&mut dyn Names>) -> String {
    untracked(|| {
        let mut text = Vec::new();
        let spans = spans(snapshot);
        let body = |j: &mut Json<'_>| write(j, snapshot, &spans);
        format::file(&mut Json::new(&mut text), body, |j| {
            if let Some(names) = names {
                write_names(j, snapshot, &spans, names);
                names.finish();
            }
        });
        // What is written is UTF-8: texts are, and the rest is ASCII.
        String::from_utf8(text).unwrap_or_default()
    })
}

fn spans(snapshot: &Snapshot) -> Vec<Span> {
    let modules = snapshot.modules().iter().zip(0..);
    let span = |module, base| move |c: &crate::snapshot::Code| Span { start: c.start, end: c.end, base, module };
    let mut spans: Vec<_> = modules.flat_map(|(m, i)| m.code.iter().map(span(i, m.base))).collect();
    spans.sort_by_key(|s| s.start);
    spans
}

fn write(j: &mut Json<'_>, snapshot: &Snapshot, spans: &[Span]) {
    let parts = &snapshot.parts;
    format::moment(
        j,
        &Moment {
            unix_nanos: parts.unix_nanos,
            began_unix_nanos: parts.began_unix_nanos,
            pid: parts.pid,
            mode: parts.mode,
            epoch_step: parts.epoch_step,
            bands: parts.bands,
        },
    );
    format::generations(j, &parts.generations);
    format::suspects(j, parts.suspects.iter().copied());
    j.key("suspects_left_out").number(parts.suspects_left_out);
    format::sum(j.key("tracked"), &parts.tracked);
    format::untracked(j.key("untracked"), &parts.untracked);
    format::stats(j.key("stats"), &parts.stats);
    j.key("sites").array(|j| {
        for site in &parts.sites {
            let live = Some((&site.live, &site.peak));
            let lifetimes = Lived::Taken(&site.lifetimes);
            let did = Done { allocated: &site.allocated, freed: &site.freed, lifetimes, live };
            format::site(j, site.number, (site.smallest, site.largest), &did, |j| {
                site.stack.iter().for_each(|&address| format::place(j, spans, address));
                site.ending
            });
        }
    });
    j.key("tags").array(|j| {
        for tag in &parts.tags {
            let live = Some((&tag.live, &tag.peak));
            let lifetimes = Lived::Taken(&tag.lifetimes);
            let did = Done { allocated: &tag.allocated, freed: &tag.freed, lifetimes, live };
            format::tag(j, tag.number, &tag.name, &did);
        }
    });
    j.key("rows").array(|j| parts.rows.iter().for_each(|row| format::row(j, row)));
    j.key("modules").array(|j| {
        for module in &parts.modules {
            let code = module.code.iter().map(|c| (c.start, c.end, c.file_offset));
            format::module(j, module.path.as_bytes(), |j| j.text(&module.build_id), module.base, code);
        }
    });
}

fn write_names(j: &mut Json<'_>, snapshot: &Snapshot, spans: &[Span], names: &mut dyn Names) {
    let addresses: BTreeSet<u64> = snapshot.sites().iter().flat_map(|s| &s.stack).copied().collect();
    for address in addresses {
        let frames = names.frames(&Place::new(address, snapshot.modules()));
        j.object(|j| {
            format::place(j.key("place"), spans, address);
            j.key("frames").array(|j| frames.iter().for_each(|frame| write_frame(j, frame)));
        });
    }
}

fn write_frame(j: &mut Json<'_>, frame: &Frame) {
    j.object(|j| {
        j.key("function").text(&frame.function);
        j.key("named");
        j.boolean(frame.named);
        match &frame.file {
            Some(file) => j.key("file").text(file),
            None => j.key("file").null(),
        }
        match frame.line {
            Some(line) => j.key("line").number(line.into()),
            None => j.key("line").null(),
        }
    });
}
