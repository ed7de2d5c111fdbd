//! glibc's figures of its heap, as far as this one has them.

use libc::c_int;

/// glibc's struct of this name, for numbers of any size.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Mallinfo2 {
    /// Bytes that pages of blocks hold, live or free.
    pub arena: usize,
    /// Free blocks: not counted, 0.
    pub ordblks: usize,
    /// Not counted, 0.
    pub smblks: usize,
    /// Large blocks that live.
    pub hblks: usize,
    /// Their bytes.
    pub hblkhd: usize,
    /// 0, as in glibc.
    pub usmblks: usize,
    /// Not counted, 0.
    pub fsmblks: usize,
    /// Bytes of live blocks that are not large.
    pub uordblks: usize,
    /// Bytes that are free in pages.
    pub fordblks: usize,
    /// Bytes that are free and wait to be given back.
    pub keepcost: usize,
}

/// The same in the type that older programs know.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Mallinfo {
    fields: [c_int; 10],
}

/// What the heap holds.
#[unsafe(no_mangle)]
pub extern "C" fn mallinfo2() -> Mallinfo2 {
    let stats = tenure::stats();
    let arena = stats.committed.saturating_sub(stats.large.live);
    let live = stats.live.saturating_sub(stats.large.live);
    Mallinfo2 {
        arena,
        hblks: stats.large.live_blocks,
        hblkhd: stats.large.live,
        uordblks: live,
        fordblks: arena.saturating_sub(live),
        keepcost: stats.due,
        ..Mallinfo2::default()
    }
}

/// The same; what does not fit is the largest number.
#[unsafe(no_mangle)]
pub extern "C" fn mallinfo() -> Mallinfo {
    let m = mallinfo2();
    let all =
        [m.arena, m.ordblks, m.smblks, m.hblks, m.hblkhd, m.usmblks, m.fsmblks, m.uordblks, m.fordblks, m.keepcost];
    Mallinfo { fields: all.map(|n| c_int::try_from(n).unwrap_or(c_int::MAX)) }
}

/// Prints the heap's figures on standard error.
#[unsafe(no_mangle)]
pub extern "C" fn malloc_stats() {
    eprint!("{}", tenure::stats());
}
