//! Real programs do the same with the library preloaded as without, sampled and exact: what they print, how they end, what files
//! they leave. `ci/programs.sh` installs them; what is not there is skipped by name. `ci/programs-100.sh` runs each a hundred times.

mod library;

use std::time::Duration;
use tenure_programs::check::Check;
use tenure_programs::preload::Preload;
use tenure_programs::program::Size;
use tenure_programs::table;

/// Other tests run beside this one.
const PATIENCE: Duration = Duration::from_secs(300);

#[test]
fn programs_do_the_same() {
    let library = library::library(library::Build::Shipped);
    let preloads = ["sampled", "exact"].map(|mode| Preload::tenure(mode, &library, mode));
    let check = Check {
        programs: table::ALL,
        preloads: &preloads,
        rounds: 2,
        size: Size::Quick,
        patience: PATIENCE,
        jobs: 2,
        keep: false,
    };
    let found = check.run(|line| println!("{line}"));
    assert!(found.differences.is_empty(), "{}", found.differences.join("\n"));
    assert!(found.runs > 0, "nothing was run: {}", found.skipped.join("\n"));
}
