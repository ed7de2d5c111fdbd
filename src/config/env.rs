//! The one environment variable, `TENURE`: a comma-separated list of words and `key=value` pairs.
//!
//! Read once, before the process' first allocation; ignored where the process runs with more rights than its caller.
//! It overrides the builder, which can lock it out. Nothing here allocates.

use super::{Config, HugePages, Mode, bounds};
use std::ffi::CStr;
use std::fmt;
use std::ops::RangeInclusive;
use std::str::Utf8Error;

/// What is wrong with a word. Its `Display` says what to write instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    Word,
    /// A word that takes no value.
    NoValue,
    /// The value of a key, and what it should be.
    Value(&'static str),
}

const NUMBER: &str = "a whole number in the range that `TENURE=help` shows";
const SIZE: &str = "a size in bytes, or with KiB, MiB or GiB";
const SWITCH: &str = "on or off";

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wrong::Word => write!(f, "is no word that this version knows; TENURE=help lists those"),
            Wrong::NoValue => write!(f, "takes no value"),
            Wrong::Value(right) => write!(f, "needs {right}"),
        }
    }
}

/// What a text asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parsed {
    pub(crate) config: Config,
    pub(crate) help: bool,
}

/// Applies each word of `text` to a configuration. A word that is wrong is given to `complain` and changes nothing.
pub(crate) fn parse(text: &str, config: Config, mut complain: impl FnMut(&str, Wrong)) -> Parsed {
    let mut parsed = Parsed { config, help: false };
    for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        if let Err(wrong) = parsed.apply(word) {
            complain(word, wrong);
        }
    }
    parsed
}

impl Parsed {
    fn apply(&mut self, word: &str) -> Result<(), Wrong> {
        let (key, value) = match word.split_once('=') {
            Some((key, value)) => (key.trim(), Some(value.trim())),
            None => (word, None),
        };
        let config = &mut self.config;
        match (key, value) {
            ("off", None) => config.mode = Mode::Off,
            ("exact", None) => config.mode = Mode::Exact,
            ("help", None) => self.help = true,
            ("off" | "exact" | "help", Some(_)) => return Err(Wrong::NoValue),
            ("sampled", None) => config.mode = Mode::SAMPLED,
            ("sampled", Some(value)) => {
                config.mode = Mode::Sampled { mean: size(value).filter(|&mean| mean > 0).ok_or(Wrong::Value(SIZE))? }
            }
            ("depth", value) => config.depth = number(value, bounds::DEPTH)?,
            ("sites", value) => config.sites = number(value, bounds::SITES)?,
            ("tags", value) => config.tags = number(value, bounds::TAGS)?,
            ("helper", value) => {
                config.helper_thread = match value {
                    Some("on") => true,
                    Some("off") => false,
                    _ => return Err(Wrong::Value(SWITCH)),
                }
            }
            ("huge_pages", value) => {
                config.huge_pages = match value {
                    Some("auto") => HugePages::Auto,
                    Some("always") => HugePages::Always,
                    Some("never") => HugePages::Never,
                    _ => return Err(Wrong::Value("auto, always or never")),
                }
            }
            _ => return Err(Wrong::Word),
        }
        Ok(())
    }
}

fn number(value: Option<&str>, range: RangeInclusive<u32>) -> Result<u32, Wrong> {
    value.and_then(|value| value.parse().ok()).filter(|n| range.contains(n)).ok_or(Wrong::Value(NUMBER))
}

/// A whole number of bytes, or of KiB, MiB or GiB.
fn size(text: &str) -> Option<u64> {
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let shift = match unit.trim() {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// What the variable makes of the builder's choice. `read` reads it; `warn` gets a line for each complaint.
pub(crate) fn effective(
    builder: &Config,
    read: impl FnOnce(&CStr) -> Option<Result<&'static str, Utf8Error>>,
    warn: impl Fn(fmt::Arguments<'_>),
) -> Parsed {
    let as_is = Parsed { config: *builder, help: false };
    match if builder.environment { read(c"TENURE") } else { None } {
        None => as_is,
        Some(Err(_)) => {
            warn(format_args!("TENURE is not text in UTF-8: all of it is ignored"));
            as_is
        }
        Some(Ok(text)) => {
            parse(text, *builder, |word, wrong| warn(format_args!("TENURE: `{}` {wrong}; it is ignored", Shown(word))))
        }
    }
}

/// A word as it is shown: on one line, with its line's end in sight, and without orders to a terminal.
struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 80;
        for c in self.0.chars().take(MOST) {
            if c.is_control() { write!(f, "{}", c.escape_default())? } else { write!(f, "{c}")? }
        }
        if self.0.chars().nth(MOST).is_some() { write!(f, "…") } else { Ok(()) }
    }
}

/// Gives `line` the effective configuration, in the words of the variable. `method` says how stacks are captured.
pub(crate) fn help(config: &Config, method: &str, line: impl Fn(fmt::Arguments<'_>)) {
    line(format_args!("TENURE is a list of words with commas between them; this process runs with"));
    line(format_args!("  {}    mode: off | sampled | sampled=SIZE (512KiB, 1MiB) | exact", config.mode));
    line(format_args!("  depth={:<16} frames of a stack: {}", config.depth, Range(bounds::DEPTH)));
    line(format_args!("  sites={:<16} different call stacks: {}", config.sites, Range(bounds::SITES)));
    line(format_args!("  tags={:<17} names of scopes: {}", config.tags, Range(bounds::TAGS)));
    line(format_args!("  helper={:<15} a thread that gives memory back: on | off", switch(config.helper_thread)));
    let huge = match config.huge_pages {
        HugePages::Auto => "auto",
        HugePages::Always => "always",
        HugePages::Never => "never",
    };
    line(format_args!("  huge_pages={huge:<11} transparent huge pages: auto | always | never"));
    line(format_args!("  help                   this text. Call stacks: {method}"));
}

fn switch(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

struct Range(RangeInclusive<u32>);

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.0.start(), self.0.end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (Parsed, Vec<(String, Wrong)>) {
        let mut wrong = Vec::new();
        let parsed = parse(text, Config::DEFAULT, |word, what| wrong.push((word.to_owned(), what)));
        (parsed, wrong)
    }

    #[test]
    fn words_and_pairs() {
        let (p, wrong) = parsed("exact,depth=100 , helper=off,huge_pages=never,sites=1000,tags=5,help");
        assert_eq!(wrong, []);
        assert!(p.help && !p.config.helper_thread);
        assert_eq!((p.config.mode, p.config.depth, p.config.sites, p.config.tags), (Mode::Exact, 100, 1000, 5));
        assert_eq!(p.config.huge_pages, HugePages::Never);
        for (text, mode) in [
            ("", Mode::SAMPLED),
            ("off", Mode::Off),
            ("off,sampled", Mode::SAMPLED),
            ("sampled=256KiB", Mode::Sampled { mean: 256 << 10 }),
            ("sampled=3 MiB", Mode::Sampled { mean: 3 << 20 }),
            ("sampled=4096", Mode::Sampled { mean: 4096 }),
            ("sampled=1GiB,", Mode::Sampled { mean: 1 << 30 }),
        ] {
            let (p, wrong) = parsed(text);
            assert_eq!((p.config.mode, wrong.len()), (mode, 0), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_changes_nothing_else() {
        for (word, what) in [
            ("exakt", Wrong::Word),
            ("Exact", Wrong::Word),
            ("exact=1", Wrong::NoValue),
            ("sampled=0", Wrong::Value(SIZE)),
            ("sampled=", Wrong::Value(SIZE)),
            ("sampled=512kb", Wrong::Value(SIZE)),
            ("sampled=99999999999GiB", Wrong::Value(SIZE)),
            ("depth", Wrong::Value(NUMBER)),
            ("depth=0", Wrong::Value(NUMBER)),
            ("depth=-1", Wrong::Value(NUMBER)),
            ("depth=257", Wrong::Value(NUMBER)),
            ("sites=4294967297", Wrong::Value(NUMBER)),
            ("helper", Wrong::Value(SWITCH)),
        ] {
            let (p, wrong) = parsed(&format!("tags=7,{word},off"));
            assert_eq!(wrong, [(word.to_owned(), what)]);
            assert_eq!((p.config.tags, p.config.mode, p.config.depth), (7, Mode::Off, Config::DEFAULT.depth), "{word}");
        }
    }
}
