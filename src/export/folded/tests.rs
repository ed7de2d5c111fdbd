use super::*;
use crate::snapshot::Frame;
use crate::snapshot::testing::{Table, names, random, shop};

fn lines(text: &str) -> Vec<(&str, u64)> {
    text.lines().map(|l| l.rsplit_once(' ').expect("a count")).map(|(s, n)| (s, n.parse().expect("a number"))).collect()
}

#[test]
fn stacks_are_whole_and_those_of_the_same_names_are_one() {
    let snapshot = shop().snapshot();
    // Sites 2 and 3 differ in a line only, but for an inlined call.
    let names = &mut names().with(3, &["alloc::vec::Vec<T,A>::push x.rs:1", "shop::cart::add src/cart.rs:20"]);
    let text = folded(&snapshot, names, Value::LiveBytes);
    let cart = "std::rt::lang_start;shop::main;shop::cart::add;alloc::vec::Vec<T,A>::push;alloc::alloc::alloc";
    assert_eq!(lines(&text).iter().find(|l| l.0 == cart), Some(&(cart, 1230)), "{text}");
    let parser = "std::rt::lang_start;shop::main;parser::expr::nested;parser::expr::parse;alloc::alloc::alloc 7\n";
    assert!(text.contains(parser), "{text}");
    assert!(lines(&text).contains(&("(unknown)", 1)) && lines(&text).contains(&("0xbad", 2)), "{text}");
    assert_eq!(lines(&text).iter().map(|l| l.1).sum::<u64>() as f64, snapshot.tracked().bytes);
    let sum = |value| lines(&folded(&snapshot, &mut { Table::default() }, value)).iter().map(|l| l.1).sum::<u64>();
    assert_eq!([Value::LiveBlocks, Value::AllocatedBytes, Value::AllocatedBlocks].map(sum), [10, 80_000, 80]);
}

#[test]
fn a_stack_that_was_cut_says_so_at_its_root() {
    let mut snapshot = shop().snapshot();
    snapshot.parts.sites[1].ending = crate::snapshot::Ending::NoRules;
    let text = folded(&snapshot, &mut names(), Value::LiveBytes);
    assert!(lines(&text).iter().any(|l| l.0.starts_with("(cut: no unwind rules);std::rt::lang_start;")), "{text}");
}

#[test]
fn rounding_loses_nothing() {
    for seed in 0..20 {
        let snapshot = random(seed).snapshot();
        let text = folded(&snapshot, &mut names(), Value::LiveBytes);
        let sum: u64 = lines(&text).iter().map(|l| l.1).sum();
        assert!((sum as f64 - snapshot.tracked().bytes).abs() <= 0.5);
    }
}

#[test]
fn no_name_breaks_a_line() {
    let mut made = shop();
    made.stacks.insert(2, vec![101, 102, 103, 104, 105]);
    let mut table = Table::default();
    for (address, name) in
        [(101, "f 12"), (102, "<[u8; 4] as shop::Eat>::eat"), (103, "a\nb\r\0c"), (104, " \t"), (105, "g 1.5")]
    {
        table.0.insert(address, vec![Frame::new(name, None, None)]);
    }
    let text = folded(&made.snapshot(), &mut table, Value::LiveBlocks);
    let whole = "g_1.5;(no name);a?b??c;<[u8: 4] as shop::Eat>::eat;f_12";
    assert_eq!(lines(&text).iter().find(|l| l.0.contains("eat")), Some(&(whole, 3)), "{text}");
}

#[test]
fn an_empty_snapshot_has_no_stacks() {
    let empty = crate::snapshot::testing::Made::default().snapshot();
    assert_eq!(folded(&empty, &mut names(), Value::LiveBytes), "");
}

/// Begins alike, stands together: also where a name goes on with a character that comes before `;`.
#[test]
fn children_follow_their_parents() {
    let mut made = shop();
    for (site, stack) in [(2, vec![20]), (3, vec![21]), (4, vec![22, 20])] {
        made.stacks.insert(site, stack);
    }
    let mut table = Table::default().with(20, &["f f:1"]).with(21, &["f::g f:2"]).with(22, &["h f:3"]);
    let text = folded(&made.snapshot(), &mut table, Value::LiveBlocks);
    let of_f: Vec<_> = lines(&text).into_iter().map(|l| l.0).filter(|s| s.starts_with('f')).collect();
    assert_eq!(of_f, ["f", "f;h", "f::g"]);
}
