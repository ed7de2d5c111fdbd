//! Who may import whom: strictly downward. This test reads the sources and fails on a path that leads upward, or sideways.
//!
//! It reads tokens, not types: comments, doc links and strings are left out, `use` trees are unfolded, and every path
//! that begins with `crate`, `super` or `self`, in a `use` or anywhere else, is resolved to the module that it leads
//! into. Nothing else can leave a module: a name without such a beginning came in through one.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

/// From the bottom to the top. Modules of one line are strangers to each other.
const LAYERS: &[&[&str]] = &[
    &["sync", "units"],
    &["config"],
    &["os"],
    &["arena"],
    &["pages"],
    &["heap", "track"],
    &["generation"],
    &["allocator"],
    &["mode", "reading", "scope", "survey"],
    &["stats"],
    &["snapshot"],
    &["origin"],
    &["symbols"],
    &["limits", "dump", "testing"],
    &["export"],
    &["http"],
    // Reaches down wherever a test wants to look. Nobody may stand on it.
    &["internals"],
];

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Violation {
    file: String,
    line: usize,
    what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.what)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Token {
    text: String,
    line: usize,
}

/// Identifiers, `::`, and single characters. Comments, strings, characters, lifetimes and white space are gone.
fn tokens(source: &str) -> Vec<Token> {
    let text: Vec<char> = source.chars().collect();
    let at = |i: usize| text.get(i).copied().unwrap_or('\0');
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let (mut all, mut i, mut line) = (Vec::new(), 0, 1);
    // Where the scanner stands next, counting the lines that it passes.
    let mut advance = |i: &mut usize, to: usize| {
        line += text[*i..to.min(text.len())].iter().filter(|&&c| c == '\n').count();
        *i = to.min(text.len());
        line
    };
    let mut now = 1;
    while i < text.len() {
        let to = match at(i) {
            '/' if at(i + 1) == '/' => (i..text.len()).find(|&k| at(k) == '\n').unwrap_or(text.len()),
            '/' if at(i + 1) == '*' => end_of_comment(&text, i),
            '"' => end_of_string(&text, i),
            '\'' if at(i + 1) == '\\' => (i + 3..text.len()).find(|&k| at(k) == '\'').map_or(text.len(), |k| k + 1),
            '\'' if at(i + 2) == '\'' => i + 3,
            '\'' => (i + 1..text.len()).find(|&k| !is_word(at(k))).unwrap_or(text.len()), // a lifetime
            c if is_word(c) => {
                let end = (i..text.len()).find(|&k| !is_word(at(k))).unwrap_or(text.len());
                let word: String = text[i..end].iter().collect();
                let hashes = (end..text.len()).take_while(|&k| at(k) == '#').count();
                let prefix = matches!(word.as_str(), "r" | "b" | "c" | "br" | "cr");
                if prefix && at(end + hashes) == '"' {
                    if word.contains('r') {
                        end_of_raw_string(&text, end + hashes, hashes)
                    } else {
                        end_of_string(&text, end)
                    }
                } else if word == "b" && at(end) == '\'' {
                    end // the character that follows is dropped as one
                } else if word == "r" && hashes == 1 && is_word(at(end + 1)) {
                    // A raw identifier, which is no keyword: it keeps its mark.
                    let after = (end + 1..text.len()).find(|&k| !is_word(at(k))).unwrap_or(text.len());
                    all.push(Token { text: text[i..after].iter().collect(), line: now });
                    after
                } else {
                    all.push(Token { text: word, line: now });
                    end
                }
            }
            ':' if at(i + 1) == ':' => {
                all.push(Token { text: "::".into(), line: now });
                i + 2
            }
            c => {
                if !c.is_whitespace() {
                    all.push(Token { text: c.into(), line: now });
                }
                i + 1
            }
        };
        now = advance(&mut i, to);
    }
    all
}

fn end_of_comment(text: &[char], begin: usize) -> usize {
    let (mut depth, mut i) = (0, begin);
    while i + 1 < text.len() {
        match (text[i], text[i + 1]) {
            ('/', '*') => (depth, i) = (depth + 1, i + 2),
            ('*', '/') if depth == 1 => return i + 2,
            ('*', '/') => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
    }
    text.len()
}

fn end_of_string(text: &[char], quote: usize) -> usize {
    let mut i = quote + 1;
    while i < text.len() {
        match text[i] {
            '\\' => i += 2,
            '"' => return i + 1,
            _ => i += 1,
        }
    }
    text.len()
}

fn end_of_raw_string(text: &[char], quote: usize, hashes: usize) -> usize {
    let closes = |i: usize| text[i] == '"' && (1..=hashes).all(|k| text.get(i + k) == Some(&'#'));
    (quote + 1..text.len()).find(|&i| closes(i)).map_or(text.len(), |i| i + 1 + hashes)
}

/// A path as it is written, and the module that it is written in.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mention {
    module: Vec<String>,
    path: Vec<String>,
    in_use: bool,
    line: usize,
}

/// All paths of a source that begin with `crate`, `super` or `self`; and, in a `use`, all others too.
fn mentions(source: &str, module: &[String]) -> Vec<Mention> {
    let all = tokens(source);
    let text = |i: usize| all.get(i).map_or("", |t| t.text.as_str());
    let mut found = Vec::new();
    // Inline modules, and the depth of braces that each was opened at.
    let (mut inside, mut depth) = (module.to_vec(), 0);
    let mut opened: Vec<usize> = Vec::new();
    let mut i = 0;
    while i < all.len() {
        match text(i) {
            "mod" if text(i + 2) == "{" => {
                inside.push(text(i + 1).into());
                depth += 1;
                opened.push(depth);
                i += 3;
                continue;
            }
            "{" => depth += 1,
            "}" => {
                if opened.last() == Some(&depth) {
                    opened.pop();
                    inside.pop();
                }
                depth -= 1;
            }
            // `use<'a>` of a return type is no import.
            "use" if text(i + 1) != "<" => {
                i = use_tree(&all, i + 1, &mut Vec::new(), &mut |path, line| {
                    found.push(Mention { module: inside.clone(), path: path.to_vec(), in_use: true, line });
                });
                continue;
            }
            "crate" | "super" | "self" if text(i + 1) == "::" && (i == 0 || text(i - 1) != "::") => {
                let (line, mut path) = (all[i].line, vec![text(i).to_string()]);
                while text(i + 1) == "::" && text(i + 2).starts_with(|c: char| c.is_alphabetic() || c == '_') {
                    path.push(text(i + 2).into());
                    i += 2;
                }
                found.push(Mention { module: inside.clone(), path, in_use: false, line });
            }
            _ => (),
        }
        i += 1;
    }
    found
}

/// Unfolds what stands at `i`, up to the `;`, `,` or `}` that ends it, which is where it returns.
fn use_tree(all: &[Token], mut i: usize, prefix: &mut Vec<String>, found: &mut impl FnMut(&[String], usize)) -> usize {
    let text = |i: usize| all.get(i).map_or(";", |t| t.text.as_str());
    let (length, begin) = (prefix.len(), all.get(i).map_or(0, |t| t.line));
    let mut unfolded = false;
    loop {
        match text(i) {
            ";" | "," | "}" => break,
            "::" => i += 1,
            "{" => {
                unfolded = true;
                i += 1;
                while !matches!(text(i), "}" | ";") {
                    i = use_tree(all, i, prefix, found);
                    i += usize::from(text(i) == ",");
                }
                i += 1;
            }
            "as" => i += 2, // a new name leads where the old one did
            // At the end of a group's path, `self` is the module itself.
            "self" if prefix.len() > length || length > 0 => i += 1,
            word => {
                prefix.push(word.into());
                i += 1;
            }
        }
    }
    if !unfolded && !prefix.is_empty() {
        found(prefix, begin);
    }
    prefix.truncate(length);
    i
}

/// From the crate's root. `None` for a path into another crate, or one that stays where it is.
fn resolve(mention: &Mention) -> Option<Vec<String>> {
    let mut at = match mention.path.first()?.as_str() {
        "crate" => Vec::new(),
        "self" | "super" => mention.module.clone(),
        _ => return None,
    };
    for (i, segment) in mention.path.iter().enumerate() {
        match segment.as_str() {
            "crate" | "self" if i == 0 => (),
            "super" => _ = at.pop(),
            other => at.push(other.into()),
        }
    }
    Some(at)
}

/// What the crate's root gives another name: `crate::Name` leads into the module that it comes from.
fn names_of_root(root: &str) -> HashMap<String, String> {
    let mut names = HashMap::new();
    for mention in mentions(root, &[]).into_iter().filter(|m| m.in_use) {
        let path: Vec<_> = mention.path.into_iter().filter(|s| s != "crate" && s != "self").collect();
        if let (Some(first), Some(last)) = (path.first(), path.last())
            && layer_of(first).is_some()
            && path.len() > 1
        {
            names.insert(last.clone(), first.clone());
        }
    }
    names
}

/// The module of a file, from its path below `src`.
fn module_of(file: &str) -> Vec<String> {
    let path = file.trim_end_matches(".rs");
    let path = path.strip_suffix("/mod").unwrap_or(path);
    if path == "lib" { Vec::new() } else { path.split('/').map(String::from).collect() }
}

/// What is wrong with a source. `names`: see [`names_of_root`].
fn violations(file: &str, source: &str, names: &HashMap<String, String>) -> Vec<Violation> {
    let module = module_of(file);
    let mut found = Vec::new();
    let mut wrong = |line, what: String| found.push(Violation { file: file.into(), line, what });
    for token in tokens(source) {
        if token.text == "libc" && module.first().is_none_or(|m| m != "os") {
            wrong(token.line, "`libc` is for `os` alone".into());
        }
    }
    // The root names every module: that is what it is for.
    let Some(own) = module.first() else { return found };
    let Some(layer) = layer_of(own) else {
        wrong(1, format!("`{own}` stands in no layer: give it one in this test"));
        return found;
    };
    for mention in mentions(source, &module) {
        let Some(path) = resolve(&mention) else { continue };
        let written = mention.path.join("::");
        let Some(first) = path.first() else {
            if mention.in_use {
                wrong(mention.line, format!("`{written}` hides what it is used for"));
            }
            continue;
        };
        if first == "*" {
            wrong(mention.line, format!("`{written}` takes all of the crate's root"));
            continue;
        }
        let to = names.get(first).unwrap_or(first);
        match layer_of(to) {
            None => wrong(mention.line, format!("`{written}` leads to `{to}`, which stands in no layer")),
            Some(_) if to == own => (),
            Some(other) if other < layer => (),
            Some(other) if other == layer => {
                wrong(mention.line, format!("`{written}` leads from `{own}` to `{to}`: they are strangers"));
            }
            Some(_) => wrong(mention.line, format!("`{written}` leads upward, from `{own}` to `{to}`")),
        }
    }
    found
}

fn sources(below: &Path, prefix: &str, f: &mut impl FnMut(&str, &str)) {
    let mut entries: Vec<_> = std::fs::read_dir(below).expect("sources").map(|e| e.expect("an entry")).collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().into_string().expect("a name in ASCII");
        let path = entry.path();
        // Programs are crates of their own: they see what users see.
        if prefix.is_empty() && name == "bin" {
            continue;
        }
        if path.is_dir() {
            sources(&path, &format!("{prefix}{name}/"), f);
        } else if name.ends_with(".rs") {
            f(&format!("{prefix}{name}"), &std::fs::read_to_string(&path).expect("a source"));
        }
    }
}

#[test]
fn imports_go_downward() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let names = names_of_root(&std::fs::read_to_string(src.join("lib.rs")).expect("the crate's root"));
    let (mut files, mut paths, mut all) = (0, 0, Vec::new());
    sources(&src, "", &mut |file, source| {
        files += 1;
        paths += mentions(source, &module_of(file)).len();
        all.extend(violations(file, source, &names));
    });
    // A scanner that reads nothing finds nothing.
    assert!(files > 20 && paths > 100, "{files} files, {paths} paths");
    let list: String = all.iter().map(|v| format!("\n  src/{v}")).collect();
    assert!(all.is_empty(), "the layers are broken:{list}");
}

/// Planted faults, and what looks like one and is none.
mod controls {
    use super::*;

    fn names() -> HashMap<String, String> {
        names_of_root("mod allocator;\npub use allocator::Tenure;\npub use stats::{ClassStats, Stats, stats};")
    }

    /// The lines of what is found.
    fn lines(file: &str, source: &str) -> Vec<usize> {
        violations(file, source, &names()).into_iter().map(|v| v.line).collect()
    }

    #[track_caller]
    fn flagged(file: &str, source: &str) {
        assert!(!lines(file, source).is_empty(), "not seen: {source}");
    }

    #[track_caller]
    fn allowed(file: &str, source: &str) {
        assert_eq!(violations(file, source, &names()), [], "{source}");
    }

    #[test]
    fn a_simple_use() {
        flagged("arena/slices.rs", "use crate::heap::steal;");
        flagged("arena/slices.rs", "pub(crate) use crate::heap;");
        flagged("os/mod.rs", "use crate::pages::page::Kind as K;");
        flagged("sync.rs", "use crate::config::Config;");
        flagged("allocator.rs", "use crate::internals::tracker;");
        allowed("heap/slow.rs", "use crate::arena::{self, slices};\nuse std::sync::atomic::Ordering::Relaxed;");
        allowed("heap/mod.rs", "use crate::heap::magazine::Slot; use self::depot::of;");
        allowed("lib.rs", "mod heap; pub use allocator::Tenure; use crate::stats::stats;");
    }

    #[test]
    fn strangers() {
        flagged("heap/thread.rs", "use crate::track::sampler;");
        flagged("track/mod.rs", "use crate::heap::Mode;");
        flagged("dump.rs", "use crate::limits::SOFT;");
    }

    #[test]
    fn grouped_imports() {
        let source = "use crate::{\n  os::{self, lock::Lock},\n  pages::{classes::{\n    CLASSES}, page}, heap};\n";
        assert_eq!(lines("pages/shard.rs", source), [4]);
        assert_eq!(lines("arena/mod.rs", source), [4, 4, 4]);
        allowed("generation/mod.rs", source);
        flagged("arena/mod.rs", "use crate::{self as all};");
        flagged("arena/mod.rs", "use {crate::os, std::fmt, crate::{stats::{self}}};");
        allowed("stats.rs", "use {crate::os, std::fmt, crate::{stats::{self}}};");
    }

    #[test]
    fn ways_by_super() {
        flagged("arena/slices.rs", "use super::super::heap::steal;");
        flagged("os/unix.rs", "fn f() { super::super::generation::helper::due(1) }");
        flagged("config.rs", "use super::heap;");
        flagged("config.rs", "use super::{sync, heap};");
        flagged("arena/slices.rs", "use self::super::super::stats;");
        allowed("arena/slices.rs", "use super::super::os;\nuse super::bits::Bits;");
        allowed("heap/slow.rs", "use super::{Mode, thread::{ClassHeap, Heap}, words};");
    }

    #[test]
    fn inline_modules() {
        flagged("config.rs", "mod inner { use super::super::heap; }");
        flagged("heap/mod.rs", "mod fast { mod deeper { fn f() { super::super::super::stats::stats() } } }");
        // Out of the inline module again, one `super` fewer leads as far.
        flagged("config.rs", "mod inner { fn f() { if true { } } } use super::heap;");
        allowed("heap/mod.rs", "mod fast { use super::magazine::BYTES; use super::super::pages; }");
        allowed("config.rs", "mod inner { use super::Config; use super::super::sync; }");
    }

    #[test]
    fn paths_in_expressions_and_types() {
        flagged("pages/shard.rs", "fn f() { crate::heap::thread::flush_this(); }");
        flagged("pages/shard.rs", "static F: Option<crate::stats::Stats> = None;");
        flagged("os/mod.rs", "macro_rules! m { () => { $crate::heap::f() } }");
        flagged("heap/slow.rs", "impl<T> X for <crate::allocator::Hooks as Y>::Z {}");
        flagged("heap/slow.rs", "let x = &'a crate::generation::clock::epoch::<u8>();");
        allowed("heap/slow.rs", "crate::os::die!(\"{}\", crate::pages::page::page_of(p)); pub(crate) fn f(self) {}");
        allowed("heap/mod.rs", "fn f() -> impl Iterator<Item = u8> + use<'_> { self.x.self_test() }");
    }

    #[test]
    fn names_that_the_root_gives() {
        flagged("heap/thread.rs", "use crate::Tenure;");
        flagged("allocator.rs", "fn f() -> crate::Stats { crate::stats() }");
        allowed("internals.rs", "use crate::{Tenure, Stats};");
    }

    #[test]
    fn everything_at_once() {
        flagged("arena/mod.rs", "use crate::*;");
        flagged("config.rs", "use super::*;");
        flagged("arena/mod.rs", "use crate as tenure;");
        allowed("arena/slices.rs", "use super::*; mod tests { use super::*; }");
    }

    #[test]
    fn modules_without_a_layer() {
        flagged("profiler.rs", "");
        flagged("heap/mod.rs", "use crate::profiler;");
    }

    #[test]
    fn comments_strings_and_characters() {
        allowed(
            "config.rs",
            r####"
            //! See [`heap`](crate::heap::thread).
            /// [`Tenure`](crate::Tenure) /* crate::heap::x */
            /* use crate::heap; /* nested: crate::stats::x */ crate::heap::x */
            const A: &str = "use crate::heap; \" crate::heap::x";
            const B: &str = r#"crate::heap::x " crate::heap::y"#;
            const C: &[u8] = b"crate::heap::x"; const D: &CStr = c"crate::heap::x"; const E: &[u8] = br"crate::heap::\";
            fn f<'a>(x: &'a str) -> [char; 3] { ['"', '\'', '\u{22}'] }
            #[doc = "crate::heap::x"]
            fn r#use() { let _ = (b'"', 'x'); }
            // libc
            "####,
        );
        // And the scanner finds its way back out of each.
        for before in
            ["/* */", "// x\n", "\"\\\\\"", "r##\"\"#\"##", "'\"'", "b'\"'", "'\\''", "&'a x", "c\"\"", "/*/**/*/"]
        {
            flagged("config.rs", &format!("{before} use crate::heap;"));
        }
        assert_eq!(lines("config.rs", "/*\n\n*/\n\"\n\"\nuse crate::heap;\n"), [6]);
    }

    #[test]
    fn libc_outside_os() {
        flagged("heap/thread.rs", "unsafe { libc::abort() }");
        flagged("lib.rs", "use libc::c_int;");
        flagged("generation/helper.rs", "use {libc as c};");
        allowed("os/unix.rs", "use libc::c_int;");
        allowed("os/process.rs", "fn f() -> libc::c_int { 0 }");
        allowed("arena/mod.rs", "// by way of libc\nconst LIBC: &str = \"libc\"; fn f(libc_page: u8) {}");
    }
}
