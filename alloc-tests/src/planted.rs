//! An allocator with a fault, to see that the tests see it.
//!
//! The oracle's own tests plant faults over the system allocator. With the feature `planted`, every test file runs on
//! [`Planted`] over `Tenure`, with the fault that `TENURE_PLANTED` names (none if it is unset); `controls.sh` runs
//! each test on the faults that it must find.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};

macro_rules! faults {
    ($($(#[$doc:meta])* $fault:ident = $name:literal,)*) => {
        /// What is wrong with the allocator.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Planted {
            $($(#[$doc])* $fault,)*
        }

        const FAULTS: &[(Planted, &[u8])] = &[$((Planted::$fault, $name)),*];
    };
}

faults! {
    /// Nothing.
    None = b"",
    /// Alignments of 64 and more are off by half.
    Misaligns = b"misaligns",
    /// `alloc_zeroed` leaves a byte in the last OS page.
    DirtyZeroed = b"dirty-zeroed",
    /// `realloc` copies one byte too few.
    ShortRealloc = b"short-realloc",
    /// `realloc` aligns to 16, always.
    ReallocForgetsAlignment = b"realloc-forgets-alignment",
    /// A `realloc` that fails has freed the old block.
    FreesOnFailedRealloc = b"frees-on-failed-realloc",
    /// A live block is handed out again, now and then.
    HandsOutTwice = b"hands-out-twice",
    /// A free writes into another block, now and then.
    Scribbles = b"scribbles",
    /// Sizes that no machine has are granted.
    GrantsImpossible = b"grants-impossible",
    /// Aborts where it should return null.
    AbortsWhenFull = b"aborts-when-full",
    /// Insists on 64 GiB of address space.
    ReservesUpFront = b"reserves-up-front",
    /// What another thread frees is lost.
    LosesRemoteFrees = b"loses-remote-frees",
    /// A thread takes the first 64 KiB that it frees to the grave.
    ThreadKeeps = b"thread-keeps",
    /// Blocks of at most 64 KiB are never used again.
    LosesSmall = b"loses-small",
    /// Blocks of more than 64 KiB are never used again.
    LosesLarge = b"loses-large",
    /// A lock that another thread holds while the process forks stays locked in the child.
    LockAcrossFork = b"lock-across-fork",
    /// A thread-local with a destructor: after that has run, allocation aborts.
    TlsWithDrop = b"tls-with-drop",
    /// A pthread key whose destructor is still called when its library is gone.
    DanglingKey = b"dangling-key",
    /// Freeing what is not live goes unnoticed.
    AbsorbsBadFrees = b"absorbs-bad-frees",
}

const UNREAD: u8 = u8::MAX;

/// `inner` with a fault.
#[derive(Debug)]
pub struct Faulty<A> {
    inner: A,
    /// Index into `FAULTS`, or [`UNREAD`].
    fault: AtomicU8,
    calls: AtomicUsize,
    /// A block that is probably live, for the faults that need a victim; with its size.
    victim: AtomicPtr<u8>,
    victim_size: AtomicUsize,
    /// Blocks that have two owners, and are never freed, so that the fault is the allocator's alone.
    doubled: [AtomicUsize; 64],
    locked: AtomicBool,
    key: AtomicU32,
    reserved: AtomicBool,
}

impl Faulty<tenure::Tenure> {
    /// With the fault that the environment names.
    #[allow(clippy::new_without_default, reason = "stands in for an allocator that is made in a static")]
    pub const fn new() -> Self {
        Faulty::over(tenure::Tenure::new(), UNREAD)
    }
}

impl<A> Faulty<A> {
    /// `inner` with the given fault.
    pub const fn with(inner: A, fault: Planted) -> Self {
        Faulty::over(inner, fault as u8)
    }

    const fn over(inner: A, fault: u8) -> Self {
        Faulty {
            inner,
            fault: AtomicU8::new(fault),
            calls: AtomicUsize::new(0),
            victim: AtomicPtr::new(ptr::null_mut()),
            victim_size: AtomicUsize::new(0),
            doubled: [const { AtomicUsize::new(0) }; 64],
            locked: AtomicBool::new(false),
            key: AtomicU32::new(u32::MAX),
            reserved: AtomicBool::new(false),
        }
    }

    fn fault(&self) -> Planted {
        // Relaxed, here and below: every thread would read the same from the environment, and the rest is out to do
        // damage anyway.
        let mut index = self.fault.load(Relaxed);
        if index == UNREAD {
            index = from_environment();
            self.fault.store(index, Relaxed);
        }
        FAULTS[index as usize].0
    }

    fn now_and_then(&self) -> bool {
        self.calls.fetch_add(1, Relaxed) % 61 == 60
    }
}

fn from_environment() -> u8 {
    // SAFETY: getenv does not allocate, the tests do not change the environment while it runs, and the result ends
    // with a null.
    let name = unsafe {
        let value = libc::getenv(c"TENURE_PLANTED".as_ptr());
        if value.is_null() { c"" } else { std::ffi::CStr::from_ptr(value) }
    };
    let known = FAULTS.iter().position(|(_, known)| *known == name.to_bytes());
    // A misspelt fault would be a control that controls nothing.
    known.unwrap_or_else(|| std::process::abort()) as u8
}

/// Where the fault makes a block start later than it should, and the layout that has room for that.
fn shifted(fault: Planted, layout: Layout) -> Option<(usize, Layout)> {
    let shift = match fault {
        Planted::Misaligns => layout.align() / 2,
        Planted::ReallocForgetsAlignment => 16,
        _ => return None,
    };
    let room = Layout::from_size_align(layout.size().checked_add(layout.align())?, layout.align()).ok()?;
    (layout.align() >= 64).then_some((shift, room))
}

/// Where `LosesRemoteFrees` notes the owner: in front of the block, which moves by the result's second part.
fn owned(layout: Layout) -> Option<(Layout, usize)> {
    let front = layout.align().max(16);
    Some((Layout::from_size_align(layout.size().checked_add(front)?, layout.align()).ok()?, front))
}

thread_local! {
    static KEPT: Cell<usize> = const { Cell::new(0) };
    static NUMBER: Cell<usize> = const { Cell::new(0) };
    static GUARD: Guard = const { Guard };
}

struct Guard;

impl Drop for Guard {
    fn drop(&mut self) {
        // Something that is not optimised away.
        std::hint::black_box(self);
    }
}

/// Not the address of a thread-local: the next thread has the same one.
fn this_thread() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    NUMBER.with(|number| {
        if number.get() == 0 {
            number.set(THREADS.fetch_add(1, Relaxed) + 1);
        }
        number.get()
    })
}

unsafe extern "C" fn thread_ends(_: *mut libc::c_void) {
    std::hint::black_box(());
}

impl<A: GlobalAlloc> Faulty<A> {
    /// What some faults do at every call.
    fn enter(&self, fault: Planted) {
        match fault {
            Planted::LockAcrossFork => {
                // Acquire and release, by the strongest order, because it is a lock.
                while self.locked.swap(true, SeqCst) {
                    // SAFETY: no arguments, no memory.
                    unsafe { libc::sched_yield() };
                }
            }
            Planted::TlsWithDrop if GUARD.try_with(|_| ()).is_err() => std::process::abort(),
            Planted::DanglingKey => {
                // SAFETY: the key is created once in these tests' single-threaded start, and then belongs to us; the
                // destructor does nothing.
                unsafe {
                    let mut key = self.key.load(SeqCst);
                    if key == u32::MAX {
                        libc::pthread_key_create(&mut key, Some(thread_ends));
                        self.key.store(key, SeqCst);
                    }
                    libc::pthread_setspecific(key, ptr::dangling());
                }
            }
            Planted::ReservesUpFront if !self.reserved.swap(true, Relaxed) => {
                let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
                // SAFETY: a fresh range, wherever the kernel likes.
                let range = unsafe { libc::mmap(ptr::null_mut(), 64 << 30, libc::PROT_NONE, flags, -1, 0) };
                if range == libc::MAP_FAILED {
                    std::process::abort();
                }
            }
            _ => {}
        }
    }

    fn leave(&self, fault: Planted) {
        if fault == Planted::LockAcrossFork {
            self.locked.store(false, SeqCst);
        }
    }

    /// # Safety
    /// As for `GlobalAlloc::alloc`.
    unsafe fn alloc_with(&self, fault: Planted, layout: Layout) -> *mut u8 {
        // SAFETY: layouts that are passed on have at least the size of the caller's; offsets stay within what was
        // added to it.
        unsafe {
            match fault {
                Planted::Misaligns => {
                    if let Some((shift, room)) = shifted(fault, layout) {
                        let block = self.inner.alloc(room);
                        return if block.is_null() { block } else { block.add(shift) };
                    }
                }
                Planted::LosesRemoteFrees => {
                    let Some((room, front)) = owned(layout) else {
                        return ptr::null_mut();
                    };
                    let block = self.inner.alloc(room);
                    if block.is_null() {
                        return block;
                    }
                    block.cast::<usize>().write(this_thread());
                    return block.add(front);
                }
                Planted::GrantsImpossible if layout.size() > 1 << 45 => {
                    return ptr::without_provenance_mut(layout.align());
                }
                Planted::HandsOutTwice
                    if (256..=self.victim_size.load(SeqCst)).contains(&layout.size()) && self.now_and_then() =>
                {
                    let victim = self.victim.swap(ptr::null_mut(), SeqCst);
                    let free = self.doubled.iter().find(|slot| slot.load(SeqCst) == 0);
                    if let (false, Some(free)) =
                        (victim.is_null() || !(victim as usize).is_multiple_of(layout.align()), free)
                    {
                        free.store(victim as usize, SeqCst);
                        return victim;
                    }
                }
                _ => {}
            }
            let block = self.inner.alloc(layout);
            if block.is_null() && fault == Planted::AbortsWhenFull {
                std::process::abort();
            }
            if (256..=4096).contains(&layout.size()) {
                self.victim_size.store(layout.size(), SeqCst);
                self.victim.store(block, SeqCst);
            }
            block
        }
    }

    /// # Safety
    /// As for `GlobalAlloc::dealloc`.
    unsafe fn dealloc_with(&self, fault: Planted, block: *mut u8, layout: Layout) {
        // SAFETY: undoes what `alloc_with` did, with the same layouts; blocks are leaked, not freed twice.
        unsafe {
            let _ = self.victim.compare_exchange(block, ptr::null_mut(), SeqCst, SeqCst);
            let lost = match fault {
                Planted::LosesSmall => layout.size() <= 64 << 10,
                Planted::LosesLarge => layout.size() > 64 << 10,
                Planted::HandsOutTwice => self.doubled.iter().any(|slot| slot.load(SeqCst) == block as usize),
                Planted::ThreadKeeps => KEPT.with(|kept| {
                    kept.set(kept.get() + layout.size());
                    kept.get() <= 64 << 10
                }),
                Planted::Misaligns | Planted::ReallocForgetsAlignment => {
                    if let Some((shift, room)) = shifted(fault, layout)
                        && (block as usize) % layout.align() == shift
                    {
                        self.inner.dealloc(block.sub(shift), room);
                        return;
                    }
                    false
                }
                Planted::LosesRemoteFrees => {
                    if let Some((room, front)) = owned(layout) {
                        let start = block.sub(front);
                        if start.cast::<usize>().read() == this_thread() {
                            self.inner.dealloc(start, room);
                        }
                    }
                    return;
                }
                Planted::Scribbles => {
                    let victim = self.victim.load(SeqCst);
                    if !victim.is_null() && self.now_and_then() {
                        victim.add(64).cast::<u64>().write_unaligned(0);
                    }
                    false
                }
                // Only what the tests for bad frees do: the rest has to be freed, or memory would tell.
                Planted::AbsorbsBadFrees => layout.size() == crate::BAD_FREE_SIZE,
                _ => false,
            };
            if !lost {
                self.inner.dealloc(block, layout);
            }
        }
    }

    /// # Safety
    /// As for `GlobalAlloc::realloc`.
    unsafe fn realloc_with(&self, fault: Planted, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let new = Layout::from_size_align(size, layout.align()).expect("the caller's promise");
        let mut kept = layout.size().min(size);
        // SAFETY: the blocks are live and as long as their layouts say; `kept` is at most both sizes.
        unsafe {
            let target = match (fault, shifted(fault, new)) {
                (Planted::ReallocForgetsAlignment, Some((shift, room))) => {
                    let target = self.inner.alloc(room);
                    if target.is_null() { target } else { target.add(shift) }
                }
                _ => self.alloc_with(fault, new),
            };
            if !target.is_null() {
                if fault == Planted::ShortRealloc && kept >= 1000 {
                    kept -= 1;
                    target.add(kept).write(0x55);
                }
                target.copy_from_nonoverlapping(block, kept);
                self.dealloc_with(fault, block, layout);
            } else if fault == Planted::FreesOnFailedRealloc {
                // What the next owner of the freed block would do.
                block.write_bytes(0x55, layout.size());
            }
            target
        }
    }
}

// SAFETY: with `Planted::None` every call is passed on as it is. The others break the contract on purpose.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Faulty<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let fault = self.fault();
        self.enter(fault);
        // SAFETY: the caller's promise.
        let block = unsafe { self.alloc_with(fault, layout) };
        self.leave(fault);
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let fault = self.fault();
        self.enter(fault);
        // SAFETY: the caller's promise.
        unsafe { self.dealloc_with(fault, block, layout) };
        self.leave(fault);
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let fault = self.fault();
        self.enter(fault);
        // SAFETY: the caller's promise; the written bytes are the block's.
        let block = unsafe {
            match fault {
                Planted::None | Planted::LockAcrossFork | Planted::TlsWithDrop | Planted::AbsorbsBadFrees => {
                    self.inner.alloc_zeroed(layout)
                }
                _ => {
                    let block = self.alloc_with(fault, layout);
                    if !block.is_null() && layout.size() < 1 << 45 {
                        block.write_bytes(0, layout.size());
                        if fault == Planted::DirtyZeroed && layout.size() > 4096 {
                            block.add(layout.size() - 100).write(1);
                        }
                    }
                    block
                }
            }
        };
        self.leave(fault);
        block
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let fault = self.fault();
        self.enter(fault);
        // SAFETY: the caller's promise.
        let block = unsafe {
            match fault {
                Planted::None | Planted::LockAcrossFork | Planted::TlsWithDrop | Planted::AbsorbsBadFrees => {
                    self.inner.realloc(block, layout, size)
                }
                _ => self.realloc_with(fault, block, layout, size),
            }
        };
        self.leave(fault);
        block
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::{Fault, Oracle};
    use crate::{player, sizes::Sizes};
    use std::alloc::System;

    /// What the oracle says of an allocator, over a few seeds: the first fault, if any.
    fn verdict(fault: Planted) -> Option<Fault> {
        (1..=4).find_map(|seed| {
            let allocator = Faulty::with(System, fault);
            let oracle = Oracle::new(&allocator);
            player::play_random(&oracle, None, &Sizes::up_to(1 << 20), seed, 5000, 8 << 20).err()
        })
    }

    #[test]
    fn a_correct_allocator_has_no_fault() {
        assert_eq!(verdict(Planted::None), None);
    }

    #[test]
    fn every_fault_is_found_and_called_by_its_name() {
        for (fault, expected) in [
            (Planted::Misaligns, "Misaligned"),
            (Planted::DirtyZeroed, "NotZeroed"),
            (Planted::ShortRealloc, "NotKept"),
            (Planted::ReallocForgetsAlignment, "Misaligned"),
            (Planted::HandsOutTwice, "Overlaps"),
            (Planted::Scribbles, "Damaged"),
        ] {
            let found = format!("{:?}", verdict(fault));
            assert!(found.contains(expected), "{fault:?}: {found}");
        }
    }

    #[test]
    fn a_realloc_that_fails_and_frees_is_found() {
        let allocator = Faulty::with(System, Planted::FreesOnFailedRealloc);
        let oracle = Oracle::new(&allocator);
        let mut block = oracle.allocate(Layout::new::<[u64; 100]>(), false).unwrap();
        let outcome = oracle.resize(&mut block, isize::MAX as usize - 7);
        assert!(matches!(outcome, Err(Fault::Damaged(..))), "{outcome:?}");
    }
}
