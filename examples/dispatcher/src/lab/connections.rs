//! Connections that are never closed: the other side has long gone, and nobody has looked.

use super::{About, Lesson};
use std::io::{Error, Result};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tenure::InScopeExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

static ABOUT: About = About {
    name: "connections",
    title: "Connections that are never closed",
    what: "For each client that connects, the server keeps the socket and its buffer in a list, and does not see it go.",
    right: "The server reads until the client has gone, and drops the connection then.",
    seen: "Web sockets and server-sent events without heartbeats, pools that never test what they hold, half-open TCP.",
    look: About::SUSPECTS,
    pause: Duration::from_millis(50),
    exact: false,
};

/// What each connection has for what it receives.
const BUFFER: usize = 48 << 10;
/// Each keeps a file open at the server's end. Beyond so many the leak would end the service for want of files.
const MOST: usize = 1500;

struct Connection {
    _stream: TcpStream,
    _buffer: Vec<u8>,
}

#[derive(Default)]
pub(super) struct Connections {
    open: Arc<Mutex<Vec<Connection>>>,
}

impl Lesson for Connections {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn leak(&self) {
        if self.held() < MOST {
            let open = self.open.clone();
            let visit = async move {
                leak(meet().await?, &open);
                Ok::<_, Error>(())
            };
            tokio::spawn(visit.in_current_scope());
        }
    }

    fn right(&self) {
        tokio::spawn(right().in_current_scope());
    }

    fn held(&self) -> usize {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn free(&self) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// A client connects, says something and goes: the server's end.
async fn meet() -> Result<TcpStream> {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    let mut client = TcpStream::connect(listener.local_addr()?).await?;
    client.write_all(b"hello").await?;
    Ok(listener.accept().await?.0)
}

fn leak(stream: TcpStream, open: &Mutex<Vec<Connection>>) {
    let connection = Connection { _stream: stream, _buffer: vec![1; BUFFER] };
    open.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
}

async fn right() -> Result<()> {
    let mut stream = meet().await?;
    let mut buffer = vec![2; BUFFER];
    while stream.read(&mut buffer).await? > 0 {}
    Ok(())
}
