//! Programs on cores of their own.

use std::process::Command;

/// The argument by which this program knows that it is to be the clients.
pub(super) const CLIENTS: &str = "--be-the-clients";

const SERVICE_CORE: &str = "0";
const CLIENT_CORE: &str = "1";

/// A service on its core.
pub(super) fn service(program: &std::path::Path) -> Command {
    on(SERVICE_CORE, program)
}

/// This program again, as the clients, on theirs.
pub(super) fn clients() -> Result<Command, String> {
    let program = std::env::current_exe().map_err(|why| format!("this program does not find itself: {why}"))?;
    let mut command = on(CLIENT_CORE, &program);
    command.arg(CLIENTS);
    Ok(command)
}

/// Where there is no `taskset`, or one core, they share what there is.
fn on(core: &str, program: &std::path::Path) -> Command {
    if std::thread::available_parallelism().is_ok_and(|n| n.get() > 1) && has_taskset() {
        let mut command = Command::new("taskset");
        command.args(["-c", core]).arg(program);
        return command;
    }
    Command::new(program)
}

fn has_taskset() -> bool {
    static HAS: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *HAS.get_or_init(|| {
        let has = Command::new("taskset").arg("--version").output().is_ok_and(|o| o.status.success());
        if !has {
            eprintln!("no taskset: the service and its clients share their cores, and the figures are worth less");
        }
        has
    })
}
