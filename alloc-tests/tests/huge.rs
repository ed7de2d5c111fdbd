//! Huge blocks: those that have segments for themselves. What one leaves may become the middle of the next.

use tenure::internals;
use tenure_alloc_tests::Tenure;

#[global_allocator]
static ALLOC: Tenure = Tenure::new();

const MIB: usize = 1 << 20;

/// Two neighbours die, their ranges join, and a larger one spans the metadata of the second.
#[test]
fn zeroed_where_two_were() {
    for round in 0..3 {
        let two = [vec![1u8; 40 * MIB], vec![2u8; 40 * MIB]];
        assert_eq!(two[1][40 * MIB - 1], 2);
        drop(two);
        internals::collect();
        let spanning = vec![0u8; (130 + 32 * round) * MIB];
        assert_eq!(spanning.iter().position(|&b| b != 0), None);
    }
}

/// More of them at once than may wait, in sizes that reuse each other's ranges.
#[test]
fn many_at_once() {
    for round in 0..3usize {
        let blocks: Vec<Vec<u8>> = (0..12).map(|i| vec![i as u8 + 1; (33 + 7 * ((i + round) % 5)) * MIB]).collect();
        for (i, block) in blocks.iter().enumerate() {
            assert!(block.iter().step_by(4096).all(|&b| b == i as u8 + 1));
        }
        drop(blocks);
        let zeroed: Vec<Vec<u8>> = (0..4).map(|i| vec![0u8; (40 + 20 * i) * MIB]).collect();
        assert!(zeroed.iter().all(|block| block.iter().all(|&b| b == 0)));
    }
}
