//! A pool of objects that are expensive to make: what is given back is reset, and as much is kept as is allowed.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// What can be used again.
pub(crate) trait Reuse: Default {
    /// Forgets the last use, and keeps the room that it took.
    fn reset(&mut self);
    /// What is kept with it, in bytes.
    fn bytes(&self) -> usize;
}

/// What a pool keeps at most.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) objects: usize,
    /// Of all objects.
    pub(crate) bytes: usize,
    /// Of one. If it was used for something huge, it is not kept: it would hold that for ever.
    pub(crate) bytes_of_one: usize,
}

pub(crate) struct Pool<T> {
    bounds: Bounds,
    kept: Mutex<Kept<T>>,
    // Relaxed: they count, and order nothing.
    taken: AtomicU64,
    reused: AtomicU64,
}

struct Kept<T> {
    objects: Vec<T>,
    bytes: usize,
}

/// How a pool does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Usage {
    pub(crate) taken: u64,
    pub(crate) reused: u64,
    pub(crate) kept: usize,
    pub(crate) bytes: usize,
}

impl<T: Reuse> Pool<T> {
    pub(crate) fn new(bounds: Bounds) -> Arc<Pool<T>> {
        let kept = Mutex::new(Kept { objects: Vec::with_capacity(bounds.objects), bytes: 0 });
        Arc::new(Pool { bounds, kept, taken: AtomicU64::new(0), reused: AtomicU64::new(0) })
    }

    /// An object from the pool, or a new one. It comes back when it is dropped.
    pub(crate) fn take(self: &Arc<Self>) -> Pooled<T> {
        self.taken.fetch_add(1, Relaxed);
        let old = {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            let old = kept.objects.pop();
            kept.bytes -= old.as_ref().map_or(0, T::bytes);
            old
        };
        self.reused.fetch_add(old.is_some().into(), Relaxed);
        Pooled { object: old.unwrap_or_default(), home: self.clone() }
    }

    pub(crate) fn usage(&self) -> Usage {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (taken, reused) = (self.taken.load(Relaxed), self.reused.load(Relaxed));
        Usage { taken, reused, kept: kept.objects.len(), bytes: kept.bytes }
    }
}

/// An object on loan.
pub(crate) struct Pooled<T: Reuse> {
    object: T,
    home: Arc<Pool<T>>,
}

impl<T: Reuse> Deref for Pooled<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.object
    }
}

impl<T: Reuse> DerefMut for Pooled<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.object
    }
}

impl<T: Reuse> Drop for Pooled<T> {
    fn drop(&mut self) {
        let mut object = std::mem::take(&mut self.object);
        object.reset();
        let (bytes, bounds) = (object.bytes(), self.home.bounds);
        let mut kept = self.home.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = bytes <= bounds.bytes_of_one && kept.bytes + bytes <= bounds.bytes;
        if fits && kept.objects.len() < bounds.objects {
            kept.objects.push(object);
            kept.bytes += bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Page(Vec<u8>);

    impl Reuse for Page {
        fn reset(&mut self) {
            self.0.clear();
        }

        fn bytes(&self) -> usize {
            self.0.capacity()
        }
    }

    #[test]
    fn what_comes_back_is_reset_and_bounded() {
        let pool = Pool::<Page>::new(Bounds { objects: 3, bytes: 1000, bytes_of_one: 700 });
        let page = |bytes: usize| {
            let mut page = pool.take();
            assert!(page.0.is_empty(), "what was used is not reset");
            page.0.reserve_exact(bytes);
            page.0.push(1);
            page
        };
        drop(page(200));
        assert_eq!(pool.usage(), Usage { taken: 1, reused: 0, kept: 1, bytes: 200 });
        drop(page(100));
        assert_eq!(pool.usage(), Usage { taken: 2, reused: 1, kept: 1, bytes: 200 });
        drop(page(800));
        assert_eq!(pool.usage(), Usage { taken: 3, reused: 2, kept: 0, bytes: 0 });
        drop([100, 100, 100, 100].map(page));
        assert_eq!(pool.usage(), Usage { taken: 7, reused: 2, kept: 3, bytes: 300 });
        drop(pool.take());
        let many = [600, 600].map(page);
        drop(many);
        let usage = pool.usage();
        assert!(usage.bytes <= 1000 && usage.kept == 2, "{usage:?}");
    }
}
