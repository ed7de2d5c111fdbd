//! More stacks than there is room for.

use std::hint::black_box;
use tenure::Symbols;
use tenure::snapshot::{By, Site};
use tenure_alloc_tests::child::Scenario;

/// A block for each depth of a recursion: so many stacks.
#[inline(never)]
fn down(n: usize, kept: &mut Vec<Vec<u8>>) {
    kept.push(black_box(vec![1; 100]));
    if n > 0 {
        down(n - 1, kept);
    }
    black_box(());
}

#[test]
fn what_finds_no_room_is_counted_and_shown() {
    let scenario = Scenario::new("crowded::what_finds_no_room_is_counted_and_shown");
    scenario.env("TENURE", "exact,sites=16").run(|| {
        const STACKS: usize = 40;
        let mut kept = Vec::with_capacity(2 * STACKS);
        let before = tenure::snapshot();
        down(STACKS - 1, &mut kept);
        let after = tenure::snapshot();
        let total = |of: fn(&Site) -> f64| {
            let sum = |s: &tenure::Snapshot| s.sites().iter().map(of).sum::<f64>();
            sum(&after) - sum(&before)
        };
        assert_eq!(total(|s| s.allocated.blocks - s.freed.blocks), STACKS as f64, "nothing is lost");
        assert_eq!(total(|s| s.live.blocks), STACKS as f64);
        assert_eq!(total(|s| s.live.bytes), 100.0 * STACKS as f64);
        assert!(after.sites().iter().all(|s| s.number < 16), "sites are bounded");
        let overflow = after.site(Site::OVERFLOW).expect("it is a site like others");
        println!("{} sites, {} blocks in the overflow site", after.sites().len(), overflow.live.blocks);
        assert!(overflow.live.blocks >= (STACKS - 16) as f64);
        assert!(overflow.stack.is_empty());
        let text = after.group_by(By::Site, &mut Symbols::new()).to_string();
        assert!(text.contains("overflow"), "{text}");
        drop(kept);
        let end = tenure::snapshot();
        let overflow = end.site(Site::OVERFLOW).expect("it stays");
        assert!(overflow.freed.blocks >= (STACKS - 16) as f64);
    });
}

/// Ten stacks that share most of their frames fit into sixteen sites.
#[test]
fn a_few_stacks_do_fit() {
    let scenario = Scenario::new("crowded::a_few_stacks_do_fit");
    // What the harness allocates before has sites as well, so that more than sixteen are needed.
    scenario.env("TENURE", "off,sites=16").run(|| {
        let mut kept = Vec::with_capacity(20);
        {
            let _exact = tenure::exact_scope();
            down(9, &mut kept);
        }
        let snapshot = tenure::snapshot();
        let overflow = snapshot.site(Site::OVERFLOW).map_or(0.0, |s| s.live.blocks);
        assert_eq!(overflow, 0.0, "there is room for sixteen stacks, and ten were needed");
        drop(kept);
    });
}
