//! A request's stay in its route: its tag, and if it was chosen, its own watch.

use super::parted::Parted;
use super::{Inner, Routes};
use crate::scope::watch::{Inside, Watching};
use crate::testing::is_global;
use crate::track::watch::Kind;
use crate::{Scope, Tag};
use std::sync::LazyLock;
use std::time::Instant;

/// From a request's beginning to the end of its response, on whichever threads. Dropping it is the end.
#[derive(Debug)]
pub(crate) struct Span {
    tag: Tag,
    exact: Option<Exact>,
}

impl Span {
    /// `exact`: whose row counts what the request does, if it was chosen.
    pub(super) fn new(tag: Tag, exact: Option<(&Routes, usize)>) -> Span {
        Span { tag, exact: exact.and_then(|(routes, at)| Exact::begin(routes, at)) }
    }

    /// Until the guard is dropped, what this thread allocates is the request's.
    pub(crate) fn enter(&self) -> Entered {
        let inside = self.exact.as_ref().and_then(|exact| exact.watching.as_ref()?.handle().enter());
        Entered { _inside: inside, _tag: self.tag.enter() }
    }
}

/// A thread's stay in a [`Span`].
#[derive(Debug)]
pub(crate) struct Entered {
    _inside: Option<Inside>,
    _tag: Scope,
}

/// The watch of a request, and where it is counted when it is over.
#[derive(Debug)]
struct Exact {
    /// `None` only when it is dropped.
    watching: Option<Watching>,
    routes: Routes,
    row: usize,
}

impl Exact {
    #[cold]
    fn begin(routes: &Routes, row: usize) -> Option<Exact> {
        // Where another allocator serves the program, a watch would see nothing, and say that nothing was allocated.
        static GLOBAL: LazyLock<bool> = LazyLock::new(is_global);
        match (*GLOBAL).then(|| Watching::open_spare(Kind::Counts)).flatten() {
            Some(watching) => Some(Exact { watching: Some(watching), routes: routes.clone(), row }),
            None => {
                routes.0.table.row(row).not_measured();
                None
            }
        }
    }
}

impl Drop for Exact {
    fn drop(&mut self) {
        let Some(watching) = self.watching.take() else { return };
        watching.be_patient();
        let Inner { parted, table, .. } = &*self.routes.0;
        parted.put(Parted { done: watching.totals(), at: Instant::now(), row: self.row, watching }, table);
    }
}
