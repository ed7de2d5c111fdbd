//! The tables, as Markdown.

use super::RIVALS;
use crate::compare::{Results, Rounds, geometric_mean, interval};
use tenure_programs::preload::PEERS;
use tenure_programs::table;

pub(super) fn tables(header: &str, results: &Results) {
    let known =
        ["none", "tenure", "exact", "hardened"].into_iter().chain(PEERS.iter().map(|peer| peer.0)).chain(["heaptrack"]);
    let columns = results.allocators(known);
    let rows = results.workloads(table::ALL.iter().map(|program| program.name));
    println!("{header}");
    for (title, metric, unit) in [
        ("Processor time, in the program and in the kernel, ms", "time_ns", 1e6),
        ("Time on the wall, ms", "wall_ns", 1e6),
        ("Peak resident memory of a process, MiB", "peak_kib", 1024.0),
    ] {
        println!("### {title}\n");
        medians(results, &rows, &columns, metric, unit);
        println!();
        ratios(results, &rows, &columns, metric);
        println!();
    }
}

fn medians(results: &Results, rows: &[&str], columns: &[&str], metric: &str, unit: f64) {
    println!("| | {} |\n| --- |{}", columns.join(" | "), " --- |".repeat(columns.len()));
    for row in rows {
        let cell = |column: &&str| match results.median(row, column, metric, Rounds::All) {
            Some(value) => format!("{:.1}", value / unit),
            None => String::new(),
        };
        println!("| {row} | {} |", columns.iter().map(cell).collect::<Vec<_>>().join(" | "));
    }
}

/// tenure and exact mode to others: medians of the ratios within each round, so that neighbours in time are compared; and the
/// geometric mean over all programs. The best peer is chosen in one half of the rounds and compared in the other.
fn ratios(results: &Results, rows: &[&str], columns: &[&str], metric: &str) {
    let glibc = |row: &str| {
        let own = !results.values(row, "glibc", metric, Rounds::All).is_empty();
        if own { "glibc" } else { "none" }
    };
    let peers: Vec<&str> = RIVALS.into_iter().filter(|peer| columns.contains(peer)).collect();
    let mut heads = vec!["tenure to glibc".to_string()];
    heads.extend(peers.iter().map(|peer| format!("tenure to {peer}")));
    heads.extend(
        ["tenure to the best peer", "exact to none", "hardened to tenure", "heaptrack to none"].map(String::from),
    );
    println!("| ratio, 95 % interval | {} |\n| --- |{}", heads.join(" | "), " --- |".repeat(heads.len()));
    let mut means = vec![vec![]; heads.len()];
    for row in rows {
        let mut cells = vec![ratio(results, row, metric, "tenure", glibc(row))];
        cells.extend(peers.iter().map(|peer| ratio(results, row, metric, "tenure", peer)));
        let best = results.against_lowest(row, metric, &peers);
        cells.push(best.map(|best| (best.ratio, format!("{:.3} {}", best.ratio, choice(&best.peers)))));
        cells.push(ratio(results, row, metric, "exact", "none"));
        cells.push(ratio(results, row, metric, "hardened", "tenure"));
        cells.push(ratio(results, row, metric, "heaptrack", "none"));
        for (mean, cell) in means.iter_mut().zip(&cells) {
            mean.extend(cell.as_ref().map(|cell| cell.0));
        }
        let texts: Vec<_> = cells.into_iter().map(|cell| cell.map_or(String::new(), |cell| cell.1)).collect();
        println!("| {row} | {} |", texts.join(" | "));
    }
    let mean = |values: &Vec<f64>| geometric_mean(values).map_or(String::new(), |mean| format!("**{mean:.3}**"));
    println!("| geometric mean | {} |", means.iter().map(mean).collect::<Vec<_>>().join(" | "));
}

fn choice(peers: &[String; 2]) -> String {
    if peers[0] == peers[1] { peers[0].clone() } else { peers.join(", ") }
}

fn ratio(results: &Results, row: &str, metric: &str, of: &str, to: &str) -> Option<(f64, String)> {
    let values = |allocator| results.values(row, allocator, metric, Rounds::All);
    let ratios: Vec<f64> = values(of).iter().zip(values(to)).map(|(of, to)| of / to).collect();
    if ratios.is_empty() {
        return None;
    }
    let (low, middle, high) = interval(ratios);
    Some((middle, format!("{middle:.3} ({low:.3} to {high:.3})")))
}
