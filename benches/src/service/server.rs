//! The services: the dispatcher, built with each allocator.

use super::cores;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

/// A service to be compared.
pub(super) struct Service {
    pub(super) name: &'static str,
    /// What the dispatcher is built with.
    features: &'static [&'static str],
    /// `TENURE`: the defaults for production. The dispatcher itself has small thresholds, so that one sees something soon.
    tenure: &'static str,
}

pub(super) const SERVICES: [Service; 6] = [
    Service {
        name: "sampled",
        features: &[],
        tenure: "sampled=512KiB,depth=64,young=64MiB,young_per_middle=8,middle_per_old=8,idle=10s",
    },
    Service {
        name: "exact",
        features: &[],
        tenure: "exact,depth=64,young=64MiB,young_per_middle=8,middle_per_old=8,idle=10s",
    },
    // The allocator alone, to tell what the instruments cost from what it costs itself.
    Service { name: "off", features: &[], tenure: "off,collect=off" },
    Service { name: "mimalloc", features: &["--no-default-features", "--features", "mimalloc"], tenure: "" },
    Service { name: "jemalloc", features: &["--no-default-features", "--features", "jemalloc"], tenure: "" },
    Service { name: "system", features: &["--no-default-features"], tenure: "" },
];

impl Service {
    pub(super) fn is_tenure(&self) -> bool {
        !self.tenure.is_empty()
    }

    /// Builds it; peers in places of their own, because all have the same name.
    pub(super) fn build(&self, room: &Path, built: bool) -> Result<PathBuf, String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        // `room` is the folder `tmp` of where everything is built.
        let target = match room.parent() {
            Some(target) if self.is_tenure() => target.to_path_buf(),
            _ => room.join(format!("service-{}", self.name)),
        };
        let program = target.join("release/dispatcher");
        if built && program.exists() {
            return Ok(program);
        }
        eprintln!("building the dispatcher for {} ...", self.name);
        let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .current_dir(root)
            .args(["build", "--quiet", "--release", "-p", "tenure-dispatcher"])
            .args(self.features)
            .env("CARGO_TARGET_DIR", &target)
            .status()
            .map_err(|why| format!("cargo: {why}"))?;
        match status.success() {
            true => Ok(program),
            false => {
                Err(format!("the dispatcher was not built for {}; --only leaves out what cannot be built", self.name))
            }
        }
    }
}

/// A service that runs. Dropping it ends it.
pub(super) struct Running {
    child: Child,
    pub(super) address: String,
    /// Kept open: what it prints must not end it.
    _output: BufReader<ChildStdout>,
}

impl Running {
    pub(super) fn start(service: &Service, program: &Path) -> Result<Running, String> {
        let mut command = cores::service(program);
        // One event loop, whatever the number of cores that it does not have.
        command.args(["--port", "0", "--quiet"]).env("TOKIO_WORKER_THREADS", "1").env("TENURE", service.tenure);
        let mut child = command.stdout(Stdio::piped()).spawn().map_err(|why| format!("{}: {why}", service.name))?;
        let mut output = BufReader::new(child.stdout.take().ok_or("no output")?);
        let mut printed = String::new();
        while !printed.ends_with("\n\n") {
            let n = output.read_line(&mut printed).map_err(|why| why.to_string())?;
            if n == 0 || printed.contains("http://") {
                break;
            }
        }
        let address = printed.split_once("http://").map(|(_, rest)| rest.split([' ', '/', '\n']).next().unwrap_or(""));
        let address = address.ok_or(format!("{} printed no address: {printed:?}", service.name))?.to_string();
        Ok(Running { child, address, _output: output })
    }

    /// Microseconds of processor time so far, in its own code and in the kernel; to a hundredth of a second.
    pub(super) fn processor_us(&self) -> Result<f64, String> {
        let path = format!("/proc/{}/stat", self.child.id());
        let text = std::fs::read_to_string(&path).map_err(|why| format!("{path}: {why}"))?;
        // Behind the name, which may hold anything; the 14th and 15th field of all. A tick is 10 ms on Linux, for programs.
        let fields = text.rsplit_once(')').map(|(_, rest)| rest.split_whitespace());
        let ticks: Vec<f64> = fields.into_iter().flatten().skip(11).take(2).filter_map(|f| f.parse().ok()).collect();
        match ticks[..] {
            [user, system] => Ok((user + system) * 1e4),
            _ => Err(format!("{path} does not say how much processor time was taken")),
        }
    }

    /// Resident KiB, counted page by page.
    pub(super) fn resident_kib(&self) -> Result<u64, String> {
        // `taskset` becomes the service, so it is the same process.
        let path = format!("/proc/{}/smaps_rollup", self.child.id());
        let text = std::fs::read_to_string(&path).map_err(|why| format!("{path}: {why}"))?;
        let line = text.lines().find_map(|line| line.strip_prefix("Rss:"));
        let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse().ok());
        kib.ok_or(format!("{path} has no line Rss:"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
