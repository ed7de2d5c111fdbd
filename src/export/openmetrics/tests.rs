use super::*;
use crate::snapshot::Culprit;
use crate::snapshot::testing::{Made, Table, names, random, shop, suspect, totals};
use std::collections::{HashMap, HashSet};

/// Series and their values, each as it is written.
fn series(text: &str) -> HashMap<&str, f64> {
    let lines = text.lines().filter(|l| !l.starts_with('#'));
    lines.map(|l| l.rsplit_once(' ').expect("a value")).map(|(s, v)| (s, v.parse().expect("a number"))).collect()
}

/// What would make a reader refuse it: families in pieces, samples without a head, series twice.
fn assert_well_formed(text: &str) {
    assert!(text.ends_with("\n# EOF\n") && text.matches("# EOF").count() == 1);
    let (mut families, mut seen, mut family) = (HashSet::new(), HashSet::new(), String::new());
    for line in text.lines().filter(|l| *l != "# EOF") {
        if let Some(head) = line.strip_prefix("# TYPE ") {
            family = head.split(' ').next().expect("a name").to_string();
            assert!(families.insert(family.clone()), "{family} is there twice");
        } else if line.starts_with('#') {
            assert_eq!(line.split(' ').nth(2), Some(family.as_str()), "{line}");
        } else {
            let (name, _) = line.split_once(['{', ' ']).expect("a value");
            let ending = name.strip_prefix(family.as_str()).unwrap_or_else(|| panic!("{line} in {family}"));
            assert!(["", "_total", "_info"].contains(&ending), "{line}");
            assert!(seen.insert(line.rsplit_once(' ').expect("a value").0.to_string()), "{line} is there twice");
        }
    }
}

#[test]
fn figures_have_their_names() {
    let snapshot = shop().snapshot();
    let text = openmetrics(&snapshot, &mut names(), OpenMetrics::new());
    assert_well_formed(&text);
    let s = series(&text);
    for (name, value) in [
        (concat!("tenure_tracking_info{mode=\"exact\",version=\"", env!("CARGO_PKG_VERSION"), "\"}"), 1.0),
        ("tenure_tracked_bytes", 1304.0),
        ("tenure_epochs_total", 10.0),
        ("tenure_site_live_bytes{function=\"shop::cart::add\",site=\"src/cart.rs:20\"}", 1000.0),
        ("tenure_site_live_blocks{function=\"shop::cart::add\",site=\"src/cart.rs:10\"}", 3.0),
        ("tenure_site_allocated_bytes_total{function=\"parser::expr::parse\",site=\"parser/src/expr.rs:5\"}", 30_000.0),
        ("tenure_site_live_bytes{function=\"(unknown)\",site=\"(unknown)\"}", 1.0),
        ("tenure_tag_live_bytes{tag=\"checkout\"}", 1130.0),
        ("tenure_tag_live_bytes{tag=\"(no tag)\"}", 172.0),
        ("tenure_tag_allocated_blocks_total{tag=\"checkout\"}", 50.0),
        // Born in epochs 9 | 8 to 7 | 6 to 3 | 2 and 1, read in epoch 10.
        ("tenure_age_live_bytes{age_epochs=\"1\"}", 10.0),
        ("tenure_age_live_bytes{age_epochs=\"2\"}", 7.0),
        ("tenure_age_live_bytes{age_epochs=\"4\"}", 1187.0),
        ("tenure_age_live_bytes{age_epochs=\"8\"}", 100.0),
        ("tenure_site_live_bytes_standard_error{function=\"shop::cart::add\",site=\"src/cart.rs:20\"}", 0.0),
    ] {
        assert_eq!(s.get(name), Some(&value), "{name}: {text}");
    }
    assert!(text.contains("# TYPE tenure_live_bytes gauge\n# UNIT tenure_live_bytes bytes\n# HELP tenure_live_bytes "));
}

#[test]
fn what_is_left_over_is_summed() {
    let snapshot = shop().snapshot();
    let text = openmetrics(&snapshot, &mut names(), OpenMetrics::new().sites(2).tags(1));
    assert_well_formed(&text);
    let s = series(&text);
    let others = "{function=\"\",site=\"(others)\"}";
    // The cart's two lines have 1,230 of 1,304.
    assert_eq!(s[format!("tenure_site_live_bytes{others}").as_str()], 74.0);
    assert_eq!(s[format!("tenure_site_live_blocks{others}").as_str()], 6.0);
    assert!(!s.contains_key(format!("tenure_site_allocated_bytes_total{others}").as_str()), "it would fall");
    assert_eq!(s["tenure_tag_live_bytes{tag=\"(others)\"}"], 174.0);
    let none = openmetrics(&snapshot, &mut names(), OpenMetrics::new().sites(0).tags(0));
    assert_eq!(series(&none)[format!("tenure_site_live_bytes{others}").as_str()], 1304.0);
}

#[test]
fn errors_stand_beside_estimates() {
    let mut made = random(5);
    made.mode = Mode::Sampled { mean: 512 };
    let snapshot = made.snapshot();
    let text = openmetrics(&snapshot, &mut names(), OpenMetrics::new());
    assert_well_formed(&text);
    let s = series(&text);
    let bytes = snapshot.tracked().bytes();
    assert_eq!(s["tenure_tracked_bytes_standard_error"], bytes.standard_error);
    assert_eq!(s["tenure_sampling_mean_bytes"], 512.0);
    let error = |s: &HashMap<&str, f64>, family: &str| {
        let all = s.iter().filter(|(name, _)| name.starts_with(family));
        all.map(|(_, error)| error * error).sum::<f64>().sqrt()
    };
    for family in ["site", "tag", "age", "generation"] {
        let sum = error(&s, &format!("tenure_{family}_live_bytes_standard_error"));
        assert!((sum / bytes.standard_error - 1.0).abs() < 1e-9 && sum > 0.0, "{family}: {sum}");
    }
}

/// Whatever a program does, there are no more series than were promised.
#[test]
fn the_number_of_series_is_bounded() {
    let mut made = Made::default();
    made.stats.epoch = (1 << 36) - 1;
    let mut table = Table::default();
    for i in 0..1500u32 {
        let (site, tag) = (i + 2, i as u16 + 2);
        made.stacks.insert(site, vec![1000 + u64::from(i)]);
        made.sites.push((site, totals(1, 100)));
        made.tags.push((tag, format!("tag {i}"), totals(1, 100)));
        made.block(site, tag, 100, (1 << 36) - 1 - (1 << (i % 36)));
        table = table.with(1000 + u64::from(i), &[format!("f{i} f.rs:{i}").as_str()]);
    }
    made.suspects = (0..32).map(|i| suspect(Culprit::Site(2 + i), 1.0)).collect();
    made.generations = random(0).generations;
    let snapshot = made.snapshot();
    for (options, bound) in [
        (OpenMetrics::new().sites(0).tags(0), 674),
        (OpenMetrics::new(), 914),
        (OpenMetrics::new().sites(500).tags(7), 3716),
        (OpenMetrics::new().sites(usize::MAX).tags(usize::MAX), 12_674),
    ] {
        let text = openmetrics(&snapshot, &mut table, options);
        assert_well_formed(&text);
        assert_eq!(options.most_series(), bound);
        let written = series(&text).len();
        assert!(written <= bound, "{written} of {bound}");
        // What grows with the options is all there.
        assert!(written >= 6 * (options.sites + options.tags), "{written} of {bound}");
    }
}

#[test]
fn labels_are_escaped_and_never_doubled() {
    let mut made = shop();
    made.tags.truncate(2);
    for (number, name) in
        [(2, "(no tag)"), (3, "(others)"), (4, "a\\b\"c\nd\0"), (5, "größe"), (6, "a\u{1}"), (7, "a\\u{1}")]
    {
        made.tags.push((number, name.into(), totals(1, 1)));
        made.block(2, number, 10 * u64::from(number), 9);
    }
    let snapshot = made.snapshot();
    let text = openmetrics(&snapshot, &mut names(), OpenMetrics::new());
    assert_well_formed(&text);
    let s = series(&text);
    assert_eq!(s["tenure_tag_live_bytes{tag=\"a\\\\b\\\"c\\nd\\\\u{0}\"}"], 40.0);
    assert_eq!(s["tenure_tag_live_bytes{tag=\"größe\"}"], 50.0);
    assert_eq!(s["tenure_tag_live_bytes{tag=\"(no tag)\"}"], 172.0 + 1130.0 + 20.0);
    assert_eq!(s["tenure_tag_live_bytes{tag=\"a\\\\u{1}\"}"], 60.0 + 70.0, "two that read the same");
    assert_eq!(s["tenure_tag_allocated_blocks_total{tag=\"a\\\\u{1}\"}"], 2.0);
    for most in 0..9 {
        let text = openmetrics(&snapshot, &mut names(), OpenMetrics::new().tags(most));
        assert_well_formed(&text);
        let tags = series(&text).into_iter().filter(|(name, _)| name.starts_with("tenure_tag_live_bytes{"));
        assert_eq!(tags.map(|(_, v)| v).sum::<f64>(), snapshot.tracked().bytes);
    }
}

#[test]
fn generations_and_ages() {
    let snapshot = random(5).snapshot();
    let text = openmetrics(&snapshot, &mut names(), OpenMetrics::new());
    let (s, t) = (series(&text), snapshot.tenuring());
    for (name, g) in [("young", t.young), ("middle", t.middle), ("old", t.old)] {
        assert_eq!(s[format!("tenure_generation_live_bytes{{generation=\"{name}\"}}").as_str()], g.live.bytes);
        assert_eq!(s[format!("tenure_generation_died_blocks{{generation=\"{name}\"}}").as_str()], g.died.blocks);
    }
    assert_eq!(s["tenure_generation_live_blocks{generation=\"permanent\"}"], 0.0);
    assert_eq!(s["tenure_generation_promoted_blocks{generation=\"old\"}"], t.old.reached.blocks);
    assert_eq!(s["tenure_die_young_ratio{of=\"bytes\"}"], t.bytes_die_young.value);
    assert!(s["tenure_die_young_ratio_standard_error{of=\"blocks\"}"] > 0.0);
    for band in &t.ages {
        let at = format!("{{age_epochs=\"{}\"}}", band.from);
        assert_eq!(s[format!("tenure_age_live_bytes{at}").as_str()], band.living.bytes);
        assert_eq!(s[format!("tenure_age_died_blocks{at}").as_str()], band.died.blocks);
    }
}

/// Whoever sees a suspect looks for what its line holds: by the same labels.
#[test]
fn suspects_have_the_labels_of_their_lines() {
    let mut made = shop();
    made.tags[1].1 = "quoted \" and \0".into();
    // Two stacks that end at one line, one without a name, one without a stack, a tag, and a site that is not there.
    made.suspects =
        [6, 7, 8, 0, 99].into_iter().zip(1..).map(|(i, n)| suspect(Culprit::Site(i), 60.0 * f64::from(n))).collect();
    made.suspects.push(suspect(Culprit::Tag(1), 600.0));
    // A generic function has a name for each of its types, and one line.
    let mut table = names();
    for (site, name) in [(20, "shop::cart::Cart<A>::put"), (21, "shop::cart::Cart<B>::put")] {
        made.stacks.insert(site, vec![u64::from(site)]);
        made.sites.push((site, totals(1, 5)));
        made.block(site, 0, 5, 9);
        made.suspects.push(suspect(Culprit::Site(site), 120.0));
        table = table.with(site.into(), &[format!("{name} src/cart.rs:50").as_str()]);
    }
    let text = openmetrics(&made.snapshot(), &mut table, OpenMetrics::new());
    assert_well_formed(&text);
    assert!(!text.contains('\0'), "a zero ends the text for some readers");
    let s = series(&text);
    let rates: HashMap<_, _> = s
        .iter()
        .filter_map(|(name, rate)| Some((name.strip_prefix("tenure_suspect_bytes_per_second")?, *rate)))
        .collect();
    for (labels, rate) in &rates {
        let line = format!("tenure_site_live_bytes{labels}");
        assert!(labels.contains("scope ") || s.contains_key(line.as_str()), "{line}: {rate} in {text}");
    }
    assert_eq!(rates["{function=\"parser::expr::parse\",site=\"parser/src/expr.rs:5\"}"], 3.0);
    assert_eq!(s["tenure_suspects"], 8.0);
}
