use super::*;
use crate::export::json;
use crate::snapshot::testing::{Table, names, random, shop};
use crate::snapshot::{By, Filter, Mode};
use crate::snapshot::{Names, Place};
use serde_json::Value;

#[path = "../../../tests/support/schema.rs"]
mod schema;

const SCHEMA: &str = include_str!("../../../docs/snapshot.schema.json");

fn faults(value: &Value) -> Vec<String> {
    let schema: Value = serde_json::from_str(SCHEMA).expect("a schema");
    schema::faults(&schema, &schema, value)
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

#[test]
fn what_is_written_fits_the_schema() {
    let mut modes = random(9);
    for mode in [Mode::Off, Mode::Exact, Mode::Sampled { mean: 4096 }] {
        modes.mode = mode;
        assert_eq!(faults(&parse(&json(&modes.snapshot(), &mut names()))), Vec::<String>::new());
    }
    assert_eq!(faults(&parse(&json(&crate::snapshot(), &mut Symbols::new()))), Vec::<String>::new());
}

/// A validator that finds nothing proves nothing.
#[test]
fn a_dump_fits_the_schema() {
    use std::alloc::{GlobalAlloc, Layout};
    let tenure = crate::Tenure::new();
    let layout = Layout::from_size_align(100, 8).expect("a layout");
    let blocks: Vec<_> = ["quotes \" and \\", "\u{1b}\n\u{7f}\u{85}", "ä\u{10FFFF}"]
        .map(|tag| {
            let (_exact, _in) = (crate::exact_scope(), crate::scope(tag));
            // SAFETY: the layout is not empty.
            unsafe { tenure.alloc(layout) }
        })
        .into();
    let path = std::env::temp_dir().join(format!("tenure-schema-{}", std::process::id()));
    crate::dump::to(&path).expect("written");
    let text = std::fs::read_to_string(&path).expect("UTF-8");
    std::fs::remove_file(&path).expect("removed");
    assert_eq!(faults(&parse(&text)), [""; 0]);
    let snapshot = from_json(&text).expect("a snapshot").0;
    assert!(snapshot.tags().iter().any(|t| t.name == "\u{1b}\n\u{7f}\u{85}" && t.live.bytes == 100.0));
    assert!(snapshot.rows().len() >= blocks.len() && !snapshot.modules().is_empty());
    // SAFETY: they came from there, with that layout.
    blocks.into_iter().for_each(|block| unsafe { tenure.dealloc(block, layout) });
}

#[test]
fn what_does_not_fit_the_schema_is_found() {
    let mut made = random(9);
    (made.blocks, made.tags, made.sites) = (shop().blocks, shop().tags, shop().sites);
    let good = parse(&json(&made.snapshot(), &mut names()));
    assert_eq!(faults(&good), [""; 0]);
    let spoil = |path: &str, to: Value| {
        let mut bad = good.clone();
        *bad.pointer_mut(path).unwrap_or_else(|| panic!("{path}")) = to;
        faults(&bad)
    };
    for (path, to, found) in [
        ("/version", Value::from(2), "/version: const"),
        ("/snapshot/rows/0/live/bytes", Value::from(-1), "/snapshot/rows/0/live/bytes: minimum"),
        ("/snapshot/rows/0/epoch", Value::from("1"), "/snapshot/rows/0/epoch: type"),
        ("/snapshot/mode", Value::from("some"), "/snapshot/mode: oneOf"),
        ("/snapshot/sites/0/ending", Value::from("well"), "/snapshot/sites/0/ending: enum"),
        ("/snapshot/sites/0", serde_json::json!({}), "/snapshot/sites/0: required"),
        ("/names/0/frames", serde_json::json!([]), "/names/0/frames: minItems"),
        ("/snapshot/untracked/bytes/value", Value::Null, "/snapshot/untracked/bytes/value: type"),
        ("/snapshot/suspects/0/culprit", serde_json::json!({}), "/snapshot/suspects/0/culprit: minProperties"),
        ("/snapshot/suspects/0/confidence", Value::from(1.5), "/snapshot/suspects/0/confidence: maximum"),
        ("/snapshot/collections/counts/young", Value::Null, "/snapshot/collections/counts/young: type"),
        ("/snapshot/collections/stats/2/last/census", Value::from(3), "/snapshot/collections/stats/2/last: anyOf"),
    ] {
        assert!(spoil(path, to).contains(&found.to_string()), "{found}");
    }
    let mut bad = good.clone();
    bad["snapshot"]["rows"][0]["more"] = Value::Null;
    assert_eq!(faults(&bad), ["/snapshot/rows/0: additionalProperties"]);
}

#[test]
fn what_is_read_back_is_equal_and_brings_its_names() {
    for seed in 0..20 {
        let mut made = random(seed);
        made.mode = Mode::Sampled { mean: 512 };
        made.tags[0].1 = "no\t\"name\" ü\u{1F600}".into();
        let snapshot = made.snapshot();
        let text = json(&snapshot, &mut names());
        assert_eq!(text.lines().count(), 1);
        let (read, mut symbols) = from_json(&text).expect("a snapshot");
        assert_eq!(read, snapshot);
        assert_eq!(json(&read, &mut symbols), text, "names and all");
        assert_eq!(read.tenuring(), snapshot.tenuring());
        assert!(text.contains("\"lifetimes\":{\"died\":[{"));
        for by in [By::Line, By::Module] {
            let (here, there) = (snapshot.group_by(by, &mut names()), read.group_by(by, &mut symbols));
            assert_eq!(*here, *there);
        }
        let kept = snapshot.filter(&Filter::new().include("shop::*"), &mut names());
        assert_eq!(from_json(&json(&kept, &mut names())).expect("a snapshot").0, kept);
    }
    let here = crate::snapshot();
    assert_eq!(from_json(&json(&here, &mut Symbols::new())).expect("a snapshot").0, here);
}

const NO_SUM: &str = r#"{"blocks":0,"bytes":0,"blocks_variance":0,"bytes_variance":0,"samples":0}"#;

#[track_caller]
fn refused(text: &str) -> String {
    let line = from_json(text).map(|_| ()).expect_err("it must be refused").to_string();
    assert!(!line.contains('\n') && line.starts_with("not read as a snapshot of tenure: "), "{line}");
    line
}

#[test]
fn what_is_no_snapshot_is_refused_in_one_line() {
    let text = json(&shop().snapshot(), &mut names());
    for end in (1..text.len()).step_by(97).chain([text.len() - 1]) {
        let line = refused(&text[..end]);
        assert!(line.contains("it is cut off"), "{line}");
    }
    for other in
        ["[]", "3", "null", "{}", "{\"format\":\"heap\"}", "{\"format\":\"tenure snapshot\"}", "\u{0}", "nonsense"]
    {
        refused(other);
    }
    let with = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        refused(&text.replacen(from, to, 1))
    };
    let newer = with("\"version\":1", "\"version\":2");
    assert!(newer.ends_with("it has version 2, and this build of tenure reads up to 1"), "{newer}");
    assert!(with("\"version\":1", "\"version\":0").contains("no version that ever was"));
    assert!(with("\"exact\"", "\"ex\\nact\"").contains("unknown variant"));
    // What contradicts itself.
    assert!(with("\"rows\":[{\"site\":0", "\"rows\":[{\"site\":1").contains("site 1"));
    assert!(with("\"rows\":[{\"site\":0", "\"rows\":[{\"site\":99").contains("a row names site 99"));
    assert!(with("\"number\":3", "\"number\":2").contains("two sites 2"));
    assert!(
        with("\"live\":{\"blocks\":1,\"bytes\":1,", "\"live\":{\"blocks\":1,\"bytes\":5,")
            .contains("not those of its rows")
    );
    assert!(with("\"epoch_step\":1", "\"epoch_step\":3").contains("power of two"));
    assert!(
        with("\"middle\":4,\"old\":8", "\"middle\":9,\"old\":8").contains("ages 0, 9 and 8, which are not in order")
    );
    assert!(with("\"middle\":4,", "\"middle\":0,").contains("not in order"));
    let aged = json(&random(3).snapshot(), &mut names());
    let more = aged.replacen(
        "\"lifetimes\":{\"died\":[",
        &format!("\"lifetimes\":{{\"died\":[{}", format!("{NO_SUM},").repeat(14)),
        1,
    );
    assert!(aged != more && refused(&more).contains("what should be a sum is none"));
    assert!(with("\"place\":[null,1],\"frames\":[{", "\"place\":[null,1],\"frames\":[],\"x\":[{").contains("no frame"));
}

/// What says that it is a suspect, and cannot be one.
#[test]
fn no_suspects_are_refused() {
    let text = json(&random(3).snapshot(), &mut names());
    let begin = text.find("\"suspects\":[").expect("suspects") + 12;
    let end = begin + text[begin..].find(']').expect("their end");
    let with = |suspects: &str| format!("{}[{suspects}]{}", &text[..begin - 1], &text[end + 1..]);
    let one = |from: &str, to: &str| {
        let first = &text[begin..][..text[begin..].find("}").expect("a culprit") + 1];
        let first = &text[begin..][..first.len() + text[begin + first.len()..].find('}').expect("an end") + 1];
        assert!(first.contains(from), "{from} in {first}");
        first.replacen(from, to, 1)
    };
    let good = one("\"site\":2", "\"site\":2");
    assert_eq!(from_json(&with(&good)).expect("a snapshot").0.suspects().len(), 1);
    for (from, to) in [
        ("\"old_bytes\":", "\"old_bytes\":-"),
        ("\"old_bytes_error\":", "\"old_bytes_error\":-"),
        ("\"bytes_per_epoch\":", "\"bytes_per_epoch\":-"),
        ("\"bytes_per_minute\":", "\"bytes_per_minute\":-"),
        ("\"confidence\":", "\"confidence\":1"),
    ] {
        assert!(refused(&with(&one(from, to))).contains("a suspect"), "{to}");
    }
    assert!(refused(&with(&vec![good.as_str(); 33].join(","))).contains("33 suspects"));
    refused(&with(&one("\"site\":2", "\"site\":2,\"tag\":2")));
    refused(&with(&one("\"old_bytes\":", "\"old_bytes\":1e999,\"x\":")));
    // A dump may have no room for the site: what it is called is all that is lost.
    for number in ["\"site\":99", "\"tag\":99"] {
        let (snapshot, mut names) = from_json(&with(&one("\"site\":2", number))).expect("a snapshot");
        assert_eq!(snapshot.suspects_named(&mut names).iter().count(), 1);
        super::super::openmetrics(&snapshot, &mut names, crate::export::OpenMetrics::new());
    }
    let huge = one("\"bytes_per_minute\":", "\"bytes_per_minute\":1e308,\"x\":");
    let (snapshot, mut names) = from_json(&with(&huge)).expect("a snapshot");
    let report = snapshot.suspects_named(&mut names).to_string();
    assert!(report.lines().all(|line| line.chars().count() <= 100), "{report}");
}

/// Names from a file do not speak for this process, nor for a module that lies elsewhere.
#[test]
fn names_serve_only_where_they_are_from() {
    let here = crate::snapshot::loaded();
    let entry = names_serve_only_where_they_are_from as fn() as usize as u64;
    let mut made = shop();
    made.modules = here.clone();
    made.stacks.insert(2, vec![entry]);
    let names = Table::default().with(entry, &["shop::f src/f.rs:1"]);
    let (snapshot, mut symbols) = from_json(&json(&made.snapshot(), &mut { names })).expect("a snapshot");
    let name = |symbols: &mut Symbols, modules: &[crate::snapshot::Module]| {
        symbols.frames(&Place::new(entry, modules))[0].function.to_string()
    };
    assert_eq!(name(&mut symbols, snapshot.modules()), "shop::f");
    let mut moved = here;
    moved.iter_mut().for_each(|m| m.build_id.push('0'));
    assert_ne!(name(&mut symbols, &moved), "shop::f");
}
