use super::*;
use crate::Tag;
use crate::export::text::Text;
use crate::track::watch::{Count, Totals};
use std::thread;

#[test]
fn one_in_n_by_chance() {
    assert!((0..1000).all(|_| !chance(0) && chance(1)));
    for n in [2, 100] {
        let times = (0..100_000).filter(|_| chance(n)).count() as f64;
        let (mean, deviation) = (1e5 / n as f64, (1e5 / n as f64).sqrt());
        // Seven standard deviations: once in 10^11 runs.
        assert!((times - mean).abs() < 7.0 * deviation, "one in {n}: {times}");
    }
    // Of two kinds of request in turns, both are chosen.
    let both = (0..10_000).map(|i| (i % 2, chance(100))).fold([0; 2], |mut n, (kind, chosen)| {
        n[kind] += chosen as u32;
        n
    });
    assert!(both.iter().all(|&n| n > 0), "{both:?}");
}

#[test]
fn a_route_is_found_again_by_whichever_thread() {
    let routes = Routes::new().exact_one_in(0);
    thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                for i in 0..1000 {
                    drop(routes.begin(Some(&format!("/route/{}", i % 100))));
                }
                drop(routes.begin(None));
            });
        }
    });
    let table = routes.table();
    assert_eq!(table.len(), 101);
    for row in &table {
        let requests = if &*row.route == UNMATCHED { 4 } else { 40 };
        assert_eq!((row.requests, row.exact, row.tag.name()), (requests, 0, &*row.route));
    }
}

#[test]
fn what_finds_no_room_is_other() {
    let routes = Routes::new().most(3).exact_one_in(0);
    for name in ["a", "other", "b", "c", "d", "e", "a", "other"] {
        drop(routes.begin(Some(name)));
    }
    let table: Vec<_> = routes.table().into_iter().map(|row| (row.route, row.requests)).collect();
    assert_eq!(table, [("a".into(), 2), ("b".into(), 1), ("c".into(), 1), ("other".into(), 4)]);
}

#[test]
fn a_long_name_is_cut() {
    let routes = Routes::new().exact_one_in(0);
    let long = "é".repeat(1000);
    (0..2).for_each(|_| drop(routes.begin(Some(&long))));
    let table = routes.table();
    assert_eq!((table.len(), table[0].requests, table[0].route.len()), (1, 2, 254));
    assert_eq!(table[0].tag.name(), &*table[0].route);
}

#[test]
fn requests_run_in_the_tag_of_their_route() {
    let routes = Routes::new().exact_one_in(0);
    let _out = crate::scope("outside");
    let span = routes.begin(Some("/orders/{id}"));
    {
        let _in = span.enter();
        assert_eq!(Tag::current().name(), "/orders/{id}");
    }
    assert_eq!(Tag::current().name(), "outside");
}

#[test]
fn as_openmetrics() {
    let routes = Routes::new().exact_one_in(0);
    drop(routes.begin(Some("GET \"a\"\n\0")));
    let mut text = Text::default();
    routes.write(&mut text);
    let text = text.end();
    assert!(text.contains("# TYPE tenure_route_requests counter\n"), "{text}");
    assert!(text.contains("tenure_route_requests_total{route=\"GET \\\"a\\\"\\n\\\\u{0}\"} 1\n"), "{text}");
    assert!(!text.contains("histogram"), "nothing was measured");
    routes.0.table.row(0).measured(&Totals {
        allocated: Count { blocks: 3, bytes: 70 },
        peak: Count { blocks: 2, bytes: 64 },
        ..Totals::default()
    });
    let mut text = Text::default();
    routes.write(&mut text);
    let text = text.end();
    let of = |name: &str| -> Vec<String> {
        text.lines().filter(|l| l.starts_with(name)).map(|l| l.rsplit_once(' ').expect("a value").1.into()).collect()
    };
    let allocated = of("tenure_route_allocated_bytes_bucket");
    assert_eq!(allocated.len(), 15);
    assert_eq!(allocated[..4], ["0", "0", "1", "1"], "up to 0, 64, 256, 1024");
    assert_eq!(of("tenure_route_peak_bytes_bucket")[..3], ["0", "1", "1"]);
    assert_eq!(of("tenure_route_left_bytes_bucket")[0], "1");
    assert_eq!(
        (of("tenure_route_allocated_bytes_sum"), of("tenure_route_allocated_bytes_count")),
        (vec!["70".into()], vec!["1".into()])
    );
    assert!(text.contains(",le=\"64.0\"} 0\n") && text.contains(",le=\"+Inf\"} 1\n"), "{text}");
}
