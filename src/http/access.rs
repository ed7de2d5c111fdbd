//! Who is answered. Everything here is about requests that somebody else had made, or made up.

use super::answer::Fault;
use http::header::{AUTHORIZATION, FORWARDED, HOST, ORIGIN, VIA};
use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use subtle::{Choice, ConstantTimeEq};

/// Where a request came from: the address at the other end of its connection. The server puts it into the request's
/// [extensions](http::Request::extensions); a request cannot bring it along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

/// What the program says of those who ask.
#[derive(Clone, Default)]
pub(super) struct Access {
    pub(super) trust_caller: bool,
    /// This machine needs the token, too.
    pub(super) token_for_all: bool,
    token: Option<Token>,
    hosts: Vec<Authority>,
}

/// A secret. It has no `Debug`, and nothing gives it away.
#[derive(Clone)]
struct Token(Box<[u8]>);

impl Access {
    /// The token that strangers need.
    ///
    /// # Panics
    /// If it is empty, or could not stand in a header.
    pub(super) fn set_token(&mut self, token: &str) {
        let fits = |b: u8| b.is_ascii_graphic();
        assert!(
            !token.is_empty() && token.bytes().all(fits),
            "bearer_token: a token is one or more visible ASCII characters without spaces; what was given is not"
        );
        self.token = Some(Token(token.as_bytes().into()));
    }

    /// A host besides those of this machine.
    ///
    /// # Panics
    /// If it is no `name` or `name:port`.
    pub(super) fn add_host(&mut self, name: &str) {
        match Authority::parse(name) {
            Some(host) => self.hosts.push(host),
            None => panic!("host: {name:?} is not a name or an address, with a port or without: example.com, [::1]:80"),
        }
    }

    /// Whether a request is to be answered; if not, why.
    pub(super) fn check(&self, peer: Option<Peer>, uri: &Uri, headers: &HeaderMap) -> Result<(), Fault> {
        self.check_peer(peer, headers)?;
        let host = self.check_host(uri, headers)?;
        self.check_site(&host, headers)
    }

    fn check_peer(&self, peer: Option<Peer>, headers: &HeaderMap) -> Result<(), Fault> {
        // `::ffff:127.0.0.1` is how a socket for both families sees 127.0.0.1.
        let is_near = peer.map(|peer| peer.0.ip().to_canonical().is_loopback());
        let forwarded = is_forwarded(headers);
        if is_near == Some(true) && !forwarded {
            return match &self.token {
                Some(token) if self.token_for_all => token.check(headers),
                None if self.token_for_all => Err(forbidden(
                    "these endpoints ask everybody for a token, and have none: have the program call bearer_token(..)",
                )),
                _ => Ok(()),
            };
        }
        if !self.trust_caller {
            return Err(forbidden(match (is_near, forwarded) {
                (_, true) => {
                    "this request came through a proxy, so nobody knows from where: ask from the machine itself, or have the program call trust_caller() and bearer_token(..)"
                }
                (None, _) => {
                    "the server does not say where this request came from: have it put tenure::http::Peer into the extensions, or call trust_caller()"
                }
                _ => {
                    "this request came from another machine: ask from the machine itself, or have the program call trust_caller() and bearer_token(..)"
                }
            }));
        }
        match &self.token {
            Some(token) => token.check(headers),
            None if is_near.is_none() && !forwarded => Ok(()),
            None => Err(forbidden(
                "this request came from another machine or through a proxy, and there is no token that it could bring: have the program call bearer_token(..)",
            )),
        }
    }

    /// The host that was asked for, which must be one of ours.
    fn check_host(&self, uri: &Uri, headers: &HeaderMap) -> Result<Authority, Fault> {
        let mut named = headers.get_all(HOST).iter();
        let (first, second) = (named.next(), named.next());
        if second.is_some() {
            return Err(Fault::new(StatusCode::BAD_REQUEST, "the request has several Host headers: send one"));
        }
        let first = first.map(|host| host.to_str().unwrap_or_default());
        // In HTTP/2, and in the absolute form of HTTP/1, the URI names it. Where both do, both must be ours.
        let all = [uri.authority().map(http::uri::Authority::as_str), first];
        let mut found = None;
        for host in all.into_iter().flatten() {
            match Authority::parse(host) {
                Some(host) if host.is_loopback() || self.lists(&host) => found = found.or(Some(host)),
                _ => {
                    return Err(Fault::new(
                        StatusCode::MISDIRECTED_REQUEST,
                        "the request's Host is neither localhost nor an address of this machine's loopback: have the program list it with host(..)",
                    ));
                }
            }
        }
        found.ok_or_else(|| Fault::new(StatusCode::BAD_REQUEST, "the request has no Host: send one"))
    }

    /// No page of another site had the browser ask.
    fn check_site(&self, host: &Authority, headers: &HeaderMap) -> Result<(), Fault> {
        for origin in headers.get_all(ORIGIN) {
            let authority = origin
                .to_str()
                .ok()
                .and_then(|o| o.strip_prefix("http://").or_else(|| o.strip_prefix("https://")))
                .and_then(Authority::parse);
            // A page of another port of this machine is another site too.
            if !authority.is_some_and(|origin| origin == *host || self.lists(&origin)) {
                return Err(forbidden("the request's Origin is another site: pages of other sites are not answered"));
            }
        }
        let fits = |value: &HeaderValue| value == "none" || value == "same-origin";
        if !headers.get_all("sec-fetch-site").iter().all(fits) {
            return Err(forbidden(
                "the browser says that another site asks (Sec-Fetch-Site): open the address by itself",
            ));
        }
        Ok(())
    }

    fn lists(&self, host: &Authority) -> bool {
        self.hosts.iter().any(|listed| listed.name == host.name && listed.port.is_none_or(|p| Some(p) == host.port))
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("trust_caller", &self.trust_caller)
            .field("token_for_all", &self.token_for_all)
            .field("token", &self.token.as_ref().map(|_| format_args!("(secret)")))
            .field("hosts", &self.hosts)
            .finish()
    }
}

impl Token {
    fn check(&self, headers: &HeaderMap) -> Result<(), Fault> {
        let mut sent = headers.get_all(AUTHORIZATION).iter();
        let fault = match (sent.next(), sent.next()) {
            (Some(one), None) if self.is_in(one) => return Ok(()),
            (None, _) => "this request needs a token: send it as Authorization: Bearer TOKEN",
            (_, Some(_)) => "the request has several Authorization headers: send one",
            _ => "the request's token is wrong, or is not sent as Authorization: Bearer TOKEN",
        };
        let ask = HeaderValue::from_static("Bearer");
        Err(Fault::new(StatusCode::UNAUTHORIZED, fault).with(http::header::WWW_AUTHENTICATE, ask))
    }

    fn is_in(&self, header: &HeaderValue) -> bool {
        // The name of a scheme has no case (RFC 9110, 11.1); the token has.
        match header.as_bytes().split_at_checked("Bearer ".len()) {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case(b"Bearer ") => self.is(token.trim_ascii()),
            _ => false,
        }
    }

    /// In a time that depends on what was sent, and not on the secret or on how much of it is right.
    fn is(&self, sent: &[u8]) -> bool {
        let mut same: Choice = (sent.len() as u64).ct_eq(&(self.0.len() as u64));
        for (sent, own) in sent.iter().zip(self.0.iter().cycle()) {
            same &= sent.ct_eq(own);
        }
        same.into()
    }
}

/// A name or address, and a port if there is one. Equal if it is the same text, but for case.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Authority {
    name: String,
    port: Option<u16>,
}

impl Authority {
    /// Of `name`, `name:port`, `[address]` or `[address]:port`. Whatever is anything else is none.
    fn parse(text: &str) -> Option<Authority> {
        let end = match text.strip_prefix('[') {
            Some(inside) => inside.find(']')? + 2,
            None => text.find(':').unwrap_or(text.len()),
        };
        let (name, port) = text.split_at_checked(end)?;
        let port = match port.strip_prefix(':') {
            Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
                Some(digits.parse().ok()?)
            }
            None if port.is_empty() => None,
            _ => return None,
        };
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'[' | b']' | b':');
        (!name.is_empty() && name.bytes().all(fits)).then(|| Authority { name: name.to_ascii_lowercase(), port })
    }

    fn is_loopback(&self) -> bool {
        let inside = self.name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
        match inside {
            Some(address) => address.parse() == Ok(Ipv6Addr::LOCALHOST),
            None => self.name == "localhost" || self.name.parse().is_ok_and(|a: Ipv4Addr| IpAddr::V4(a).is_loopback()),
        }
    }
}

/// Whether a proxy has had the request, by its own word.
fn is_forwarded(headers: &HeaderMap) -> bool {
    const OF_PROXIES: [&str; 6] =
        ["x-real-ip", "x-client-ip", "client-ip", "true-client-ip", "cf-connecting-ip", "x-cluster-client-ip"];
    headers.contains_key(FORWARDED)
        || headers.contains_key(VIA)
        || OF_PROXIES.iter().any(|name| headers.contains_key(*name))
        || headers.keys().any(|name| ["x-forwarded", "x-original-"].iter().any(|p| name.as_str().starts_with(p)))
}

fn forbidden(line: &'static str) -> Fault {
    Fault::new(StatusCode::FORBIDDEN, line)
}

#[cfg(test)]
mod tests;
