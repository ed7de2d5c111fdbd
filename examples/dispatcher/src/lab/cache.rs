//! A cache without a bound: what is asked for once is kept for ever.

use super::{About, Lesson};
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

static ABOUT: About = About {
    name: "cache",
    title: "A cache without a bound",
    what: "Pages are kept by their address in a map, and there is always another address.",
    right: "The cache is bounded by bytes, and forgets what is asked for least.",
    seen: "Maps by user, token or query; memoised functions; compiled patterns and prepared statements.",
    look: About::SUSPECTS,
    pause: About::PAUSE,
    exact: false,
};

const PAGE: usize = 12 << 10;
/// It is full after a second or two, so that it is not taken for one that will never be.
const BOUND: u64 = 1 << 20;

pub(super) struct Caches {
    without_bound: Mutex<HashMap<u64, Arc<[u8]>>>,
    bounded: Cache<u64, Arc<[u8]>, Bytes>,
    // Relaxed: a number for each visit.
    visits: AtomicU64,
}

#[derive(Clone)]
struct Bytes;

impl Weighter<u64, Arc<[u8]>> for Bytes {
    fn weight(&self, _: &u64, page: &Arc<[u8]>) -> u64 {
        page.len() as u64
    }
}

impl Default for Caches {
    fn default() -> Caches {
        let bounded = Cache::with_weighter((BOUND / PAGE as u64) as usize, BOUND, Bytes);
        Caches { without_bound: Mutex::default(), bounded, visits: AtomicU64::new(0) }
    }
}

impl Lesson for Caches {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn leak(&self) {
        let address = self.visits.fetch_add(1, Relaxed);
        let page: Arc<[u8]> = Arc::from([1; PAGE]);
        self.without_bound.lock().unwrap_or_else(PoisonError::into_inner).insert(address, page);
    }

    fn right(&self) {
        let address = self.visits.fetch_add(1, Relaxed);
        let page: Arc<[u8]> = Arc::from([2; PAGE]);
        self.bounded.insert(address, page);
    }

    fn held(&self) -> usize {
        self.without_bound.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn free(&self) {
        *self.without_bound.lock().unwrap_or_else(PoisonError::into_inner) = HashMap::new();
        self.bounded.clear();
    }
}
