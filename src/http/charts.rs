//! The dashboard's charts: memory over time with collections as marks, and generations stacked.
//!
//! `plotters` draws axes, lines and areas, in colours that stand for classes: `page.css` knows which colours these are by day
//! and by night, and which lines are dashed. What it cannot draw (marks that say what they are when pointed at) is added here.

use super::history::{Ages, History, Mark, Point};
use crate::generation::Generation;
use crate::units::Bytes;
use plotters::coord::Shift;
use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::fmt::Write;
use std::ops::{Range, RangeInclusive};

/// How wide a chart may be, in CSS pixels.
pub(crate) const WIDTHS: RangeInclusive<u32> = 280..=2000;
const HEIGHT: u32 = 260;
/// Above the axis, in pixels: what collections took is written there.
const HEAD: i32 = 22;
/// Right of it: the lines' names.
const NAMES: i32 = 74;
/// How high a line of text is.
const TEXT: i32 = 14;
/// Points further apart than this, in milliseconds, are not joined. An hour's are up to 12 s apart; metrics are asked for once a minute
/// at the least, as a rule.
const GAP_MS: u64 = 90_000;
/// More old collections than this are many.
const MANY: usize = 15;
/// What the charts show, in seconds: as little as there is, rounded up to one of these.
const SPANS: [f64; 9] = [30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1200.0, 1800.0, 3600.0];

/// The classes of `page.css`, by the colours that stand for them: 1 is `#000001`.
const CLASSES: [&str; 11] = [
    "axis",
    "grid",
    "label",
    "live",
    "live area",
    "committed",
    "resident",
    "young area",
    "middle area",
    "old area",
    "edge",
];
const AXIS: RGBColor = RGBColor(0, 0, 1);
const GRID: RGBColor = RGBColor(0, 0, 2);
const LABEL: RGBColor = RGBColor(0, 0, 3);
const LIVE: RGBColor = RGBColor(0, 0, 4);
const LIVE_AREA: RGBColor = RGBColor(0, 0, 5);
const COMMITTED: RGBColor = RGBColor(0, 0, 6);
const RESIDENT: RGBColor = RGBColor(0, 0, 7);
const AREAS: [RGBColor; 3] = [RGBColor(0, 0, 8), RGBColor(0, 0, 9), RGBColor(0, 0, 10)];
const EDGE: RGBColor = RGBColor(0, 0, 11);

type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<Axis, Axis>>;
/// A line: its name, its colour, and what it is of.
type Figure = (&'static str, RGBColor, fn(&Point) -> u64);
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// An axis that is divided where we say: at round numbers of bytes and seconds, which are not plotters'.
struct Axis {
    range: Range<f64>,
    divisions: Vec<f64>,
}

impl Ranged for Axis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        let share = (value - self.range.start) / (self.range.end - self.range.start);
        from + (share * f64::from(to - from)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.divisions.clone()
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

/// What the process holds, over the last so many seconds; `width` is what the chart will have on the page.
pub(crate) fn memory(history: &History, seconds: u64, width: u32) -> String {
    let span = span(history.points.iter().map(|p| p.at_ms), history.now_ms, seconds);
    let points = within(&history.points, |p| p.at_ms, history.now_ms, span);
    let at = |p: &Point| before(p.at_ms, history.now_ms);
    let figures: [Figure; 3] =
        [("resident", RESIDENT, |p| p.resident), ("committed", COMMITTED, |p| p.committed), ("live", LIVE, |p| p.live)];
    let most = points.iter().flat_map(|p| figures.map(|(.., of)| of(p))).max().unwrap_or(0) as f64;
    let marks: Vec<_> = history.marks.iter().filter(|m| before(m.at_ms, history.now_ms) >= -span).collect();
    let about = match points.last() {
        None => "Nothing is known yet.".to_string(),
        Some(last) => {
            let figure =
                |(name, _, of): (&str, RGBColor, fn(&Point) -> u64)| format!("{name} {}", Bytes(of(last) as usize));
            let of = |generation| marks.iter().filter(|m| m.generation == generation).count();
            format!(
                "Now {}. Over the last {}: at most {} of any; {} young, {} middle and {} old collections.",
                figures.map(figure).join(", "),
                time(span),
                Bytes(most as usize),
                of(Generation::Young),
                of(Generation::Middle),
                of(Generation::Old)
            )
        }
    };
    let head = Head { id: "memory", title: "Memory over time", about: &about };
    draw(head, width, span, most, |chart, area| {
        let last = points.last()?;
        // What was noted last holds until now.
        let now = Point { at_ms: history.now_ms, ..*last };
        let points: Vec<Point> = points.iter().copied().chain([now]).collect();
        for run in runs(&points, |p| p.at_ms) {
            let line = |of: fn(&Point) -> u64| run.iter().map(move |p| (at(p), of(p) as f64));
            chart.draw_series(AreaSeries::new(line(|p| p.live), 0.0, LIVE_AREA.filled())).ok()?;
            for (_, colour, of) in figures {
                chart.draw_series(LineSeries::new(line(of), colour)).ok()?;
            }
        }
        let names = figures.map(|(name, _, of)| (name, chart.backend_coord(&(0.0, of(last) as f64)).1));
        name_lines(area, width, names);
        Some(
            marks
                .iter()
                .map(|mark| (chart.backend_coord(&(before(mark.at_ms, history.now_ms), 0.0)).0, *mark))
                .collect(),
        )
    })
}

/// What lives of each generation, over the last so many seconds.
pub(crate) fn generations(history: &History, seconds: u64, width: u32) -> String {
    let span = span(history.ages.iter().map(|a| a.at_ms), history.now_ms, seconds);
    let ages = within(&history.ages, |a| a.at_ms, history.now_ms, span);
    let at = |a: &Ages| before(a.at_ms, history.now_ms);
    // The old ones are the ground: what lies on them comes and goes.
    let upto = |a: &Ages, generation: usize| a.bytes[generation..].iter().sum::<f64>();
    let most = ages.iter().map(|a| upto(a, 0)).fold(0.0, f64::max);
    let names = ["young", "middle", "old"];
    let about = match ages.last() {
        None => "Nothing was counted yet.".to_string(),
        Some(last) => {
            let figure = |i: usize| format!("{} {}", names[i], Bytes(last.bytes[i] as usize));
            format!("Live bytes of tracked blocks by generation; now {}.", [0, 1, 2].map(figure).join(", "))
        }
    };
    let head = Head { id: "generations", title: "Live bytes by generation", about: &about };
    draw(head, width, span, most, |chart, area| {
        let last = ages.last()?;
        let now = Ages { at_ms: history.now_ms, ..*last };
        let ages: Vec<Ages> = ages.iter().copied().chain([now]).collect();
        let parts = runs(&ages, |a| a.at_ms).flat_map(|run| (0..).zip(AREAS).map(move |area| (run, area)));
        for (run, (generation, colour)) in parts {
            // Each lies on the next one, and is drawn before it: so it need not know where that ends.
            let top = run.iter().map(|a| (at(a), upto(a, generation)));
            chart.draw_series(AreaSeries::new(top, 0.0, colour.filled()).border_style(EDGE)).ok()?;
        }
        let middle = |i: usize| upto(last, i) - last.bytes[i] / 2.0;
        name_lines(area, width, [0, 1, 2].map(|i| (names[i], chart.backend_coord(&(0.0, middle(i))).1)));
        Some(Vec::new())
    })
}

/// Seconds before now, as a number below zero.
fn before(at_ms: u64, now_ms: u64) -> f64 {
    -(now_ms.saturating_sub(at_ms) as f64 / 1000.0)
}

/// As many seconds as are known, rounded up, and no more than asked for.
fn span(mut times: impl Iterator<Item = u64>, now_ms: u64, seconds: u64) -> f64 {
    let most = (seconds as f64).clamp(SPANS[0], SPANS[SPANS.len() - 1]);
    let known = times.next().map_or(0.0, |first| -before(first, now_ms));
    SPANS.into_iter().find(|&span| span >= known).unwrap_or(most).min(most)
}

/// The points that are shown.
fn within<T>(all: &[T], at: impl Fn(&T) -> u64, now_ms: u64, span: f64) -> &[T] {
    &all[all.partition_point(|point| before(at(point), now_ms) < -span)..]
}

/// The points without gaps between them: nobody knows what was where nobody asked.
fn runs<T>(all: &[T], at: impl Fn(&T) -> u64) -> impl Iterator<Item = &[T]> {
    all.chunk_by(move |a, b| at(b) - at(a) <= GAP_MS)
}

/// What stands at the head of the picture, for who cannot see it.
struct Head<'a> {
    id: &'a str,
    title: &'a str,
    about: &'a str,
}

/// A picture with its axes. What is drawn inside returns where collections are; `None` if there was nothing to draw.
fn draw<'m>(
    head: Head<'_>,
    width: u32,
    span: f64,
    most: f64,
    inside: impl FnOnce(&mut Chart<'_, '_>, &Area<'_>) -> Option<Vec<(i32, &'m Mark)>>,
) -> String {
    let width = width.clamp(*WIDTHS.start(), *WIDTHS.end());
    let mut svg = String::new();
    // Writing to a text does not fail, and there is room for the axes.
    let marks = axes(&mut svg, width, span, most, inside);
    debug_assert!(marks.is_ok(), "{marks:?}");
    let mut body = classes(svg.split_once('>').map_or("", |(_, body)| body));
    let end = body.rfind("</svg>").unwrap_or(body.len());
    body.truncate(end);
    add_marks(&mut body, &marks.unwrap_or_default());
    let Head { id, title, about } = head;
    // Opened by itself, it has its colours too.
    format!(
        "<?xml-stylesheet href=\"../page.css\"?>\n\
         <svg xmlns=\"http://www.w3.org/2000/svg\" class=\"chart\" viewBox=\"0 0 {width} {HEIGHT}\" role=\"img\" \
         aria-labelledby=\"{id}-title {id}-about\">\n\
         <title id=\"{id}-title\">{title}</title>\n<desc id=\"{id}-about\">{about}</desc>\n{body}</svg>\n"
    )
}

type Drawn<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn axes<'m>(
    svg: &mut String,
    width: u32,
    span: f64,
    most: f64,
    inside: impl FnOnce(&mut Chart<'_, '_>, &Area<'_>) -> Option<Vec<(i32, &'m Mark)>>,
) -> Drawn<Vec<(i32, &'m Mark)>> {
    let area = SVGBackend::with_string(svg, (width, HEIGHT)).into_drawing_area();
    let (step, times) = (step(most), time_step(span, width));
    let top = (most / step).ceil().max(1.0) * step;
    let multiples = |step: f64, to: f64| (0..).map(move |i| f64::from(i) * step).take_while(move |n| *n <= to * 1.0001);
    let text = || ("sans-serif", TEXT).into_font().color(&LABEL);
    let mut chart = ChartBuilder::on(&area)
        .margin_top(HEAD)
        .margin_right(NAMES)
        .x_label_area_size(24)
        .y_label_area_size(66)
        .build_cartesian_2d(
            Axis { range: -span..0.0, divisions: multiples(times, span).map(|t| -t).collect() },
            Axis { range: 0.0..top, divisions: multiples(step, top).collect() },
        )?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .axis_style(AXIS)
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .label_style(text())
        .x_label_formatter(&|t| if *t == 0.0 { "now".into() } else { format!("\u{2212}{}", time(-t)) })
        .y_label_formatter(&|bytes| short(*bytes))
        .draw()?;
    let marks = inside(&mut chart, &area);
    if marks.is_none() {
        let centre = Pos::new(HPos::Center, VPos::Center);
        area.draw_text("waiting for figures", &text().pos(centre), (width as i32 / 2, HEIGHT as i32 / 2))?;
    }
    area.present()?;
    Ok(marks.unwrap_or_default())
}

/// Writes the names beside the ends of their lines.
fn name_lines(area: &Area<'_>, width: u32, names: [(&str, i32); 3]) {
    let style = ("sans-serif", TEXT).into_font().color(&LABEL).pos(Pos::new(HPos::Left, VPos::Center));
    for (name, y) in apart(names) {
        // The backend writes into a text: that does not fail.
        let _ = area.draw_text(name, &style, (width as i32 - NAMES + 6, y));
    }
}

/// Names with their heights, highest first, moved apart from each other.
fn apart(mut names: [(&str, i32); 3]) -> [(&str, i32); 3] {
    names.sort_by_key(|(_, y)| *y);
    // From the lowest upward, each at least a line above the one below it.
    let mut below = HEIGHT as i32 - 24;
    for (_, y) in names.iter_mut().rev() {
        *y = (*y).min(below);
        below = *y - TEXT;
    }
    // Then downward: what has come above the picture makes the ones below it give way.
    let mut above = HEAD;
    for (_, y) in &mut names {
        *y = (*y).max(above);
        above = *y + TEXT;
    }
    names
}

/// Collections as ticks on the axis, the older the longer. Old ones are lines through the picture, with their processor time above where
/// there is room; where they are many, only the one that took longest is.
fn add_marks(svg: &mut String, marks: &[(i32, &Mark)]) {
    let foot = HEIGHT as i32 - 24;
    let old = || marks.iter().filter(|(_, mark)| mark.generation == Generation::Old);
    let longest = old().map(|(_, mark)| mark.pause_ns).max().filter(|_| old().count() > MANY);
    let mut free_from = 0;
    for &(x, mark) in marks {
        let (name, took) = (mark.generation, processor_time(mark.pause_ns));
        let asked = if mark.automatic { "" } else { ", asked for" };
        let is_line = mark.generation == Generation::Old && longest.is_none_or(|longest| longest == mark.pause_ns);
        let length = match mark.generation {
            Generation::Old if is_line => foot - HEAD,
            Generation::Old => 18,
            Generation::Middle => 12,
            Generation::Young => 6,
        };
        let class = if is_line { " line" } else { "" };
        // Writing to a text does not fail.
        let _ = write!(
            svg,
            "<g class=\"mark {name}{class}\"><title>{name} collection {}: {took} of processor time, {} purged, {} pinned{asked}</title>\
             <path d=\"M{x} {foot}v-{length}\"/>",
            mark.number,
            Bytes(mark.reclaimed.purged as usize),
            Bytes(mark.pinned as usize),
        );
        if is_line {
            let _ = write!(svg, "<circle cx=\"{x}\" cy=\"{HEAD}\" r=\"4\"/>");
        }
        if is_line && x >= free_from {
            let what = if longest.is_some() { "longest: " } else { "" };
            let _ = write!(svg, "<text x=\"{x}\" y=\"{}\" text-anchor=\"middle\">{what}{took}</text>", HEAD - 8);
            free_from = x + 62;
        }
        svg.push_str("</g>\n");
    }
}

/// Colours become classes; what else a style sheet knows better goes.
fn classes(svg: &str) -> String {
    let mut svg = svg.replace(" opacity=\"1\"", "").replace(" stroke-width=\"1\"", "");
    for what in
        [format!(" font-family=\"sans-serif\" font-size=\"{}\"", f64::from(TEXT) / 1.24), " dy=\"0.5ex\"".into()]
    {
        svg = svg.replace(&what, if what.contains("dy") { " dy=\"0.35em\"" } else { "" });
    }
    for (number, class) in (1..).zip(CLASSES) {
        // Texts have no quotation marks: plotters escapes them.
        for what in ["fill", "stroke"] {
            svg = svg.replace(&format!("{what}=\"#0000{number:02X}\""), &format!("class=\"{class}\""));
        }
    }
    svg
}

/// How far grid lines are apart: at most five of them, at round numbers of KiB, MiB or GiB, or quarters of the next.
fn step(most: f64) -> f64 {
    let units = [10, 20, 30, 40].map(|shift| (1u64 << shift) as f64);
    let steps = units.into_iter().flat_map(|unit| [1, 2, 5, 10, 20, 50, 100, 256, 512].map(|n| f64::from(n) * unit));
    steps.into_iter().find(|step| most / step <= 5.0).unwrap_or(most)
}

/// How far labels of the time axis are apart, in seconds.
fn time_step(span: f64, width: u32) -> f64 {
    let room = (f64::from(width) / 110.0).clamp(2.0, 7.0);
    let steps = [5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0];
    steps.into_iter().find(|step| span / step <= room).unwrap_or(span)
}

/// Seconds for people.
fn time(seconds: f64) -> String {
    if seconds < 120.0 && seconds % 60.0 != 0.0 { format!("{seconds} s") } else { format!("{} min", seconds / 60.0) }
}

/// Bytes as a label: no more digits than it needs.
fn short(bytes: f64) -> String {
    let units = [(1u64 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.into_iter().find(|(unit, _)| bytes >= *unit as f64) {
        Some((unit, name)) => format!("{} {name}", (bytes / unit as f64 * 100.0).round() / 100.0),
        None => "0".into(),
    }
}

/// Processor time for people.
fn processor_time(ns: u64) -> String {
    let ms = ns as f64 / 1e6;
    if ms < 0.1 { format!("{:.0} \u{b5}s", ms * 1e3) } else { format!("{ms:.1} ms") }
}

#[cfg(test)]
mod tests;
