//! The leak lab: the leaks of real services, one by one, each beside a twin that does the same and does it right.
//!
//! Each file is one lesson. It allocates what it leaks in its own functions, so that its line is the one that is named.
//! What leaks can be freed by the lab, so that one can go on to the next: no real service has somebody who could.

mod cache;
mod callbacks;
mod connections;
mod cycle;
mod exact;
mod pinned;
mod planted;
mod tasks;

use crate::visitors;
use exact::Exact;
use planted::Planted;
use serde::Serialize;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Seconds that visitors come for at most: at their pace, some hundred MiB.
pub(crate) const LONGEST: u64 = 60;

/// What a person wants to know of a leak.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct About {
    /// In its routes.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// What is wrong.
    pub(crate) what: &'static str,
    /// What its twin does.
    pub(crate) right: &'static str,
    /// Which real services have it.
    pub(crate) seen: &'static str,
    /// Where on the dashboard it is seen.
    pub(crate) look: &'static str,
    /// Between two visits.
    #[serde(skip)]
    pub(crate) pause: Duration,
    /// Only an exact look names it.
    #[serde(skip)]
    pub(crate) exact: bool,
}

impl About {
    /// The pause of most.
    const PAUSE: Duration = Duration::from_millis(10);
    const SUSPECTS: &'static str = "Suspects: after about half a minute the line with leak() comes first.";
}

/// A leak and its twin.
pub(crate) trait Lesson: Send + Sync {
    fn about(&self) -> &'static About;
    /// A visit to the code that leaks.
    fn leak(&self);
    /// A visit to its twin.
    fn right(&self);
    /// What has leaked, in objects.
    fn held(&self) -> usize;
    /// Frees what has leaked.
    fn free(&self);
}

/// How it is with a leak.
#[derive(Serialize)]
pub(crate) struct Status {
    #[serde(flatten)]
    about: &'static About,
    /// Seconds for which visitors still come; 0: none do.
    seconds_left: u64,
    /// Objects that have leaked.
    held: usize,
    /// What else one should know.
    note: &'static str,
}

const EXACT: &str =
    "While visitors come, every allocation is tracked: retention names survivors only where it knows them all.";

pub(crate) struct Lab {
    address: SocketAddr,
    lessons: Vec<Box<dyn Lesson>>,
    /// For each lesson.
    planted: Mutex<Vec<Option<Planted>>>,
}

impl Lab {
    pub(crate) fn new(address: SocketAddr) -> Lab {
        let lessons: Vec<Box<dyn Lesson>> = vec![
            Box::<cycle::Cycle>::default(),
            Box::<callbacks::Callbacks>::default(),
            Box::<tasks::Tasks>::default(),
            Box::<connections::Connections>::default(),
            Box::<cache::Caches>::default(),
            Box::<pinned::Pinned>::default(),
        ];
        let planted = lessons.iter().map(|_| None).collect();
        Lab { address, lessons, planted: Mutex::new(planted) }
    }

    pub(crate) fn lessons(&self) -> &[Box<dyn Lesson>] {
        &self.lessons
    }

    fn planted(&self) -> MutexGuard<'_, Vec<Option<Planted>>> {
        self.planted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn status(&self, n: usize) -> Status {
        let about = self.lessons[n].about();
        let seconds_left = self.planted()[n].as_ref().map_or(0, Planted::seconds_left);
        let note = if about.exact { EXACT } else { "" };
        Status { about, seconds_left, held: self.lessons[n].held(), note }
    }

    /// Has visitors come for so long, to the leak and to its twin alike. False if there are some.
    pub(crate) fn plant(&self, n: usize, seconds: u64) -> bool {
        let about = self.lessons[n].about();
        let mut planted = self.planted();
        if planted[n].as_ref().is_some_and(|planted| planted.seconds_left() > 0) {
            return false;
        }
        let exact = about.exact.then(Exact::begin);
        let paths = ["leak", "right"].map(|end| format!("/lab/{}/{end}", about.name));
        let visits = visitors::of_lab(self.address, paths, about.pause);
        let visits = async move {
            // It goes with the visitors, whatever ends them.
            let _exact = exact;
            visits.await;
        };
        planted[n] = Some(Planted::new(visits, Duration::from_secs(seconds)));
        true
    }

    /// Sends the visitors home and frees what leaked. Returns when that is done.
    pub(crate) async fn stop(&self, n: usize) {
        let planted = self.planted()[n].take();
        if let Some(planted) = planted {
            planted.stop().await;
        }
        self.lessons[n].free();
    }

    pub(crate) async fn stop_all(&self) {
        for n in 0..self.lessons.len() {
            self.stop(n).await;
        }
    }
}
