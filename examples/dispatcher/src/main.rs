//! A small HTTP service that can say at any moment what it holds: the repository's own texts, indexed, and the
//! allocator's instruments as three routes more. One of its routes leaks.
//!
//! ```sh
//! cargo run --release -p tenure-dispatcher               # serves until ctrl-c
//! cargo run --release -p tenure-dispatcher -- --load 10  # and visits itself for ten seconds, so that there is a leak to see
//! ```

mod allocator;
mod app;
mod client;
mod index;
mod load;
mod middleware;
mod options;
mod routes;
mod sessions;
mod views;

use app::App;
use index::Index;
use options::Options;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::signal::ctrl_c;

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args_os().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("{}", options::HELP);
            return ExitCode::SUCCESS;
        }
        Err(what) => return failed(2, &what),
    };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(why) => return failed(1, &format!("cannot start the event loop ({why}): are there threads left?")),
    };
    match runtime.block_on(serve(options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => failed(1, &what),
    }
}

fn failed(code: u8, what: &str) -> ExitCode {
    eprintln!("dispatcher: {what}");
    ExitCode::from(code)
}

/// The event loop: listens, serves, and ends with the first ctrl-c when the requests under way are answered; with the
/// second one at once. An error is a line for the user.
async fn serve(options: Options) -> Result<(), String> {
    let Options { port, folder, load } = options;
    let index = {
        // What the index holds is told apart from what requests hold.
        let _in = tenure::scope("index");
        Index::read(&folder)?
    };
    let what = |why| format!("cannot listen on 127.0.0.1:{port} ({why}): give another port with --port, or 0 for any");
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await.map_err(what)?;
    let address = listener.local_addr().map_err(what)?;
    println!("serving {} documents on http://{address}\n\n{}", index.documents.len(), routes::help(address));

    if let Some(time) = load {
        tokio::spawn(async move {
            if let Err(why) = load::run(address, time).await {
                eprintln!("dispatcher: the load ended early: {why}");
            }
        });
    }
    let first = async { drop(ctrl_c().await) };
    let second = async {
        drop(ctrl_c().await);
        drop(ctrl_c().await);
    };
    let serving = axum::serve(listener, routes::all(Arc::new(App::new(index)))).with_graceful_shutdown(first);
    tokio::select! {
        done = serving => done.map_err(|why| format!("serving ended: {why}")),
        () = second => Ok(()),
    }
}
