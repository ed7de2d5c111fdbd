//! Numbers as people read them. Writing them allocates nothing.

use std::fmt;

/// A few characters, written without allocating so that printing a reading does not change the next one.
#[derive(Default)]
struct Short {
    text: [u8; 32],
    len: usize,
}

impl fmt::Write for Short {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.text.get_mut(self.len..self.len + s.len()).ok_or(fmt::Error)?.copy_from_slice(s.as_bytes());
        self.len += s.len();
        Ok(())
    }
}

impl Short {
    fn pad(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(std::str::from_utf8(&self.text[..self.len]).map_err(|_| fmt::Error)?)
    }
}

/// Bytes in the unit that a person would choose.
pub(crate) struct Bytes(pub(crate) usize);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        let mut short = Short::default();
        match self.0 {
            n if n < 1 << 10 => write!(short, "{n} B")?,
            n if n < 1 << 20 => write!(short, "{:.1} KiB", n as f64 / 1024.0)?,
            n if n < 10 << 30 => write!(short, "{:.1} MiB", n as f64 / 1_048_576.0)?,
            n => write!(short, "{:.1} GiB", n as f64 / 1_073_741_824.0)?,
        }
        short.pad(f)
    }
}

/// A number with its thousands apart.
pub(crate) struct Count(pub(crate) u64);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        let (mut digits, mut apart) = (Short::default(), Short::default());
        write!(digits, "{}", self.0)?;
        for (i, &digit) in digits.text[..digits.len].iter().enumerate() {
            if i > 0 && (digits.len - i).is_multiple_of(3) {
                apart.write_char(' ')?;
            }
            apart.write_char(digit.into())?;
        }
        apart.pad(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_people_read_them() {
        let text = |n| Count(n).to_string();
        assert_eq!(
            [text(0), text(999), text(1000), text(u64::MAX)].join("|"),
            "0|999|1 000|18 446 744 073 709 551 615"
        );
        assert_eq!(format!("{:>10}|{}", Bytes(1023), Bytes(1 << 20)), "    1023 B|1.0 MiB");
    }
}
