//! Reads Rust as far as an index needs it: its identifiers, and which lines hold code, comments, or nothing.

/// Lines of a file by what they hold. A line with code and a comment is one of code.
#[derive(Clone, Copy, Default)]
pub(crate) struct Lines {
    pub(crate) code: usize,
    pub(crate) comments: usize,
    pub(crate) blank: usize,
}

impl Lines {
    pub(crate) fn all(self) -> usize {
        self.code + self.comments + self.blank
    }
}

/// Calls `f` with each identifier and keyword outside comments and literals, and the number of its line.
pub(crate) fn scan<'a>(text: &'a [u8], f: impl FnMut(&'a [u8], u32)) -> Lines {
    let mut scanner = Scanner { text, at: 0, line: 1, holds: Holds::Nothing, lines: Lines::default(), f };
    scanner.run();
    scanner.lines
}

#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Holds {
    Nothing,
    Comment,
    Code,
}

struct Scanner<'a, F> {
    text: &'a [u8],
    at: usize,
    line: u32,
    /// What the current line holds so far.
    holds: Holds,
    lines: Lines,
    f: F,
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

impl<'a, F: FnMut(&'a [u8], u32)> Scanner<'a, F> {
    fn peek(&self, ahead: usize) -> u8 {
        self.text.get(self.at + ahead).copied().unwrap_or(0)
    }

    /// Goes on by so many bytes, which belong to code or a comment and may end lines.
    fn skip(&mut self, n: usize, holds: Holds) {
        for _ in 0..n.min(self.text.len() - self.at) {
            if self.text[self.at] == b'\n' {
                self.end_line();
            } else if self.holds < holds && !self.text[self.at].is_ascii_whitespace() {
                self.holds = holds;
            }
            self.at += 1;
        }
    }

    fn end_line(&mut self) {
        match self.holds {
            Holds::Nothing => self.lines.blank += 1,
            Holds::Comment => self.lines.comments += 1,
            Holds::Code => self.lines.code += 1,
        }
        self.holds = Holds::Nothing;
        self.line += 1;
    }

    fn run(&mut self) {
        while self.at < self.text.len() {
            match self.peek(0) {
                b'/' if self.peek(1) == b'/' => {
                    while self.at < self.text.len() && self.peek(0) != b'\n' {
                        self.skip(1, Holds::Comment);
                    }
                }
                b'/' if self.peek(1) == b'*' => self.block_comment(),
                b'"' => self.string(),
                b'\'' => self.quote(),
                b'0'..=b'9' => self.number(),
                byte if is_word(byte) => self.word(),
                _ => self.skip(1, Holds::Code),
            }
        }
        if self.text.last().is_some_and(|&byte| byte != b'\n') {
            self.end_line();
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0;
        while self.at < self.text.len() {
            match (self.peek(0), self.peek(1)) {
                (b'/', b'*') => depth += 1,
                (b'*', b'/') => depth -= 1,
                _ => {
                    self.skip(1, Holds::Comment);
                    continue;
                }
            }
            self.skip(2, Holds::Comment);
            if depth == 0 {
                return;
            }
        }
    }

    fn string(&mut self) {
        self.skip(1, Holds::Code);
        while self.at < self.text.len() && self.peek(0) != b'"' {
            let n = if self.peek(0) == b'\\' { 2 } else { 1 };
            self.skip(n, Holds::Code);
        }
        self.skip(1, Holds::Code);
    }

    /// `self.at` is behind the `r`: at the `#`s or the quotation mark.
    fn raw_string(&mut self, hashes: usize) {
        self.skip(hashes + 1, Holds::Code);
        while self.at < self.text.len() {
            if self.peek(0) == b'"' && (1..=hashes).all(|i| self.peek(i) == b'#') {
                return self.skip(hashes + 1, Holds::Code);
            }
            self.skip(1, Holds::Code);
        }
    }

    /// A character or a lifetime.
    fn quote(&mut self) {
        if self.peek(1) == b'\\' {
            self.skip(3, Holds::Code);
            while self.at < self.text.len() && self.peek(0) != b'\'' {
                self.skip(1, Holds::Code);
            }
            return self.skip(1, Holds::Code);
        }
        let mut width = 1;
        while self.peek(1 + width) & 0xC0 == 0x80 {
            width += 1;
        }
        if self.peek(1 + width) == b'\'' {
            return self.skip(width + 2, Holds::Code);
        }
        self.skip(1, Holds::Code);
        while is_word(self.peek(0)) {
            self.skip(1, Holds::Code);
        }
    }

    fn number(&mut self) {
        while is_word(self.peek(0)) || self.peek(0) == b'.' && self.peek(1).is_ascii_digit() {
            self.skip(1, Holds::Code);
        }
    }

    fn word(&mut self) {
        let start = self.at;
        while is_word(self.peek(0)) {
            self.at += 1;
        }
        self.holds = Holds::Code;
        let word = &self.text[start..self.at];
        if matches!(word, b"r" | b"br" | b"cr") {
            let hashes = (0..).take_while(|&i| self.peek(i) == b'#').count();
            if self.peek(hashes) == b'"' {
                return self.raw_string(hashes);
            }
            if word == b"r" && hashes == 1 && is_word(self.peek(1)) {
                self.at += 1; // r#type is the identifier `type`
                return self.word();
            }
        }
        match (word, self.peek(0)) {
            (b"b" | b"c", b'"') => self.string(),
            (b"b", b'\'') => self.quote(),
            _ => (self.f)(word, self.line),
        }
    }
}
