//! HTTP/1.1 from the other side, as far as this service speaks it: bodies of a known length, and in chunks.

use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// A connection that is kept.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
    line: String,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Result<Client> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Client { stream: BufReader::new(stream), line: String::new() })
    }

    /// Sends a request, reads the answer to its end, and returns its status. The body is dropped piece by piece.
    pub(crate) async fn send(&mut self, method: &str, path: &str, body: &str) -> Result<u16> {
        let length = body.len();
        let request = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n{body}");
        self.stream.write_all(request.as_bytes()).await?;
        let status = self.line().await?.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| Error::other("no status"))?;
        let (mut length, mut chunks) = (0, false);
        loop {
            let Some((name, value)) = self.line().await?.split_once(':') else { break };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().map_err(Error::other)?;
            }
            chunks |= name.eq_ignore_ascii_case("transfer-encoding");
        }
        self.skip(length).await?;
        while chunks {
            let length = u64::from_str_radix(self.line().await?, 16).map_err(Error::other)?;
            self.skip(length).await?;
            self.line().await?;
            chunks = length > 0;
        }
        Ok(status)
    }

    async fn line(&mut self) -> Result<&str> {
        self.line.clear();
        match self.stream.read_line(&mut self.line).await? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            _ => Ok(self.line.trim_end()),
        }
    }

    async fn skip(&mut self, bytes: u64) -> Result<()> {
        let mut body = (&mut self.stream).take(bytes);
        let skipped = tokio::io::copy_buf(&mut body, &mut tokio::io::sink()).await?;
        if skipped == bytes { Ok(()) } else { Err(ErrorKind::UnexpectedEof.into()) }
    }
}
