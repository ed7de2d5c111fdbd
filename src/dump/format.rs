//! The parts of a snapshot's file: JSON as `docs/snapshot.schema.json` has it, whoever writes it. Nothing here allocates.

use super::json::Json;
use crate::generation::clock::Bands;
use crate::generation::{Census, Collection, Counts, GenerationStats, Generations, Reclaimed, Thresholds};
use crate::snapshot::{Culprit, Difference, Ending, Lifetimes, Mode, Peak, Row, Sum, Suspect, Untracked};
use crate::stats::Stats;
use crate::track::ages::Ages;

/// What the file calls itself.
pub(crate) const FORMAT: &str = "tenure snapshot";

/// The version of the format. It changes when a reader of the one before would misread what is written.
pub const VERSION: u64 = 1;

/// Where code lies in memory, and to which module it belongs. In a list, in order.
#[derive(Clone, Copy, Default)]
pub(crate) struct Span {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) base: u64,
    pub(crate) module: u32,
}

/// What is known of the process and the moment.
pub(crate) struct Moment {
    pub(crate) unix_nanos: u64,
    pub(crate) began_unix_nanos: u64,
    pub(crate) pid: u32,
    pub(crate) mode: Mode,
    pub(crate) epoch_step: u64,
    pub(crate) bands: Bands,
}

/// What a site or a tag has done; what lives of it, where that is summed up already.
pub(crate) struct Done<'a> {
    pub(crate) allocated: &'a Sum,
    pub(crate) freed: &'a Sum,
    pub(crate) lifetimes: Lived<'a>,
    pub(crate) live: Option<(&'a Sum, &'a Peak)>,
}

/// How old became what was freed.
pub(crate) enum Lived<'a> {
    Read(&'a Ages),
    Taken(&'a Lifetimes),
}

/// The file: `snapshot` writes the members of that part, `names` the elements of the other.
pub(crate) fn file(j: &mut Json<'_>, snapshot: impl FnOnce(&mut Json<'_>), names: impl FnOnce(&mut Json<'_>)) {
    j.object(|j| {
        j.key("format").text(FORMAT);
        j.key("version").number(VERSION);
        j.key("writer").text(concat!("tenure ", env!("CARGO_PKG_VERSION")));
        j.key("snapshot").object(snapshot);
        j.key("names").array(names);
    });
}

pub(crate) fn moment(j: &mut Json<'_>, m: &Moment) {
    j.key("unix_nanos").number(m.unix_nanos);
    j.key("began_unix_nanos").number(m.began_unix_nanos);
    j.key("pid").number(m.pid.into());
    j.key("mode");
    match m.mode {
        Mode::Off => j.text("off"),
        Mode::Exact => j.text("exact"),
        Mode::Sampled { mean } => j.object(|j| j.key("sampled").object(|j| j.key("mean").number(mean))),
    }
    j.key("epoch_step").number(m.epoch_step);
    let Bands { middle, old, permanent } = m.bands;
    j.key("generations").object(|j| {
        j.key("middle").number(middle);
        j.key("old").number(old);
        j.key("permanent").number(permanent);
    });
}

/// The collections of each generation.
pub(crate) fn generations(j: &mut Json<'_>, g: &Generations) {
    j.key("collections").object(|j| {
        let Thresholds { young_bytes, young_per_middle, middle_per_old, free_percent, idle_ms } = g.thresholds;
        j.key("thresholds").object(|j| {
            j.key("young_bytes").number(young_bytes);
            j.key("young_per_middle").number(young_per_middle.into());
            j.key("middle_per_old").number(middle_per_old.into());
            j.key("free_percent").number(free_percent.into());
            j.key("idle_ms").number(idle_ms);
        });
        let Counts { young_bytes, young, middle } = g.counts;
        j.key("counts").object(|j| {
            j.key("young_bytes").number(young_bytes);
            j.key("young").number(young.into());
            j.key("middle").number(middle.into());
        });
        j.key("stats").array(|j| g.stats.iter().for_each(|stats| generation(j, stats)));
    });
}

fn generation(j: &mut Json<'_>, stats: &GenerationStats) {
    let GenerationStats { collections, automatic, ref reclaimed, pause_ns, longest_pause_ns, ref last } = *stats;
    j.object(|j| {
        j.key("collections").number(collections);
        j.key("automatic").number(automatic);
        given_back(j, reclaimed);
        j.key("pause_ns").number(pause_ns);
        j.key("longest_pause_ns").number(longest_pause_ns);
        j.key("last");
        match last {
            Some(last) => collection(j, last),
            None => j.null(),
        }
    });
}

fn given_back(j: &mut Json<'_>, reclaimed: &Reclaimed) {
    let Reclaimed { sent_home, retired, adopted, purged } = *reclaimed;
    j.key("reclaimed").object(|j| {
        j.key("sent_home").number(sent_home);
        j.key("retired").number(retired);
        j.key("adopted").number(adopted);
        j.key("purged").number(purged);
    });
}

fn collection(j: &mut Json<'_>, c: &Collection) {
    j.object(|j| {
        j.key("generation").text(c.generation.name());
        j.key("number").number(c.number);
        j.key("automatic");
        j.boolean(c.automatic);
        j.key("epoch").number(c.epoch);
        j.key("began_ns").number(c.began_ns);
        given_back(j, &c.reclaimed);
        j.key("pinned").number(c.pinned);
        j.key("committed_before").number(c.committed_before);
        j.key("committed").number(c.committed);
        j.key("census");
        match &c.census {
            Some(census) => j.object(|j| {
                let Census { young, middle, old, permanent } = census;
                for (key, alive) in [("young", young), ("middle", middle), ("old", old), ("permanent", permanent)] {
                    j.key(key).object(|j| {
                        j.key("blocks").float(alive.blocks);
                        j.key("bytes").float(alive.bytes);
                        j.key("bytes_error").float(alive.bytes_error);
                    });
                }
            }),
            None => j.null(),
        }
        j.key("wall_ns").number(c.wall_ns);
        j.key("steps").number(c.steps.into());
        j.key("pause_ns").number(c.pause_ns);
        j.key("longest_pause_ns").number(c.longest_pause_ns);
    });
}

pub(crate) fn suspects(j: &mut Json<'_>, suspects: impl Iterator<Item = Suspect>) {
    j.key("suspects").array(|j| {
        suspects.for_each(|s| {
            j.object(|j| {
                j.key("culprit").object(|j| match s.culprit {
                    Culprit::Site(number) => j.key("site").number(number.into()),
                    Culprit::Tag(number) => j.key("tag").number(number.into()),
                });
                j.key("old_bytes").float(s.old_bytes);
                j.key("old_bytes_error").float(s.old_bytes_error);
                j.key("bytes_per_epoch").float(s.bytes_per_epoch);
                j.key("bytes_per_minute").float(s.bytes_per_minute);
                j.key("since_epoch").number(s.since_epoch);
                j.key("since_unix_nanos").number(s.since_unix_nanos);
                j.key("collections").number(s.collections.into());
                j.key("confidence").float(s.confidence);
            });
        });
    });
}

pub(crate) fn sum(j: &mut Json<'_>, sum: &Sum) {
    j.object(|j| {
        j.key("blocks").float(sum.blocks);
        j.key("bytes").float(sum.bytes);
        j.key("blocks_variance").float(sum.blocks_variance);
        j.key("bytes_variance").float(sum.bytes_variance);
        j.key("samples").number(sum.samples);
    });
}

pub(crate) fn untracked(j: &mut Json<'_>, untracked: &Untracked) {
    let difference = |j: &mut Json<'_>, d: &Difference| {
        j.object(|j| {
            j.key("value").float(d.value);
            j.key("standard_error").float(d.standard_error);
        });
    };
    j.object(|j| {
        difference(j.key("blocks"), &untracked.blocks);
        difference(j.key("bytes"), &untracked.bytes);
    });
}

/// `others`: what died in the middle generation, in the old one, and at an age that is not known.
fn lifetimes(j: &mut Json<'_>, died: impl Iterator<Item = Sum>, others: [Sum; 3]) {
    j.key("lifetimes").object(|j| {
        j.key("died").array(|j| died.for_each(|age| sum(j, &age)));
        for (key, other) in ["died_middle", "died_old", "unknown"].into_iter().zip(&others) {
            sum(j.key(key), other);
        }
    });
}

fn done(j: &mut Json<'_>, done: &Done<'_>) {
    if let Some((live, peak)) = done.live {
        sum(j.key("live"), live);
        j.key("peak").object(|j| {
            j.key("blocks").float(peak.blocks);
            j.key("bytes").float(peak.bytes);
        });
    }
    sum(j.key("allocated"), done.allocated);
    sum(j.key("freed"), done.freed);
    match done.lifetimes {
        Lived::Read(ages) if !ages.is_none() => {
            let died = ages.counted().iter().map(|&e| e.into());
            lifetimes(j, died, [ages.middle.into(), ages.old.into(), ages.unknown.into()]);
        }
        Lived::Read(_) => (),
        Lived::Taken(taken) => {
            if let Some(aged) = taken.aged() {
                lifetimes(j, aged.died.iter().copied(), [aged.died_middle, aged.died_old, aged.unknown]);
            }
        }
    }
}

/// A place in a module, or an address that lies in none.
pub(crate) fn place(j: &mut Json<'_>, spans: &[Span], address: u64) {
    let before = spans.partition_point(|s| s.start <= address);
    j.array(|j| match spans[..before].last().filter(|s| address < s.end) {
        Some(span) => {
            j.number(span.module.into());
            j.number(address.wrapping_sub(span.base));
        }
        None => {
            j.null();
            j.number(address);
        }
    });
}

/// A site. `stack` writes its places, and says how the stack ended.
pub(crate) fn site(
    j: &mut Json<'_>,
    number: u32,
    sizes: (u64, u64),
    did: &Done<'_>,
    stack: impl FnOnce(&mut Json<'_>) -> Ending,
) {
    j.object(|j| {
        j.key("number").number(number.into());
        let mut ending = Ending::Complete;
        j.key("stack").array(|j| ending = stack(j));
        j.key("ending").text(match ending {
            Ending::Complete => "complete",
            Ending::Depth => "depth",
            Ending::NoRules => "no_rules",
            Ending::Complex => "complex",
            Ending::Foreign => "foreign",
        });
        done(j, did);
        j.key("smallest").number(sizes.0);
        j.key("largest").number(sizes.1);
    });
}

pub(crate) fn tag(j: &mut Json<'_>, number: u16, name: &str, did: &Done<'_>) {
    j.object(|j| {
        j.key("number").number(number.into());
        j.key("name").text(name);
        done(j, did);
    });
}

pub(crate) fn row(j: &mut Json<'_>, row: &Row) {
    j.object(|j| {
        j.key("site").number(row.site.into());
        j.key("tag").number(row.tag.into());
        j.key("block_size").number(row.block_size);
        j.key("epoch").number(row.epoch);
        sum(j.key("live"), &row.live);
    });
}

/// A module; `build_id` writes that. `code` gives each range's first address, the address after it, and where it stands in
/// the file.
pub(crate) fn module(
    j: &mut Json<'_>,
    path: &[u8],
    build_id: impl FnOnce(&mut Json<'_>),
    base: u64,
    code: impl Iterator<Item = (u64, u64, u64)>,
) {
    j.object(|j| {
        j.key("path").bytes(path);
        build_id(j.key("build_id"));
        j.key("base").number(base);
        j.key("code").array(|j| {
            for (start, end, file_offset) in code {
                j.object(|j| {
                    j.key("start").number(start.wrapping_sub(base));
                    j.key("end").number(end.wrapping_sub(base));
                    j.key("file_offset").number(file_offset);
                });
            }
        });
    });
}

pub(crate) fn stats(j: &mut Json<'_>, stats: &Stats) {
    // Whoever adds a field to one of these is led here.
    let Stats {
        live,
        live_blocks,
        allocated_blocks,
        freed_blocks,
        reserved,
        committed,
        peak_committed,
        resident,
        due,
        purged,
        holes,
        fragmentation,
        in_magazines,
        in_depots,
        sent_home,
        own,
        threads,
        ref large,
        ref limits,
        epoch,
        ref classes,
    } = *stats;
    j.object(|j| {
        for (key, value) in [
            ("live", live as u64),
            ("live_blocks", live_blocks),
            ("allocated_blocks", allocated_blocks),
            ("freed_blocks", freed_blocks),
            ("reserved", reserved as u64),
            ("committed", committed as u64),
            ("peak_committed", peak_committed as u64),
            ("resident", resident as u64),
            ("due", due as u64),
            ("purged", purged as u64),
            ("holes", holes as u64),
            ("fragmentation", fragmentation as u64),
            ("in_magazines", in_magazines as u64),
            ("in_depots", in_depots as u64),
            ("sent_home", sent_home),
            ("own", own as u64),
            ("threads", threads as u64),
            ("epoch", epoch),
        ] {
            j.key(key).number(value);
        }
        j.key("large").object(|j| {
            let crate::stats::LargeStats { live_blocks, live, allocated_blocks } = *large;
            j.key("live_blocks").number(live_blocks as u64);
            j.key("live").number(live as u64);
            j.key("allocated_blocks").number(allocated_blocks);
        });
        j.key("limits").object(|j| {
            let crate::stats::LimitStats {
                held,
                soft,
                hard,
                closest,
                refused,
                refused_bytes,
                young_asked,
                middle_asked,
                old_asked,
                soft_reached,
            } = *limits;
            // What there is not has no key.
            for (key, value) in [
                ("held", Some(held)),
                ("soft", soft),
                ("hard", hard),
                ("closest", closest),
                ("refused", Some(refused)),
                ("refused_bytes", Some(refused_bytes)),
                ("young_asked", Some(young_asked)),
                ("middle_asked", Some(middle_asked)),
                ("old_asked", Some(old_asked)),
                ("soft_reached", Some(soft_reached)),
            ] {
                if let Some(value) = value {
                    j.key(key).number(value);
                }
            }
        });
        j.key("classes").array(|j| {
            for class in classes.iter() {
                let crate::stats::ClassStats {
                    block_size,
                    live_blocks,
                    allocated_blocks,
                    pages,
                    page_bytes,
                    cached_blocks,
                } = *class;
                j.object(|j| {
                    j.key("block_size").number(block_size as u64);
                    j.key("live_blocks").number(live_blocks);
                    j.key("allocated_blocks").number(allocated_blocks);
                    j.key("pages").number(pages as u64);
                    j.key("page_bytes").number(page_bytes as u64);
                    j.key("cached_blocks").number(cached_blocks);
                });
            }
        });
    });
}
