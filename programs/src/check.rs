//! Whether programs do the same with an allocator as without.

use crate::preload::Preload;
use crate::program::{Prepared, Program, Size};
use crate::session::Outcome;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// What is run.
#[derive(Debug)]
pub struct Check<'a> {
    /// The programs.
    pub programs: &'a [Program],
    /// What each of them runs with, besides once with nothing.
    pub preloads: &'a [Preload],
    /// How often with each.
    pub rounds: usize,
    /// How much is done.
    pub size: Size,
    /// After so long a process counts as hung.
    pub patience: Duration,
    /// How many programs run at once.
    pub jobs: usize,
    /// Whether the directories of runs that differ are left there.
    pub keep: bool,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// Runs that were compared.
    pub runs: usize,
    /// Programs that were not run, and why.
    pub skipped: Vec<String>,
    /// Runs that differ: the program, the allocator, the round, what differs.
    pub differences: Vec<String>,
}

impl Check<'_> {
    /// Runs everything; `tell` gets a line for each program, for each that is skipped, and for each difference as it is found.
    pub fn run(&self, tell: impl Fn(&str) + Sync) -> Found {
        let (found, next) = (Mutex::new(Found::default()), AtomicUsize::new(0));
        std::thread::scope(|threads| {
            for _ in 0..self.jobs {
                // Relaxed: only that no two get the same number.
                threads.spawn(|| {
                    while let Some(program) = self.programs.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let mut mine = Found::default();
                        if let Err(why) = self.one(program, &mut mine, &tell) {
                            let what = format!("{}: {why}", program.name);
                            tell(&what);
                            mine.differences.push(what);
                        }
                        let mut found = found.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                        found.runs += mine.runs;
                        found.skipped.append(&mut mine.skipped);
                        found.differences.append(&mut mine.differences);
                    }
                });
            }
        });
        found.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn one(&self, program: &Program, found: &mut Found, tell: &impl Fn(&str)) -> io::Result<()> {
        if let Some(why) = program.missing() {
            tell(&why);
            found.skipped.push(why);
            return Ok(());
        }
        let began = std::time::Instant::now();
        let prepared = program.prepare(self.size)?;
        let without = prepared.run(&Preload::none(), self.patience)?;
        without.must_succeed().map_err(|why| io::Error::other(format!("without any allocator preloaded, {why}")))?;
        for round in 1..=self.rounds {
            for preload in self.preloads {
                self.once(&prepared, preload, &without, round, found, tell)?;
            }
        }
        tell(&format!(
            "{}: {} runs in {:.1} s, {} differ",
            program.name,
            found.runs,
            began.elapsed().as_secs_f64(),
            found.differences.len()
        ));
        Ok(())
    }

    fn once(
        &self,
        prepared: &Prepared,
        preload: &Preload,
        without: &Outcome,
        round: usize,
        found: &mut Found,
        tell: &impl Fn(&str),
    ) -> io::Result<()> {
        let run = prepared.run(preload, self.patience)?;
        found.runs += 1;
        let Some(difference) = without.difference(&run)? else { return Ok(()) };
        let mut what = format!("{} with {}, run {round}: {difference}", prepared.program.name, preload.name);
        if self.keep {
            what += &format!(" (left in {})", run.keep().display());
        }
        tell(&what);
        found.differences.push(what);
        Ok(())
    }
}
