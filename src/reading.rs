//! What the tracker has counted and what of it lives, read while threads run: where the readings of the heap and of the
//! tracker are put together.
//!
//! A tracked block that was freed a moment ago may still wait for its burial: its word says that it lives, and no
//! counter knows of its death. The heap knows which these are, and here they are counted as dead.

use crate::allocator::with_state;
use crate::generation::clock;
use crate::heap::census;
use crate::pages::classes::block_size;
use crate::pages::page;
use crate::track::unwind;
use crate::track::word::{self, Birth};
use crate::track::{Live, Totals, read};

/// Runs `f`; what this thread allocates meanwhile is not tracked. For what must not show up in its own readings.
pub(crate) fn untracked<T>(f: impl FnOnce() -> T) -> T {
    struct Back;
    impl Drop for Back {
        fn drop(&mut self) {
            with_state(|state| state.untrack(false));
        }
    }
    with_state(|state| state.untrack(true));
    let _back = Back;
    f()
}

/// Where a reading notes what it comes across: memory of whoever reads, who may not be allowed to allocate.
pub(crate) struct Room<'a> {
    /// The blocks of a page: [`read::MOST_BIRTHS`].
    pub(crate) births: &'a mut [Birth],
    /// Blocks that were freed and are not buried. Those that find no room count as alive.
    pub(crate) dying: &'a mut [Dying],
    /// What sites have done: so many at a time.
    pub(crate) sites: &'a mut [Totals],
    /// What tags have done: those that find no room are left out.
    pub(crate) tags: &'a mut [Totals],
}

/// Sites that are read at a time, where there is memory enough.
const SITES: usize = 4096;

impl Room<'_> {
    /// Runs `f` with room for everything that there is now. Allocates.
    pub(crate) fn with<T>(f: impl FnOnce(&mut Room<'_>) -> T) -> T {
        let mut births = vec![Birth::default(); read::MOST_BIRTHS];
        // There is room for as many threads more as may begin meanwhile.
        let mut dying = vec![Dying::default(); census::most_dying()];
        let mut sites = vec![Totals::NONE; (read::site_count() as usize).min(SITES)];
        let mut tags = vec![Totals::NONE; read::tag_count()];
        f(&mut Room { births: &mut births, dying: &mut dying, sites: &mut sites, tags: &mut tags })
    }
}

/// A block that was freed and is not buried.
#[derive(Clone, Copy, Default)]
pub(crate) struct Dying {
    block: usize,
    birth: Birth,
    block_size: u64,
    /// The epoch in which it was freed.
    at: u64,
}

impl Dying {
    /// Counts it as freed.
    fn count(&self, totals: &mut Totals) {
        totals.freed.add(&self.birth, self.block_size);
        totals.ages.add(&self.birth, self.block_size, self.at, clock::limits());
    }
}

/// Those of now, in the order of their addresses.
fn dying(room: &mut [Dying]) -> &[Dying] {
    let mut n = 0;
    census::dying(|block, word, class, at| {
        // SAFETY: a word of a tracked page is readable as long as its block is not home, and a thread that runs on buries
        // blocks but does not send them home at once; what is read of a page that is gone is a word that says nothing.
        if let (Some(birth), Some(free)) = (word::read(unsafe { &*word }), room.get_mut(n)) {
            *free = Dying { block: block.addr(), birth, block_size: block_size(class) as u64, at };
            n += 1;
        }
    });
    let all = &mut room[..n];
    all.sort_unstable_by_key(|dying| dying.block);
    all
}

/// Gives `f` each tracked block that lives, once; one that is born or dies meanwhile, once or not at all. Does not
/// allocate; `f` may.
pub(crate) fn each_live(room: &mut Room<'_>, f: &mut dyn FnMut(Live)) {
    let dying = dying(room.dying);
    read::each_live(room.births, |block| dying.binary_search_by_key(&block, |d| d.block).is_ok(), f);
}

/// Who has done something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Site(u32),
    /// 0: no tag.
    Tag(u16),
}

/// Gives `f` what each site has done since the start, and then the same of each tag, 0 first. Does not allocate; `f` may.
pub(crate) fn totals(room: &mut Room<'_>, f: &mut dyn FnMut(Who, &Totals)) {
    let tags = read::tag_count().min(room.tags.len());
    read::tags(&mut room.tags[..tags], |totals| {
        for dying in dying(room.dying).iter().filter(|dying| dying.birth.tag != 0) {
            if let Some(totals) = totals.get_mut(dying.birth.tag as usize) {
                dying.count(totals);
            }
        }
    });
    let mut none = Totals::NONE;
    let (count, each) = (read::site_count(), room.sites.len());
    for first in (0..count).step_by(each) {
        let part = &mut room.sites[..each.min((count - first) as usize)];
        read::sites(first, part, |totals| {
            for dying in dying(room.dying) {
                let at = dying.birth.site.checked_sub(first).and_then(|at| totals.get_mut(at as usize));
                at.into_iter().for_each(|totals| dying.count(totals));
            }
        });
        for (number, totals) in (first..).zip(&*part) {
            none.join(totals);
            f(Who::Site(number), totals);
        }
    }
    // What has no tag is counted by site only. The tags were read first, so that nothing of them is missing in the sites.
    for of_tag in &room.tags[1..tags] {
        none.allocated.less(&of_tag.allocated);
        none.freed.less(&of_tag.freed);
        none.ages.less(&of_tag.ages);
    }
    f(Who::Tag(0), &none);
    (1..).zip(&room.tags[1..tags]).for_each(|(number, totals)| f(Who::Tag(number), totals));
}

/// Blocks that are dying.
#[cfg(feature = "internals")]
pub(crate) fn dying_blocks() -> u64 {
    let mut n = 0;
    // SAFETY: as in `dying`.
    census::dying(|_, word, _, _| n += word::read(unsafe { &*word }).is_some() as u64);
    n
}

/// Forgets what follows from libraries that are gone. Takes the loader's lock, so that nobody may call it from an allocation.
pub(crate) fn refresh() {
    unwind::refresh();
}

/// What is known of the block that holds an address.
pub(crate) struct Held {
    pub(crate) birth: Birth,
    pub(crate) block_size: u64,
    /// Epochs since it was born.
    pub(crate) age: u64,
}

/// What is known of the block that holds the byte at an address: `None` if it is none of ours, or not tracked.
///
/// The block must live as long as this runs.
pub(crate) fn held(address: *mut u8) -> Option<Held> {
    let (word, block_size) = page::word_around(address)?;
    // SAFETY: the block lives, so its word does.
    let birth = word::read(unsafe { &*word })?;
    Some(Held { birth, block_size: block_size as u64, age: clock::epoch().saturating_sub(birth.epoch) })
}
