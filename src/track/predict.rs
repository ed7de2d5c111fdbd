//! Guesses the whole call stack of an allocation, and verifies the guess: a program allocates from the same stacks again
//! and again.
//!
//! A **record** is a stack that was walked before: for each word that steered the walk, its distance from the stack
//! pointer and what it held. [`super::unwind`] shows that a walk now would go the same way if all of these words
//! hold the same again. The loads do not wait for one another, so that verifying a frame takes about a nanosecond, where
//! walking it takes four, and looking it up in the tree of sites five more.
//!
//! The words are verified from the leaf outward, up to the first that differs: where the next one stands, and that it is
//! mapped, follows from those before.
//!
//! **Which record to guess**: first the one that was right the last time that the stack pointer and the first return
//! address were these, which costs no lookup of a rule and is right for most programs nearly always. Otherwise those
//! under the first three return addresses, of which two are found by their rules. (One address tells the stacks of a
//! parser apart in 40 % of all cases, three do in 86 %, and more add little.)
//!
//! One predictor for each thread that tracks every block now, in the allocator's own memory, and bounded: the record that was
//! not right for longest gives its place to a new one. When a thread's last exact scope is over, or it ends, the next one that is exact
//! goes on with its predictor.

use super::last::{Last, Walker};
use super::unwind::{self, By, Frame, Kind, Registers, load};
use crate::arena::private;
use crate::os::lock::Lock;
use std::mem::MaybeUninit;
use std::ptr::null_mut;

/// Records that a predictor keeps: some for each hash of three return addresses, the last that was right first.
const WAYS: usize = 4;
const SETS: usize = 1024;
/// Return addresses in that hash.
const KEYS: usize = 3;
/// Records that were right for a stack pointer and a return address.
const HINTS: usize = 1024;
/// Set in a hint that was wrong, and would have been since: it is not tried until it would have been right.
const WRONG: usize = 1;
/// Bytes of records in a predictor: 64-byte lines, in pieces.
const PIECE: usize = 128 << 10;
const PIECES: u32 = 32;
/// Records are so many lines long at most: those of deeper stacks are not kept.
const LINES: usize = 16;
const LINE: usize = 64;

/// A word to verify: its distance from the stack pointer in words, and its value. The distance's highest bit says that the
/// value is a distance too: the word is an address on this stack.
#[derive(Clone, Copy)]
struct Check {
    distance: u16,
    value: usize,
}

const ON_STACK: u16 = 1 << 15;

impl Check {
    fn new(word_at: usize, value: usize, on_stack: bool, sp: usize) -> Option<Check> {
        let distance = word_at.checked_sub(sp).filter(|d| d.is_multiple_of(8) && d / 8 < ON_STACK as usize)? / 8;
        let value = if on_stack { value.checked_sub(sp)? } else { value };
        Some(Check { distance: distance as u16 | if on_stack { ON_STACK } else { 0 }, value })
    }
}

/// What follows is as many values as there are checks, then their distances, in the order in which a walk met the words;
/// the first `plain` of them are return addresses.
#[repr(C)]
struct Record {
    pc: usize,
    site: u32,
    checks: u16,
    plain: u16,
    /// RBP less the stack pointer, if a frame followed from the live register; 0 if not.
    bp: usize,
    values: [usize; 0],
}

const HEAD: usize = size_of::<Record>();
const MOST_CHECKS: usize = (LINES * LINE - HEAD) / 10;

/// What a thread guesses from. Zeroed memory is one that knows nothing.
pub(super) struct Predictor {
    /// The pc that `own_frame` is of, and the distance of the first return address from the stack pointer.
    pc: usize,
    own_frame: usize,
    /// The generation of the rules that the records follow from.
    generation: u32,
    pieces: u32,
    /// Lines that are left of the last piece.
    at: usize,
    left: usize,
    /// Records that were given up, by lines; the first word of each leads to the next.
    free: [usize; LINES + 1],
    pub(super) right: u64,
    pub(super) wrong: u64,
    next_parked: *mut Predictor,
    next: *mut Predictor,
    last: Last,
    /// Addresses of records, or 0.
    sets: [[usize; WAYS]; SETS],
    /// Other bits of the hashes that the records stand under, so that the wrong ones are not looked at.
    tags: [[u16; WAYS]; SETS],
    /// The same; some lead to records that were given up since, whose pc is none.
    hints: [usize; HINTS],
}

/// What a thread could not guess: where the record of the stack goes, once it has been walked.
pub(super) struct Miss {
    set: usize,
    tag: u16,
    hint: usize,
}

/// The first that is nobody's, the first of all, and one for whose tables there was no memory yet.
struct Parked(*mut Predictor, *mut Predictor, *mut Predictor);
// SAFETY: parked predictors are nobody's.
unsafe impl Send for Parked {}
static PARKED: Lock<Parked> = Lock::new(Parked(null_mut(), null_mut(), null_mut()));

#[inline(always)]
fn mix(hash: usize, word: usize) -> usize {
    (hash ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(25)
}

impl Predictor {
    /// One that a thread has left, or a new one. Null if memory is out.
    #[cold]
    pub(super) fn adopt() -> *mut Predictor {
        let mut parked = PARKED.lock();
        let p = parked.0;
        if p.is_null() {
            if parked.2.is_null() {
                parked.2 = private::take(size_of::<Predictor>()).cast();
            }
            let p = parked.2;
            // SAFETY: zeroed memory is a predictor; it lives for ever. Without its tables it is none: whoever comes next goes on.
            if p.is_null() || unsafe { !(*p).last.prepare() } {
                return null_mut();
            }
            parked.2 = null_mut();
            // SAFETY: as above.
            unsafe { (*p).next = parked.1 };
            parked.1 = p;
            return p;
        }
        // SAFETY: parked predictors are nobody's, and live for ever.
        parked.0 = unsafe { (*p).next_parked };
        p
    }

    /// The thread needs it no more: the next one goes on with it.
    ///
    /// # Safety
    /// It is the caller's, who forgets it.
    pub(super) unsafe fn park(p: *mut Predictor) {
        let mut parked = PARKED.lock();
        // SAFETY: by the caller's promise.
        unsafe { (*p).next_parked = parked.0 };
        parked.0 = p;
    }

    /// The site of the stack that begins at these registers, if it was learned before and looks as it did.
    ///
    /// # Safety
    /// The registers are of a function that has not returned.
    #[inline(always)]
    pub(super) unsafe fn guess(&mut self, from: Registers) -> Result<u32, Miss> {
        if self.pc != from.pc || self.generation != unwind::generation() {
            self.begin(from.pc);
        }
        // SAFETY: the frame of the function that the registers are of is mapped, its return address too.
        let first = unsafe { load(from.sp + self.own_frame) };
        let hash = mix(mix(from.sp, first), from.pc);
        let hint = hash % HINTS;
        // SAFETY: a hint leads to a record of this thread's, or to one that was given up; the registers are as the caller
        // promises.
        unsafe {
            let found = self.hints[hint];
            if found & WRONG == 0
                && let Some(record) = record_at(found).as_ref()
            {
                if let Some(site) = verify(record, from) {
                    self.right += 1;
                    return Ok(site);
                }
                self.hints[hint] = found | WRONG;
            }
            self.guess_on(from, hash, hint)
        }
    }

    /// The record was right, or is new: it is the hint from here on, as good as hints were here.
    #[inline(always)]
    fn set_hint(&mut self, hint: usize, record: usize) {
        let before = self.hints[hint];
        self.hints[hint] = if before & !WRONG == record { record } else { record | before & WRONG };
    }

    /// The guess by the first return address was wrong.
    ///
    /// # Safety
    /// See [`Self::guess`].
    #[inline(never)]
    unsafe fn guess_on(&mut self, from: Registers, mut hash: usize, hint: usize) -> Result<u32, Miss> {
        let mut at = Walker::new(from);
        // SAFETY: by the caller's promise.
        while let (true, Some(frame)) = (at.steps < KEYS, unsafe { at.step() }) {
            hash = mix(hash, frame.address);
        }
        let (set, tag) = (hash % SETS, (hash >> 32) as u16);
        for way in 0..WAYS {
            if self.tags[set][way] != tag {
                continue;
            }
            let record = self.sets[set][way];
            // SAFETY: records in the sets are whole, and this thread's; the registers are as the caller promises.
            if let Some(site) = unsafe { record_at(record).as_ref().and_then(|record| verify(record, from)) } {
                self.right += 1;
                self.first(set, way, record, tag);
                self.set_hint(hint, record);
                return Ok(site);
            }
        }
        self.wrong += 1;
        Err(Miss { set, tag, hint })
    }

    /// Another function's registers than the last time, or other rules.
    #[cold]
    fn begin(&mut self, pc: usize) {
        if self.generation != unwind::generation() {
            // Taken first: a change that comes meanwhile is seen the next time.
            self.generation = unwind::generation();
            for set in 0..SETS {
                (0..WAYS).for_each(|way| self.give_up(set, way));
            }
            self.last.forget();
        }
        let rule = unwind::rule(pc);
        self.pc = pc;
        // Of our own code. Where it is not so, any word will do that is mapped; the record decides.
        self.own_frame = if rule.kind() == Kind::Rsp { rule.offset() - 8 } else { 0 };
    }

    /// The site of a stack that was not guessed: from the last one that was walked, and learned for the next guess. `None` if
    /// only a full walk can follow it.
    ///
    /// # Safety
    /// See [`Self::guess`].
    #[inline(never)]
    pub(super) unsafe fn walk(&mut self, miss: Miss, from: Registers, depth: usize) -> Option<u32> {
        // SAFETY: by the caller's promise.
        let site = unsafe { self.last.capture(from, depth) }?;
        self.learn(miss, from, site);
        Some(site)
    }

    /// Keeps the last stack that was walked, for the next guess.
    fn learn(&mut self, miss: Miss, from: Registers, site: u32) {
        let mut checks = [const { MaybeUninit::uninit() }; MOST_CHECKS];
        let Some((n, plain, bp)) = list(from, self.last.frames(), &mut checks) else { return };
        self.give_up(miss.set, WAYS - 1);
        let record = self.take(lines(n));
        if record.is_null() {
            return;
        }
        // SAFETY: the memory is ours, and long enough for the head and so many checks.
        unsafe {
            record.write(Record { pc: from.pc, site, checks: n as u16, plain: plain as u16, bp, values: [] });
            let values: *mut usize = (&raw mut (*record).values).cast();
            let distances: *mut u16 = values.add(n).cast();
            for (i, check) in checks[..n].iter().enumerate() {
                let check: &Check = check.assume_init_ref();
                values.add(i).write(check.value);
                distances.add(i).write(check.distance);
            }
        }
        self.first(miss.set, WAYS - 1, record.expose_provenance(), miss.tag);
        self.set_hint(miss.hint, record.expose_provenance());
    }

    /// A record comes first in its set; those before `way` move on by one. By hand: a library's rotation is a call.
    #[inline(always)]
    fn first(&mut self, set: usize, way: usize, record: usize, tag: u16) {
        let (records, tags) = (&mut self.sets[set], &mut self.tags[set]);
        for i in (0..WAYS - 1).rev().filter(|&i| i < way) {
            (records[i + 1], tags[i + 1]) = (records[i], tags[i]);
        }
        (records[0], tags[0]) = (record, tag);
    }

    fn give_up(&mut self, set: usize, way: usize) {
        let record = record_at(std::mem::take(&mut self.sets[set][way]));
        if !record.is_null() {
            // SAFETY: records in the sets are this thread's. Hints may lead to this one still, and find no pc: what is
            // written over it leads to a record or to nothing.
            unsafe {
                let lines = lines((*record).checks as usize);
                record.cast::<usize>().write(self.free[lines]);
                self.free[lines] = record.expose_provenance();
            }
        }
    }

    /// Memory for a record; null if the predictor has all that it may have.
    fn take(&mut self, lines: usize) -> *mut Record {
        let free = record_at(self.free[lines]);
        if !free.is_null() {
            // SAFETY: the first word of a record that was given up leads to the next.
            self.free[lines] = unsafe { free.cast::<usize>().read() };
            return free;
        }
        if self.left < lines {
            let piece = if self.pieces < PIECES { private::take(PIECE) } else { null_mut() };
            if piece.is_null() {
                return null_mut();
            }
            self.pieces += 1;
            (self.at, self.left) = (piece.expose_provenance(), PIECE / LINE);
        }
        let record = std::ptr::with_exposed_provenance_mut(self.at);
        self.at += lines * LINE;
        self.left -= lines;
        record
    }
}

fn record_at(address: usize) -> *mut Record {
    std::ptr::with_exposed_provenance_mut(address)
}

fn lines(checks: usize) -> usize {
    (HEAD + checks * 10).div_ceil(LINE)
}

/// Lists the words that steered a walk to these frames, leaf first. Returns how many, how many return addresses come before
/// the first other one, and [`Record::bp`]. `None` if there are too many, or some are too far.
fn list<'a>(
    from: Registers,
    frames: impl Iterator<Item = &'a Frame>,
    checks: &mut [MaybeUninit<Check>; MOST_CHECKS],
) -> Option<(usize, usize, usize)> {
    let (mut n, mut plain, mut bp) = (0, None, 0);
    let mut push = |check| {
        checks.get_mut(n)?.write(check);
        n += 1;
        Some(n)
    };
    let mut checked = usize::MAX;
    let mut lookup = from.pc;
    for frame in frames {
        if frame.how.by() == By::Rbp {
            let value = frame.slot + 8 - unwind::rule(lookup).offset();
            if frame.bp_slot == 0 {
                bp = value.checked_sub(from.sp).filter(|&bp| bp != 0)?;
            } else if frame.bp_slot != checked {
                checked = frame.bp_slot;
                let at = push(Check::new(frame.bp_slot, value, true, from.sp)?)?;
                plain.get_or_insert(at - 1);
            }
        }
        push(Check::new(frame.slot, frame.word(), false, from.sp)?)?;
        lookup = frame.address;
    }
    // Without a check any stack would do: one that has no site, or no frame.
    (n > 0).then(|| (n, plain.unwrap_or(n), bp))
}

/// The record's site, if every word is as it was.
///
/// # Safety
/// The record is whole; the registers are of a function that has not returned.
#[inline(always)]
unsafe fn verify(record: &Record, from: Registers) -> Option<u32> {
    if record.pc != from.pc || record.bp != 0 && from.bp.wrapping_sub(from.sp) != record.bp {
        return None;
    }
    let (plain, all) = (record.plain as usize, record.checks as usize);
    let values: *const usize = (&raw const record.values).cast();
    // SAFETY: so many values follow the head, and so many distances those. A word is loaded only after those before it
    // proved where it is.
    unsafe {
        let distances: *const u16 = values.add(all).cast();
        for i in 0..plain {
            let word = load(from.sp + *distances.add(i) as usize * 8);
            if word != *values.add(i) {
                return None;
            }
        }
        for i in plain..all {
            let distance = *distances.add(i);
            let word = load(from.sp + (distance & !ON_STACK) as usize * 8);
            if word != *values.add(i) + if distance & ON_STACK != 0 { from.sp } else { 0 } {
                return None;
            }
        }
    }
    Some(record.site)
}

/// How many stacks were guessed right, and how many had to be walked, by all threads that track every block.
#[cfg(feature = "internals")]
pub(crate) fn counts() -> (u64, u64) {
    let (mut right, mut wrong) = (0, 0);
    let mut p = PARKED.lock().1;
    while !p.is_null() {
        // SAFETY: predictors live for ever; what their threads count meanwhile may be seen or not.
        unsafe {
            right += (&raw const (*p).right).read_volatile();
            wrong += (&raw const (*p).wrong).read_volatile();
            p = (*p).next;
        }
    }
    (right, wrong)
}

pub(super) fn before_fork() {
    PARKED.acquire();
}

pub(super) fn after_fork() {
    PARKED.release();
}

const _: () = assert!(size_of::<Predictor>() <= 512 << 10 && HEAD == 24);
