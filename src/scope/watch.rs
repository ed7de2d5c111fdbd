//! Watches of the tracker as values: who is in one, and how long it stays.

use crate::allocator::{want_exact, with_state};
use crate::track::watch::{self, Kind, Line, MOST, Totals};
use std::marker::PhantomData;

/// A watch, to be entered by other threads. May be kept longer than the watch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Handle {
    number: u16,
    serial: u64,
}

impl Handle {
    /// The watch that this thread is in.
    pub(crate) fn current() -> Option<Handle> {
        let number = with_state(|state| state.watch());
        // The thread is in it, so it cannot become another one.
        (number != 0).then(|| Handle { number, serial: watch::serial(number) })
    }

    /// Until the guard is dropped, this thread is in the watch, and tracks every block. `None` if it is over and done with.
    ///
    /// Entering and leaving sends home what the thread's magazines hold, unless it tracks every block anyway.
    pub(crate) fn enter(self) -> Option<Inside> {
        self.enter_as(false)
    }

    fn enter_as(self, owner: bool) -> Option<Inside> {
        watch::join(self.number, self.serial).then(|| {
            want_exact(true);
            let before = with_state(|state| state.set_watch(self.number));
            Inside { own: self.number, before, owner, thread: PhantomData }
        })
    }
}

/// A thread's stay in a watch. Dropping it puts back the watch that it found. If that was left meanwhile, the one around it;
/// and if the thread is in a scope further in, it stays there.
///
/// The watch that a thread is in has a reference for it, and so has the one that is put back: no number is left that could
/// become another scope's, in whatever order guards are dropped.
#[derive(Debug)]
pub(crate) struct Inside {
    own: u16,
    before: u16,
    /// Whether the watch was opened for this stay. Then nobody else's end of a stay looks whether it was left.
    owner: bool,
    /// It is of its thread.
    thread: PhantomData<*mut ()>,
}

impl Drop for Inside {
    fn drop(&mut self) {
        want_exact(false);
        let now = with_state(|state| state.watch());
        if self.owner && watch::leave_early(self.own, now) {
            return watch::release(self.before);
        }
        let before = watch::not_left(self.before);
        watch::release(with_state(|state| state.set_watch(before)));
    }
}

/// A watch that counts until it is closed or dropped. It is of no thread.
#[derive(Debug)]
pub(crate) struct Watching(Handle);

impl Watching {
    /// A new watch, in the one that this thread is in. `None` if there are too many, or memory is out.
    pub(crate) fn open(kind: Kind) -> Option<Watching> {
        Self::open_of(kind, MOST, 1)
    }

    /// The same for those who can do without: `None` also if half of all watches are in use.
    #[cfg(feature = "http")]
    pub(crate) fn open_spare(kind: Kind) -> Option<Watching> {
        // Those who come often do not look through all blocks often: each time for a thousand watches at least.
        Self::open_of(kind, MOST / 2, 1024)
    }

    /// Where `most` are in use, those that are over forget their blocks first, if there are so many.
    fn open_of(kind: Kind, most: u16, many: u32) -> Option<Watching> {
        let open = || watch::open(kind, with_state(|state| state.watch()), most);
        let number = open().or_else(|| watch::forget_if(many).then(open).flatten())?;
        Some(Watching(Handle { number, serial: watch::serial(number) }))
    }

    pub(crate) fn handle(&self) -> Handle {
        self.0
    }

    /// This thread is in it from here on: for a scope that stands in no block, so that others may end in any order.
    pub(crate) fn begin(&self) -> Option<Inside> {
        self.0.enter_as(true)
    }

    /// What was counted so far. Allocates.
    pub(crate) fn read(&self) -> (Totals, Vec<Line>) {
        watch::read(self.0.number)
    }

    /// The sums of that. Does not allocate.
    #[cfg(feature = "http")]
    pub(crate) fn totals(&self) -> Totals {
        watch::totals(self.0.number)
    }

    /// Counts on, but some frees may come late: no thread is held up for it any more.
    #[cfg(feature = "http")]
    pub(crate) fn be_patient(&self) {
        watch::be_patient(self.0.number);
    }

    /// Counts nothing more.
    pub(crate) fn close(&self) {
        watch::close(self.0.number);
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.close();
        watch::end(self.0.number);
    }
}
