//! Every size, every alignment, every step from one size to another, at the places where an allocator changes its
//! mind.

use std::alloc::{GlobalAlloc, Layout};
use std::ptr;
use tenure_alloc_tests::Tenure;
use tenure_alloc_tests::oracle::{Block, Fault, Oracle};
use tenure_alloc_tests::sizes::{LARGEST_ALIGNMENT, boundaries};

#[global_allocator]
static ALLOC: Tenure = Tenure::new();

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).expect("a layout that exists")
}

fn allocate(oracle: &Oracle<'_, Tenure>, size: usize, align: usize, zeroed: bool) -> Block {
    oracle.allocate(layout(size, align), zeroed).unwrap_or_else(|fault| panic!("{fault}"))
}

fn free(oracle: &Oracle<'_, Tenure>, block: Block) {
    oracle.free(block).unwrap_or_else(|fault| panic!("{fault}"));
}

#[test]
fn every_size() {
    let oracle = Oracle::new(&ALLOC);
    let mut neighbours = Vec::new();
    for size in (1..=9000).chain(boundaries(70_000).into_iter().filter(|&size| size > 9000)) {
        // Two at a time, plain and zeroed, so that one too small a class shows as an overlap or as damage; some stay
        // for longer.
        let (first, second) = (allocate(&oracle, size, 1, false), allocate(&oracle, size, 8, true));
        free(&oracle, first);
        neighbours.push(second);
        if neighbours.len() > 64 {
            neighbours.drain(..).for_each(|block| free(&oracle, block));
        }
    }
    neighbours.drain(..).for_each(|block| free(&oracle, block));
    assert!(oracle.is_idle());
}

#[test]
fn every_alignment() {
    let oracle = Oracle::new(&ALLOC);
    for align in (0..=LARGEST_ALIGNMENT.ilog2()).map(|exponent| 1usize << exponent) {
        let mut sizes = vec![1, 7, 8, 9, align.saturating_sub(1).max(1), align, align + 1];
        // Between one and two alignments, and of the sizes that classes serve, those that are no multiple of it.
        sizes.extend([align + align / 2, 3 * align / 4, 24, 100, 1000].map(|size| size.max(1)));
        for zeroed in [false, true] {
            let blocks: Vec<Block> = sizes.iter().map(|&size| allocate(&oracle, size, align, zeroed)).collect();
            blocks.into_iter().for_each(|block| free(&oracle, block));
        }
    }
}

/// Up and down across every boundary, step by step and in leaps. The oracle checks contents and alignment after each.
#[test]
fn every_step_of_realloc() {
    let oracle = Oracle::new(&ALLOC);
    let sizes: Vec<usize> = boundaries(300 << 10).into_iter().collect();
    for align in [1, 8, 16, 64, 4096] {
        let mut block = allocate(&oracle, sizes[0], align, false);
        for &size in sizes.iter().chain(sizes.iter().rev()) {
            oracle.resize(&mut block, size).unwrap_or_else(|fault| panic!("{fault}"));
        }
        // Leaps: from each size to twice and to half of it, and to one far away.
        for &size in sizes.iter().step_by(5) {
            for next in [size, size * 2, size / 2 + 1, size, 1, size, 200_000] {
                oracle.resize(&mut block, next).unwrap_or_else(|fault| panic!("{fault}"));
            }
        }
        free(&oracle, block);
    }
}

#[test]
fn realloc_of_large_blocks_keeps_large_alignments() {
    let oracle = Oracle::new(&ALLOC);
    for align in [4096, 64 << 10, 2 << 20, 32 << 20] {
        let mut block = allocate(&oracle, 100, align, false);
        for size in [5000, 70_000, 3 << 20, 3 << 20 | 1, 9 << 20, 40 << 20, 10 << 20, 1 << 20, 65_537, 4096, 3] {
            oracle.resize(&mut block, size).unwrap_or_else(|fault| panic!("{fault}"));
        }
        free(&oracle, block);
    }
}

/// Sizes that no machine has: null, and everything else goes on.
#[test]
fn impossible_sizes_are_refused() {
    let oracle = Oracle::new(&ALLOC);
    let largest = |align: usize| isize::MAX as usize - (align - 1);
    let mut impossible: Vec<Layout> = [1, 2, 8, 16, 64, 4096, 65536, 2 << 20, LARGEST_ALIGNMENT]
        .iter()
        .map(|&align| layout(largest(align), align))
        .collect();
    impossible.extend([1usize, 8, 4096, 1 << 30, 1 << 40].map(|align| layout(1 << 60, align)));
    impossible.extend([layout(8, 1 << 62), layout(1 << 62, 1 << 62), layout(1, 1 << 60)]);
    if overcommits_always() {
        println!("this machine grants everything: 64 TiB are left out");
    } else {
        impossible.extend([1, 8, 64, 4096].map(|align| layout(1 << 46, align)));
    }
    for layout in impossible {
        for zeroed in [false, true] {
            assert_eq!(oracle.allocate(layout, zeroed).err(), Some(Fault::Refused(layout)));
        }
        for before in [100, 10_000, 1 << 20] {
            if layout.align() > 4096 {
                continue;
            }
            let mut block = allocate(&oracle, before, layout.align(), false);
            assert_eq!(oracle.resize(&mut block, layout.size()).err(), Some(Fault::Refused(layout)));
            // And the old block can do all that it could before.
            oracle.resize(&mut block, before * 2).unwrap_or_else(|fault| panic!("{fault}"));
            free(&oracle, block);
        }
    }
    let blocks: Vec<Block> = boundaries(1 << 20).into_iter().map(|size| allocate(&oracle, size, 8, false)).collect();
    blocks.into_iter().for_each(|block| free(&oracle, block));
}

fn overcommits_always() -> bool {
    std::fs::read_to_string("/proc/sys/vm/overcommit_memory").is_ok_and(|mode| mode.trim() == "1")
}

/// `alloc_zeroed` of what was dirty a moment ago, for sizes where an allocator may believe that the OS has just
/// cleared it.
#[test]
fn zeroed_blocks_that_were_dirty() {
    for size in boundaries(4 << 20).into_iter().filter(|&size| size > 2000).step_by(3) {
        let layout = layout(size, 8);
        for _ in 0..2 {
            // SAFETY: the size is not 0; the block is `size` bytes long and freed once.
            unsafe {
                let dirty = ALLOC.alloc(layout);
                assert_ne!(dirty, ptr::null_mut());
                dirty.write_bytes(0xff, size);
                ALLOC.dealloc(dirty, layout);
            }
            let oracle = Oracle::new(&ALLOC);
            let block = oracle.allocate(layout, true).unwrap_or_else(|fault| panic!("{fault}"));
            free(&oracle, block);
        }
    }
}

/// A block that is moved, not copied, leaves memory that the OS has just cleared; but no more of it than was moved.
/// What lay behind the block, in the memory that was its own, is as dirty as before.
#[test]
fn zeroed_blocks_where_another_was_moved_away() {
    let oracle = Oracle::new(&ALLOC);
    for size in [600_000, 1 << 20, (1 << 20) + 1, 2_400_000, 5 << 20] {
        for short in [1, 5000, 40_000, 200_000] {
            free(&oracle, allocate(&oracle, size, 8, false));
            let mut moved = allocate(&oracle, size - short, 8, false);
            // In its way, so that it cannot grow where it is.
            let neighbours = [allocate(&oracle, size, 8, false), allocate(&oracle, size, 8, false)];
            oracle.resize(&mut moved, size * 4).unwrap_or_else(|fault| panic!("{fault}"));
            let zeroed: Vec<Block> = (0..3).map(|_| allocate(&oracle, size, 8, true)).collect();
            zeroed.into_iter().chain(neighbours).chain([moved]).for_each(|block| free(&oracle, block));
        }
    }
}
