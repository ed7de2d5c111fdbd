//! How much work a file may make.

/// Something in a file that makes no sense, or is more than sense has use for: what it was about remains without a name.
#[derive(Debug)]
pub(super) struct Bad;

impl From<gimli::Error> for Bad {
    fn from(_: gimli::Error) -> Bad {
        Bad
    }
}

/// Steps, of some nanoseconds each, that may still be taken with a file. A file can be written so that looking up one
/// address takes for ever: entries that share a long list, units that share a large table. So what is read again is paid
/// for again, and a file that has used up what no honest one needs gives no more names.
#[derive(Debug)]
pub(super) struct Fuel(u64);

impl Fuel {
    /// For a file with so many bytes of debug information, for one report.
    pub(super) fn for_bytes(bytes: usize) -> Fuel {
        Fuel((256 << 20) + 16 * bytes as u64)
    }

    pub(super) fn burn(&mut self, steps: usize) -> Result<(), Bad> {
        self.0 = self.0.saturating_sub(steps as u64);
        if self.0 > 0 { Ok(()) } else { Err(Bad) }
    }

    /// A fraction of it, so that tests need not wait.
    #[cfg(test)]
    pub(super) fn divided(self, by: u64) -> Fuel {
        Fuel(self.0 / by)
    }

    pub(super) fn is_spent(&self) -> bool {
        self.0 == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_ends() {
        let mut fuel = Fuel(10);
        assert!(fuel.burn(9).is_ok() && !fuel.is_spent());
        assert!(fuel.burn(usize::MAX).is_err() && fuel.is_spent());
        assert!(fuel.burn(0).is_err(), "and stays ended");
    }
}
