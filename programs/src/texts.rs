//! Inputs that are made on the spot: the same each time.

use crate::program::Size;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// Numbers that look random, from a constant.
#[derive(Debug)]
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new() -> Numbers {
        Numbers(0x9e37_79b9_7f4a_7c15)
    }

    /// One below `n`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 32) as usize % n
    }

    fn word(&mut self) -> String {
        let letter = |numbers: &mut Numbers, i| {
            char::from(if i % 2 == 0 { b"bcdfghklmnprst"[numbers.below(14)] } else { b"aeiou"[numbers.below(5)] })
        };
        (0..2 + self.below(8)).map(|i| letter(self, i)).collect()
    }

    /// So many words, with spaces between.
    pub(crate) fn words(&mut self, n: usize) -> String {
        (0..n).map(|_| self.word()).collect::<Vec<_>>().join(" ")
    }
}

/// A file that is written by pieces.
pub(crate) fn file(directory: &Path, name: &str) -> io::Result<BufWriter<File>> {
    Ok(BufWriter::new(File::create(directory.join(name))?))
}

/// The one or the other.
pub(crate) fn sized(size: Size, quick: usize, full: usize) -> usize {
    if size == Size::Quick { quick } else { full }
}

/// Lines of words.
pub(crate) fn lines(directory: &Path, name: &str, lines: usize) -> io::Result<()> {
    let (mut out, mut numbers) = (file(directory, name)?, Numbers::new());
    for _ in 0..lines {
        let n = 1 + numbers.below(12);
        writeln!(out, "{}", numbers.words(n))?;
    }
    out.flush()
}

/// A document with elements, attributes and texts.
pub(crate) fn xml(directory: &Path, name: &str, entries: usize) -> io::Result<()> {
    let (mut out, mut numbers) = (file(directory, name)?, Numbers::new());
    writeln!(out, "<?xml version=\"1.0\"?>\n<all xmlns:x=\"urn:x\">")?;
    for i in 0..entries {
        let (kind, title) = (numbers.below(9), numbers.words(3));
        writeln!(out, "<entry id=\"e{i}\" x:kind=\"{kind}\"><title>{title}</title>")?;
        for _ in 0..numbers.below(5) {
            let n = numbers.below(20);
            writeln!(out, " <p>{} <b>{}</b> &amp; {}</p>", numbers.words(n), numbers.words(1), numbers.words(2))?;
        }
        writeln!(out, "</entry>")?;
    }
    writeln!(out, "</all>")?;
    out.flush()
}

/// What `git fast-import` makes a repository of: files that change by lines, over so many commits.
pub(crate) fn commits(directory: &Path, name: &str, commits: usize) -> io::Result<()> {
    let (mut out, mut numbers) = (file(directory, name)?, Numbers::new());
    let mut files: Vec<Vec<String>> = (0..60).map(|_| (0..80).map(|_| numbers.words(6)).collect()).collect();
    for i in 0..commits {
        let message = numbers.words(8);
        let time = 1_600_000_000 + i * 3600;
        write!(
            out,
            "commit refs/heads/main\ncommitter A Person <a@example.org> {time} +0000\ndata {}\n{message}\n",
            message.len()
        )?;
        for _ in 0..1 + numbers.below(4) {
            let which = numbers.below(files.len());
            for _ in 0..1 + numbers.below(6) {
                let at = numbers.below(files[which].len());
                let words = numbers.words(6);
                match numbers.below(3) {
                    0 => files[which].insert(at, words),
                    1 if files[which].len() > 10 => _ = files[which].remove(at),
                    _ => files[which][at] = words,
                }
            }
            let text = files[which].join("\n");
            write!(out, "M 100644 inline part{}/file{which}.txt\ndata {}\n{text}\n", which % 7, text.len())?;
        }
    }
    out.flush()
}

/// Pages with text, curves and shading in PostScript.
pub(crate) fn postscript(directory: &Path, name: &str, pages: usize) -> io::Result<()> {
    let (mut out, mut numbers) = (file(directory, name)?, Numbers::new());
    writeln!(out, "%!PS\n/Times-Roman findfont 9 scalefont setfont")?;
    for _ in 0..pages {
        for line in 0..70 {
            let n = 8 + numbers.below(6);
            writeln!(out, "40 {} moveto ({}) show", 780 - line * 10, numbers.words(n))?;
        }
        for _ in 0..60 {
            let mut at = || numbers.below(600);
            let points: [usize; 8] = std::array::from_fn(|_| at());
            let [a, b, c, d, e, f, g, h] = points;
            writeln!(
                out,
                "0.{} 0.{} 0.{} setrgbcolor newpath {a} {b} moveto {c} {d} {e} {f} {g} {h} curveto closepath",
                a % 10,
                b % 10,
                c % 10
            )?;
            writeln!(out, "{}", if a % 3 == 0 { "fill" } else { "stroke" })?;
        }
        writeln!(out, "0 setgray /a 20000 array def 0 1 19999 {{ a exch dup 3 mul put }} for showpage")?;
    }
    out.flush()
}

/// Functions in C.
pub(crate) fn c_source(directory: &Path, name: &str, functions: usize) -> io::Result<()> {
    let (mut out, mut numbers) = (file(directory, name)?, Numbers::new());
    writeln!(
        out,
        "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\nstruct s {{ int a[16]; char *text; struct s *next; }};"
    )?;
    for i in 0..functions {
        let [a, b, c] = std::array::from_fn(|_| 1 + numbers.below(30));
        writeln!(out, "static int f{i}(struct s *s, int n) {{ int sum = {a}; for (int i = 0; i < n; i++) {{")?;
        writeln!(
            out,
            "  switch (i % {b}) {{ case 0: sum += s->a[i % 16]; break; case 1: sum ^= {c}; break; case 2: sum -= s->next ? s->next->a[{}] : {a}; break;",
            c % 16
        )?;
        writeln!(
            out,
            "  default: if (s->text && strlen(s->text) > {a}u) sum *= {c}; else s->a[(i + {b}) % 16] = sum % 997; }} }} return sum{}; }}",
            if i > 0 { format!(" + f{}(s, n - 1) / 3", i - 1) } else { String::new() }
        )?;
    }
    writeln!(out, "int main(void) {{ struct s s = {{0}}; printf(\"%d\\n\", f{}(&s, 9)); }}", functions - 1)?;
    out.flush()
}

/// Commands for `redis-cli --pipe`: keys of each type come, change, and partly go again.
pub(crate) fn redis(directory: &Path, name: &str, keys: usize) -> io::Result<()> {
    let (mut out, mut numbers) = (file(directory, name)?, Numbers::new());
    let text = "a value ".repeat(600);
    let mut say = |words: &[&str]| -> io::Result<()> {
        write!(out, "*{}\r\n", words.len())?;
        for word in words {
            write!(out, "${}\r\n{word}\r\n", word.len())?;
        }
        Ok(())
    };
    for i in 0..keys {
        let key = format!("key:{i}");
        let value = &text[..1 + numbers.below(if i % 50 == 0 { 4000 } else { 200 })];
        say(&["SET", &key, value])?;
        say(&["HSET", &format!("hash:{}", i % (keys / 40 + 1)), &key, value])?;
        say(&["ZADD", &format!("zset:{}", i % 50), &numbers.below(100_000).to_string(), &key])?;
        say(&["RPUSH", &format!("list:{}", i % 100), &value[..value.len().min(40)]])?;
        say(&["SADD", &format!("set:{}", i % 70), &numbers.below(5000).to_string()])?;
        if i % 3 == 0 {
            say(&["DEL", &format!("key:{}", numbers.below(i + 1))])?;
        }
        if i % 5 == 0 {
            say(&["APPEND", &format!("key:{}", numbers.below(i + 1)), &text[..numbers.below(500)]])?;
            say(&["LPOP", &format!("list:{}", numbers.below(100))])?;
        }
    }
    out.flush()
}
