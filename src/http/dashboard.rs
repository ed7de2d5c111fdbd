//! The page for people, and the pictures that it is made of.

use super::answer::{Answer, Fault};
use super::call::Call;
use super::{baseline, charts, flame, history, page};
use crate::export::{flame_graph, flame_graph_diff};
use http::{HeaderValue, StatusCode};
use std::ops::RangeInclusive;

const SVG: &str = "image/svg+xml";

/// Seconds that a chart goes back.
const SPAN: RangeInclusive<u64> = 10..=86_400;
const DEFAULT_SPAN: u64 = 600;
const DEFAULT_WIDTH: u64 = 800;

/// The page, its style and its scripts.
pub(super) fn asset(call: &Call<'_>) -> Result<Answer, Fault> {
    let name = call.path.rsplit('/').next().unwrap_or_default();
    let asset = page::asset(name).ok_or_else(|| Fault::new(StatusCode::NOT_FOUND, "the page has no such file"))?;
    Ok(Answer::new(asset.content_type, asset.body))
}

pub(super) fn memory(call: &Call<'_>) -> Result<Answer, Fault> {
    chart(call, charts::memory)
}

pub(super) fn generations(call: &Call<'_>) -> Result<Answer, Fault> {
    chart(call, charts::generations)
}

fn chart(call: &Call<'_>, draw: fn(&history::History, u64, u32) -> String) -> Result<Answer, Fault> {
    let seconds = call.query.number("seconds", SPAN)?.unwrap_or(DEFAULT_SPAN);
    let widths = u64::from(*charts::WIDTHS.start())..=u64::from(*charts::WIDTHS.end());
    let width = call.query.number("width", widths)?.unwrap_or(DEFAULT_WIDTH);
    call.job(|_| Answer::new(SVG, draw(&history::read(), seconds, width as u32)))
}

pub(super) fn flame_json(call: &Call<'_>) -> Result<Answer, Fault> {
    let value = call.query.value("value")?;
    call.report_of("Flame graph", |names| {
        let tree = flame::flame_json(&crate::snapshot(), names, value);
        Ok((tree, "A tree for scripts: ask for format=json, or for flame.svg.\n".into()))
    })
}

/// A picture to be opened by itself, with a script that lets one click into it.
pub(super) fn flame_svg(call: &Call<'_>) -> Result<Answer, Fault> {
    let value = call.query.value("value")?;
    let earlier = match call.query.flag("diff")? {
        true => Some(baseline::get(&call.inner.baseline).ok_or_else(baseline::none)?),
        false => None,
    };
    call.job(|names| {
        let snapshot = crate::snapshot();
        let svg = match &earlier {
            None => flame_graph(&snapshot, names, value),
            Some(earlier) => flame_graph_diff(&snapshot, &earlier.snapshot, names, None, value),
        };
        let (svg, policy) = flame::page(&svg);
        // A policy that is no header would be the strict one, which lets no script run.
        Answer { policy: HeaderValue::from_str(&policy).ok(), ..Answer::new(SVG, svg) }
    })
}
