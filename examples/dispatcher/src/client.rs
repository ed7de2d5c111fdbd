//! HTTP/1.1 from the other side, as far as this service speaks it: answers of a known length.

use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// A connection that is kept.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Result<Client> {
        Ok(Client { stream: BufReader::new(TcpStream::connect(address).await?) })
    }

    /// Sends a request and returns the body of the answer, which must be a 200.
    pub(crate) async fn send(&mut self, method: &str, path: &str, body: &str) -> Result<String> {
        let length = body.len();
        let request = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n{body}");
        self.stream.write_all(request.as_bytes()).await?;
        let (mut head, mut length) = (String::new(), 0);
        while !head.ends_with("\r\n\r\n") {
            let start = head.len();
            if self.stream.read_line(&mut head).await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            if let Some((name, value)) = head[start..].split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().map_err(Error::other)?;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await?;
        let body = String::from_utf8(body).map_err(Error::other)?;
        match head.starts_with("HTTP/1.1 200 ") {
            true => Ok(body),
            false => Err(Error::other(format!(
                "{method} {path} was answered by {}: {body}",
                head.lines().next().unwrap_or("")
            ))),
        }
    }
}
