//! What stands behind the `?`: pairs of a known name and a value, within bounds.

use super::answer::Fault;
use std::borrow::Cow;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// Pairs that are read.
const MOST: usize = 16;

/// The pairs of a request.
#[derive(Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Takes a query apart. Every name must be known, and none come twice.
    pub(super) fn parse(text: &str, known: &[&str]) -> Result<Query, Fault> {
        let mut pairs = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            if pairs.len() == MOST {
                return Err(Fault::bad(format!("the query has more than {MOST} parameters: leave some out")));
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decoded(name)?, decoded(value)?);
            if !known.contains(&&*name) {
                return Err(Fault::bad(format!(
                    "there is no parameter {}: it must be one of {}",
                    shown(&name),
                    known.join(", ")
                )));
            }
            if pairs.iter().any(|(other, _)| *other == name) {
                return Err(Fault::bad(format!("the parameter {name} is given twice: give it once")));
            }
            pairs.push((name, value));
        }
        Ok(Query(pairs))
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|pair| pair.0 == name).map(|pair| &*pair.1)
    }

    /// A whole number within bounds.
    pub(super) fn number(&self, name: &str, bounds: RangeInclusive<u64>) -> Result<Option<u64>, Fault> {
        let Some(text) = self.text(name) else { return Ok(None) };
        // `+5` is not a number that anybody writes.
        let number = text.parse().ok().filter(|n| bounds.contains(n) && text.bytes().all(|b| b.is_ascii_digit()));
        let (least, most) = (bounds.start(), bounds.end());
        let fault =
            || Fault::bad(format!("{name} is {}: it must be a whole number from {least} to {most}", shown(text)));
        number.map(Some).ok_or_else(fault)
    }

    /// `1` or `0`; not there is `0`.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Fault> {
        Ok(self.number(name, 0..=1)? == Some(1))
    }

    /// Something that has words, which its error lists.
    pub(super) fn word<T: FromStr<Err: Display>>(&self, name: &str) -> Result<Option<T>, Fault> {
        let Some(text) = self.text(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|error| Fault::bad(format!("{name} is {}: {error}", shown(text))))
    }
}

/// `%41+` as `A `.
fn decoded(text: &str) -> Result<String, Fault> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || rest.next().and_then(|b| char::from(b).to_digit(16));
                match (digit(), digit()) {
                    (Some(high), Some(low)) => (high * 16 + low) as u8,
                    _ => return Err(Fault::bad("the query has a % without two hexadecimal digits: write %25 for it")),
                }
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).map_err(|_| Fault::bad("the query is not UTF-8: encode it as UTF-8"))
}

/// A text from outside as it may stand in an error: short, and nothing but letters, digits and what means nothing anywhere.
pub(super) fn shown(text: &str) -> Cow<'static, str> {
    const LONGEST: usize = 40;
    if text.is_empty() {
        return "(empty)".into();
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '/' | '*' | ' ');
    let mut shown: String = text.chars().take(LONGEST).map(|c| if fits(c) { c } else { '?' }).collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push_str("...");
    }
    shown.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> String {
        Query::parse(text, &["n", "by", "filter"]).expect_err(text).line.into_owned()
    }

    #[test]
    fn pairs_are_decoded() {
        let query = Query::parse("n=5&&filter=%2Fa+b%c3%A4&by", &["n", "by", "filter"]).expect("a query");
        assert_eq!((query.text("filter"), query.text("by"), query.text("x")), (Some("/a bä"), Some(""), None));
        assert_eq!(query.number("n", 1..=10).expect("a number"), Some(5));
        assert_eq!(query.number("x", 1..=10).expect("nothing"), None);
        assert!(!query.flag("x").expect("nothing"));
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert_eq!(fault("x=1"), "there is no parameter x: it must be one of n, by, filter");
        assert_eq!(fault("n=1&n=1"), "the parameter n is given twice: give it once");
        for cut in ["n=%", "n=%4", "n=%4g", "%zz=1"] {
            assert!(fault(cut).contains("without two hexadecimal digits"), "{cut}");
        }
        assert!(fault("n=%ff").contains("not UTF-8"));
        assert!(fault(&"&n=1".repeat(2)).contains("twice"));
        let many: Vec<String> = (0..17).map(|i| format!("n{i}=1")).collect();
        let known: Vec<String> = (0..17).map(|i| format!("n{i}")).collect();
        let known: Vec<&str> = known.iter().map(|n| &**n).collect();
        let error = Query::parse(&many.join("&"), &known).expect_err("too many");
        assert!(error.line.contains("more than 16"), "{}", error.line);
        assert!(Query::parse(&many[..16].join("&"), &known).is_ok());
    }

    #[test]
    fn numbers_are_bounded() {
        for (text, said) in [
            ("n=", "n is (empty): it must be a whole number from 1 to 10"),
            ("n=0", "n is 0: it must be a whole number from 1 to 10"),
            ("n=11", "n is 11: "),
            ("n=%2b5", "n is ?5: "),
            ("n=-1", "n is -1: "),
            ("n=1e1", "n is 1e1: "),
            ("n=99999999999999999999", "n is 99999999999999999999: "),
            ("n=<script>", "n is ?script?: "),
        ] {
            let query = Query::parse(text, &["n"]).expect(text);
            let error = query.number("n", 1..=10).expect_err(text);
            assert!(error.line.starts_with(said), "{text}: {}", error.line);
        }
    }

    #[test]
    fn what_is_shown_is_short_and_harmless() {
        assert_eq!(shown("a::b/*"), "a::b/*");
        assert_eq!(shown("\"'<>&\u{1b}\n"), "???????");
        assert_eq!(shown(&"ä".repeat(50)), "?".repeat(40) + "...");
    }
}
