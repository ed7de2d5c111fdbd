//! Compiles the programs beside this file, and runs them with the library preloaded.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// The library, with debug assertions.
pub(crate) fn library() -> PathBuf {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| crate::library::library(crate::library::Build::Checked)).clone()
}

/// Where the sources are.
fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c")
}

/// Compiles a program or, with `-shared` among the arguments, a library. `None`, and a line that says so, without a compiler.
pub(crate) fn compile(test: &str, source: &str, arguments: &[&str]) -> Option<PathBuf> {
    let (compiler, variable) = if source.ends_with(".cc") { ("c++", "CXX") } else { ("cc", "CC") };
    let compiler = std::env::var(variable).unwrap_or(compiler.into());
    // Of this test alone: tests run at the same time.
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{test}-{}", source.replace('.', "-")));
    let mut command = Command::new(&compiler);
    command.args(["-O1", "-g", "-w", "-fno-builtin", "-pthread", "-o"]);
    let compiled = command.arg(&out).arg(sources().join(source)).args(arguments).arg("-ldl").output();
    let Ok(compiled) = compiled else {
        println!("skipped: {test}, because there is no {compiler}");
        return None;
    };
    assert!(compiled.status.success(), "{source}: {}", String::from_utf8_lossy(&compiled.stderr));
    Some(out)
}

/// A program that is about to run with the library.
pub(crate) struct Program(Command);

impl Program {
    pub(crate) fn new(program: &Path) -> Program {
        let mut command = Command::new(program);
        command.env("LD_PRELOAD", library()).env_remove("TENURE");
        Program(command)
    }

    pub(crate) fn args(mut self, arguments: &[&str]) -> Program {
        self.0.args(arguments);
        self
    }

    /// What `TENURE` is.
    pub(crate) fn tenure(mut self, words: &str) -> Program {
        self.0.env("TENURE", words);
        self
    }

    /// Bytes of address space that the program may have from its first instruction on.
    pub(crate) fn address_space(mut self, bytes: u64) -> Program {
        // SAFETY: a system call, and nothing else, between fork and exec.
        unsafe {
            self.0.pre_exec(move || {
                let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
                match libc::setrlimit(libc::RLIMIT_AS, &limit) {
                    0 => Ok(()),
                    _ => Err(std::io::Error::last_os_error()),
                }
            })
        };
        self
    }

    pub(crate) fn output(mut self) -> Output {
        // What is meant to abort leaves no file.
        // SAFETY: as above.
        unsafe {
            self.0.pre_exec(|| {
                let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
                libc::setrlimit(libc::RLIMIT_CORE, &none);
                Ok(())
            })
        };
        self.0.output().expect("the program starts")
    }

    /// The program finds that all is well.
    pub(crate) fn passes(self) {
        let what = format!("{:?}", self.0);
        let output = self.output();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{what}: {}\n{out}{err}", output.status);
        assert!(out.contains("all is well"), "{what}: {out}{err}");
    }
}

/// The modes that a program runs in.
pub(crate) const MODES: [&str; 3] = ["sampled=512KiB", "exact", "sampled=64"];
