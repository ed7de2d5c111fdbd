use super::*;
use crate::snapshot::Mode;
use crate::snapshot::testing::{Made, Table, names, random, shop};

/// Titles of the frames that are drawn, each with its colour.
fn frames(svg: &str) -> Vec<(String, String)> {
    let frame = |part: &str| {
        let title = part.split_once("</title>").expect("an end").0.replace("&lt;", "<").replace("&gt;", ">");
        let colour = part.split_once("fill=\"").and_then(|(_, rest)| rest.split_once('"')).expect("a colour").0;
        (title, colour.to_string())
    };
    svg.split("<title>").skip(1).map(frame).collect()
}

fn titles(svg: &str) -> Vec<String> {
    frames(svg).into_iter().map(|f| f.0).collect()
}

#[test]
fn it_shows_the_program_and_says_what_and_how() {
    let snapshot = shop().snapshot();
    let svg = flame_graph(&snapshot, &mut names(), Value::LiveBytes);
    let titles = titles(&svg);
    let has = |title: &str| titles.iter().any(|t| t == title);
    // 1,304 bytes: one without a stack, two at an address without a name.
    assert!(has("all (1,304 bytes, 100%)") && has("shop::main (1,301 bytes, 99.77%)"), "{titles:?}");
    assert!(has("shop::cart::add (1,230 bytes, 94.33%)") && has("(unknown) (1 bytes, 0.08%)"), "{titles:?}");
    assert!(!titles.iter().any(|t| t.contains("alloc::") || t.contains("lang_start")), "{titles:?}");
    assert!(svg.contains("Live bytes: 1.3 KiB<") && svg.contains("every allocation is tracked; pid 4711"));
    let blocks = flame_graph(&snapshot, &mut names(), Value::LiveBlocks);
    assert!(blocks.contains("<title>all (10 blocks, 100%)") && blocks.contains("Live blocks: 10 blocks<"));
}

#[test]
fn what_is_estimated_has_its_interval() {
    let mut made = random(7);
    made.mode = Mode::Sampled { mean: 4096 };
    let snapshot = made.snapshot();
    let svg = flame_graph(&snapshot, &mut names(), Value::LiveBytes);
    let (low, high) = snapshot.tracked().bytes().interval(0.95);
    let text = |v: f64| crate::units::Bytes(v.round() as usize).to_string();
    let interval = format!("95 %: {} to {}; ", text(low), text(high));
    assert!(svg.contains(&interval) && svg.contains("sampled, once in 4.0 KiB on average"), "{interval}");
}

/// A frame that something is allocated in and that calls others is one frame, whatever its neighbours are called.
#[test]
fn no_frame_is_drawn_twice() {
    let mut made = shop();
    for (site, stack) in [(2, vec![20]), (3, vec![21]), (4, vec![22, 20])] {
        made.stacks.insert(site, stack);
    }
    let mut table = names().with(20, &["f f:1"]).with(21, &["f::g f:2"]).with(22, &["h f:3"]);
    let titles = titles(&flame_graph(&made.snapshot(), &mut table, Value::LiveBytes));
    assert_eq!(titles.iter().filter(|t| t.starts_with("f (")).count(), 1, "{titles:?}");
}

#[test]
fn a_stack_without_the_program_is_one_frame() {
    let mut made = shop();
    made.stacks.insert(2, vec![1, 2, 8]);
    let mut table = names().with(2, &["alloc::vec::Vec<T,A>::push x:1"]);
    let titles = titles(&flame_graph(&made.snapshot(), &mut table, Value::LiveBytes));
    assert!(titles.contains(&"std::rt::lang_start (230 bytes, 17.64%)".to_string()), "{titles:?}");
}

/// The colour is the change, and the width the larger of the two.
#[test]
fn a_difference_goes_by_names() {
    let mut made = shop();
    made.blocks.clear();
    made.block(2, 0, 100, 1).block(4, 0, 300, 1).block(5, 0, 200, 1);
    let earlier = made.snapshot();
    // Another process: the same functions elsewhere.
    let mut other = shop();
    other.blocks.clear();
    for (site, stack) in [(2, vec![11, 12, 17]), (3, vec![11, 13, 17]), (5, vec![15, 17])] {
        other.stacks.insert(site, stack);
    }
    other.block(2, 0, 500, 1).block(3, 0, 100, 1).block(5, 0, 200, 1);
    let mut later_names = Table::default();
    for (there, here) in [(11, 1), (12, 2), (13, 3), (15, 6), (17, 7)] {
        later_names.0.insert(there, names().0[&here].clone());
    }
    later_names =
        later_names.with(15, &["parser::expr::parse elsewhere/expr.rs:9", "parser::expr::nested elsewhere/expr.rs:10"]);
    let svg = flame_graph_diff(&other.snapshot(), &earlier, &mut later_names, Some(&mut names()), Value::LiveBytes);
    let frames = frames(&svg);
    let frame = |function: &str| {
        let found: Vec<_> = frames.iter().filter(|f| f.0.starts_with(function)).collect();
        assert_eq!(found.len(), 1, "{function}: {frames:?}");
        (found[0].0.as_str(), found[0].1.as_str())
    };
    // 600 + 300 + 200 wide.
    let clone = "<shop::cart::Cart as core::clone::Clone>::clone";
    assert_eq!(frame("shop::cart::add"), ("shop::cart::add (600 bytes, 54.55%; +45.45%)", "rgb(255,100,100)"));
    assert_eq!(frame(clone), (format!("{clone} (300 bytes, 27.27%; -27.27%)").as_str(), "rgb(160,160,255)"));
    assert_eq!(frame("parser::expr::parse"), ("parser::expr::parse (200 bytes, 18.18%; 0.00%)", "rgb(250,250,250)"));
    assert!(svg.contains("Live bytes: from 600 B to 800 B<") && svg.contains("red grew, blue shrank"));
}

#[test]
fn nothing_is_no_error() {
    let empty = Made::default().snapshot();
    let svg = flame_graph(&empty, &mut names(), Value::LiveBlocks);
    assert!(svg.contains("Live blocks: 0 blocks: nothing to show") && svg.ends_with("</svg>\n"), "{svg}");
    assert!(flame_graph_diff(&empty, &empty, &mut names(), None, Value::default()).contains("nothing to show"));
}

#[test]
fn names_are_escaped() {
    let mut made = shop();
    made.stacks.insert(2, vec![30]);
    let mut table = names().with(30, &["<script>&\"' f:1"]);
    let svg = flame_graph(&made.snapshot(), &mut table, Value::LiveBytes);
    assert!(svg.contains("&lt;script&gt;&amp;") && !svg.contains("<script>&"), "escaped");
}

/// What XML has no way to write, and numbers whose sums leave the range of the crate that draws.
#[test]
fn what_no_picture_can_hold() {
    let mut made = shop();
    made.stacks.insert(3, vec![20]);
    let names = &mut names().with(20, &["a\u{fffe}b\u{ffff}c<d>\u{1} f:1"]);
    let svg = flame_graph(&made.snapshot(), names, Value::LiveBytes);
    assert!(svg.contains("<title>a?b?c&lt;d&gt;? (1,000 bytes"), "{svg}");
    for (_, totals) in &mut made.sites {
        totals.allocated.bytes = 1e18;
    }
    let large = made.snapshot();
    let svg = flame_graph(&large, names, Value::AllocatedBytes);
    assert!(
        titles(&svg).iter().any(|t| t.starts_with("all (7,812,5") && t.contains(" bytes x 1024^1, 100%)")),
        "{svg}"
    );
    let svg = flame_graph_diff(&large, &shop().snapshot(), names, None, Value::AllocatedBytes);
    assert!(
        titles(&svg).iter().any(|t| t.starts_with("all (7,812,5") && t.contains(" bytes x 1024^1, 100%)")),
        "{svg}"
    );
}
