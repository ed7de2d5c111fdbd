//! Runs every program with a planted fault under every allocator, and prints who notices what.
//!
//! ```text
//! faults --table TITLE --column NAME:PROGRAM[:KEY=VALUE]... [--other NAME:PROGRAM[:KEY=VALUE]...]... [--least NAME=COUNT]...
//!     [--lines]
//! ```
//!
//! A column is a program that knows `--list`, `FAULT` and `FAULT good`, and the environment that it runs in; `--other` is one
//! with another allocator. `--least` is for the table that it stands in: fewer faults that are caught are an error. So is any
//! end of a program whose fault was left out but a good one, in any column.
//!
//! *Caught* is a fault when the process ends by a signal and has said why, on a line of the allocator's; of another allocator,
//! when it aborts. *Crash*: it ended by a signal without a word. *Harmless*: the program ran on, and the fault had no effect,
//! by the allocator's design.

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);
/// What a program's exit code says when its fault had no effect.
const HARMLESS: i32 = 10;

struct Column {
    name: String,
    program: String,
    environment: Vec<(String, String)>,
    /// Whether it runs with this allocator, which says why it aborts.
    ours: bool,
}

#[derive(Default)]
struct Table {
    title: String,
    columns: Vec<Column>,
    least: Vec<(String, usize)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum End {
    Caught(String),
    Crash,
    Harmless,
    Unnoticed,
    /// The program ended itself, or hung.
    Other(String),
}

impl End {
    fn cell(&self) -> &str {
        match self {
            End::Caught(_) => "caught",
            End::Crash => "crash",
            End::Harmless => "harmless",
            End::Unnoticed => "–",
            End::Other(what) => what,
        }
    }
}

fn column(text: &str, ours: bool) -> Result<Column, String> {
    let mut parts = text.split(':');
    let (Some(name), Some(program)) = (parts.next(), parts.next()) else {
        return Err(format!("`{text}` is no column: NAME:PROGRAM[:KEY=VALUE]..."));
    };
    let pair = |part: &str| part.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned()));
    let environment = parts.map(|part| pair(part).ok_or(format!("`{part}` in `{text}` is no KEY=VALUE")));
    Ok(Column {
        name: name.to_owned(),
        program: program.to_owned(),
        environment: environment.collect::<Result<_, _>>()?,
        ours,
    })
}

fn parse(args: impl Iterator<Item = String>) -> Result<(Vec<Table>, bool), String> {
    let (mut tables, mut lines) = (Vec::<Table>::new(), false);
    let mut args = args.peekable();
    while let Some(arg) = args.next() {
        if arg == "--lines" {
            lines = true;
            continue;
        }
        let value = args.next().ok_or(format!("{arg} needs a value"))?;
        if arg == "--table" {
            tables.push(Table { title: value, ..Table::default() });
            continue;
        }
        let table = tables.last_mut().ok_or(format!("{arg} stands before the first --table"))?;
        match arg.as_str() {
            "--column" => table.columns.push(column(&value, true)?),
            "--other" => table.columns.push(column(&value, false)?),
            "--least" => {
                let (name, count) = value.split_once('=').ok_or(format!("`{value}` is no NAME=COUNT"))?;
                table.least.push((name.to_owned(), count.parse().map_err(|_| format!("`{count}` is no number"))?));
            }
            _ => return Err(format!("{arg} is no option: --table, --column, --other, --least, --lines")),
        }
    }
    Ok((tables, lines))
}

impl Column {
    fn run(&self, args: &[&str]) -> (End, String) {
        let mut command = Command::new(&self.program);
        command.args(args).env_remove("TENURE").envs(self.environment.iter().map(|(k, v)| (k, v)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => return (End::Other(format!("not run: {error}")), String::new()),
        };
        let read = |mut pipe: Box<dyn Read + Send>| {
            std::thread::spawn(move || {
                let mut bytes = Vec::new();
                // What came before an error is what there is.
                let _ = pipe.read_to_end(&mut bytes);
                String::from_utf8_lossy(&bytes).into_owned()
            })
        };
        let stdout = child.stdout.take().map(|pipe| read(Box::new(pipe)));
        let stderr = child.stderr.take().map(|pipe| read(Box::new(pipe)));
        let begin = Instant::now();
        let mut hung = false;
        let status = loop {
            match child.try_wait() {
                Ok(Some(status)) => break Some(status),
                Ok(None) if begin.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(1)),
                _ => {
                    hung = true;
                    let _ = child.kill();
                    break child.wait().ok();
                }
            }
        };
        let text = |thread: Option<std::thread::JoinHandle<String>>| {
            thread.and_then(|thread| thread.join().ok()).unwrap_or_default()
        };
        let (stdout, stderr) = (text(stdout), text(stderr));
        let said = stderr.lines().find(|line| !line.trim().is_empty());
        let end = match status {
            _ if hung => End::Other("hang".to_owned()),
            None => End::Other("lost".to_owned()),
            Some(status) => match (status.signal(), status.code()) {
                // Others say something of their own, or nothing, before they abort.
                (Some(libc::SIGABRT), _) if !self.ours => End::Caught(said.unwrap_or("(abort)").to_owned()),
                (Some(_), _) => match stderr.lines().find(|line| line.starts_with("tenure: ")) {
                    Some(line) => End::Caught(line.to_owned()),
                    None => End::Crash,
                },
                (_, Some(0)) => End::Unnoticed,
                (_, Some(HARMLESS)) => End::Harmless,
                (_, code) => End::Other(format!("exit {}", code.unwrap_or(-1))),
            },
        };
        (end, stdout)
    }
}

/// Prints the table. Says what is wrong with it.
fn show(table: &Table, lines: bool) -> Vec<String> {
    let mut wrong = Vec::new();
    let Some(first) = table.columns.first() else { return vec![format!("{}: there is no column", table.title)] };
    let (_, list) = first.run(&["--list"]);
    let faults: Vec<&str> = list.lines().collect();
    let names: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
    println!("\n## {}\n\n| fault | {} |\n| --- |{}", table.title, names.join(" | "), " --- |".repeat(names.len()));
    let mut ends: Vec<Vec<End>> = vec![Vec::new(); names.len()];
    for fault in &faults {
        for (column, ends) in table.columns.iter().zip(&mut ends) {
            ends.push(column.run(&[fault]).0);
            let (good, said) = column.run(&[fault, "good"]);
            if good != End::Unnoticed || !said.ends_with("the end\n") {
                wrong.push(format!("{fault} under {}: without its fault it ends with {good:?}", column.name));
            }
        }
        let last: Vec<&End> = ends.iter().filter_map(|ends| ends.last()).collect();
        println!("| {fault} | {} |", last.iter().map(|end| end.cell()).collect::<Vec<_>>().join(" | "));
        if lines {
            for (name, end) in names.iter().zip(last) {
                if let End::Caught(line) = end {
                    eprintln!("{name}: {fault}: {line}");
                }
            }
        }
    }
    let count = |ends: &Vec<End>, what: &str| ends.iter().filter(|end| end.cell() == what).count();
    for what in ["caught", "crash", "harmless", "–"] {
        let counts: Vec<String> = ends.iter().map(|ends| count(ends, what).to_string()).collect();
        println!(
            "| **{} of {}** | {} |",
            if what == "–" { "unnoticed" } else { what },
            faults.len(),
            counts.join(" | ")
        );
    }
    for (name, least) in &table.least {
        match names.iter().position(|n| n == name) {
            None => wrong.push(format!("{}: there is no column {name}", table.title)),
            Some(i) if count(&ends[i], "caught") < *least => {
                wrong.push(format!("{}: {name} catches {}, not {least}", table.title, count(&ends[i], "caught")))
            }
            Some(_) => (),
        }
    }
    if faults.is_empty() {
        wrong.push(format!("{}: {} lists no fault", table.title, first.program));
    }
    wrong
}

fn main() -> ExitCode {
    let (tables, lines) = match parse(std::env::args().skip(1)) {
        Ok(parsed) => parsed,
        Err(error) => {
            eprintln!("faults: {error}");
            return ExitCode::from(2);
        }
    };
    let wrong: Vec<String> = tables.iter().flat_map(|table| show(table, lines)).collect();
    wrong.iter().for_each(|line| eprintln!("faults: {line}"));
    if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
