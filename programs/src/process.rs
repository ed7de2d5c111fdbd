//! One process: its end, its time, its memory; and what is done with one that hangs.

use std::io;
use std::mem::MaybeUninit;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

/// What a process and those that it waited for have used.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// Seconds from the start to the end.
    pub wall: f64,
    /// Seconds of processors, in the program and in the kernel.
    pub processor: f64,
    /// The largest resident memory of any of them, in KiB.
    pub peak_kib: u64,
}

impl Usage {
    /// One after the other.
    pub fn add(&mut self, other: Usage) {
        self.wall += other.wall;
        self.processor += other.processor;
        self.peak_kib = self.peak_kib.max(other.peak_kib);
    }
}

/// A process that runs, in a group of its own.
#[derive(Debug)]
pub struct Running {
    pid: libc::pid_t,
    began: Instant,
    waited: bool,
}

/// How a process ended.
#[derive(Clone, Copy, Debug)]
pub enum End {
    /// By itself or by a signal.
    Ended(ExitStatus, Usage),
    /// It ran for too long, and was killed with all its children.
    Hung,
}

impl Running {
    /// Starts a command.
    pub fn start(command: &mut Command) -> io::Result<Running> {
        let began = Instant::now();
        let child = command.process_group(0).spawn()?;
        Ok(Running { pid: child.id() as libc::pid_t, began, waited: false })
    }

    /// Waits until it ends, at most so long.
    pub fn wait(mut self, patience: Duration) -> io::Result<End> {
        if !self.ends_within(patience)? {
            return Ok(End::Hung); // dropped, and with that killed
        }
        let (status, usage) = self.reap()?;
        Ok(End::Ended(ExitStatus::from_raw(status), usage))
    }

    fn ends_within(&self, patience: Duration) -> io::Result<bool> {
        // SAFETY: the process is a child that was not waited for, so its number is its own.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, self.pid, 0) } as i32;
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        // SAFETY: one descriptor, ours, closed here alone.
        let ready = unsafe {
            let ready = libc::poll(&mut poll, 1, patience.as_millis() as i32);
            libc::close(fd);
            ready
        };
        if ready < 0 { Err(io::Error::last_os_error()) } else { Ok(ready > 0) }
    }

    fn reap(&mut self) -> io::Result<(i32, Usage)> {
        let (mut status, mut usage) = (0, MaybeUninit::<libc::rusage>::zeroed());
        // SAFETY: both places are ours; zeros are a value of either.
        let (done, usage) = unsafe {
            let done = libc::wait4(self.pid, &mut status, 0, usage.as_mut_ptr());
            (done, usage.assume_init())
        };
        if done != self.pid {
            return Err(io::Error::last_os_error());
        }
        self.waited = true;
        let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
        let usage = Usage {
            wall: self.began.elapsed().as_secs_f64(),
            processor: seconds(usage.ru_utime) + seconds(usage.ru_stime),
            peak_kib: usage.ru_maxrss as u64,
        };
        Ok((status, usage))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.waited {
            // SAFETY: the group is that of a child which was not waited for, so its number is its own.
            unsafe { libc::kill(-self.pid, libc::SIGKILL) };
            _ = self.reap();
        }
    }
}
