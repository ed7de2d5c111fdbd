//! When snapshots are written to files, and to which.

/// When the allocator writes a snapshot of what is held to a file, by itself, and to which file: for
/// [`Tenure::dumps`](crate::Tenure::dumps). In the environment: `TENURE=dump=exit,dump=peak:1GiB,dump_path=/tmp/%p.%n.json`.
///
/// [`tenure::dump`](crate::dump) says what is in the files, and what a dump costs.
///
/// ```
/// use tenure::{Dumps, Tenure};
///
/// #[global_allocator]
/// static ALLOC: Tenure = Tenure::new().dumps(Dumps::new().at_peak(2 << 30).on_failure().path("/tmp/service.%p.%n.json"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dumps {
    pub(crate) exit: bool,
    pub(crate) failure: bool,
    pub(crate) signal: Option<Signal>,
    /// 0: never.
    pub(crate) every_secs: u32,
    /// 0: none.
    pub(crate) peak: u64,
    pub(crate) path: &'static str,
    pub(crate) keep: u32,
    pub(crate) most_bytes: u64,
}

/// Files of a process that are kept, at most.
pub(crate) const MOST_KEPT: u32 = 256;
/// Bytes of a file: its bound is between these.
pub(crate) const FILE_BYTES: std::ops::RangeInclusive<u64> = 32 << 20..=1 << 40;
/// Bytes of a path.
pub(crate) const LONGEST_PATH: usize = 3800;

impl Dumps {
    /// No dumps.
    pub const fn new() -> Dumps {
        Dumps {
            exit: false,
            failure: false,
            signal: None,
            every_secs: 0,
            peak: 0,
            path: "tenure.%p.%n.json",
            keep: 8,
            most_bytes: 256 << 20,
        }
    }

    /// When the process exits: returns from `main`, or calls `exit`. Not when it is killed, or aborts.
    pub const fn at_exit(mut self) -> Dumps {
        self.exit = true;
        self
    }

    /// When an allocation is about to fail, before it returns null; again for one that fails a minute later.
    pub const fn on_failure(mut self) -> Dumps {
        self.failure = true;
        self
    }

    /// When the process gets a signal. The handler sets a flag, and a thread writes the dump.
    ///
    /// It takes the place of what the process did with the signal, ignored ones included; a handler that the program installs
    /// later takes its place.
    pub const fn on_signal(mut self, signal: Signal) -> Dumps {
        self.signal = Some(signal);
        self
    }

    /// Again and again, after so many seconds.
    ///
    /// # Panics
    /// If it is 0; in a `static`, at compile time.
    pub const fn every_secs(mut self, secs: u32) -> Dumps {
        assert!(secs > 0, "at least a second lies between dumps");
        self.every_secs = secs;
        self
    }

    /// When the memory in use passes so many bytes, and again each time when it has grown by a quarter since.
    ///
    /// In use is what lies in pages with live blocks: [`Stats::committed`](crate::Stats::committed) less
    /// [`due`](crate::Stats::due), plus [`holes`](crate::Stats::holes). The thread that passes it writes the dump, before its allocation returns.
    ///
    /// # Panics
    /// If it is 0; in a `static`, at compile time.
    pub const fn at_peak(mut self, bytes: u64) -> Dumps {
        assert!(bytes > 0, "a peak is more than nothing");
        self.peak = bytes;
        self
    }

    /// The files' names: `%p` becomes the process' id, `%n` the number of the dump from 1 on, `%%` a `%`. Without a `%n`, the
    /// number is appended after a dot. Default: `tenure.%p.%n.json`, in the current directory of the moment.
    ///
    /// # Panics
    /// If there is another letter after a `%`, if it is empty, or longer than some 3,700 bytes; in a `static`, at compile time.
    pub const fn path(mut self, pattern: &'static str) -> Dumps {
        assert!(is_pattern(pattern), "a path, with %p for the process, %n for the number, and %% for a %");
        self.path = pattern;
        self
    }

    /// How many files of the process are kept: 1 to 256. When there is one more, the oldest is removed. Default: 8.
    ///
    /// # Panics
    /// If it is out of range; in a `static`, at compile time.
    pub const fn keep(mut self, files: u32) -> Dumps {
        assert!(1 <= files && files <= MOST_KEPT, "1 to 256 files are kept");
        self.keep = files;
        self
    }

    /// Bytes of a file, about, at most: 32 MiB to 1 TiB. What does not fit is counted in one site for all, `(overflow)`, so that the
    /// sums stay right. Default: 256 MiB, which is a hundred thousand call stacks and more.
    ///
    /// # Panics
    /// If it is out of range; in a `static`, at compile time.
    pub const fn max_bytes(mut self, bytes: u64) -> Dumps {
        assert!(*FILE_BYTES.start() <= bytes && bytes <= *FILE_BYTES.end(), "a file has 32 MiB to 1 TiB");
        self.most_bytes = bytes;
        self
    }

    /// Whether a thread must wait for it.
    pub(crate) const fn needs_thread(&self) -> bool {
        self.signal.is_some() || self.every_secs > 0
    }
}

impl Default for Dumps {
    fn default() -> Self {
        Dumps::new()
    }
}

/// When a report of what is held is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reports {
    pub(crate) exit: bool,
    /// At the exit of short and small children too, where this allocator is a library: see `dump::leaks`.
    pub(crate) children: bool,
    pub(crate) signal: Option<Signal>,
}

impl Reports {
    pub(crate) const NEVER: Reports = Reports { exit: false, children: false, signal: None };
}

/// A signal that a program may use for its own ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Signal {
    /// `SIGHUP`
    Hup,
    /// `SIGQUIT`
    Quit,
    /// `SIGUSR1`
    Usr1,
    /// `SIGUSR2`
    Usr2,
    /// `SIGURG`
    Urg,
    /// `SIGIO`
    Io,
    /// `SIGPWR`
    Pwr,
    /// `SIGWINCH`
    Winch,
}

impl Signal {
    const ALL: [Signal; 8] =
        [Signal::Hup, Signal::Quit, Signal::Usr1, Signal::Usr2, Signal::Urg, Signal::Io, Signal::Pwr, Signal::Winch];

    /// Its name without `SIG`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Signal::Hup => "HUP",
            Signal::Quit => "QUIT",
            Signal::Usr1 => "USR1",
            Signal::Usr2 => "USR2",
            Signal::Urg => "URG",
            Signal::Io => "IO",
            Signal::Pwr => "PWR",
            Signal::Winch => "WINCH",
        }
    }

    /// By its name, with or without `SIG`.
    pub(super) fn named(name: &str) -> Option<Signal> {
        let name = name.strip_prefix("SIG").unwrap_or(name);
        Signal::ALL.into_iter().find(|signal| signal.name() == name)
    }
}

/// Whether a text is a pattern for paths, which fit though its numbers have ten digits.
pub(super) const fn is_pattern(text: &str) -> bool {
    const DIGITS: usize = 10;
    let bytes = text.as_bytes();
    let (mut i, mut len) = (0, DIGITS + 1);
    while i < bytes.len() {
        if bytes[i] == 0 {
            return false;
        }
        if bytes[i] == b'%' {
            i += 1;
            if i == bytes.len() || !matches!(bytes[i], b'p' | b'n' | b'%') {
                return false;
            }
            len += DIGITS;
        }
        i += 1;
        len += 1;
    }
    !bytes.is_empty() && len <= LONGEST_PATH
}
