//! Runs a test's body in a process of its own: for aborts, forks, limits, figures of memory that nothing else
//! disturbs, and for what happens before and after `main`.
//!
//! The test executable is started again with an environment variable that names the scenario, and the name of the
//! test, which enters the same function and finds that it is the child.

use std::ffi::CString;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const VARIABLE: &str = "TENURE_TEST_CHILD";

/// A scenario that is about to run in a child process.
#[derive(Debug)]
pub struct Scenario {
    test: &'static str,
    patience: Duration,
    command: Command,
}

/// How a child ended.
#[derive(Debug)]
pub struct Outcome {
    /// Its exit code or signal.
    pub status: ExitStatus,
    /// What it wrote.
    pub stdout: String,
    /// What it wrote.
    pub stderr: String,
    /// Whether the body ran to its end: a child in which no test had this name would succeed as well.
    pub completed: bool,
}

impl Scenario {
    /// `test` is the path of the test function that calls this, as `cargo test` prints it.
    pub fn new(test: &'static str) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("the path of this test"));
        command.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(VARIABLE, test);
        // Half a minute of a processor is what the longest takes; a machine may be busy with other things.
        Scenario { test, patience: Duration::from_secs(400), command }
    }

    /// How long the child may take before it counts as hanging: far more than it takes on a busy machine.
    pub fn patience(mut self, seconds: u64) -> Self {
        self.patience = Duration::from_secs(seconds);
        self
    }

    /// Sets an environment variable for the child.
    pub fn env(mut self, key: &str, value: &str) -> Self {
        self.command.env(key, value);
        self
    }

    /// Limits the child's address space from its first instruction on.
    pub fn address_space(mut self, bytes: usize) -> Self {
        // SAFETY: between fork and exec only setrlimit is called, which is async-signal-safe in practice (a plain
        // system call).
        unsafe { self.command.pre_exec(move || limit_address_space(bytes)) };
        self
    }

    /// Puts the child into a cgroup of version 2 from its first instruction on.
    pub fn cgroup(mut self, group: &Path) -> Self {
        let procs = CString::new(group.join("cgroup.procs").as_os_str().as_bytes()).expect("a path without a zero");
        // SAFETY: between fork and exec only system calls are made. "0" is whoever writes it.
        unsafe {
            self.command.pre_exec(move || {
                let fd = libc::open(procs.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
                let written = fd >= 0 && libc::write(fd, c"0".as_ptr().cast(), 1) == 1;
                if written { Ok(()) } else { Err(std::io::Error::last_os_error()) }
            })
        };
        self
    }

    /// Runs the body in the child, and in the parent waits and passes on what the child wrote.
    ///
    /// # Panics
    /// In the parent, if the child did not succeed.
    pub fn run(self, body: impl FnOnce()) {
        let test = self.test;
        if let Some(outcome) = self.outcome(body) {
            outcome.print();
            assert!(outcome.status.success(), "{test}: the child ended with {}", outcome.status);
            assert!(outcome.completed, "{test}: the child did not run the scenario; is this the test's name?");
        }
    }

    /// Runs the body in the child and returns `None` there; in the parent waits and returns how the child ended.
    ///
    /// # Panics
    /// In the parent, if the child hangs; it is killed then, with all processes that it started.
    pub fn outcome(mut self, body: impl FnOnce()) -> Option<Outcome> {
        if std::env::var(VARIABLE).is_ok_and(|name| name == self.test) {
            body();
            println!("{}", self.marker());
            return None;
        }
        // A process group of its own, so that what it forked can be killed with it.
        self.command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().expect("start this test again");
        let stdout = collect(child.stdout.take().expect("piped"));
        let stderr = collect(child.stderr.take().expect("piped"));
        let hangs = !wait(child.id(), self.patience);
        // SAFETY: kill has no memory effects. The child is dead or about to be, but not reaped: its number, and the
        // group's, are still its own.
        unsafe { libc::kill(-(child.id() as libc::pid_t), libc::SIGKILL) };
        let status = child.wait().expect("the child was not reaped");
        let stdout = stdout.join().expect("the reader does not panic");
        let stderr = stderr.join().expect("the reader does not panic");
        let outcome = Outcome { status, completed: stdout.contains(&self.marker()), stdout, stderr };
        if hangs {
            outcome.print();
            panic!("{}: the child hung for {:?} and was killed", self.test, self.patience);
        }
        Some(outcome)
    }

    fn marker(&self) -> String {
        format!("[{} ran to its end]", self.test)
    }
}

impl Outcome {
    /// Passes on what the child wrote, without what the test harness says around it.
    pub fn print(&self) {
        let of_harness =
            |line: &&str| ["running ", "test result", "ok", "["].iter().any(|start| line.starts_with(start));
        for line in self.stdout.lines() {
            // The harness does not end its line before the test writes.
            let line =
                line.strip_prefix("test ").map_or(line, |rest| rest.split_once(" ... ").map_or(line, |parts| parts.1));
            if !line.is_empty() && !of_harness(&line) {
                println!("{line}");
            }
        }
        eprint!("{}", self.stderr);
    }

    /// The signal that ended the child.
    pub fn signal(&self) -> Option<i32> {
        self.status.signal()
    }
}

/// Sets the soft and the hard limit of this process's address space.
///
/// # Errors
/// That of `setrlimit`.
pub fn limit_address_space(bytes: usize) -> std::io::Result<()> {
    let limit = libc::rlimit { rlim_cur: bytes as libc::rlim_t, rlim_max: bytes as libc::rlim_t };
    // SAFETY: the struct is valid for the call.
    match unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

fn collect(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // Whatever came before an error is worth showing.
        let _ = pipe.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Waits for the end of the process without reaping it; false if it does not end in time.
fn wait(process: u32, patience: Duration) -> bool {
    let begin = Instant::now();
    while begin.elapsed() < patience {
        // SAFETY: all zeroes is a valid siginfo_t, and waitid writes to ours only.
        let ended = unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            libc::waitid(libc::P_PID, process, &mut info, libc::WEXITED | libc::WNOHANG | libc::WNOWAIT) == 0
                && info.si_pid() != 0
        };
        if ended {
            return true;
        }
        thread::sleep(Duration::from_millis(5));
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_runs_in_another_process() {
        let parent = std::process::id().to_string();
        let scenario = Scenario::new("child::tests::a_scenario_runs_in_another_process").env("PARENT", &parent);
        scenario.run(|| assert_ne!(std::env::var("PARENT").unwrap(), std::process::id().to_string()));
    }

    #[test]
    fn a_panic_in_the_child_is_seen() {
        let outcome = Scenario::new("child::tests::a_panic_in_the_child_is_seen").outcome(|| panic!("on purpose"));
        if let Some(outcome) = outcome {
            assert!(!outcome.status.success() && !outcome.completed && outcome.stderr.contains("on purpose"));
        }
    }

    #[test]
    fn an_abort_is_seen() {
        let outcome = Scenario::new("child::tests::an_abort_is_seen").outcome(|| std::process::abort());
        if let Some(outcome) = outcome {
            assert_eq!(outcome.signal(), Some(libc::SIGABRT));
        }
    }

    #[test]
    fn a_wrong_name_is_no_success() {
        let outcome = Scenario::new("child::tests::there_is_no_such_test").outcome(|| ());
        assert!(outcome.is_some_and(|outcome| outcome.status.success() && !outcome.completed));
    }

    #[test]
    #[should_panic(expected = "hung")]
    fn a_child_that_hangs_is_killed() {
        Scenario::new("child::tests::a_child_that_hangs_is_killed").patience(1).run(|| {
            loop {
                thread::sleep(Duration::from_secs(1));
            }
        });
    }
}
