use super::*;
use crate::snapshot::testing::{names, random, shop};
use serde_json::Value;

fn read(snapshot: &Snapshot) -> Value {
    serde_json::from_str(&dhat(snapshot, &mut names())).expect("JSON")
}

/// Frames of a point, leaf first.
fn stack<'a>(file: &'a Value, point: &Value) -> Vec<&'a str> {
    let text = |f: &Value| file["ftbl"][f.as_u64().expect("a number") as usize].as_str().expect("a text");
    point["fs"].as_array().expect("frames").iter().map(text).collect()
}

fn sum(file: &Value, key: &str) -> f64 {
    file["pps"].as_array().expect("points").iter().map(|p| p[key].as_u64().expect("a whole number") as f64).sum()
}

#[test]
fn figures_stand_where_the_viewer_looks_for_them() {
    let snapshot = shop().snapshot();
    let file = read(&snapshot);
    assert_eq!((&file["dhatFileVersion"], &file["bklt"], &file["bkacc"]), (&2.into(), &true.into(), &false.into()));
    assert_eq!((&file["pid"], &file["ftbl"][0], &file["te"]), (&4711.into(), &"[root]".into(), &80_000.into()));
    assert!(file["mode"].as_str().expect("a text").contains("every allocation is tracked; t-gmax is t-end"));
    let points = file["pps"].as_array().expect("points");
    assert_eq!(points.len(), 8);
    let cart = points.iter().find(|p| p["eb"] == 1000).expect("a point");
    assert_eq!(
        stack(&file, cart),
        [
            "0x3: shop::cart::add (src/cart.rs:20)",
            "0x7: shop::main (src/main.rs:3)",
            "0x8: std::rt::lang_start (/rustc/x/library/std/src/rt.rs:9)"
        ]
    );
    for (key, figure) in [("tb", 10_000), ("tbk", 10), ("mb", 1000), ("mbk", 1), ("gb", 1000), ("gbk", 1), ("ebk", 1)] {
        assert_eq!(cart[key], figure, "{key}");
    }
    assert_eq!(cart["tl"], Value::Null, "lifetimes are not known");
    let unknown = points.iter().find(|p| p["eb"] == 1).expect("a point");
    assert_eq!(stack(&file, unknown), ["(unknown)"]);
    assert_eq!(sum(&file, "eb"), snapshot.tracked().bytes);
}

/// The viewer refuses a file with two of them.
#[test]
fn no_stack_is_there_twice() {
    let mut made = shop();
    made.stacks.insert(9, vec![9, 3, 7, 8]);
    made.sites.push((9, crate::snapshot::testing::totals(10, 10_000)));
    made.block(9, 0, 24, 9);
    let names = &mut names().with(9, &["tenure::heap::slow::alloc x:1", "__rustc::__rust_alloc x:2"]);
    let snapshot = made.snapshot();
    let file: Value = serde_json::from_str(&dhat(&snapshot, names)).expect("JSON");
    let points = file["pps"].as_array().expect("points");
    let mut stacks: Vec<_> = points.iter().map(|p| stack(&file, p)).collect();
    stacks.sort();
    stacks.dedup();
    assert_eq!((points.len(), stacks.len()), (8, 8));
    let both = points.iter().find(|p| p["eb"] == 1024).expect("a point");
    assert_eq!(
        (&both["tb"], &both["tbk"], &both["mb"], &both["ebk"]),
        (&20_000.into(), &20.into(), &1024.into(), &2.into())
    );
}

#[test]
fn rounding_loses_nothing() {
    for seed in 0..20 {
        let snapshot = random(seed).snapshot();
        let file = read(&snapshot);
        assert!((sum(&file, "eb") - snapshot.tracked().bytes).abs() <= 0.5);
        assert!((sum(&file, "ebk") - snapshot.tracked().blocks).abs() <= 0.5);
        assert!(file["pps"].as_array().expect("points").iter().all(|p| p["mb"].as_u64() >= p["eb"].as_u64()));
    }
}

#[test]
fn a_stack_of_nothing_but_the_allocator_stays() {
    let mut made = shop();
    made.stacks.insert(8, vec![1]);
    let file = read(&made.snapshot());
    let alone = file["pps"].as_array().expect("points").iter().find(|p| p["eb"] == 2).expect("a point");
    assert_eq!(stack(&file, alone), ["0x1: alloc::alloc::alloc (/rustc/x/library/alloc/src/alloc.rs:95)"]);
}
