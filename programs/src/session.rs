//! One run of one program: what it printed, how it ended, which files it left.

use crate::place::Place;
use crate::preload::Preload;
use crate::process::{End, Running, Usage};
use crate::program::Size;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hasher};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Where programs are looked for: Debian's own before any other.
pub const PATH: &str = "/usr/bin:/bin:/usr/sbin:/sbin:/usr/local/bin";

/// A run that is under way. Its current directory is a new one, where `input` is what was prepared.
#[derive(Debug)]
pub struct Session<'a> {
    preload: &'a Preload,
    size: Size,
    patience: Duration,
    room: Place,
    transcript: File,
    variables: Vec<(String, OsString)>,
    /// Processes so far.
    started: u32,
    usage: Usage,
    hung: bool,
}

/// What a run did.
#[derive(Debug)]
pub struct Outcome {
    room: Place,
    /// Each file that the run left: its length and a hash of its bytes.
    files: BTreeMap<PathBuf, (u64, u64)>,
    /// What its processes used.
    pub usage: Usage,
    /// Whether a process had to be killed because it did not end.
    pub hung: bool,
}

/// A process in the background.
#[derive(Debug)]
pub struct Server {
    running: Running,
    what: String,
    output: [PathBuf; 2],
}

impl<'a> Session<'a> {
    /// A run with `input` as it was prepared; each of its processes may take so long.
    pub fn new(input: &Path, preload: &'a Preload, size: Size, patience: Duration) -> io::Result<Session<'a>> {
        let room = Place::new("run")?;
        fs::create_dir(room.join("work"))?;
        std::os::unix::fs::symlink(input, room.join("work/input"))?;
        let transcript = File::create(room.join("transcript"))?;
        let (variables, usage) = (vec![], Usage::default());
        Ok(Session { preload, size, patience, room, transcript, variables, started: 0, usage, hung: false })
    }

    /// How much is to be done.
    pub fn size(&self) -> Size {
        self.size
    }

    /// The one or the other by how much is to be done.
    pub fn sized<T>(&self, quick: T, full: T) -> T {
        if self.size == Size::Quick { quick } else { full }
    }

    /// The processes after this get a variable.
    pub fn set(&mut self, name: &str, value: impl Into<OsString>) {
        self.variables.push((name.into(), value.into()));
    }

    /// Runs a command under the allocator, and waits for it. Its words are divided by spaces.
    pub fn run(&mut self, command: &str) -> io::Result<()> {
        self.run_with(command, None)
    }

    /// The same with standard input from a file of the current directory.
    pub fn run_from(&mut self, command: &str, input: &str) -> io::Result<()> {
        self.run_with(command, Some(input))
    }

    /// Runs a command without the allocator, and does not count what it uses. What it prints is part of what is compared.
    pub fn plain(&mut self, command: &str, input: Option<&str>) -> io::Result<()> {
        let server = self.start(command, input, false)?;
        self.end_of(server, false)
    }

    /// The same, with what it prints left out: it tells times, or is not always the same for other reasons.
    pub fn silent(&mut self, command: &str) -> io::Result<bool> {
        let server = self.start(command, None, false)?;
        match server.running.wait(self.patience)? {
            End::Ended(status, _) => Ok(status.success()),
            End::Hung => {
                self.hung = true;
                writeln!(self.transcript, "$ {command}\n(hung)")?;
                Ok(false)
            }
        }
    }

    fn run_with(&mut self, command: &str, input: Option<&str>) -> io::Result<()> {
        let server = self.start(command, input, true)?;
        self.end_of(server, true)
    }

    /// Starts a command under the allocator, and does not wait for it.
    pub fn serve(&mut self, command: &str) -> io::Result<Server> {
        self.start(command, None, true)
    }

    /// Waits for what was started.
    pub fn end(&mut self, server: Server) -> io::Result<()> {
        self.end_of(server, true)
    }

    /// Kills what was started: it does not come up.
    pub fn give_up(&mut self, server: Server) -> io::Result<()> {
        self.patience = Duration::ZERO;
        self.end_of(server, true)
    }

    fn start(&mut self, what: &str, input: Option<&str>, preloaded: bool) -> io::Result<Server> {
        let work = self.room.join("work");
        let mut words = what.split(' ').map(String::from).collect::<Vec<_>>();
        if preloaded {
            words.splice(..0, self.preload.wrapper.iter().cloned());
        }
        let program = crate::program::which(&words[0]).unwrap_or_else(|| words[0].clone().into());
        let mut command = Command::new(program);
        command.args(&words[1..]).current_dir(&work).env_clear();
        command.envs([("PATH", PATH), ("LC_ALL", "C"), ("TZ", "UTC"), ("HOME", "."), ("TMPDIR", ".")]);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        if preloaded {
            if !self.preload.libraries.is_empty() {
                let libraries: Vec<_> = self.preload.libraries.iter().map(|l| l.as_os_str()).collect();
                command.env("LD_PRELOAD", libraries.join(":".as_ref()));
            }
            command.envs(self.preload.variables.iter().map(|(name, value)| (name, value)));
        }
        command.stdin(match input {
            Some(file) => Stdio::from(File::open(work.join(file))?),
            None => Stdio::null(),
        });
        self.started += 1;
        let output = ["stdout", "stderr"].map(|name| self.room.join(&format!("{}.{name}", self.started)));
        command.stdout(File::create(&output[0])?).stderr(File::create(&output[1])?);
        let running =
            Running::start(&mut command).map_err(|why| io::Error::new(why.kind(), format!("{what}: {why}")))?;
        Ok(Server { running, what: what.into(), output })
    }

    fn end_of(&mut self, server: Server, counts: bool) -> io::Result<()> {
        let Server { running, what, output } = server;
        let end = running.wait(self.patience)?;
        writeln!(self.transcript, "$ {what}")?;
        for (file, name) in output.iter().zip(["stdout", "stderr"]) {
            writeln!(self.transcript, "({name})")?;
            copy_lines(file, &mut self.transcript)?;
        }
        for file in output {
            fs::remove_file(file)?;
        }
        match end {
            End::Ended(status, usage) => {
                writeln!(self.transcript, "({status})")?;
                if counts {
                    self.usage.add(usage);
                }
            }
            End::Hung => {
                writeln!(self.transcript, "(hung: it had not ended after {:?})", self.patience)?;
                self.hung = true;
            }
        }
        Ok(())
    }

    /// A file in the current directory.
    pub fn file(&self, name: &str) -> PathBuf {
        self.room.join("work").join(name)
    }

    /// What it did.
    pub fn finish(self) -> io::Result<Outcome> {
        let mut files = BTreeMap::new();
        let work = self.room.join("work");
        list(&work, &work, &mut files)?;
        Ok(Outcome { room: self.room, files, usage: self.usage, hung: self.hung })
    }
}

impl Outcome {
    /// What differs first in another run, if anything does.
    pub fn difference(&self, other: &Outcome) -> io::Result<Option<String>> {
        let open = |outcome: &Outcome| File::open(outcome.room.join("transcript")).map(BufReader::new);
        let (mut a, mut b) = (open(self)?, open(other)?);
        let (mut line_a, mut line_b, mut command) = (vec![], vec![], String::new());
        loop {
            line_a.clear();
            line_b.clear();
            a.read_until(b'\n', &mut line_a)?;
            b.read_until(b'\n', &mut line_b)?;
            if line_a != line_b {
                let mut rest = vec![];
                b.take(500).read_to_end(&mut rest)?;
                let [a, b, rest] =
                    [&line_a, &line_b, &rest].map(|bytes| String::from_utf8_lossy(bytes).trim_end().to_owned());
                return Ok(Some(format!("{command}: instead of {a:?} there is {b:?}, and then {rest:?}")));
            }
            if line_a.is_empty() {
                break;
            }
            if line_a.starts_with(b"$ ") {
                command = String::from_utf8_lossy(&line_a[2..]).trim_end().into();
            }
        }
        let differs = |name: &&PathBuf| self.files.get(*name) != other.files.get(*name);
        let mut names: Vec<_> = self.files.keys().chain(other.files.keys()).filter(differs).collect();
        names.dedup();
        Ok((!names.is_empty())
            .then(|| format!("other files, or files with other content: {:?}", &names[..names.len().min(5)])))
    }

    /// All that was printed, and how each process ended.
    pub fn transcript(&self) -> io::Result<String> {
        let bytes = fs::read(self.room.join("transcript"))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Whether each process ended as a program does that succeeds.
    pub fn succeeded(&self) -> io::Result<bool> {
        let lines = BufReader::new(File::open(self.room.join("transcript"))?).split(b'\n');
        for line in lines {
            let line = line?;
            if (line.starts_with(b"(exit status") || line.starts_with(b"(signal")) && line != b"(exit status: 0)" {
                return Ok(false);
            }
        }
        Ok(!self.hung)
    }

    /// An error with the end of what was printed, if a process did not succeed.
    pub fn must_succeed(&self) -> io::Result<()> {
        if self.succeeded()? {
            return Ok(());
        }
        let transcript = self.transcript()?;
        let from = transcript.len().saturating_sub(500);
        Err(io::Error::other(format!("it fails: {}", transcript.get(from..).unwrap_or(&transcript))))
    }

    /// Leaves the run's directory there, for somebody to look into.
    pub fn keep(self) -> PathBuf {
        self.room.keep()
    }

    /// The run's directory.
    pub fn path(&self) -> PathBuf {
        self.room.join("work")
    }
}

/// Appends the lines of a file, the allocator's own too: no run that is compared asks for any, so that each is a difference.
fn copy_lines(from: &Path, to: &mut File) -> io::Result<()> {
    let (mut from, mut to, mut line) = (BufReader::new(File::open(from)?), io::BufWriter::new(to), vec![]);
    while from.read_until(b'\n', &mut line)? > 0 {
        to.write_all(&line)?;
        if line.last() != Some(&b'\n') {
            to.write_all(b"\n(no end of line)\n")?;
        }
        line.clear();
    }
    to.flush()
}

/// All files below a directory. What links lead to was prepared, and is not the run's.
fn list(root: &Path, directory: &Path, files: &mut BTreeMap<PathBuf, (u64, u64)>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let (path, kind) = entry.and_then(|entry| Ok((entry.path(), entry.file_type()?)))?;
        if kind.is_dir() {
            list(root, &path, files)?;
        } else if kind.is_file() {
            let name = path.strip_prefix(root).unwrap_or(&path).to_owned();
            files.insert(name, hash(&path)?);
        }
    }
    Ok(())
}

/// The length of a file, and a hash of its bytes: in pieces, since this process' own memory is to stay smaller than that of
/// any program that it starts.
fn hash(path: &Path) -> io::Result<(u64, u64)> {
    let (mut file, mut piece, mut hasher, mut length) = (File::open(path)?, [0; 16 << 10], DefaultHasher::new(), 0);
    loop {
        let n = file.read(&mut piece)?;
        if n == 0 {
            return Ok((length, hasher.finish()));
        }
        hasher.write(&piece[..n]);
        length += n as u64;
    }
}
