//! What the tracker keeps for a thread: eight words of the thread's heap, zero when the thread begins.

use super::counters::{self, Event, Table};
use super::predict::Predictor;
use super::watch;

/// The words by name.
#[repr(transparent)]
pub(crate) struct State([u64; 8]);

const SEED: usize = 0;
/// How many scopes of this thread want every block tracked.
const EXACT: usize = 1;
/// How many scopes want nothing tracked.
const UNTRACKED: usize = 2;
const TAG: usize = 3;
/// Address of this thread's [`Table`]; 0 before it needs one.
const TABLE: usize = 4;
/// 1 while a stack is being captured.
const CAPTURING: usize = 5;
/// Address of this thread's predictor; 0 before it needs one.
const PREDICTOR: usize = 6;
/// The watch that this thread is in; 0: none.
const WATCH: usize = 7;

impl State {
    /// The state in a thread's words.
    #[inline]
    pub(crate) fn of(words: &mut [u64; 8]) -> &mut State {
        // SAFETY: transparent, and every value of the words is valid.
        unsafe { &mut *(&raw mut *words).cast() }
    }

    pub(super) fn seed(&mut self) -> &mut u64 {
        &mut self.0[SEED]
    }

    #[inline]
    pub(super) fn wants_exact(&self) -> bool {
        self.0[EXACT] != 0
    }

    /// One scope more, or one less, that wants every block of this thread tracked.
    pub(crate) fn want_exact(&mut self, on: bool) {
        self.0[EXACT] = if on { self.0[EXACT] + 1 } else { self.0[EXACT].saturating_sub(1) };
        // Megabytes: many threads that are exact now and then share a few. Not while a stack is captured with it: a signal's handler
        // may have had the scope.
        if !super::is_exact(self) && self.0[CAPTURING] == 0 {
            self.park_predictor();
        }
    }

    #[inline]
    pub(super) fn is_untracked(&self) -> bool {
        self.0[UNTRACKED] != 0
    }

    /// One scope more, or one less, whose blocks are not tracked.
    pub(crate) fn untrack(&mut self, on: bool) {
        self.0[UNTRACKED] = if on { self.0[UNTRACKED] + 1 } else { self.0[UNTRACKED].saturating_sub(1) };
    }

    /// The tag of what this thread allocates now.
    #[inline]
    pub(crate) fn tag(&self) -> u16 {
        self.0[TAG] as u16
    }

    /// Sets the tag, and returns the one before.
    pub(crate) fn set_tag(&mut self, tag: u16) -> u16 {
        std::mem::replace(&mut self.0[TAG], tag as u64) as u16
    }

    /// The watch that this thread is in; 0: none.
    #[inline]
    pub(crate) fn watch(&self) -> u16 {
        self.0[WATCH] as u16
    }

    /// Sets it, and returns the one before.
    pub(crate) fn set_watch(&mut self, watch: u16) -> u16 {
        std::mem::replace(&mut self.0[WATCH], watch as u64) as u16
    }

    /// Runs `f`, unless it runs already further out: then this is a signal handler, or something that `f` calls.
    #[inline(always)]
    pub(super) fn capturing<T>(&mut self, f: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.0[CAPTURING] != 0 {
            return None;
        }
        self.0[CAPTURING] = 1;
        let result = f(self);
        self.0[CAPTURING] = 0;
        Some(result)
    }

    /// Counts a birth. `false` if there is no memory for it.
    #[inline(always)]
    pub(super) fn count_birth(&mut self, site: u32, tag: u16, event: Event) -> bool {
        self.table().is_some_and(|table| table.count(site, tag, event)) || {
            let room = counters::has_room(site);
            if room {
                counters::count_shared(site, tag, event);
            }
            room
        }
    }

    /// Counts what happened to a block that is tracked exactly.
    #[inline(always)]
    pub(super) fn count(&mut self, site: u32, tag: u16, event: Event) {
        if !self.table().is_some_and(|table| table.count(site, tag, event)) {
            counters::count_shared(site, tag, event);
        }
    }

    #[inline]
    pub(super) fn table(&self) -> Option<&'static Table> {
        let table = std::ptr::with_exposed_provenance::<Table>(self.0[TABLE] as usize);
        // SAFETY: null, or a table, and those live for ever.
        unsafe { table.as_ref() }
    }

    /// Sees to it that the thread has a table of its own, if there is memory for one.
    #[inline]
    pub(super) fn prepare(&mut self) {
        if self.0[TABLE] == 0 {
            self.adopt_table();
        }
    }

    #[cold]
    fn adopt_table(&mut self) {
        self.0[TABLE] = Table::adopt().map_or(0, |table| (&raw const *table).expose_provenance() as u64);
    }

    /// This thread's predictor; null if there is no memory for one.
    #[inline]
    pub(super) fn predictor(&mut self) -> *mut Predictor {
        if self.0[PREDICTOR] == 0 {
            self.0[PREDICTOR] = Predictor::adopt().expose_provenance() as u64;
        }
        std::ptr::with_exposed_provenance_mut(self.0[PREDICTOR] as usize)
    }

    /// Leaves the predictor, if there is one, to whoever needs one next.
    fn park_predictor(&mut self) {
        if self.0[PREDICTOR] != 0 {
            // SAFETY: it is this thread's, and forgotten here.
            unsafe { Predictor::park(self.predictor()) };
            self.0[PREDICTOR] = 0;
        }
    }

    /// The thread ends: what it used is left for the next one.
    pub(crate) fn end(&mut self) {
        if let Some(table) = self.table() {
            table.park();
        }
        self.park_predictor();
        watch::release(self.watch());
        self.0 = [0; 8];
    }
}
