//! Routes by name: found without a lock, added under one, never removed.
//!
//! Open addressing by a keyed hash, so that names from outside cannot be made to collide. At most half full. Rows are numbered
//! in the order of their first request.

use super::row::Row;
use crate::reading::untracked;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

pub(super) struct Table {
    most: AtomicUsize,
    hasher: RandomState,
    /// Made by the first request.
    rooms: OnceLock<Rooms>,
    other: Row,
}

struct Rooms {
    /// Numbers of rows, from 1; 0: free.
    slots: Box<[AtomicU32]>,
    rows: Box<[OnceLock<Row>]>,
    /// How many rows there are.
    writer: Mutex<usize>,
}

/// The row of all that found no room, and its name.
const OTHER: usize = usize::MAX;
const OTHERS: &str = "other";

impl Table {
    pub(super) fn new(most: usize) -> Table {
        let (hasher, rooms) = (RandomState::new(), OnceLock::new());
        Table { most: AtomicUsize::new(most), hasher, rooms, other: Row::new(OTHERS) }
    }

    /// Before the first request.
    pub(super) fn set_most(&self, most: usize) {
        self.most.store(most, Ordering::Relaxed); // Relaxed: a number
    }

    fn rooms(&self) -> &Rooms {
        self.rooms.get_or_init(|| {
            let most = self.most.load(Ordering::Relaxed); // Relaxed: as above
            untracked(|| Rooms {
                slots: (0..(2 * most).next_power_of_two()).map(|_| AtomicU32::new(0)).collect(),
                rows: (0..most).map(|_| OnceLock::new()).collect(),
                writer: Mutex::new(0),
            })
        })
    }

    /// Which row a route has; makes it if there is room.
    pub(super) fn find(&self, name: &str) -> usize {
        if name == OTHERS {
            return OTHER;
        }
        let rooms = self.rooms();
        let hash = self.hasher.hash_one(name) as usize;
        rooms.known(hash, name).unwrap_or_else(|_| rooms.add(hash, name))
    }

    pub(super) fn row(&self, at: usize) -> &Row {
        let rows = self.rooms.get().map_or(&[][..], |rooms| &rooms.rows);
        rows.get(at).and_then(OnceLock::get).unwrap_or(&self.other)
    }

    /// In the order of their numbers; the last is the one of all others.
    pub(super) fn rows(&self) -> impl Iterator<Item = &Row> {
        let rooms = self.rooms.get().into_iter();
        rooms.flat_map(|rooms| rooms.rows.iter().map_while(OnceLock::get)).chain([&self.other])
    }
}

impl Rooms {
    /// The row of that name, or the free slot where it would stand.
    fn known(&self, hash: usize, name: &str) -> Result<usize, usize> {
        let mask = self.slots.len() - 1;
        let mut slot = hash & mask;
        // Half of the slots are free, so this ends.
        loop {
            // Acquire: the row was made before its number was written.
            match self.slots[slot].load(Ordering::Acquire) {
                0 => return Err(slot),
                number => {
                    let at = number as usize - 1;
                    if self.rows[at].get().is_some_and(|row| &*row.name == name) {
                        return Ok(at);
                    }
                }
            }
            slot = (slot + 1) & mask;
        }
    }

    #[cold]
    fn add(&self, hash: usize, name: &str) -> usize {
        if self.rows.last().is_some_and(|row| row.get().is_some()) {
            return OTHER;
        }
        let mut used = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = match self.known(hash, name) {
            Ok(at) => return at, // another thread was faster
            Err(slot) => slot,
        };
        let Some(row) = self.rows.get(*used) else { return OTHER };
        row.get_or_init(|| Row::new(name));
        self.slots[slot].store(*used as u32 + 1, Ordering::Release); // Release: `known`
        *used += 1;
        *used - 1
    }
}
