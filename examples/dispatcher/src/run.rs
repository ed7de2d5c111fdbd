//! The service's life: it opens what it needs, serves, and ends in an orderly way.

use crate::app::App;
use crate::index::Index;
use crate::options::Options;
use crate::store::Store;
use crate::{instruments, jobs, load, routes, server, visitors};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Serves until the first ctrl-c or SIGTERM, and then until requests under way are answered and jobs under way are done.
/// The second ends it at once. Jobs that are not done are kept with the records. An error is a line for the user.
pub(crate) async fn run(options: Options) -> Result<(), String> {
    let port = options.port;
    let index = {
        // What the index holds is told apart from what requests hold.
        let _in = tenure::scope("index");
        Index::read(&options.folder)?
    };
    let store = Store::open(options.data.as_deref())?;
    let what = |why| format!("cannot listen on 127.0.0.1:{port} ({why}): give another port with --port, or 0 for any");
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await.map_err(what)?;
    let address = listener.local_addr().map_err(what)?;
    let what = |why| format!("cannot wait for signals ({why}): are there files left?");
    let (mut first, mut second) = (Told::new().map_err(what)?, Told::new().map_err(what)?);
    let app = Arc::new(App::new(index, store, address));
    instruments::started();
    println!("open http://{address}{} in a browser; ctrl-c ends it", instruments::PAGE);

    let mut workers = JoinSet::new();
    take_up(&app);
    for _ in 0..jobs::WORKERS {
        workers.spawn(jobs::worker(app.clone()));
    }
    let visitors = tokio::spawn(async move {
        match (options.load, options.quiet) {
            (Some(time), _) => load::run(address, time).await,
            (None, false) => visitors::gentle(address).await,
            (None, true) => {}
        }
    });

    let second = async {
        second.wait().await;
        second.wait().await;
    };
    let first = async {
        first.wait().await;
        // Now, because whoever told it may have no patience.
        keep_jobs(&app);
        // Their connections would be waited for.
        visitors.abort();
    };
    let orderly = async {
        let answered = server::serve(listener, routes::all(app.clone()), &app.connections, first).await;
        finish(&app, workers).await;
        if answered { Ok(()) } else { Err(format!("some requests took longer than {} s", server::GRACE.as_secs())) }
    };
    let done = tokio::select! {
        done = orderly => done,
        () = second => Err("ended at once".into()),
    };
    // Without those that were done meanwhile.
    keep_jobs(&app);
    done
}

/// Ctrl-c, or SIGTERM, which service managers send. None is missed between two that are waited for.
struct Told {
    interrupt: Signal,
    terminate: Signal,
}

impl Told {
    fn new() -> io::Result<Told> {
        Ok(Told { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Jobs that the last run left.
fn take_up(app: &App) {
    match app.store.kept_jobs() {
        Ok(jobs) => app.jobs.take_up(jobs),
        Err(why) => eprintln!("dispatcher: jobs of the last run are not read ({why})"),
    }
}

async fn finish(app: &App, mut workers: JoinSet<()>) {
    app.lab.stop_all().await;
    if timeout(server::GRACE, async { while workers.join_next().await.is_some() {} }).await.is_err() {
        eprintln!("dispatcher: jobs that took longer than {} s are begun anew next time", server::GRACE.as_secs());
    }
}

/// Takes no more jobs, and keeps those that are not done for the next run.
fn keep_jobs(app: &App) {
    let left = app.jobs.close();
    if let Err(why) = app.store.keep_jobs(&left) {
        eprintln!("dispatcher: {} jobs that are not done are not kept ({why})", left.len());
    }
}
