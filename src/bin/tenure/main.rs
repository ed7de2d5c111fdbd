//! `tenure`: prints, compares and converts snapshots that were written to files.
//!
//! Made with `--features cli`; `tenure --help` says how it is used.

mod args;
mod convert;

use args::{Args, Command, HELP};
use std::io::Write;
use std::process::ExitCode;
use tenure::export::from_file;
use tenure::snapshot::{Filter, Names, Tenuring, TenuringGroups};
use tenure::{Mode, Snapshot, Symbols, Tenure};

// What `TENURE` asks of the programs that are looked at is not asked of this one: it would write dumps of itself among theirs.
#[global_allocator]
static ALLOC: Tenure = Tenure::new().environment(false).mode(Mode::Off);

fn main() -> ExitCode {
    match Args::parse(std::env::args_os()).and_then(|args| run(&args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(line) => {
            say(&line);
            ExitCode::FAILURE
        }
    }
}

/// A line on standard error.
fn say(line: &str) {
    let line = line.replace(char::is_control, "?");
    // If that fails, there is nobody to be told; `eprintln!` would panic.
    _ = writeln!(std::io::stderr(), "tenure: {}", line);
}

fn run(args: &Args) -> Result<(), String> {
    match &args.command {
        Command::Help => print(HELP),
        Command::Version => print(concat!("tenure ", env!("CARGO_PKG_VERSION"), "\n")),
        Command::Show { file } if args.suspects => {
            let (snapshot, mut symbols) = read(args, file)?;
            let suspects = snapshot.suspects_named(&mut symbols);
            match args.json {
                true => json(&suspects),
                false => print(&format!("{}\n{suspects}", about(&snapshot))),
            }
        }
        Command::Show { file } if args.ages => {
            let (snapshot, mut symbols) = read(args, file)?;
            let all = snapshot.tenuring();
            let Some(groups) = snapshot.tenuring_by(args.by, &mut symbols).map(|groups| groups.top(args.top)) else {
                return Err("--ages: a file does not say what died by size, or by tag of some call stacks; --by what \
                            else, or without --include and --exclude"
                    .into());
            };
            match args.json {
                true => json(&Ages { all: &all, by: &groups }),
                false => print(&format!("{}\n{all}\n{groups:#}", about(&snapshot))),
            }
        }
        Command::Show { file } => {
            let (snapshot, mut symbols) = read(args, file)?;
            let groups = snapshot.group_by(args.by, &mut symbols).order_by(args.value);
            let groups = if args.value.is_live() { groups.held() } else { groups };
            let groups = groups.top(args.top);
            match args.json {
                true => json(&groups),
                false => print(&format!("{}\n{groups:#}", about(&snapshot))),
            }
        }
        Command::Diff { earlier, later } => {
            let (before, mut names_before) = read(args, earlier)?;
            let (after, mut names_after) = read(args, later)?;
            let diff = after.diff_of_two(&before, args.by, &mut names_after, &mut names_before);
            let diff = diff.top(args.top);
            match args.json {
                true => json(&diff),
                false => print(&format!("from  {}\nto    {}\n{diff:#}", about(&before), about(&after))),
            }
        }
        Command::Convert { file, format, to } => {
            let (snapshot, mut symbols) = read(args, file)?;
            let mut since = args.since.as_deref().map(|earlier| read(args, earlier)).transpose()?;
            let named_since = since.as_mut().map(|(snapshot, symbols)| (&*snapshot, symbols));
            let bytes = convert::convert(*format, args.value, (&snapshot, &mut symbols), named_since);
            // What is written has no place for them.
            let of_earlier = since.map_or(Vec::new(), |(_, mut symbols)| symbols.notes());
            symbols.notes().iter().chain(&of_earlier).for_each(|note| say(&format!("note: {note}")));
            match to.to_str() {
                Some("-") => write(&bytes),
                _ => std::fs::write(to, &bytes).map_err(|e| format!("{}: {e}", to.display())),
            }
        }
    }
}

/// What `show --ages --json` prints.
#[derive(serde::Serialize)]
struct Ages<'a> {
    all: &'a Tenuring,
    by: &'a TenuringGroups,
}

/// A snapshot and whoever names its functions.
fn read(args: &Args, path: &std::path::Path) -> Result<(Snapshot, Symbols), String> {
    let (snapshot, mut symbols) = from_file(path).map_err(|e| e.to_string())?;
    for directory in &args.search {
        symbols = symbols.search(directory);
    }
    if args.include.is_empty() && args.exclude.is_empty() {
        return Ok((snapshot, symbols));
    }
    let filter = args.include.iter().fold(Filter::new(), |filter, pattern| filter.include(pattern));
    let filter = args.exclude.iter().fold(filter, |filter, pattern| filter.exclude(pattern));
    Ok((snapshot.filter(&filter, &mut symbols), symbols))
}

/// What a snapshot is of.
fn about(snapshot: &Snapshot) -> String {
    // A file's name may hold orders to a terminal.
    let program = snapshot.modules().first().map_or("", |m| m.file_name()).replace(char::is_control, "?");
    let lived = snapshot.time().duration_since(snapshot.began()).unwrap_or_default();
    format!("{program}, process {}, {:.1} s after its start", snapshot.pid(), lived.as_secs_f64())
}

fn json(table: &impl serde::Serialize) -> Result<(), String> {
    let text = serde_json::to_string_pretty(table).map_err(|e| e.to_string())?;
    print(&format!("{text}\n"))
}

fn print(text: &str) -> Result<(), String> {
    write(text.as_bytes())
}

fn write(bytes: &[u8]) -> Result<(), String> {
    let mut out = std::io::stdout().lock();
    // What stands after the last line's end waits in a buffer, and is written at the exit without a word if it fails.
    match out.write_all(bytes).and_then(|()| out.flush()) {
        // Whoever reads has seen enough.
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        done => done.map_err(|e| format!("standard output: {e}")),
    }
}
