use super::*;
use http::Request;

const NEAR: &str = "127.0.0.1:4000";
const FAR: &str = "192.0.2.7:4000";
const TOKEN: &str = "s3cret-Token";

fn access(choose: impl FnOnce(&mut Access)) -> Access {
    let mut access = Access::default();
    choose(&mut access);
    access
}

fn trusting() -> Access {
    access(|a| {
        a.trust_caller = true;
        a.set_token(TOKEN);
        a.add_host("debug.example.com");
        a.add_host("other.example.com:8443");
    })
}

/// The status of the fault, or 200.
fn status(access: &Access, peer: Option<&str>, uri: &str, headers: &[(&str, &str)]) -> u16 {
    let mut request = Request::get(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(()).expect("a request");
    let peer = peer.map(|peer| Peer(peer.parse().expect("an address")));
    match access.check(peer, request.uri(), request.headers()) {
        Ok(()) => 200,
        Err(fault) => {
            assert!(
                !fault.line.contains('\n') && fault.line.contains(':'),
                "one line that says what to do: {}",
                fault.line
            );
            assert!(!fault.line.contains(TOKEN), "{}", fault.line);
            fault.status.as_u16()
        }
    }
}

#[track_caller]
fn given(access: &Access, peer: Option<&str>, headers: &[(&str, &str)], expected: u16) {
    assert_eq!(status(access, peer, "/metrics", headers), expected, "{peer:?} {headers:?}");
}

const LOCAL: (&str, &str) = ("host", "localhost:6060");

#[test]
fn only_this_machine_is_answered() {
    let nobody = Access::default();
    for near in [NEAR, "127.8.9.1:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
        given(&nobody, Some(near), &[LOCAL], 200);
    }
    for far in [FAR, "[::ffff:192.0.2.7]:1", "0.0.0.0:1", "[::]:1", "[fe80::1]:1", "128.0.0.1:1", "[::127.0.0.1]:1"] {
        given(&nobody, Some(far), &[LOCAL], 403);
    }
    given(&nobody, None, &[LOCAL], 403);
    // A token that nobody configured opens nothing.
    given(&nobody, Some(FAR), &[LOCAL, ("authorization", "Bearer ")], 403);
}

#[test]
fn a_proxy_hides_who_asks() {
    for header in [
        "forwarded",
        "x-forwarded-for",
        "X-Real-IP",
        "via",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-forwarded",
        "CF-Connecting-IP",
        "x-original-host",
    ] {
        for value in ["for=127.0.0.1", "127.0.0.1", ""] {
            given(&Access::default(), Some(NEAR), &[LOCAL, (header, value)], 403);
            given(&trusting(), Some(NEAR), &[LOCAL, (header, value)], 401);
            given(&trusting(), None, &[LOCAL, (header, value)], 401);
            // Trusted, and no token that it could bring.
            given(&access(|a| a.trust_caller = true), None, &[LOCAL, (header, value)], 403);
        }
    }
}

#[test]
fn behind_a_proxy_that_says_nothing() {
    let all = access(|a| {
        a.token_for_all = true;
        a.set_token(TOKEN);
    });
    given(&all, Some(NEAR), &[LOCAL], 401);
    given(&all, Some(NEAR), &[LOCAL, ("authorization", "Bearer s3cret-Token")], 200);
    given(&all, Some(FAR), &[LOCAL, ("authorization", "Bearer s3cret-Token")], 403);
    given(&access(|a| a.token_for_all = true), Some(NEAR), &[LOCAL], 403);
}

#[test]
fn who_is_trusted() {
    let without_token = access(|a| a.trust_caller = true);
    given(&without_token, None, &[LOCAL], 200);
    given(&without_token, Some(FAR), &[LOCAL], 403);
    given(&trusting(), None, &[LOCAL], 401);
    given(&trusting(), Some(NEAR), &[LOCAL], 200);
    // A token alone lets nobody in from elsewhere.
    let token_only = access(|a| a.set_token(TOKEN));
    given(&token_only, Some(FAR), &[LOCAL, ("authorization", "Bearer s3cret-Token")], 403);
    given(&token_only, None, &[LOCAL, ("authorization", "Bearer s3cret-Token")], 403);
}

#[test]
fn the_token_and_nothing_like_it() {
    for (sent, expected) in [
        ("Bearer s3cret-Token", 200),
        ("bearer s3cret-Token", 200),
        ("BEARER   s3cret-Token ", 200),
        ("Bearer s3cret-Toke", 401),
        ("Bearer s3cret-Token2", 401),
        ("Bearer s3cret-Tokens3cret-Token", 401),
        ("Bearer 3cret-Token", 401),
        ("Bearer S3CRET-TOKEN", 401),
        ("Bearer s3cret-Token s3cret-Token", 401),
        ("Bearer", 401),
        ("Bearer ", 401),
        ("", 401),
        ("Basic s3cret-Token", 401),
        ("Bearers3cret-Token", 401),
        ("s3cret-Token", 401),
        ("ä", 401),
    ] {
        given(&trusting(), Some(FAR), &[LOCAL, ("authorization", sent)], expected);
    }
    let twice = [LOCAL, ("authorization", "Bearer s3cret-Token"), ("authorization", "Bearer s3cret-Token")];
    given(&trusting(), Some(FAR), &twice, 401);
    // In a URL it stands in logs.
    for uri in ["/metrics?token=s3cret-Token", "/metrics?access_token=s3cret-Token"] {
        assert_eq!(status(&trusting(), Some(FAR), uri, &[LOCAL]), 401);
    }
    assert_eq!(status(&trusting(), Some(FAR), "http://s3cret-Token@localhost/metrics", &[]), 401);
}

#[test]
fn a_fault_asks_for_the_token() {
    let request = Request::get("/").header("host", "localhost").body(()).expect("a request");
    let far = Some(Peer(FAR.parse().expect("an address")));
    let fault = trusting().check(far, request.uri(), request.headers()).expect_err("no token");
    let response = fault.into_answer(crate::http::call::Format::Text).into_response(&http::Method::GET);
    assert_eq!(
        (response.status().as_u16(), &response.headers()["www-authenticate"]),
        (401, &"Bearer".parse().expect(""))
    );
}

#[test]
fn hosts() {
    let all = trusting();
    for (host, expected) in [
        ("localhost", 200),
        ("LocalHost:1", 200),
        ("127.0.0.1:6060", 200),
        ("127.1.2.3", 200),
        ("[::1]", 200),
        ("[::1]:6060", 200),
        ("[0:0:0:0:0:0:0:1]:1", 200),
        ("debug.example.com", 200),
        ("DEBUG.example.com:9", 200),
        ("other.example.com:8443", 200),
        ("other.example.com", 421),
        ("other.example.com:8444", 421),
        ("evil.com", 421),
        ("evil.com:6060", 421),
        ("localhost.evil.com", 421),
        ("127.0.0.1.evil.com", 421),
        ("evil.debug.example.com", 421),
        ("debug.example.com.", 421),
        ("localhost@evil.com", 421),
        ("evil.com@localhost", 421),
        ("localhost:", 421),
        ("localhost:99999", 421),
        ("localhost:80:80", 421),
        ("localhost:-1", 421),
        ("localhost, evil.com", 421),
        ("localhost/evil", 421),
        ("128.0.0.1", 421),
        ("127.1", 421),
        ("0177.0.0.1", 421),
        ("2130706433", 421),
        ("[::ffff:192.0.2.1]", 421),
        ("[::]", 421),
        ("[::1", 421),
        ("::1", 421),
        ("[]", 421),
        ("[::1]x", 421),
        ("\u{7f}", 421),
        ("", 421),
    ] {
        let Ok(value) = HeaderValue::from_bytes(host.as_bytes()) else { continue };
        let mut request = Request::get("/metrics").body(()).expect("a request");
        request.headers_mut().insert(HOST, value);
        let near = Some(Peer(NEAR.parse().expect("an address")));
        let found = all.check(near, request.uri(), request.headers()).map_or_else(|f| f.status.as_u16(), |()| 200);
        assert_eq!(found, expected, "{host}");
    }
    given(&all, Some(NEAR), &[], 400);
    given(&all, Some(NEAR), &[LOCAL, LOCAL], 400);
    given(&all, Some(NEAR), &[LOCAL, ("host", "evil.com")], 400);
}

/// In HTTP/2, and where a proxy is asked, the URI says which host.
#[test]
fn hosts_in_the_uri() {
    let near = Some(NEAR);
    for (uri, headers, expected) in [
        ("http://localhost:6060/metrics", &[][..], 200),
        ("http://localhost:6060/metrics", &[LOCAL], 200),
        ("http://evil.com/metrics", &[], 421),
        ("http://evil.com/metrics", &[LOCAL], 421),
        ("http://localhost/metrics", &[("host", "evil.com")], 421),
        ("http://localhost@evil.com/metrics", &[LOCAL], 421),
        ("http://evil.com@localhost/metrics", &[LOCAL], 421),
    ] {
        assert_eq!(status(&Access::default(), near, uri, headers), expected, "{uri} {headers:?}");
    }
}

#[test]
fn other_sites() {
    for (name, value, expected) in [
        ("origin", "http://localhost:6060", 200),
        ("origin", "https://debug.example.com", 200),
        ("origin", "http://localhost:3000", 403),
        ("origin", "http://localhost", 403),
        ("origin", "http://127.0.0.1:6060", 403),
        ("origin", "null", 403),
        ("origin", "", 403),
        ("origin", "http://evil.com", 403),
        ("origin", "http://localhost:6060.evil.com", 403),
        ("origin", "http://localhost:6060@evil.com", 403),
        ("origin", "http://localhost:6060/", 403),
        ("origin", "file://", 403),
        ("origin", "chrome-extension://localhost:6060", 403),
        ("origin", "localhost:6060", 403),
        ("sec-fetch-site", "none", 200),
        ("sec-fetch-site", "same-origin", 200),
        ("sec-fetch-site", "same-site", 403),
        ("sec-fetch-site", "cross-site", 403),
        ("sec-fetch-site", "Same-Origin", 403),
        ("sec-fetch-site", "", 403),
    ] {
        given(&trusting(), Some(NEAR), &[LOCAL, (name, value)], expected);
    }
    let two = [LOCAL, ("origin", "http://localhost:6060"), ("origin", "http://evil.com")];
    given(&trusting(), Some(NEAR), &two, 403);
    let two = [LOCAL, ("sec-fetch-site", "none"), ("sec-fetch-site", "cross-site")];
    given(&trusting(), Some(NEAR), &two, 403);
}

#[test]
fn what_is_chosen_wrongly_is_said_at_once() {
    for token in ["", " ", "a b", "secret\n", "ä"] {
        let said = std::panic::catch_unwind(|| access(|a| a.set_token(token))).expect_err(token);
        let said = said.downcast_ref::<&str>().map(ToString::to_string).or(said.downcast_ref::<String>().cloned());
        let said = said.expect("a text");
        assert!(said.contains("bearer_token") && (token.len() < 3 || !said.contains(token.trim())), "{said}");
    }
    for host in ["", "http://a", "a/b", "a b", "a:b", "*.a"] {
        assert!(std::panic::catch_unwind(|| access(|a| a.add_host(host))).is_err(), "{host}");
    }
}

#[test]
fn the_token_is_not_shown() {
    let shown = format!("{:?}", trusting());
    assert!(shown.contains("secret") && !shown.contains(TOKEN) && shown.contains("debug.example.com"), "{shown}");
}
