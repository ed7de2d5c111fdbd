//! What the tracker has counted and what of it lives, read while threads run: where the readings of the heap and of the
//! tracker are put together.
//!
//! A tracked block that was freed a moment ago may still wait for its burial: its word says that it lives, and no
//! counter knows of its death. The heap knows which these are, and here they are counted as dead.

use crate::allocator::Hooks;
use crate::config::Config;
use crate::generation::clock;
use crate::heap::{census, thread};
use crate::pages::classes::block_size;
use crate::pages::page;
use crate::track::unwind;
use crate::track::word::{self, Birth};
use crate::track::{Live, State, Totals, read};

/// Runs `f`; what this thread allocates meanwhile is not tracked. For what must not show up in its own readings.
pub(crate) fn untracked<T>(f: impl FnOnce() -> T) -> T {
    struct Back;
    impl Drop for Back {
        fn drop(&mut self) {
            thread::with_tracker::<Hooks, _>(&Config::DEFAULT, |tracker| State::of(tracker).untrack(false));
        }
    }
    thread::with_tracker::<Hooks, _>(&Config::DEFAULT, |tracker| State::of(tracker).untrack(true));
    let _back = Back;
    f()
}

/// A block that was freed and is not buried.
struct Dying {
    block: usize,
    birth: Birth,
    block_size: u64,
}

fn dying() -> Vec<Dying> {
    // The registry's lock is held while they are collected, and an allocation may need it: there is room for all of them
    // before, and for as many threads more as may begin meanwhile.
    let mut all = Vec::with_capacity(census::most_dying());
    census::dying(|block, word, class| {
        // SAFETY: a word of a tracked page is readable as long as its block is not home, and a thread that runs on buries
        // blocks but does not send them home at once; what is read of a page that is gone is a word that says nothing.
        if let Some(birth) = word::read(unsafe { &*word })
            && all.len() < all.capacity()
        {
            all.push(Dying { block: block.addr(), birth, block_size: block_size(class) as u64 });
        }
    });
    all.sort_unstable_by_key(|dying| dying.block);
    all
}

/// Gives `f` each tracked block that lives, once; one that is born or dies meanwhile, once or not at all. Allocates.
pub(crate) fn each_live(f: &mut dyn FnMut(Live)) {
    let dying: Vec<_> = dying().iter().map(|dying| dying.block).collect();
    read::each_live(&dying, f);
}

/// Gives `f` what each site has done since the start. Allocates.
pub(crate) fn each_site(f: &mut dyn FnMut(u32, Totals)) {
    let totals = read::sites(|totals| {
        for dying in dying() {
            if let Some(totals) = totals.get_mut(dying.birth.site as usize) {
                totals.freed.add(&dying.birth, dying.block_size);
            }
        }
    });
    totals.into_iter().enumerate().for_each(|(site, totals)| f(site as u32, totals));
}

/// Gives `f` what each tag has done since the start, with its name; tag 0 is what had none. Allocates.
pub(crate) fn each_tag(f: &mut dyn FnMut(u16, &str, Totals)) {
    let mut totals = read::tags(|totals| {
        for dying in dying().iter().filter(|dying| dying.birth.tag != 0) {
            if let Some(totals) = totals.get_mut(dying.birth.tag as usize) {
                totals.freed.add(&dying.birth, dying.block_size);
            }
        }
    });
    // What has no tag is counted by site only.
    let mut none = Totals::NONE;
    each_site(&mut |_, site| none.join(&site));
    totals[1..].iter().for_each(|tag| none.allocated.less(&tag.allocated));
    totals[1..].iter().for_each(|tag| none.freed.less(&tag.freed));
    totals[0] = none;
    totals.into_iter().enumerate().for_each(|(tag, totals)| f(tag as u16, read::tag_name(tag as u16), totals));
}

/// Blocks that are dying.
#[cfg(feature = "internals")]
pub(crate) fn dying_blocks() -> u64 {
    let mut n = 0;
    // SAFETY: as in `dying`.
    census::dying(|_, word, _| n += word::read(unsafe { &*word }).is_some() as u64);
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
