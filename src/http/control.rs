//! What changes something.

use super::answer::{Answer, Fault};
use super::call::Call;
use super::exact;
use super::query::shown;
use crate::config::{Mode, Thresholds};
use crate::generation::{self, Generation};
use serde::Serialize;
use serde_json::Value;
use std::sync::{Mutex, PoisonError};

pub(super) fn thresholds(call: &Call<'_>) -> Result<Answer, Fault> {
    Ok(written(call, &generation::thresholds()))
}

/// Takes any of them; the others stay.
pub(super) fn set_thresholds(call: &Call<'_>) -> Result<Answer, Fault> {
    /// Between the reading of the others and the writing of all.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let object = call.object()?;
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let mut all = generation::thresholds();
    for (name, value) in &object {
        let number = value.as_u64().ok_or_else(|| {
            Fault::bad(format!("{} must be a whole number that is not negative; no threshold was changed", shown(name)))
        })?;
        // What does not fit is out of bounds too, and is said to be so below.
        let small = u32::try_from(number).unwrap_or(u32::MAX);
        match name.as_str() {
            "young_bytes" => all.young_bytes = number,
            "young_per_middle" => all.young_per_middle = small,
            "middle_per_old" => all.middle_per_old = small,
            "free_percent" => all.free_percent = small,
            "idle_ms" => all.idle_ms = number,
            other => {
                return Err(Fault::bad(format!(
                    "there is no threshold {}: it must be one of young_bytes, young_per_middle, middle_per_old, \
                     free_percent, idle_ms; no threshold was changed",
                    shown(other)
                )));
            }
        }
    }
    generation::set_thresholds(all).map_err(|bad| Fault::bad(bad.to_string()))?;
    Ok(written(call, &all))
}

fn written(call: &Call<'_>, all: &Thresholds) -> Answer {
    call.report("Thresholds", all, || {
        let Thresholds { young_bytes, young_per_middle, middle_per_old, free_percent, idle_ms } = all;
        format!(
            "young_bytes      {young_bytes}\nyoung_per_middle {young_per_middle}\nmiddle_per_old   {middle_per_old}\n\
             free_percent     {free_percent}\nidle_ms          {idle_ms}\n"
        )
    })
}

pub(super) fn collect(call: &Call<'_>) -> Result<Answer, Fault> {
    let generation = match call.query.text("generation") {
        None | Some("old") => Generation::Old,
        Some("middle") => Generation::Middle,
        Some("young") => Generation::Young,
        Some(other) => {
            return Err(Fault::bad(format!("generation is {}: it must be one of young, middle, old", shown(other))));
        }
    };
    let collection = call.job_of_the_program(|| generation::collect(generation))?;
    Ok(call.report("Collection", &collection, || format!("{collection}\n")))
}

/// How blocks are tracked, as it is asked for and answered.
#[derive(Serialize)]
struct Tracking {
    mode: &'static str,
    mean: Option<u64>,
    exact_ends_in_s: Option<f64>,
}

pub(super) fn mode(call: &Call<'_>) -> Result<Answer, Fault> {
    let exact_ends_in_s = exact::ends_in();
    let mode = crate::mode();
    let (word, mean) = match mode {
        Mode::Off => ("off", None),
        Mode::Exact => ("exact", None),
        Mode::Sampled { mean } => ("sampled", Some(mean)),
    };
    Ok(call.report("Mode", &Tracking { mode: word, mean, exact_ends_in_s }, || match exact_ends_in_s {
        Some(seconds) => format!("{mode}, for {seconds:.0} seconds more\n"),
        None => format!("{mode}\n"),
    }))
}

pub(super) fn set_mode(call: &Call<'_>) -> Result<Answer, Fault> {
    let object = call.object()?;
    let known = |other: &str| -> &'static [&'static str] {
        match other {
            "exact" => &["mode", "seconds"],
            "sampled" => &["mode", "mean"],
            _ => &["mode"],
        }
    };
    let word = object.get("mode").and_then(Value::as_str);
    let word = word.ok_or_else(|| Fault::bad("mode is missing: send {\"mode\":\"exact\"}, \"sampled\" or \"off\""))?;
    if let Some(other) = object.keys().find(|key| !known(word).contains(&key.as_str())) {
        return Err(Fault::bad(format!("mode {} takes no {}: leave it out", shown(word), shown(other))));
    }
    let number = |name: &str, least: u64, most: u64, default: u64| match object.get(name).map(Value::as_u64) {
        None => Ok(default),
        Some(Some(n)) if (least..=most).contains(&n) => Ok(n),
        Some(_) => Err(Fault::bad(format!("{name} must be a whole number from {least} to {most}"))),
    };
    match word {
        "exact" => exact::begin(number("seconds", 1, exact::MOST_SECONDS, exact::MOST_SECONDS)?)?,
        "sampled" => {
            // Below, nearly each block is a sample, which costs more than exact tracking and would not end by itself.
            const LEAST: u64 = 4 << 10;
            const MOST: u64 = 1 << 40;
            exact::end_with(Mode::Sampled { mean: number("mean", LEAST, MOST, 512 << 10)? });
        }
        "off" => exact::end_with(Mode::Off),
        other => {
            return Err(Fault::bad(format!("mode is {}: it must be one of exact, sampled, off", shown(other))));
        }
    }
    mode(call)
}
