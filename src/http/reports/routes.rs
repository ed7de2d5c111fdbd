//! What requests allocate and leave, route by route.

use super::super::answer::{Answer, Fault};
use super::super::call::Call;
use super::super::routes::RouteRow;
use super::Estimated;
use crate::snapshot::Snapshot;
use crate::units::{Bytes, Count};
use serde::Serialize;

#[derive(Serialize)]
struct Report {
    /// 0: no request is measured.
    one_in: u32,
    routes: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    row: RouteRow,
    /// What lives of the route's tag.
    live_bytes: Estimated,
}

pub(in super::super) fn routes(call: &Call<'_>) -> Result<Answer, Fault> {
    let Some(routes) = call.inner.routes() else {
        let none = Report { one_in: 0, routes: Vec::new() };
        return Ok(call.report("Routes", &none, || "The program shows no routes.\n".into()));
    };
    call.report_of("Routes", |_| {
        let snapshot = crate::snapshot();
        let rows = routes.table().into_iter().map(|row| with_live(row, &snapshot));
        let report = Report { one_in: routes.one_in(), routes: rows.collect() };
        let text = text(&report);
        Ok((report, text))
    })
}

fn with_live(row: RouteRow, snapshot: &Snapshot) -> Row {
    let tag = snapshot.tags().iter().find(|tag| tag.name == row.tag.name());
    let live = tag.map_or(crate::snapshot::Sum::default(), |tag| tag.live);
    Row { row, live_bytes: live.bytes().into() }
}

/// Means and maxima, which are exact; quantiles are known within a factor of four, and are for machines.
fn text(report: &Report) -> String {
    let mut text = format!(
        "{:>12} {:>10} {:>11} {:>11} {:>11} {:>11} {:>11} {:>11}  route\n",
        "requests", "measured", "allocated", "at most", "peak", "highest", "left", "live now"
    );
    for Row { row, live_bytes } in &report.routes {
        let RouteRow { allocated_bytes: allocated, peak_bytes: peak, left_bytes: left, .. } = row;
        let means = [allocated.mean, peak.mean, left.mean, live_bytes.value];
        let [mean, peak_mean, left, live] = means.map(|b| Bytes(b as usize));
        let [most, highest] = [allocated.max, peak.max].map(|b| Bytes(b as usize));
        let (requests, measured) = (Count(row.requests), Count(row.exact));
        let name: String = row.route.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        text += &format!("{requests:>12} {measured:>10} {mean:>11} {most:>11} {peak_mean:>11} {highest:>11} ");
        text += &format!("{left:>11} {live:>11}  {name}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Routes;
    use crate::snapshot::Sum;

    /// A quantile of a histogram of powers of four would look as exact as a mean.
    #[test]
    fn people_see_means_and_maxima() {
        let routes = Routes::new().exact_one_in(0);
        drop(routes.begin(Some("/orders")));
        let mut row = routes.table().remove(0);
        row.exact = 7;
        for (of, mean) in
            [(&mut row.allocated_bytes, 2048.0), (&mut row.peak_bytes, 512.0), (&mut row.left_bytes, 96.0)]
        {
            (of.mean, of.max, of.p50, of.p99) = (mean, mean as u64 + 5, 3e9, 5e9);
        }
        let live_bytes = Sum::default().bytes().into();
        let text = text(&Report { one_in: 1, routes: vec![Row { row, live_bytes }] });
        let last: Vec<_> = text.lines().last().expect("a line").split_whitespace().collect();
        assert_eq!(last.join(" "), "1 7 2.0 KiB 2.0 KiB 512 B 517 B 96 B 0 B /orders", "{text}");
    }
}
