use super::*;
use crate::generation::Reclaimed;

fn mark(generation: Generation, at_ms: u64) -> Mark {
    let reclaimed = Reclaimed::default();
    let alive = None;
    Mark {
        at_ms,
        generation,
        number: 7,
        automatic: true,
        pause_ns: 1_234_567,
        reclaimed,
        pinned: 4096,
        committed: 0,
        alive,
    }
}

/// A minute and a half, in which memory doubled.
fn history() -> History {
    let point = |s: u64| Point { at_ms: s * 1000, live: s << 20, committed: (s + 20) << 20, resident: (s + 40) << 20 };
    let ages = |s: u64| Ages { at_ms: s * 1000, bytes: [1e6, 2e6, s as f64 * 1e5] };
    History {
        now_ms: 100_000,
        points: (10..=100).map(point).collect(),
        ages: (10..=100).map(ages).collect(),
        marks: vec![mark(Generation::Old, 50_000), mark(Generation::Young, 60_000), mark(Generation::Old, 51_000)],
    }
}

/// The points of the line or area that has a class.
fn points(svg: &str, class: &str) -> Vec<(i32, i32)> {
    let line = svg
        .lines()
        .find(|line| line.contains(&format!("class=\"{class}\"")))
        .unwrap_or_else(|| panic!("{class}: {svg}"));
    let points = line.split_once("points=\"").and_then(|(_, p)| p.split_once('"')).expect("points").0;
    let number = |n: &str| n.parse().expect("a number");
    points.split_whitespace().map(|p| p.split_once(',').map(|(x, y)| (number(x), number(y))).expect("a pair")).collect()
}

#[test]
fn the_lines_say_what_was_noted() {
    let svg = memory(&history(), 600, 800);
    let [live, committed, resident] = ["live", "committed", "resident"].map(|class| points(&svg, class));
    assert_eq!(live.len(), 92, "and one for now");
    assert!(live.is_sorted_by(|a, b| a.0 <= b.0 && a.1 >= b.1), "it grows");
    for ((l, c), r) in live.iter().zip(&committed).zip(&resident) {
        assert!(r.1 < c.1 && c.1 < l.1, "resident above committed above live");
    }
    assert!(svg.contains("Now resident 140.0 MiB, committed 120.0 MiB, live 100.0 MiB."), "{svg}");
    assert!(svg.contains("1 young, 0 middle and 2 old collections"));
    for label in ["now", "50 MiB", "150 MiB", "\u{2212}2 min", "\u{2212}30 s"] {
        assert!(svg.contains(&format!(">\n{label}\n<")), "{label}: {svg}");
    }
}

#[test]
fn collections_say_what_they_were() {
    let svg = memory(&history(), 600, 800);
    let old = "<g class=\"mark old line\"><title>old collection 7: 1.2 ms of processor time, 0 B purged, 4.0 KiB \
               pinned</title>";
    assert_eq!((svg.matches(old).count(), svg.matches("<g class=\"mark young\">").count()), (2, 1), "{svg}");
    assert_eq!(svg.matches(">1.2 ms</text>").count(), 1, "no label is written over another");
    let last_minute = memory(&history(), 45, 800);
    assert_eq!((last_minute.matches(old).count(), last_minute.matches("mark young").count()), (0, 1));
}

#[test]
fn of_many_the_longest_stands_out() {
    let mut history = history();
    history.marks = (1..=60).map(|s| Mark { pause_ns: s % 50 * 100_000, ..mark(Generation::Old, s * 1000) }).collect();
    let svg = memory(&history, 600, 800);
    assert_eq!((svg.matches("mark old line").count(), svg.matches("mark old\"").count()), (1, 59));
    assert!(svg.contains(">longest: 4.9 ms</text>"), "{svg}");
}

#[test]
fn where_nobody_asked_there_is_no_line() {
    let mut history = history();
    // What came after the first seconds came a minute and a half later.
    let late = |at_ms: &mut u64| *at_ms += if *at_ms > 30_000 { GAP_MS } else { 0 };
    history.points.iter_mut().for_each(|p| late(&mut p.at_ms));
    history.ages.iter_mut().for_each(|a| late(&mut a.at_ms));
    history.now_ms += GAP_MS;
    let (memory, generations) = (memory(&history, 600, 800), generations(&history, 600, 800));
    assert_eq!(memory.matches("class=\"live\"").count(), 2);
    assert_eq!(generations.matches("class=\"old area\"").count(), 2);
}

#[test]
fn who_asks_once_a_minute_sees_a_line() {
    let mut history = history();
    history.now_ms = 200_000;
    history.points.truncate(3);
    history.points.iter_mut().zip([70_000, 130_000, 190_000]).for_each(|(p, at_ms)| p.at_ms = at_ms);
    assert_eq!(points(&memory(&history, 600, 800), "live").len(), 4);
}

#[test]
fn names_are_apart_and_inside() {
    let bottom = HEIGHT as i32 - 24;
    for (heights, moved) in [
        ([HEAD; 3], [HEAD, HEAD + TEXT, HEAD + 2 * TEXT]),
        ([HEAD, HEAD + 1, 100], [HEAD, HEAD + TEXT, 100]),
        ([bottom; 3], [bottom - 2 * TEXT, bottom - TEXT, bottom]),
        ([150, 50, 100], [50, 100, 150]),
    ] {
        assert_eq!(apart(heights.map(|y| ("name", y))).map(|(_, y)| y), moved, "{heights:?}");
    }
}

#[test]
fn generations_lie_upon_each_other() {
    let svg = generations(&history(), 600, 800);
    let [young, middle, old] = ["young area", "middle area", "old area"].map(|class| points(&svg, class));
    for ((y, m), o) in young.iter().zip(&middle).zip(&old).take(91) {
        assert!(y.1 < m.1 && m.1 < o.1, "{y:?} {m:?} {o:?}");
    }
    let at = |class: &str| svg.find(&format!("class=\"{class}\"")).expect("it is there");
    assert!(at("young area") < at("middle area") && at("middle area") < at("old area"), "the lowest is drawn last");
    assert!(svg.contains("now young 976.6 KiB, middle 1.9 MiB, old 9.5 MiB."), "{svg}");
}

#[test]
fn a_policy_and_a_style_sheet_have_the_last_word() {
    for svg in [memory(&history(), 600, 400), generations(&history(), 600, 400), memory(&History::default(), 600, 400)]
    {
        for refused in ["#0000", "style=", "<style", "<script", " on", "font-family", " width=\"400\""] {
            assert!(!svg.contains(refused), "{refused}: {svg}");
        }
        assert!(svg.contains("viewBox=\"0 0 400 260\" role=\"img\"") && svg.contains("<desc id="));
    }
}

#[test]
fn without_figures_it_says_so() {
    let svg = memory(&History::default(), 600, 800);
    assert!(svg.contains("waiting for figures") && svg.contains("Nothing is known yet."), "{svg}");
}

#[test]
fn grid_lines_are_at_round_numbers() {
    for shift in 0..45 {
        let most = (1u64 << shift) as f64 * 1.3;
        let step = step(most);
        assert!(most / step <= 5.0 && (most < 1024.0 || most / step > 1.0), "{most} {step}");
        let label = short(step);
        assert!(label.len() <= 7 && !label.contains('.'), "{label}");
    }
    assert_eq!([short(0.0), short(1536.0), short(5.0 * 1024.0 * 1024.0)], ["0", "1.5 KiB", "5 MiB"]);
    assert_eq!([processor_time(999), processor_time(1_234_567)], ["1 \u{b5}s", "1.2 ms"]);
}
