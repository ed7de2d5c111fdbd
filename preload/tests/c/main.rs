//! C and C++ programs with the library preloaded. Each looks at itself and says what is not as it should be.

mod invalid;
#[path = "../library/mod.rs"]
mod library;
mod support;

use support::{MODES, Program, compile};

/// Runs a program in each mode.
fn in_each_mode(test: &str, source: &str) {
    let Some(program) = compile(test, source, &[]) else { return };
    MODES.iter().for_each(|mode| Program::new(&program).tenure(mode).passes());
}

#[test]
fn entry_points_do_what_is_documented() {
    in_each_mode("conformance", "conformance.c");
}

#[test]
fn cpp_programs() {
    in_each_mode("cpp", "statics.cc");
}

#[test]
fn what_the_loader_allocated_is_left_alone() {
    in_each_mode("loaders", "loaders.c");
}

#[test]
fn threads_free_what_others_allocate() {
    in_each_mode("threads", "threads.c");
}

#[test]
fn constructors_threads_libraries_and_exit() {
    let shared = ["-shared", "-fPIC"];
    let Some(linked) = compile("life-linked", "early.c", &shared) else { return };
    let Some(opened) = compile("life-opened", "early.c", &shared) else { return };
    let linked = linked.to_str().expect("UTF-8");
    let Some(program) = compile("life", "life.c", &[linked, "-Wl,-rpath,/"]) else { return };
    for mode in MODES {
        for words in [mode.to_string(), format!("{mode},leaks")] {
            Program::new(&program).args(&[opened.to_str().expect("UTF-8")]).tenure(&words).passes();
        }
    }
}

#[test]
#[cfg(all(target_arch = "x86_64", target_env = "gnu"))]
fn before_the_program_is_joined() {
    for now in ["-Wl,-z,lazy", "-Wl,-z,now"] {
        let Some(program) = compile("ifunc", "ifunc.c", &[now]) else { return };
        MODES.iter().for_each(|mode| Program::new(&program).tenure(mode).passes());
    }
}

#[test]
fn forks_while_threads_allocate() {
    let Some(program) = compile("forks", "forks.c", &[]) else { return };
    // More by hand: TENURE_FORKS=20000.
    let asked = std::env::var("TENURE_FORKS").ok();
    for (mode, forks) in MODES.into_iter().zip(["1000", "200", "200"]) {
        Program::new(&program).args(&[asked.as_deref().unwrap_or(forks)]).tenure(mode).passes();
    }
}

#[test]
fn a_fork_in_a_signals_handler() {
    in_each_mode("fork_in_handler", "fork_in_handler.c");
}

#[test]
fn an_exit_in_a_signals_handler() {
    let Some(program) = compile("exit_in_handler", "exit_in_handler.c", &[]) else { return };
    Program::new(&program).tenure("leaks=all").passes();
}

#[test]
fn threads_in_200_mib_of_addresses() {
    let Some(program) = compile("limit", "limit.c", &[]) else { return };
    MODES.iter().for_each(|mode| Program::new(&program).address_space(200 << 20).tenure(mode).passes());
}
