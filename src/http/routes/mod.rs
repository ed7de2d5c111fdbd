//! Statistics by route: how many requests each had, and what one in n of them did with memory, exactly.
//!
//! Every request runs in the tag of its route, so samples say what each route holds. A request that is chosen runs in a
//! watch of its own besides, as [`testing::measure_async`](crate::testing::measure_async) does.

mod histogram;
mod parted;
mod row;
mod span;
mod table;
mod write;

pub(crate) use row::{Distribution, RouteRow};
pub(crate) use span::Span;

use crate::os;
use parted::Waiting;
use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use table::Table;

/// What requests are counted under that no route matches.
pub(crate) const UNMATCHED: &str = "unmatched";

/// Bytes of a route's name, as of a tag's: what is longer is cut.
const LONGEST: usize = 255;

/// Statistics by route: see [`RouteLayer`](crate::http::tower::RouteLayer), which fills them, and
/// [`Endpoints::routes`](crate::http::Endpoints::routes), which shows them. Clones are the same statistics.
///
/// Routes are never forgotten, so there is room for a number of them, 200 if not said otherwise ([`most`](Routes::most)).
/// What comes later is counted as `other`, and has its tag.
///
/// **Memory**: half a KiB for each route that there is room for, from the first request on.
#[derive(Clone)]
pub struct Routes(Arc<Inner>);

struct Inner {
    table: Table,
    parted: Waiting,
    /// 0: none.
    exact_one_in: AtomicU32,
}

impl Routes {
    /// No routes yet.
    pub fn new() -> Routes {
        Routes(Arc::new(Inner {
            table: Table::new(200),
            parted: Waiting::default(),
            exact_one_in: AtomicU32::new(100),
        }))
    }

    /// Room for so many routes, 1 to 2,000; before the first request. Default: 200. What comes later is counted as `other`.
    ///
    /// There are [`Tenure::max_tags`](crate::Tenure::max_tags) tags for the whole program: a route for which none is left has
    /// statistics of its own, but the tag `other`.
    pub fn most(self, routes: usize) -> Routes {
        self.0.table.set_most(routes.clamp(1, 2000));
        self
    }

    /// Of so many requests one runs exact, on average; 0: none does. Default: 100. May be changed at any time.
    ///
    /// Which do is left to chance, each by itself. To count to n would go wrong with traffic that repeats itself: of two
    /// kinds of request in turns, every hundredth is always the same kind.
    pub fn exact_one_in(self, n: u32) -> Routes {
        self.0.exact_one_in.store(n, Relaxed); // Relaxed: a number, and nothing depends on when it is seen
        self
    }

    /// A request begins. `None` is one that no route matches. Some tens of nanoseconds unless it is exact; allocates only for
    /// a route that is new, and that is not tracked.
    pub(crate) fn begin(&self, route: Option<&str>) -> Span {
        let route = route.unwrap_or(UNMATCHED);
        let at = self.0.table.find(&route[..route.floor_char_boundary(LONGEST)]);
        let row = self.0.table.row(at);
        row.request();
        let one_in = self.0.exact_one_in.load(Relaxed); // Relaxed: as above
        Span::new(row.tag, chance(one_in).then_some((self, at)))
    }

    pub(crate) fn one_in(&self) -> u32 {
        self.0.exact_one_in.load(Relaxed) // Relaxed: as above
    }

    /// All that have had a request, in the order of their first; then `other`, if it has any. Allocates.
    pub(crate) fn table(&self) -> Vec<RouteRow> {
        self.0.parted.settle(&self.0.table);
        self.0.table.rows().map(|row| row.read()).filter(|row| row.requests > 0).collect()
    }
}

impl Default for Routes {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Routes").field("exact_one_in", &self.one_in()).finish_non_exhaustive()
    }
}

/// `true` one time in n, by chance. Two nanoseconds: xorshift64 (Marsaglia, 2003), seeded differently in each thread.
fn chance(one_in: u32) -> bool {
    thread_local!(static STATE: Cell<u64> = const { Cell::new(0) });
    if one_in == 0 {
        return false;
    }
    // A thread that is ending has no state any more: then nothing is exact.
    let random = STATE.try_with(|state| {
        let mut x = if state.get() == 0 { os::seed() } else { state.get() };
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        state.set(x);
        x
    });
    // The upper bits are the better ones. A product's upper half is a number below n, each as likely as the others.
    random.is_ok_and(|x| ((x >> 32) * one_in as u64) >> 32 == 0)
}

#[cfg(test)]
mod tests;
