//! JSON, written piece by piece to wherever it goes, without allocation.

use std::fmt::{self, Write};

/// Where bytes go. What fails, the sink remembers.
pub(crate) trait Sink {
    fn put(&mut self, bytes: &[u8]);

    /// How many bytes it got.
    fn written(&self) -> u64;
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    fn written(&self) -> u64 {
        self.len() as u64
    }
}

/// A text in JSON that is being written. The caller sees to it that what is begun is ended, and that members have keys.
pub(crate) struct Json<'a> {
    sink: &'a mut dyn Sink,
    /// Whether nothing stands before the next value that a comma must divide it from.
    first: bool,
}

struct Text<'a>(&'a mut dyn Sink);

impl Write for Text<'_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.0.put(s.as_bytes());
        Ok(())
    }
}

impl<'a> Json<'a> {
    pub(crate) fn new(sink: &'a mut dyn Sink) -> Self {
        Json { sink, first: true }
    }

    fn value(&mut self) {
        if !std::mem::replace(&mut self.first, false) {
            self.sink.put(b",");
        }
    }

    fn show(&mut self, what: fmt::Arguments<'_>) {
        self.value();
        // A sink takes what it gets.
        _ = Text(self.sink).write_fmt(what);
    }

    fn open(&mut self, bracket: &[u8; 1]) {
        self.value();
        self.sink.put(bracket);
        self.first = true;
    }

    fn close(&mut self, bracket: &[u8; 1]) {
        self.sink.put(bracket);
        self.first = false;
    }

    pub(crate) fn object(&mut self, f: impl FnOnce(&mut Self)) {
        self.open(b"{");
        f(self);
        self.close(b"}");
    }

    pub(crate) fn array(&mut self, f: impl FnOnce(&mut Self)) {
        self.begin_array();
        f(self);
        self.end_array();
    }

    /// An array whose elements come from elsewhere: until [`Json::end_array`].
    pub(crate) fn begin_array(&mut self) {
        self.open(b"[");
    }

    pub(crate) fn end_array(&mut self) {
        self.close(b"]");
    }

    /// How many bytes were written, of everything.
    pub(crate) fn written(&self) -> u64 {
        self.sink.written()
    }

    /// The name of the member whose value comes next: a name of ours, which needs no escape.
    pub(crate) fn key(&mut self, key: &str) -> &mut Self {
        self.value();
        self.sink.put(b"\"");
        self.sink.put(key.as_bytes());
        self.sink.put(b"\":");
        self.first = true;
        self
    }

    pub(crate) fn number(&mut self, n: u64) {
        self.value();
        let (mut digits, mut at, mut n) = ([0u8; 20], 20, n);
        while at == 20 || n > 0 {
            at -= 1;
            digits[at] = b'0' + (n % 10) as u8;
            n /= 10;
        }
        self.sink.put(&digits[at..]);
    }

    /// A finite number, so that reading it gives the same.
    pub(crate) fn float(&mut self, x: f64) {
        debug_assert!(x.is_finite());
        if x.is_sign_positive() && x < (1u64 << 53) as f64 && x.fract() == 0.0 {
            return self.number(x as u64);
        }
        self.show(format_args!("{x:e}"));
    }

    pub(crate) fn null(&mut self) {
        self.value();
        self.sink.put(b"null");
    }

    pub(crate) fn boolean(&mut self, is: bool) {
        self.value();
        self.sink.put(if is { b"true" } else { b"false" });
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    /// A text that should be UTF-8. What is not becomes U+FFFD.
    pub(crate) fn bytes(&mut self, text: &[u8]) {
        self.value();
        self.sink.put(b"\"");
        for chunk in text.utf8_chunks() {
            self.escaped(chunk.valid());
            if !chunk.invalid().is_empty() {
                self.sink.put("\u{FFFD}".as_bytes());
            }
        }
        self.sink.put(b"\"");
    }

    fn escaped(&mut self, text: &str) {
        let mut rest = text.as_bytes();
        while let Some(at) = rest.iter().position(|&b| b < 0x20 || b == b'"' || b == b'\\' || b == 0x7F) {
            self.sink.put(&rest[..at]);
            _ = write!(Text(self.sink), "\\u{:04x}", rest[at]);
            rest = &rest[at + 1..];
        }
        self.sink.put(rest);
    }

    pub(crate) fn hex(&mut self, bytes: &[u8]) {
        self.value();
        self.sink.put(b"\"");
        for byte in bytes {
            _ = write!(Text(self.sink), "{byte:02x}");
        }
        self.sink.put(b"\"");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(f: impl FnOnce(&mut Json<'_>)) -> String {
        let mut text = Vec::new();
        f(&mut Json::new(&mut text));
        String::from_utf8(text).expect("UTF-8")
    }

    #[test]
    fn commas_stand_between() {
        let text = written(|j| {
            j.object(|j| {
                j.key("a").array(|j| {
                    j.number(0);
                    j.array(|_| ());
                    j.null();
                    j.object(|j| j.key("b").number(u64::MAX));
                });
                j.key("c").text("");
                j.key("d").hex(&[0, 0xAB]);
            });
        });
        assert_eq!(text, r#"{"a":[0,[],null,{"b":18446744073709551615}],"c":"","d":"00ab"}"#);
    }

    #[test]
    fn texts_are_escaped() {
        assert_eq!(written(|j| j.text("a\"b\\c\n\u{7F}ä")), "\"a\\u0022b\\u005cc\\u000a\\u007fä\"");
        assert_eq!(written(|j| j.bytes(b"\xFFa\xC3")), "\"\u{FFFD}a\u{FFFD}\"");
    }

    #[test]
    fn floats_are_read_back_as_they_were() {
        for x in [0.0, 1.0, 0.1, -2.5, 1e300, 5e-324, 9007199254740993.0, 1.0 / 3.0, f64::MAX, -0.0] {
            let text = written(|j| j.float(x));
            assert_eq!(text.parse::<f64>().expect("a number").to_bits(), x.to_bits(), "{text}");
        }
        assert_eq!(written(|j| j.float(1234.0)), "1234");
    }
}
