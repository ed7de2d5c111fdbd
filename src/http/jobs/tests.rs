use super::*;
use std::sync::mpsc;
use std::thread;

/// A job that runs until it is told to end.
fn hold(jobs: &Arc<Jobs>) -> (mpsc::Sender<()>, thread::JoinHandle<()>) {
    let ((end, ended), (begun, has_begun)) = (mpsc::channel(), mpsc::channel());
    let jobs = jobs.clone();
    let job = thread::spawn(move || {
        jobs.run(|_| {
            begun.send(()).expect("somebody waits");
            ended.recv().expect("an end");
        })
        .expect("nobody is before it");
    });
    has_begun.recv().expect("it begins");
    (end, job)
}

fn status<T>(result: Result<T, Fault>) -> u16 {
    result.map_or_else(|fault| fault.status.as_u16(), |_| 200)
}

#[test]
fn one_at_a_time_and_few_wait() {
    let jobs = Arc::new(Jobs::default());
    let (end, job) = hold(&jobs);
    let waiting: Vec<_> = (0..MOST_WAITING)
        .map(|_| {
            let jobs = jobs.clone();
            // With more patience than the test needs.
            thread::spawn(move || status(jobs.go_on(|_| ())))
        })
        .collect();
    while jobs.line().waiting < MOST_WAITING {
        thread::yield_now();
    }
    let fault = jobs.run(|_| ()).expect_err("too many wait");
    let response = fault.into_answer(crate::http::call::Format::Text).into_response(&http::Method::GET);
    assert_eq!((response.status().as_u16(), response.headers()["retry-after"].as_bytes()), (429, &b"1"[..]));
    end.send(()).expect("it waits");
    job.join().expect("it ends");
    assert_eq!(waiting.into_iter().map(|w| w.join().expect("it ends")).collect::<Vec<_>>(), [200; MOST_WAITING]);
    let line = jobs.line();
    assert_eq!((line.busy, line.waiting), (false, 0));
}

#[test]
fn patience_ends() {
    let jobs = Arc::new(Jobs::default());
    let (end, job) = hold(&jobs);
    assert_eq!((status(jobs.run(|_| ())), status(jobs.run_tracked(|| ()))), (429, 429));
    assert_eq!(jobs.line().waiting, 0, "it waits no more");
    end.send(()).expect("it waits");
    job.join().expect("it ends");
    assert_eq!(status(jobs.run(|_| ())), 200);
}

#[test]
fn a_job_that_panics_ends() {
    let jobs = Jobs::default();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| jobs.run(|_| panic!("planted"))));
    assert!(panicked.is_err());
    assert_eq!(status(jobs.run(|_| ())), 200);
}

#[test]
fn one_waits_between_snapshots() {
    let jobs = Jobs::default();
    let between = jobs.between().expect("nobody else");
    assert_eq!(status(jobs.between()), 429);
    assert_eq!(status(jobs.run(|_| ())), 200, "it takes nobody's turn");
    drop(between);
    assert_eq!(status(jobs.between()), 200);
}

#[test]
fn who_has_gone_is_not_waited_for() {
    let cancel = Cancel::default();
    assert!(cancel.wait(Duration::from_millis(1)).is_ok());
    let waiting = cancel.clone();
    let thread = thread::spawn(move || waiting.wait(Duration::from_secs(3600)));
    cancel.cancel();
    assert!(thread.join().expect("it ends").is_err());
    assert!(cancel.wait(Duration::from_secs(3600)).is_err(), "once gone, for ever gone");
}
