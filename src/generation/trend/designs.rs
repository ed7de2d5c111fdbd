//! What else was tried, for the table in `tests`: each as one test of a series, at the same level for a family.

use super::{FAMILY, STEPS};

/// Tests that look at a whole series of old bytes. The name, and whether it calls the series' end.
pub(super) type Design = (&'static str, fn(&[f64]) -> bool);

pub(super) const DESIGNS: [Design; 4] = [
    ("Mann-Kendall, white noise", |y| mann_kendall(y, false)),
    ("Mann-Kendall, Hamed and Rao", |y| mann_kendall(y, true)),
    ("signs, e-detector", signs),
    ("t, e-detector", t_e_detector),
];

/// Of a standard normal's upper tail, p = 1e-8.
const Z: f64 = 5.612;

/// Mann (1945), Kendall (1948), over the last 20 observations, with Hamed and Rao's (1998) correction of the variance.
fn mann_kendall(y: &[f64], correct: bool) -> bool {
    const N: usize = 20;
    let Some(y) = y.len().checked_sub(N).map(|from| &y[from..]) else { return false };
    let n = N as f64;
    let pairs = || (0..N).flat_map(|j| (0..j).map(move |i| (i, j)));
    let s: f64 = pairs().map(|(i, j)| (y[j] - y[i]).partial_cmp(&0.0).map_or(0.0, |o| f64::from(o as i8))).sum();
    let mut variance = n * (n - 1.0) * (2.0 * n + 5.0) / 18.0;
    if correct {
        // Ranks of what remains after Theil and Sen's slope.
        let mut slopes: Vec<f64> = pairs().map(|(i, j)| (y[j] - y[i]) / (j - i) as f64).collect();
        slopes.sort_by(f64::total_cmp);
        let slope = slopes[slopes.len() / 2];
        let rest: Vec<f64> = y.iter().enumerate().map(|(i, y)| y - slope * i as f64).collect();
        let rank = |i: usize| rest.iter().filter(|&&x| x < rest[i]).count() as f64;
        let ranks: Vec<f64> = (0..N).map(rank).collect();
        let mean = ranks.iter().sum::<f64>() / n;
        let covariance = |lag: usize| (lag..N).map(|i| (ranks[i] - mean) * (ranks[i - lag] - mean)).sum::<f64>();
        let sum: f64 = (1..N)
            .map(|lag| (lag as f64, covariance(lag) / covariance(0).max(1e-9)))
            .filter(|(_, r)| r.abs() > 1.96 / n.sqrt())
            .map(|(lag, r)| (n - lag) * (n - lag - 1.0) * (n - lag - 2.0) * r)
            .sum();
        variance *= (1.0 + 2.0 / (n * (n - 1.0) * (n - 2.0)) * sum).max(1.0);
    }
    (s - 1.0) / variance.sqrt() >= Z
}

/// Bets on the sign of each increment, 0.9 of the stake: Shiryaev and Roberts' sum of e-processes (Shin, Ramdas and
/// Rinaldo, 2023). Its mean grows by 1 for each look, so by Doob's inequality a family has `FAMILY` / 0.01.
fn signs(y: &[f64]) -> bool {
    let sum = y.windows(2).fold(0.0, |sum, pair| {
        let won = if pair[1] > pair[0] { 1.9 } else { 0.1 };
        (sum + 1.0) * won
    });
    sum >= FAMILY / 0.01
}

/// The same with an e-process for the t-test of increments: the Bayes factor of a normal prior for the effect (Wang and
/// Ramdas, 2024; Perez-Ortiz et al., 2024), from each of the last 40 starts.
fn t_e_detector(y: &[f64]) -> bool {
    let (mut n, mut sum, mut squares, mut total) = (0.0f64, 0.0, 0.0, 0.0);
    for pair in y.windows(2).rev().take(40) {
        let gained = pair[1] - pair[0];
        (n, sum, squares) = (n + 1.0, sum + gained, squares + gained * gained);
        if n < 3.0 || sum <= 0.0 || squares <= 0.0 {
            continue;
        }
        let share = (sum * sum / n / squares).min(1.0 - 1e-12);
        let g = 1.0;
        let factor = (1.0 + n * g).powf(-0.5) * (1.0 - share * n * g / (1.0 + n * g)).powf(-n / 2.0);
        total += factor;
    }
    total >= FAMILY / 0.01
}

/// Wilcoxon's signed ranks of as many increments as a window has cannot reach the level: no p is less than 2^-17.
const _: () = assert!(1.0 / (1u64 << STEPS) as f64 > super::LEVEL);
