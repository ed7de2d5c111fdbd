//! The one environment variable, `TENURE`: a comma-separated list of words and `key=value` pairs.
//!
//! Read once, before the process' first allocation; ignored where the process runs with more rights than its caller.
//! It overrides the builder, which can lock it out. Nothing here allocates.

use super::dumps::{self, Dumps, Reports, Signal};
use super::limits::{Contradiction, Hard, LEAST, Soft};
use super::{Config, HugePages, Mode, Size, Thresholds, bounds};
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
const DUMP: &str = "never, exit, failure, peak:SIZE, every:TIME (30s, 5min, 1h) or signal:NAME (USR2)";
const LEAKS: &str = "on, off, all (small children too) or signal:NAME (USR2)";
const PATTERN: &str = "a path, with %p for the process, %n for the number and %% for a %";
const SWITCH: &str = "on or off";
const YOUNG: &str = "a size of 1MiB to 1024GiB";
const IDLE: &str = "a time of 100ms to 24h";
const LIMIT: &str = "a size of 8MiB or more, cgroup, or none";
const SOFT_LIMIT: &str = "a size of 8MiB or more, 1% to 100% of the limit, or none";
const SOFT_ABOVE_HARD: &str = "a size that is not above `limit`";
const PERCENT_OF_NOTHING: &str = "a `limit` that it is a part of";

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
pub(crate) fn parse(text: &'static str, config: Config, mut complain: impl FnMut(&str, Wrong)) -> Parsed {
    let mut parsed = Parsed { config, help: false };
    let mut soft = None;
    for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        match parsed.apply(word) {
            Err(wrong) => complain(word, wrong),
            Ok(()) if word.starts_with("soft_limit") => soft = Some(word),
            Ok(()) => (),
        }
    }
    // Two words, in whatever order, that do not go together: the soft one goes. What the builder has set only gives way.
    if let (Some(word), Err(contradiction)) = (soft, parsed.config.limits.check()) {
        let needs = match contradiction {
            Contradiction::SoftAboveHard => SOFT_ABOVE_HARD,
            Contradiction::PercentOfNothing => PERCENT_OF_NOTHING,
        };
        complain(word, Wrong::Value(needs));
        parsed.config.limits.soft = config.limits.soft;
    }
    parsed
}

impl Parsed {
    fn apply(&mut self, word: &'static str) -> Result<(), Wrong> {
        let (key, value) = match word.split_once('=') {
            Some((key, value)) => (key.trim(), Some(value.trim())),
            None => (word, None),
        };
        let config = &mut self.config;
        match (key, value) {
            ("off", None) => config.mode = Mode::Off,
            ("exact", None) => config.mode = Mode::Exact,
            ("leaks", value) => leaks(&mut config.leaks, value).ok_or(Wrong::Value(LEAKS))?,
            ("trace", value) => {
                config.trace = match value {
                    None | Some("on") => true,
                    Some("off") => false,
                    _ => return Err(Wrong::Value(SWITCH)),
                }
            }
            ("collect", value) => {
                config.collect = match value {
                    Some("on") => true,
                    Some("off") => false,
                    _ => return Err(Wrong::Value(SWITCH)),
                }
            }
            ("young", value) => {
                let young_bytes = value.and_then(size).ok_or(Wrong::Value(YOUNG))?;
                threshold(config, Thresholds { young_bytes, ..config.thresholds }, YOUNG)?
            }
            ("young_per_middle", value) => {
                let young_per_middle = number(value, 0..=u32::MAX)?;
                threshold(config, Thresholds { young_per_middle, ..config.thresholds }, NUMBER)?
            }
            ("middle_per_old", value) => {
                let middle_per_old = number(value, 0..=u32::MAX)?;
                threshold(config, Thresholds { middle_per_old, ..config.thresholds }, NUMBER)?
            }
            ("free_percent", value) => {
                let free_percent = number(value, 0..=u32::MAX)?;
                threshold(config, Thresholds { free_percent, ..config.thresholds }, NUMBER)?
            }
            ("idle", value) => {
                let idle_ms = value.and_then(millis).ok_or(Wrong::Value(IDLE))?;
                threshold(config, Thresholds { idle_ms, ..config.thresholds }, IDLE)?
            }
            ("help", None) => self.help = true,
            ("off" | "exact" | "help", Some(_)) => return Err(Wrong::NoValue),
            ("sampled", None) => config.mode = Mode::SAMPLED,
            ("sampled", Some(value)) => {
                config.mode = Mode::Sampled { mean: size(value).filter(|&mean| mean > 0).ok_or(Wrong::Value(SIZE))? }
            }
            ("depth", value) => config.depth = number(value, bounds::DEPTH)?,
            ("sites", value) => config.sites = number(value, bounds::SITES)?,
            ("tags", value) => config.tags = number(value, bounds::TAGS)?,
            ("guarded", value) => config.guarded = number(value, bounds::GUARDED)?,
            ("guarded_slots", value) => config.guarded_slots = number(value, bounds::SLOTS)?,
            #[cfg(feature = "hardened")]
            ("checked_pages", value) => config.checked_pages = number(value, bounds::CHECKED)?,
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
            ("dump", value) => value.and_then(|v| dump(&mut config.dumps, v)).ok_or(Wrong::Value(DUMP))?,
            ("dump_path", value) => {
                config.dumps.path = value.filter(|v| dumps::is_pattern(v)).ok_or(Wrong::Value(PATTERN))?
            }
            ("dump_keep", value) => config.dumps.keep = number(value, 1..=dumps::MOST_KEPT)?,
            ("dump_size", value) => {
                let bytes = value.and_then(size).filter(|n| dumps::FILE_BYTES.contains(n));
                config.dumps.most_bytes = bytes.ok_or(Wrong::Value("a size of 32MiB to 1024GiB"))?
            }
            ("limit", value) => config.limits.hard = value.and_then(hard).ok_or(Wrong::Value(LIMIT))?,
            ("soft_limit", value) => config.limits.soft = value.and_then(soft).ok_or(Wrong::Value(SOFT_LIMIT))?,
            _ => return Err(Wrong::Word),
        }
        Ok(())
    }
}

/// Chooses thresholds, if they are within their bounds.
fn threshold(config: &mut Config, thresholds: Thresholds, right: &'static str) -> Result<(), Wrong> {
    thresholds.check().map_err(|_| Wrong::Value(right))?;
    config.thresholds = thresholds;
    Ok(())
}

/// One more occasion to write a dump.
fn dump(dumps: &mut Dumps, when: &str) -> Option<()> {
    match when.split_once(':') {
        None if when == "never" => {
            let Dumps { path, keep, most_bytes, .. } = *dumps;
            *dumps = Dumps { path, keep, most_bytes, ..Dumps::new() };
        }
        None if when == "exit" => dumps.exit = true,
        None if when == "failure" => dumps.failure = true,
        Some(("peak", value)) => dumps.peak = size(value).filter(|&bytes| bytes > 0)?,
        Some(("every", value)) => dumps.every_secs = seconds(value).filter(|&secs| secs > 0)?,
        Some(("signal", value)) => dumps.signal = Some(Signal::named(value)?),
        _ => return None,
    }
    Some(())
}

/// One more occasion to print a report.
fn leaks(reports: &mut Reports, when: Option<&str>) -> Option<()> {
    match when.map(|when| when.split_once(':').ok_or(when)) {
        None | Some(Err("on")) => reports.exit = true,
        Some(Err("all")) => (reports.exit, reports.children) = (true, true),
        Some(Err("off")) => *reports = Reports::NEVER,
        Some(Ok(("signal", name))) => reports.signal = Some(Signal::named(name)?),
        _ => return None,
    }
    Some(())
}

fn hard(text: &str) -> Option<Hard> {
    match text {
        "none" => Some(Hard::Never),
        "cgroup" => Some(Hard::Cgroup),
        size => self::size(size).filter(|&bytes| bytes >= LEAST).map(Hard::Bytes),
    }
}

fn soft(text: &str) -> Option<Soft> {
    match text.strip_suffix('%') {
        Some(percent) => percent.parse().ok().filter(|percent| (1..=100).contains(percent)).map(Soft::Percent),
        None if text == "none" => Some(Soft::Never),
        None => size(text).filter(|&bytes| bytes >= LEAST).map(Soft::Bytes),
    }
}

/// A whole number of seconds, minutes or hours.
fn seconds(text: &str) -> Option<u32> {
    let ms = millis(text).filter(|ms| ms.is_multiple_of(1000))?;
    u32::try_from(ms / 1000).ok()
}

/// A whole number of milliseconds, seconds, minutes or hours.
fn millis(text: &str) -> Option<u64> {
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let each = match unit.trim() {
        "ms" => 1,
        "s" => 1000,
        "min" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(each)
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

/// The variable.
// A static has a name, by which the linker puts it beside what else each process reads.
static NAME: [u8; 7] = *b"TENURE\0";

/// What the variable makes of the builder's choice. `read` reads it; `warn` gets a line for each complaint.
pub(crate) fn effective(
    builder: &Config,
    read: impl FnOnce(&CStr) -> Option<Result<&'static str, Utf8Error>>,
    warn: impl Fn(fmt::Arguments<'_>),
) -> Parsed {
    let as_is = Parsed { config: *builder, help: false };
    let read = || read(CStr::from_bytes_with_nul(&NAME).ok()?);
    match if builder.environment { read() } else { None } {
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
    line(format_args!(
        "  guarded={:<14} one sample in so many stands between inaccessible pages: 0 for none",
        config.guarded
    ));
    line(format_args!("  guarded_slots={:<8} such samples at a time: {}", config.guarded_slots, Range(bounds::SLOTS)));
    #[cfg(feature = "hardened")]
    line(format_args!(
        "  checked_pages={:<8} one page in so many has its blocks checked: {}",
        config.checked_pages,
        Range(bounds::CHECKED)
    ));
    line(format_args!("  helper={:<15} a thread that gives memory back: on | off", switch(config.helper_thread)));
    let huge = match config.huge_pages {
        HugePages::Auto => "auto",
        HugePages::Always => "always",
        HugePages::Never => "never",
    };
    line(format_args!("  huge_pages={huge:<11} transparent huge pages: auto | always | never"));
    let limits = config.limits;
    line(format_args!("  limit={:<16} allocations beyond it fail: {LIMIT}", limits.hard));
    line(format_args!("  soft_limit={:<11} collections near it: {SOFT_LIMIT}", limits.soft));
    line(format_args!("  leaks={:<16} what is held is printed at exit or on a signal: {LEAKS}", Told(config.leaks)));
    let Thresholds { young_bytes, young_per_middle, middle_per_old, free_percent, idle_ms } = config.thresholds;
    line(format_args!(
        "  young={}            bytes of an epoch, from one young collection to the next: 1MiB to 1024GiB",
        Size(young_bytes)
    ));
    line(format_args!("  young_per_middle={young_per_middle:<5} young collections for a middle one: 1 to 1024"));
    line(format_args!("  middle_per_old={middle_per_old:<7} middle collections for an old one: 1 to 1024"));
    line(format_args!(
        "  free_percent={free_percent:<9} free memory above which an old collection gives back all: 1 to 100"
    ));
    line(format_args!("  idle={}               an epoch lasts no longer: 100ms to 24h", Millis(idle_ms)));
    line(format_args!("  collect={:<14} thresholds begin collections: on | off", switch(config.collect)));
    line(format_args!("  trace={:<16} a line for each collection: on | off", switch(config.trace)));
    line(format_args!("  dump=WHEN              writes a snapshot to a file: {DUMP}"));
    line(format_args!("                         now: {}", Occasions(config.dumps)));
    line(format_args!("  dump_path={} {PATTERN}", config.dumps.path));
    line(format_args!("  dump_keep={:<12} files that are kept: 1 to {}", config.dumps.keep, dumps::MOST_KEPT));
    line(format_args!("  dump_size={}         bytes of a file: 32MiB to 1024GiB", Size(config.dumps.most_bytes)));
    line(format_args!("  help                   this text. Call stacks: {method}"));
}

/// The occasions on which dumps are written, in the words of the variable.
struct Occasions(Dumps);

impl fmt::Display for Occasions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Dumps { exit, failure, signal, every_secs, peak, .. } = self.0;
        let mut first = true;
        let mut say = |is: bool, what: fmt::Arguments<'_>| {
            let before = if first { "dump=" } else { ",dump=" };
            first &= !is;
            if is { write!(f, "{before}{what}") } else { Ok(()) }
        };
        say(exit, format_args!("exit"))?;
        say(failure, format_args!("failure"))?;
        say(peak > 0, format_args!("peak:{}", Size(peak)))?;
        say(every_secs > 0, format_args!("every:{every_secs}s"))?;
        if let Some(signal) = signal {
            say(true, format_args!("signal:{}", signal.name()))?;
        }
        if first { write!(f, "dump=never") } else { Ok(()) }
    }
}

/// When reports are printed, likewise.
struct Told(Reports);

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exit = match self.0 {
            Reports { children: true, .. } => "all",
            Reports { exit: true, .. } => "on",
            _ => "off",
        };
        match self.0.signal {
            None => f.pad(exit),
            Some(signal) if exit == "off" => write!(f, "signal:{}", signal.name()),
            Some(signal) => write!(f, "{exit},leaks=signal:{}", signal.name()),
        }
    }
}

fn switch(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

/// A time in the words of the variable.
struct Millis(u64);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(3_600_000, "h"), (60_000, "min"), (1000, "s")];
        match units.into_iter().find(|(each, _)| self.0.is_multiple_of(*each)) {
            Some((each, unit)) => write!(f, "{}{unit}", self.0 / each),
            None => write!(f, "{}ms", self.0),
        }
    }
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
    use crate::config::Limits;

    fn parsed(text: &'static str) -> (Parsed, Vec<(String, Wrong)>) {
        let mut wrong = Vec::new();
        let parsed = parse(text, Config::DEFAULT, |word, what| wrong.push((word.to_owned(), what)));
        (parsed, wrong)
    }

    #[test]
    fn words_and_pairs() {
        let (p, wrong) = parsed("guarded=7,guarded_slots=9");
        assert_eq!((wrong.len(), p.config.guarded, p.config.guarded_slots), (0, 7, 9));
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
    fn dumps() {
        let (p, wrong) = parsed(
            "leaks,dump=exit,dump=peak:2GiB,dump=every:5min,dump=signal:SIGUSR2,dump_path=/tmp/%p-%n,dump_keep=3,dump_size=40MiB",
        );
        assert_eq!(wrong, []);
        let right =
            Dumps::new().at_exit().at_peak(2 << 30).every_secs(300).on_signal(Signal::Usr2).path("/tmp/%p-%n").keep(3);
        assert_eq!((p.config.leaks.exit, p.config.dumps), (true, right.max_bytes(40 << 20)));
        assert_eq!(Occasions(p.config.dumps).to_string(), "dump=exit,dump=peak:2GiB,dump=every:300s,dump=signal:USR2");
        assert_eq!(Occasions(Dumps::new()).to_string(), "dump=never");
        let (p, wrong) = parsed("leaks,dump=exit,dump=peak:1GiB,dump_keep=2,dump=never,leaks=off");
        assert_eq!((wrong.len(), p.config.leaks, p.config.dumps), (0, Reports::NEVER, Dumps::new().keep(2)));
        assert_eq!(
            Occasions(Dumps::new().on_failure().on_signal(Signal::Hup)).to_string(),
            "dump=failure,dump=signal:HUP"
        );
        for word in [
            "dump",
            "dump=",
            "dump=now",
            "dump=exit:1",
            "dump=peak",
            "dump=peak:0",
            "dump=peak:much",
            "dump=every:30",
            "dump=every:0s",
            "dump=every:9999999h",
            "dump=signal:KILL",
            "dump=signal:9",
            "dump=signal:65",
            "dump_path",
            "dump_path=",
            "dump_path=%t",
            "dump_path=%",
            "dump_keep=0",
            "dump_keep=257",
            "dump_size=1MiB",
            "leaks=1",
            "leaks=",
            "leaks=signal",
            "leaks=signal:KILL",
            "leaks=exit:1",
        ] {
            let (p, wrong) = parsed(word);
            assert_eq!((wrong.len(), p.config.dumps), (1, Dumps::new()), "{word}");
            assert_eq!(p.config.leaks, Reports::NEVER, "{word}");
        }
    }

    #[test]
    fn reports() {
        for (text, exit, children, signal, shown) in [
            ("leaks", true, false, None, "on"),
            ("leaks=all", true, true, None, "all"),
            ("leaks=signal:USR1", false, false, Some(Signal::Usr1), "signal:USR1"),
            ("leaks,leaks=signal:SIGHUP", true, false, Some(Signal::Hup), "on,leaks=signal:HUP"),
            ("leaks=all,leaks=signal:HUP,leaks=off", false, false, None, "off"),
        ] {
            let (p, wrong) = parsed(text);
            assert_eq!((p.config.leaks, wrong), (Reports { exit, children, signal }, vec![]), "{text}");
            assert_eq!(Told(p.config.leaks).to_string(), shown);
        }
    }

    #[test]
    fn thresholds() {
        let (p, wrong) =
            parsed("trace,collect=off,young=16MiB,young_per_middle=3,middle_per_old=5,free_percent=50,idle=1500ms");
        assert_eq!((wrong.len(), p.config.trace, p.config.collect), (0, true, false));
        let right = Thresholds {
            young_bytes: 16 << 20,
            young_per_middle: 3,
            middle_per_old: 5,
            free_percent: 50,
            idle_ms: 1500,
        };
        assert_eq!(p.config.thresholds, right);
    }

    #[test]
    fn limits() {
        for (text, soft, hard) in [
            ("limit=2GiB", Soft::Unset, Hard::Bytes(2 << 30)),
            ("limit=cgroup,soft_limit=75%", Soft::Percent(75), Hard::Cgroup),
            ("soft_limit=75%,limit=8MiB", Soft::Percent(75), Hard::Bytes(8 << 20)),
            ("soft_limit=1GiB,limit=1GiB", Soft::Bytes(1 << 30), Hard::Bytes(1 << 30)),
            ("soft_limit=1GiB", Soft::Bytes(1 << 30), Hard::Never),
            ("limit=1GiB,limit=none,soft_limit=none", Soft::Never, Hard::Never),
        ] {
            let (p, wrong) = parsed(text);
            assert_eq!((p.config.limits, wrong), (Limits { soft, hard }, vec![]), "{text}");
        }
        for word in ["limit", "limit=", "limit=0", "limit=8388607", "limit=80%", "limit=-1", "limit=much"] {
            let (p, wrong) = parsed(format!("{word},tags=7").leak());
            assert_eq!(wrong, [(word.to_owned(), Wrong::Value(LIMIT))]);
            assert_eq!((p.config.limits, p.config.tags), (Limits::new(), 7));
        }
        for word in
            ["soft_limit", "soft_limit=0", "soft_limit=0%", "soft_limit=101%", "soft_limit=%", "soft_limit=1MiB"]
        {
            let (p, wrong) = parsed(format!("limit=1GiB,{word}").leak());
            assert_eq!(wrong, [(word.to_owned(), Wrong::Value(SOFT_LIMIT))]);
            assert_eq!(p.config.limits, Limits::new().hard(1 << 30));
        }
        for (text, word, needs, hard) in [
            ("limit=1GiB,soft_limit=2GiB", "soft_limit=2GiB", SOFT_ABOVE_HARD, Hard::Bytes(1 << 30)),
            ("soft_limit=2GiB,limit=1GiB", "soft_limit=2GiB", SOFT_ABOVE_HARD, Hard::Bytes(1 << 30)),
            ("soft_limit=50%", "soft_limit=50%", PERCENT_OF_NOTHING, Hard::Never),
        ] {
            let (p, wrong) = parsed(text);
            assert_eq!(wrong, [(word.to_owned(), Wrong::Value(needs))], "{text}");
            assert_eq!(p.config.limits, Limits { soft: Soft::Unset, hard });
        }
        // What the builder has set gives way without a word.
        let builder = Config { limits: Limits::new().soft(2 << 30), ..Config::DEFAULT };
        let p = parse("limit=1GiB", builder, |word, wrong| panic!("{word}: {wrong}"));
        assert_eq!(p.config.limits.hard, Hard::Bytes(1 << 30));
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
            ("trace=yes", Wrong::Value(SWITCH)),
            ("collect", Wrong::Value(SWITCH)),
            ("young", Wrong::Value(YOUNG)),
            ("young=0", Wrong::Value(YOUNG)),
            ("young=1023KiB", Wrong::Value(YOUNG)),
            ("young_per_middle=0", Wrong::Value(NUMBER)),
            ("middle_per_old=1025", Wrong::Value(NUMBER)),
            ("free_percent=0", Wrong::Value(NUMBER)),
            ("idle=10", Wrong::Value(IDLE)),
            ("idle=99ms", Wrong::Value(IDLE)),
            ("idle=25h", Wrong::Value(IDLE)),
            ("guarded", Wrong::Value(NUMBER)),
            ("guarded=-1", Wrong::Value(NUMBER)),
            #[cfg(feature = "hardened")]
            ("checked_pages=0", Wrong::Value(NUMBER)),
            ("guarded_slots=0", Wrong::Value(NUMBER)),
            ("guarded_slots=3001", Wrong::Value(NUMBER)),
        ] {
            let (p, wrong) = parsed(format!("tags=7,{word},off").leak());
            assert_eq!(wrong, [(word.to_owned(), what)]);
            assert_eq!((p.config.tags, p.config.mode, p.config.depth), (7, Mode::Off, Config::DEFAULT.depth), "{word}");
        }
    }
}
