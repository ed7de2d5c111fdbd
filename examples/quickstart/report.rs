//! What the index says about the sources.

use crate::index::{Index, Place};
use crate::sources::{Sources, short};
use crate::text::{bytes, count, percent, print};
use crate::tokens::Lines;
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// Rows of a list.
const ROWS: usize = 8;

/// In order, for a binary search.
#[rustfmt::skip]
const KEYWORDS: &[&str] = &[
    "Self", "as", "async", "await", "break", "const", "continue", "crate", "dyn", "else", "enum", "extern", "false",
    "fn", "for", "if", "impl", "in", "let", "loop", "match", "mod", "move", "mut", "pub", "ref", "return", "self",
    "static", "struct", "super", "trait", "true", "type", "unsafe", "use", "where", "while",
];

/// An identifier and where it stands.
type Entry<'a> = (&'a str, &'a [Place]);

struct Report<'a> {
    sources: &'a Sources,
    index: &'a Index,
    /// The identifiers, keywords left out, the most frequent first.
    entries: Vec<Entry<'a>>,
}

pub(crate) fn print_all(sources: &Sources, index: &Index, took: Duration) {
    let mut entries: Vec<Entry> = index.places.iter().map(|(word, places)| (&**word, &**places)).collect();
    entries.retain(|(word, _)| KEYWORDS.binary_search(word).is_err());
    entries.sort_unstable_by_key(|&(word, places)| (Reverse(places.len()), word));
    let report = Report { sources, index, entries };

    let (files, size, root) = (count(sources.files.len()), bytes(sources.bytes()), short(&sources.root));
    print(format_args!("Rust files: {files} ({size}) in {root}\n"));
    print(format_args!("indexed by {} threads in {:.1} s\n\n", index.threads, took.as_secs_f64()));
    report.lines();
    report.identifiers();
    report.spellings();
    report.locks();
    report.most_frequent();
    report.most_unsafe();
}

fn row(what: &str, number: usize, more: &str) {
    print(format_args!("{what:<19}{:>11}  {more}\n", count(number)));
}

impl Report<'_> {
    fn lines(&self) {
        let unreadable = self.index.lines.iter().filter(|lines| lines.is_none()).count();
        if unreadable > 0 {
            row("unreadable", unreadable, "files, which are left out");
        }
        let all = self.index.lines.iter().flatten().fold(Lines::default(), |sum, of| Lines {
            code: sum.code + of.code,
            comments: sum.comments + of.comments,
            blank: sum.blank + of.blank,
        });
        let [code, comments, blank] = [all.code, all.comments, all.blank].map(|part| percent(part, all.all()));
        row("lines", all.all(), &format!("{code:.0} % code, {comments:.0} % comments, {blank:.0} % blank"));
        let files = self.index.lines.iter().enumerate();
        if let Some((lines, file)) = files.filter_map(|(file, lines)| Some((lines.as_ref()?.all(), file))).max() {
            row("longest file", lines, &format!("lines: {}", self.sources.name(file)));
        }
    }

    fn identifiers(&self) {
        let uses = self.entries.iter().map(|(_, places)| places.len()).sum::<usize>();
        let once = self.entries.iter().filter(|(_, places)| places.len() == 1).count();
        let once = percent(once, self.entries.len());
        row("identifiers", self.entries.len(), &format!("used {} times; {once:.0} % of them once", count(uses)));
        let letters = |word: &str| word.chars().count();
        if let Some((word, _)) = self.entries.iter().max_by_key(|(word, _)| letters(word)) {
            let dots = if letters(word) > 60 { "..." } else { "" };
            let begin = word.chars().take(60).collect::<String>();
            row("longest identifier", letters(word), &format!("letters: {begin}{dots}"));
        }
    }

    /// The identifier with the most ways to write it: `utf8`, `Utf8`, `UTF_8`.
    fn spellings(&self) {
        let mut groups = HashMap::<String, Vec<&str>>::new();
        for (word, _) in &self.entries {
            let plain = word.chars().filter(|&c| c != '_').flat_map(char::to_lowercase).collect::<String>();
            if plain.len() > 2 {
                groups.entry(plain).or_default().push(word);
            }
        }
        if let Some((_, words)) = groups.iter().max_by_key(|(plain, words)| (words.len(), Reverse(*plain))) {
            let some = words.iter().take(6).copied().collect::<Vec<_>>().join(" ");
            row("most spellings", words.len(), &format!("{some}{}", if words.len() > 6 { " ..." } else { "" }));
        }
    }

    fn locks(&self) {
        let lines = self.index.on_one_line("lock", "unwrap");
        if let Some(first) = lines.first() {
            let at = format!("{}:{}", self.sources.name(first.file as usize), first.line);
            row("lock and unwrap", lines.len(), &format!("lines with both; the first is {at}"));
        }
    }

    fn most_frequent(&self) {
        print(format_args!("\n{:<30}{:>9}{:>10}\n", "most frequent", "times", "files"));
        for (word, places) in self.entries.iter().take(ROWS) {
            let files = places.iter().map(|place| place.file).collect::<HashSet<_>>().len();
            print(format_args!("{word:<30}{:>9}{:>10}\n", count(places.len()), count(files)));
        }
    }

    /// The packages that say `unsafe` most often.
    fn most_unsafe(&self) {
        let mut packages = vec![(0, 0, 0); self.sources.packages.len()];
        for (file, lines) in self.index.lines.iter().enumerate() {
            packages[self.sources.files[file].package].1 += lines.map_or(0, |lines| lines.code);
        }
        for place in self.index.places.get("unsafe").into_iter().flatten() {
            packages[self.sources.files[place.file as usize].package].0 += 1;
        }
        packages.iter_mut().enumerate().for_each(|(i, package)| package.2 = i);
        packages.sort_unstable_by(|a, b| b.cmp(a));
        packages.retain(|&(times, ..)| times > 0);
        if packages.is_empty() {
            return;
        }
        print(format_args!("\n{:<30}{:>9}{:>17}\n", "most `unsafe`", "times", "per 1 000 lines"));
        for &(times, code, package) in packages.iter().take(ROWS) {
            let name = self.sources.package_name(package);
            print(format_args!("{name:<30}{:>9}{:>17}\n", count(times), times * 1000 / code.max(1)));
        }
    }
}
