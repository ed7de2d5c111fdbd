//! Statistics by route as OpenMetrics.

use super::histogram::BOUNDS;
use super::{Distribution, RouteRow, Routes};
use crate::export::printable;
use crate::export::text::{Kind, Text};

/// A figure of a route.
type Figure<T> = fn(&RouteRow) -> T;

impl Routes {
    /// Families whose names begin with `tenure_route_`: three counters of each route, and where requests ran exact, three
    /// histograms, of 17 series each.
    pub(crate) fn write(&self, text: &mut Text) {
        let rows: Vec<_> = self.table().into_iter().map(|row| (printable(&row.route), row)).collect();
        let counters: [(&str, &str, Figure<u64>); 3] = [
            ("requests", "Requests that have begun.", |row| row.requests),
            ("exact_requests", "Those that ran exact, and whose responses are over.", |row| row.exact),
            ("not_measured", "Those that were chosen to run exact, but could not.", |row| row.not_measured),
        ];
        for (name, help, of) in counters {
            text.family(&format!("tenure_route_{name}"), Kind::Counter, help);
            rows.iter().for_each(|(route, row)| text.sample(&[("route", route)], of(row) as f64));
        }
        let histograms: [(&str, &str, Figure<Distribution>); 3] = [
            ("allocated", "What exact requests have allocated.", |row| row.allocated_bytes),
            ("peak", "The most that exact requests held at once.", |row| row.peak_bytes),
            ("left", "What of exact requests was still live after the response.", |row| row.left_bytes),
        ];
        for (name, help, of) in histograms {
            text.family(&format!("tenure_route_{name}_bytes"), Kind::Histogram, help);
            for (route, row) in rows.iter().filter(|(_, row)| row.exact > 0) {
                let counts = of(row).counts;
                text.histogram(("route", route), &BOUNDS, &counts.buckets, counts.sum);
            }
        }
    }
}
