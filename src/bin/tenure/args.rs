//! The command line.

use super::convert::Format;
use lexopt::prelude::{Long, Short, ValueExt};
use std::ffi::OsString;
use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;
use tenure::snapshot::{By, Value};

pub(crate) const HELP: &str = "\
Prints, compares and converts snapshots of programs whose allocator is tenure.

  tenure show FILE                   what is held
  tenure diff EARLIER LATER          what has changed, also from one process or build to another
  tenure convert FILE FORMAT OUTPUT  another tool's format, or the same with names; OUTPUT may be -

FORMAT  json (with names), raw (without), pprof, folded, flamegraph, dhat, openmetrics

  --by WHAT          line (default), function, module, crate, file, tag, size, site, folded (call stacks)
  --top N            how many are shown; default: 10
  --value VALUE      what is shown first, or drawn: live-bytes (default), live-blocks, allocated-bytes, allocated-blocks
  --include PATTERN  only call stacks through such a function: shop::*; more than once: through any of them
  --exclude PATTERN  no call stack through such a function
  --since EARLIER    for flamegraph: the difference from that snapshot
  --suspects         show: whose old blocks become more and more
  --ages             show: how old blocks are, and became that have died; also by WHAT
  --json             show and diff: for programs
  --search DIR       where programs and libraries, or their debug files, may lie; more than once
  --help, --version

A file that a process has written by itself (TENURE=dump=exit, for example) has no names of functions. They are looked up
in the program and the libraries that it names, which must be the same builds: where they were, or in a --search directory.
`tenure convert FILE json OUTPUT` makes a file that brings its names along.
";

/// What is to be done, and how.
#[derive(Debug)]
pub(crate) struct Args {
    pub(crate) command: Command,
    pub(crate) by: By,
    pub(crate) top: usize,
    pub(crate) json: bool,
    pub(crate) ages: bool,
    pub(crate) suspects: bool,
    pub(crate) value: Value,
    pub(crate) include: Vec<String>,
    pub(crate) exclude: Vec<String>,
    pub(crate) since: Option<PathBuf>,
    pub(crate) search: Vec<PathBuf>,
}

#[derive(Debug)]
pub(crate) enum Command {
    Help,
    Version,
    Show { file: PathBuf },
    Diff { earlier: PathBuf, later: PathBuf },
    Convert { file: PathBuf, format: Format, to: PathBuf },
}

/// One line that says what is wrong and what to write instead.
fn wrong(what: impl Display) -> String {
    format!("{what}; see tenure --help")
}

impl Args {
    pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Args, String> {
        let mut args = lexopt::Parser::from_iter(args);
        let mut all = Args {
            command: Command::Help,
            by: By::Line,
            top: 10,
            json: false,
            ages: false,
            suspects: false,
            value: Value::LiveBytes,
            include: Vec::new(),
            exclude: Vec::new(),
            since: None,
            search: Vec::new(),
        };
        let (mut words, mut other) = (Vec::new(), None);
        let mut given = Vec::new();
        while let Some(arg) = args.next().map_err(wrong)? {
            if let Long(name) = arg {
                given.push(name.to_string());
            }
            match arg {
                Long("help") | Short('h') => other = Some(Command::Help),
                Long("version") | Short('V') => other = Some(Command::Version),
                Long("by") => all.by = value(&mut args, "--by")?,
                Long("top") => all.top = value(&mut args, "--top")?,
                Long("json") => all.json = true,
                Long("ages") => all.ages = true,
                Long("suspects") => all.suspects = true,
                Long("value") => all.value = value(&mut args, "--value")?,
                Long("include") => all.include.push(value(&mut args, "--include")?),
                Long("exclude") => all.exclude.push(value(&mut args, "--exclude")?),
                Long("since") => all.since = Some(args.value().map_err(wrong)?.into()),
                Long("search") => all.search.push(args.value().map_err(wrong)?.into()),
                lexopt::Arg::Value(word) => words.push(word),
                unknown => return Err(wrong(unknown.unexpected())),
            }
        }
        all.command = match other {
            Some(other) => other,
            None => command(words)?,
        };
        // What would do nothing is not passed over in silence.
        let (command, idle): (_, &[&str]) = match &all.command {
            Command::Help | Command::Version => ("", &[]),
            Command::Show { .. } if all.suspects => ("show --suspects", &["since", "value", "by", "top", "ages"]),
            Command::Show { .. } if all.ages => ("show --ages", &["since", "value"]),
            Command::Show { .. } => ("show", &["since"]),
            Command::Diff { .. } => ("diff", &["since", "value", "ages", "suspects"]),
            Command::Convert { format: Format::FlameGraph, .. } => {
                ("convert", &["by", "top", "json", "ages", "suspects"])
            }
            Command::Convert { format: Format::Folded, .. } => {
                ("convert to folded", &["by", "top", "json", "since", "ages", "suspects"])
            }
            Command::Convert { .. } => {
                ("convert to this format", &["by", "top", "json", "since", "value", "ages", "suspects"])
            }
        };
        match given.iter().find(|name| idle.contains(&name.as_str())) {
            Some(name) => Err(wrong(format_args!("--{name} does nothing for {command}"))),
            None => Ok(all),
        }
    }
}

/// An option's value.
fn value<T: FromStr<Err: Display>>(args: &mut lexopt::Parser, option: &str) -> Result<T, String> {
    let text = args.value().and_then(|v| v.string()).map_err(wrong)?;
    text.parse().map_err(|e| wrong(format_args!("{option} {text}: {e}")))
}

fn command(words: Vec<OsString>) -> Result<Command, String> {
    let mut words = words.into_iter();
    let Some(name) = words.next() else { return Ok(Command::Help) };
    let rest: Vec<_> = words.collect();
    let paths = || rest.iter().map(PathBuf::from).collect::<Vec<_>>();
    match (name.to_str(), rest.len()) {
        (Some("show"), 1) => Ok(Command::Show { file: paths().remove(0) }),
        (Some("diff"), 2) => Ok(Command::Diff { earlier: paths().remove(0), later: paths().remove(1) }),
        (Some("convert"), 3) => {
            let format = rest[1].to_string_lossy();
            let format = format.parse().map_err(|e| wrong(format_args!("{format}: {e}")))?;
            Ok(Command::Convert { file: paths().remove(0), format, to: paths().remove(2) })
        }
        (Some("show"), n) => Err(wrong(format_args!("show takes one file, and not {n}"))),
        (Some("diff"), n) => Err(wrong(format_args!("diff takes two files, and not {n}"))),
        (Some("convert"), n) => {
            Err(wrong(format_args!("convert takes a file, a format and an output, and not {n} words")))
        }
        _ => Err(wrong(format_args!("{} is no command", name.to_string_lossy()))),
    }
}
