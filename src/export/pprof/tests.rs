use super::*;
use crate::snapshot::testing::{Made, names, random, shop};
use crate::snapshot::{By, Module};
use prost::Message as _;
use std::io::Read;
use std::process::Command;

/// `profile.proto`, as its own documentation has it.
mod decoded {
    #[derive(prost::Message)]
    pub(super) struct Profile {
        #[prost(message, repeated, tag = "1")]
        pub(super) sample_type: Vec<ValueType>,
        #[prost(message, repeated, tag = "2")]
        pub(super) sample: Vec<Sample>,
        #[prost(message, repeated, tag = "3")]
        pub(super) mapping: Vec<Mapping>,
        #[prost(message, repeated, tag = "4")]
        pub(super) location: Vec<Location>,
        #[prost(message, repeated, tag = "5")]
        pub(super) function: Vec<Function>,
        #[prost(string, repeated, tag = "6")]
        pub(super) string_table: Vec<String>,
        #[prost(int64, tag = "9")]
        pub(super) time_nanos: i64,
        #[prost(message, optional, tag = "11")]
        pub(super) period_type: Option<ValueType>,
        #[prost(int64, tag = "12")]
        pub(super) period: i64,
        #[prost(int64, repeated, tag = "13")]
        pub(super) comment: Vec<i64>,
        #[prost(int64, tag = "14")]
        pub(super) default_sample_type: i64,
    }
    #[derive(prost::Message)]
    pub(super) struct ValueType {
        #[prost(int64, tag = "1")]
        pub(super) r#type: i64,
        #[prost(int64, tag = "2")]
        pub(super) unit: i64,
    }
    #[derive(prost::Message)]
    pub(super) struct Sample {
        #[prost(uint64, repeated, tag = "1")]
        pub(super) location_id: Vec<u64>,
        #[prost(int64, repeated, tag = "2")]
        pub(super) value: Vec<i64>,
        #[prost(message, repeated, tag = "3")]
        pub(super) label: Vec<Label>,
    }
    #[derive(prost::Message)]
    pub(super) struct Label {
        #[prost(int64, tag = "1")]
        pub(super) key: i64,
        #[prost(int64, tag = "2")]
        pub(super) str: i64,
        #[prost(int64, tag = "3")]
        pub(super) num: i64,
        #[prost(int64, tag = "4")]
        pub(super) num_unit: i64,
    }
    #[derive(prost::Message)]
    pub(super) struct Mapping {
        #[prost(uint64, tag = "1")]
        pub(super) id: u64,
        #[prost(uint64, tag = "2")]
        pub(super) memory_start: u64,
        #[prost(uint64, tag = "3")]
        pub(super) memory_limit: u64,
        #[prost(uint64, tag = "4")]
        pub(super) file_offset: u64,
        #[prost(int64, tag = "5")]
        pub(super) filename: i64,
        #[prost(int64, tag = "6")]
        pub(super) build_id: i64,
        #[prost(bool, tag = "7")]
        pub(super) has_functions: bool,
        #[prost(bool, tag = "9")]
        pub(super) has_line_numbers: bool,
        #[prost(bool, tag = "10")]
        pub(super) has_inline_frames: bool,
    }
    #[derive(prost::Message)]
    pub(super) struct Location {
        #[prost(uint64, tag = "1")]
        pub(super) id: u64,
        #[prost(uint64, tag = "2")]
        pub(super) mapping_id: u64,
        #[prost(uint64, tag = "3")]
        pub(super) address: u64,
        #[prost(message, repeated, tag = "4")]
        pub(super) line: Vec<Line>,
    }
    #[derive(prost::Message)]
    pub(super) struct Line {
        #[prost(uint64, tag = "1")]
        pub(super) function_id: u64,
        #[prost(int64, tag = "2")]
        pub(super) line: i64,
    }
    #[derive(prost::Message)]
    pub(super) struct Function {
        #[prost(uint64, tag = "1")]
        pub(super) id: u64,
        #[prost(int64, tag = "2")]
        pub(super) name: i64,
        #[prost(int64, tag = "4")]
        pub(super) filename: i64,
    }
}

/// The shop, with a module that holds its code.
fn shop_with_modules() -> Made {
    let mut made = shop();
    let code =
        vec![Code { start: 0x1, end: 0x5, file_offset: 0x200 }, Code { start: 0x5, end: 0x9, file_offset: 0x300 }];
    made.modules = vec![Module { path: "/opt/shop".into(), build_id: "c0ffee".into(), base: 0, code }];
    made
}

fn decode(gz: &[u8]) -> decoded::Profile {
    let mut raw = Vec::new();
    flate2::read::GzDecoder::new(gz).read_to_end(&mut raw).expect("gzip");
    decoded::Profile::decode(&raw[..]).expect("a profile")
}

impl decoded::Profile {
    fn text(&self, i: i64) -> &str {
        &self.string_table[i as usize]
    }

    /// Sums of the four values.
    fn sums(&self, wanted: impl Fn(&decoded::Sample) -> bool) -> Vec<i64> {
        (0..4).map(|v| self.sample.iter().filter(|s| wanted(s)).map(|s| s.value[v]).sum()).collect()
    }

    /// Names of functions along a sample's stack, leaf first.
    fn stack(&self, sample: &decoded::Sample) -> Vec<&str> {
        let location = |id: &u64| self.location.iter().find(|l| l.id == *id).expect("the location");
        let name = |l: &decoded::Line| self.function.iter().find(|f| f.id == l.function_id).expect("the function").name;
        sample.location_id.iter().flat_map(|id| location(id).line.iter().map(|l| self.text(name(l)))).collect()
    }
}

#[test]
fn what_is_decoded_is_the_snapshot() {
    let snapshot = shop_with_modules().snapshot();
    let p = decode(&pprof(&snapshot, &mut names()));
    let kinds: Vec<_> = p.sample_type.iter().map(|t| (p.text(t.r#type), p.text(t.unit))).collect();
    let kind = |i: usize| {
        [("inuse_objects", "count"), ("inuse_space", "bytes"), ("alloc_objects", "count"), ("alloc_space", "bytes")][i]
    };
    assert_eq!(kinds, (0..4).map(kind).collect::<Vec<_>>());
    assert_eq!((p.string_table[0].as_str(), p.text(p.default_sample_type), p.period), ("", "inuse_space", 1));
    assert_eq!(p.time_nanos, 1_790_000_000_123_456_789);
    let allocated: Sum = snapshot.sites().iter().map(|s| s.allocated).sum();
    let live = snapshot.tracked();
    assert_eq!(p.sums(|_| true), [live.blocks, live.bytes, allocated.blocks, allocated.bytes].map(|v| v as i64));
    // Labels: tags, sizes, ages.
    let has = |s: &decoded::Sample, key: &str, str: &str, num: i64| {
        s.label.iter().any(|l| p.text(l.key) == key && p.text(l.str) == str && l.num == num)
    };
    assert_eq!(p.sums(|s| has(s, "tag", "checkout", 0))[1], 1130);
    assert_eq!(p.sums(|s| has(s, "bytes", "", 1024)), [1, 1000, 0, 0]);
    let ages: Vec<i64> = (0..5).map(|a| p.sums(|s| has(s, "age_epochs", "", [0, 1, 2, 4, 8][a]))[1]).collect();
    // Born in epochs 9 | 8 to 7 | 6 to 3 | 2 and 1, read in epoch 10.
    assert_eq!(ages, [0, 10, 7, 1187, 100]);
    // Stacks keep all frames, and inlined ones come before what they were inlined into.
    let of_1000 = p.sample.iter().find(|s| s.value[1] == 30).expect("a sample");
    assert_eq!(
        p.stack(of_1000),
        ["alloc::alloc::alloc", "alloc::vec::Vec<T,A>::push", "shop::cart::add", "shop::main", "std::rt::lang_start"]
    );
    let unknown = p.sample.iter().find(|s| s.value[1] == 1).expect("a sample");
    assert_eq!(p.stack(unknown), ["(unknown)"]);
    // Mappings.
    let m: Vec<_> = p
        .mapping
        .iter()
        .map(|m| (m.id, m.memory_start, m.memory_limit, m.file_offset, p.text(m.filename), p.text(m.build_id)))
        .collect();
    assert_eq!(m, [(1, 1, 5, 0x200, "/opt/shop", "c0ffee"), (2, 5, 9, 0x300, "/opt/shop", "c0ffee")]);
    assert!(p.mapping.iter().all(|m| m.has_functions && m.has_line_numbers));
    assert_eq!(p.mapping.iter().map(|m| m.has_inline_frames).collect::<Vec<_>>(), [true, false]);
    assert!(
        p.location
            .iter()
            .all(|l| l.mapping_id
                == if l.address == 0 || l.address == 0xBAD { 0 } else { 1 + u64::from(l.address >= 5) })
    );
    let file = |f: &decoded::Function| p.text(f.filename);
    assert!(p.function.iter().any(|f| p.text(f.name) == "shop::cart::add" && file(f) == "src/cart.rs"));
    assert!(
        p.text(p.comment[0]).contains("tracking: exact")
            && p.text(p.period_type.as_ref().expect("a type").unit) == "bytes"
    );
}

#[test]
fn rounding_loses_nothing() {
    for seed in 0..20 {
        let mut made = random(seed);
        made.mode = Mode::Sampled { mean: 4096 };
        let snapshot = made.snapshot();
        let p = decode(&pprof(&snapshot, &mut names()));
        let sums = p.sums(|_| true);
        assert!(
            (sums[0] as f64 - snapshot.tracked().blocks).abs() <= 0.5
                && (sums[1] as f64 - snapshot.tracked().bytes).abs() <= 0.5
        );
        assert!(p.sample.iter().all(|s| s.value.iter().all(|&v| v >= 0)) && p.period == 4096);
        let (b, comment) = (snapshot.tracked().bytes(), p.text(p.comment[1]));
        assert!(
            comment.contains(&format!("{:.0} bytes (standard error {:.0})", b.value, b.standard_error)),
            "{comment}"
        );
    }
}

#[test]
fn a_stack_that_was_cut_says_why() {
    let mut snapshot = shop().snapshot();
    snapshot.parts.sites[1].ending = crate::snapshot::Ending::Depth;
    let p = decode(&pprof(&snapshot, &mut names()));
    let cut = p.sample.iter().filter(|s| p.stack(s).last() == Some(&"(cut: depth limit)")).count();
    assert_eq!(cut, 4, "three rows and what was allocated");
}

/// What `go tool pprof` says, or `None` if there is no Go here.
fn go_tool_pprof(profile: &[u8], name: &str, arguments: &[&str]) -> Option<String> {
    let file = std::env::temp_dir().join(format!("tenure-{}-{name}.pb.gz", std::process::id()));
    std::fs::write(&file, profile).expect("a file");
    let output = Command::new("go").args(["tool", "pprof", "-symbolize=none"]).args(arguments).arg(&file).output();
    std::fs::remove_file(&file).expect("the file");
    let output = output.ok()?;
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn the_real_pprof_reads_it() {
    let snapshot = shop_with_modules().snapshot();
    let profile = pprof(&snapshot, &mut names());
    let Some(top) = go_tool_pprof(&profile, "top", &["-top", "-unit=B", "-nodecount=50"]) else {
        println!("skipped: no go");
        return;
    };
    // `flat flat% sum% cum cum% name`: what each function holds with all that it calls.
    let cum = |text: &str, name: &str| {
        let line = text
            .lines()
            .find(|l| l.split_whitespace().nth(5) == Some(name))
            .unwrap_or_else(|| panic!("{name}: {text}"));
        line.split_whitespace().nth(3).expect("a column").trim_end_matches('B').parse::<f64>().expect("a number")
    };
    assert!(top.contains("Type: inuse_space"), "{top}");
    for group in snapshot
        .group_by(By::Function, &mut names())
        .iter()
        .filter(|g| g.name == "shop::cart::add" || g.name.starts_with("parser"))
    {
        assert_eq!(cum(&top, &group.name), group.live.bytes, "{top}");
    }
    assert_eq!(cum(&top, "shop::main"), snapshot.tracked().bytes - 3.0, "all but what has no stack");
    let objects = go_tool_pprof(&profile, "objects", &["-top", "-sample_index=alloc_objects"]).expect("as before");
    assert_eq!(cum(&objects, "shop::main"), 60.0, "{objects}");
    let raw = go_tool_pprof(&profile, "raw", &["-raw"]).expect("as before");
    for part in [
        "inuse_objects/count inuse_space/bytes[dflt] alloc_objects/count alloc_space/bytes",
        "PeriodType: space bytes",
        "/opt/shop c0ffee",
        "tag:[checkout]",
        "shop::cart::add src/cart.rs:10",
        "tracking: exact",
    ] {
        assert!(raw.contains(part), "{part}: {raw}");
    }
    let tags = go_tool_pprof(&profile, "tags", &["-tags", "-unit=B"]).expect("as before");
    let tag =
        |name: &str, bytes: &str| tags.lines().any(|l| l.contains(name) && l.split_whitespace().next() == Some(bytes));
    assert!(tag("checkout", "1130.0B") && tags.contains("age_epochs") && tags.contains("bytes: Total"), "{tags}");
    let old = go_tool_pprof(&profile, "old", &["-top", "-unit=B", "-tagfocus=age_epochs=8:"]).expect("as before");
    assert_eq!(cum(&old, "shop::main"), 100.0, "{old}");
}

/// What came, what went, and what became less by so much that it is below nothing; what stayed is not there.
#[test]
fn a_difference_says_what_changed() {
    let earlier = shop_with_modules();
    let mut later = shop_with_modules();
    later.unix_nanos += 2_000_000_000;
    // One block of site 2 went, which was tagged; the one of site 4 is another size; site 5 holds more; the site 9 is new.
    later.blocks.remove(1);
    later.blocks.iter_mut().filter(|b| b.site == 4).for_each(|b| b.block_size *= 2);
    later.block(5, 0, 4096, 10).block(9, 2, 24, 10);
    later.stacks.insert(9, vec![1, 4, 8]);
    later.sites.push((9, crate::snapshot::testing::totals(3, 99)));
    let (earlier, later) = (earlier.snapshot(), later.snapshot());
    let gz = pprof_with(&later, Some(&earlier), Shown::Allocated, &mut names());
    let p = decode(&gz);
    assert_eq!(p.text(p.default_sample_type), "alloc_space");
    let label = |s: &decoded::Sample, key: &str| {
        s.label
            .iter()
            .find(|l| p.text(l.key) == key)
            .map(|l| if l.str == 0 { l.num.to_string() } else { p.text(l.str).into() })
    };
    let mut changes: Vec<_> = p
        .sample
        .iter()
        .map(|s| (s.value.clone(), label(s, "tag"), label(s, "bytes"), label(s, "age_epochs")))
        .collect();
    changes.sort();
    let text = |t: &str| Some(t.to_string());
    assert_eq!(
        changes,
        [
            (vec![-1, -100, 0, 0], text("checkout"), text("128"), None),
            (vec![-1, -50, 0, 0], None, text("64"), None),
            (vec![0, 0, 3, 99], None, None, None),
            (vec![1, 24, 0, 0], text("checkout"), text("32"), None),
            (vec![1, 50, 0, 0], None, text("128"), None),
            (vec![1, 4096, 0, 0], None, text("4096"), None),
        ]
    );
    let total = |s: &Snapshot| s.rows().iter().map(|r| r.live).sum::<Sum>().bytes as i64;
    assert_eq!(p.sums(|_| true)[1], total(&later) - total(&earlier));
    // Backward it is the same with other signs; and nothing changes from a snapshot to itself.
    let back = decode(&pprof_with(&earlier, Some(&later), Shown::InUse, &mut names()));
    assert_eq!(back.sums(|_| true), p.sums(|_| true).iter().map(|v| -v).collect::<Vec<_>>());
    assert!(decode(&pprof_with(&later, Some(&later), Shown::InUse, &mut names())).sample.is_empty());
    let Some(raw) = go_tool_pprof(&gz, "difference", &["-raw"]) else {
        println!("skipped: go tool pprof, because go is not installed");
        return;
    };
    assert!(raw.contains("Duration: 2") && raw.contains("alloc_space/bytes[dflt]"), "{raw}");
    assert!(raw.lines().any(|line| line.split_whitespace().take(2).eq(["-1", "-100"])), "{raw}");
}

/// Estimates of many small changes add up to that of all.
#[test]
fn rounded_changes_lose_nothing() {
    for seed in 0..20 {
        let (earlier, later) = (random(seed).snapshot(), random(seed + 100).snapshot());
        let p = decode(&pprof_with(&later, Some(&earlier), Shown::InUse, &mut names()));
        let total = |s: &Snapshot| s.rows().iter().map(|r| r.live).sum::<Sum>();
        let change = (total(&later).blocks - total(&earlier).blocks, total(&later).bytes - total(&earlier).bytes);
        let sums = p.sums(|_| true);
        assert!(
            (sums[0] as f64 - change.0).abs() < 1.0 && (sums[1] as f64 - change.1).abs() < 1.0,
            "{sums:?} {change:?}"
        );
    }
}
