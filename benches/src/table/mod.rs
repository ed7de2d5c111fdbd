//! The table: runs every workload on every allocator in shuffled order, keeps the raw figures, prints Markdown.

pub(crate) mod csv;
mod instructions;
pub(crate) mod machine;
mod options;
mod print;
mod run;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::allocators;
pub use options::Options;

/// `main` of the bench target, which alone knows where the workers are. Fails if a worker did.
pub fn main(built: &[(&'static str, Option<&'static str>)]) -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => return ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}\n{}", options::USAGE);
            return ExitCode::from(2);
        }
    };
    match options.from.as_deref().map_or_else(|| measure(built, &options), reprint) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(failures) => {
            eprintln!("{failures} runs failed");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(built: &[(&'static str, Option<&'static str>)], options: &Options) -> Result<usize, String> {
    let workers = allocators::workers(built, &options.allocators, !options.smoke);
    if options.instructions {
        return Ok(instructions::print(&machine::header(&workers), &workers));
    }
    let folder = output_folder(built)?;
    let found = run::run(options, &workers, &folder)?;
    let csv_path = folder.join(format!("{}.csv", machine::time_stamp()));
    let header = format!("{}- rounds: {}, order by seed {}\n", machine::header(&workers), found.rounds, options.seed);
    csv::write(&csv_path, &header, &found.results).map_err(|e| format!("{}: {e}", csv_path.display()))?;
    print::all(&header, &found.results);
    for failure in &found.failures {
        println!("Failed: {failure}.");
    }
    eprintln!("raw figures: {}", csv_path.display());
    Ok(found.failures.len())
}

fn reprint(csv_path: &Path) -> Result<usize, String> {
    let (header, results) = csv::read(csv_path).map_err(|e| format!("{}: {e}", csv_path.display()))?;
    print::all(&header, &results);
    Ok(0)
}

/// `tenure-bench` in the target folder, which the workers are built in.
fn output_folder(built: &[(&'static str, Option<&'static str>)]) -> Result<PathBuf, String> {
    let worker = built.iter().find_map(|(_, path)| *path).ok_or("cargo has named no worker binary")?;
    let target = Path::new(worker).ancestors().nth(2).ok_or("a worker binary lies outside of a target folder")?;
    let folder = target.join("tenure-bench");
    std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    Ok(folder)
}
