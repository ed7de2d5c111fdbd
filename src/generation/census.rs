//! The census of an old collection: how much of each generation lives, and whose.

use super::record::{Alive, Census};

/// A census on its way.
pub(super) struct Counting {
    census: Census,
}

impl Counting {
    pub(super) const fn new() -> Counting {
        const NONE: Alive = Alive { blocks: 0.0, bytes: 0.0, bytes_error: 0.0 };
        Counting { census: Census { young: NONE, middle: NONE, old: NONE, permanent: NONE } }
    }

    pub(super) fn begin(&mut self) {
        *self = Counting::new();
    }

    /// A piece of it. What was found, when it is done.
    pub(super) fn piece(&mut self) -> Option<Census> {
        Some(self.census)
    }
}
