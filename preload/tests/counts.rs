//! Exact mode's totals are those of an independent count: a library between the program and this one, which sees every call, and
//! which agrees with valgrind. `tenure_programs::count` says how each counts a `realloc`.

mod library;

use std::time::Duration;
use tenure_programs::count::{self, Counter};
use tenure_programs::program::{Program, Size};
use tenure_programs::table;

const PATIENCE: Duration = Duration::from_secs(300);

/// Those whose work valgrind does in a few seconds.
const UNDER_VALGRIND: [&str; 2] = ["perl", "c++"];
/// The counter's table does not fit the address space of the first; the others take long, and say nothing more.
const LEFT_OUT: [&str; 4] = ["limited", "python-suite", "python-suite-malloc", "forks"];

#[test]
fn exact_totals_are_those_of_an_independent_count() {
    let Ok(counter) = Counter::build() else {
        println!("skipped: all counts, because gcc does not build the counter (Debian's package is gcc)");
        return;
    };
    let (library, mut wrong) = (library::library(library::Build::Shipped), vec![]);
    for program in table::ALL.iter().filter(|program| !LEFT_OUT.contains(&program.name)) {
        if let Err(what) = check(program, &counter, &library) {
            wrong.push(format!("{}: {what}", program.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn check(program: &Program, counter: &Counter, library: &std::path::Path) -> Result<(), String> {
    if let Some(why) = program.missing() {
        println!("{why}");
        return Ok(());
    }
    let text = |why: std::io::Error| why.to_string();
    let prepared = program.prepare(Size::Quick).map_err(text)?;
    let counted = counter.with_tenure(&prepared, library, PATIENCE).map_err(text)?;
    println!("{}: {counted:?}", program.name);
    if counted.tenure.blocks == 0 {
        return Err("nothing was counted".into());
    }
    if !counted.agree() {
        return Err(format!("{counted:?}"));
    }
    if !UNDER_VALGRIND.contains(&program.name) {
        return Ok(());
    }
    match count::valgrind(&prepared, PATIENCE).map_err(text)? {
        None => println!("skipped: {} under valgrind, because it is not installed", program.name),
        Some(total) if counted.as_tools.distance(total) <= 0.001 => (),
        Some(total) => return Err(format!("valgrind counts {total:?}, the counter {:?}", counted.as_tools)),
    }
    Ok(())
}
