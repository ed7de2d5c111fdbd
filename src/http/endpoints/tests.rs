use super::*;
use crate::http::table;
use std::sync::Mutex;

fn ask(method: &str, uri: &str, headers: &[(&str, &str)], body: &str) -> Response<Vec<u8>> {
    ask_of(&Endpoints::new(), method, uri, headers, body)
}

fn ask_of(endpoints: &Endpoints, method: &str, uri: &str, headers: &[(&str, &str)], body: &str) -> Response<Vec<u8>> {
    let near = Peer("127.0.0.1:4000".parse().expect("an address"));
    let mut request = Request::builder().method(method).uri(uri).header("host", "localhost").extension(near);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    endpoints.respond(&request.body(body.to_string()).expect("a request"))
}

fn text(response: &Response<Vec<u8>>) -> &str {
    std::str::from_utf8(response.body()).expect("UTF-8")
}

#[track_caller]
fn fails(method: &str, uri: &str, body: &str, status: u16, said: &str) {
    let response = ask(method, uri, &[("accept", "text/plain")], body);
    let text = text(&response);
    assert_eq!(response.status().as_u16(), status, "{method} {uri}: {text}");
    let error: serde_json::Value = serde_json::from_str(text).unwrap_or_else(|_| text.trim_end().into());
    let line = error.get("error").unwrap_or(&error).as_str().expect("a line").to_string();
    assert!(line.contains(said) && !line.contains('\n'), "{method} {uri}: {line}");
}

#[test]
fn every_answer_is_guarded() {
    for (method, uri) in [
        ("GET", "/debug/tenure/stats"),
        ("GET", "/debug/tenure/"),
        ("GET", "/debug/tenure"),
        ("GET", "/metrics"),
        ("GET", "/debug/pprof/heap"),
        ("GET", "/debug/pprof/heap?debug=1"),
        ("GET", "/debug/tenure/charts/memory.svg"),
        ("GET", "/nothing"),
        ("PATCH", "/metrics"),
        ("GET", "/debug/tenure/groups?by=x"),
        ("DELETE", "/debug/tenure/baseline"),
    ] {
        let response = ask(method, uri, &[], "");
        let header = |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let policy = header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{uri}: {policy}");
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{uri}: {policy}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-store"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(header(name), value, "{uri}");
        }
        if response.status() == StatusCode::NO_CONTENT {
            let has = |name| response.headers().contains_key(name);
            assert!(!has("content-type") && !has("content-length") && response.body().is_empty(), "{uri}");
        } else {
            assert!(!header("content-type").is_empty(), "{uri}");
            assert_eq!(header("content-length"), response.body().len().to_string(), "{uri}");
        }
        assert!(response.headers().keys().all(|name| !name.as_str().starts_with("access-control-")), "{uri}");
    }
    let svg = ask("GET", "/debug/tenure/flame.svg", &[], "");
    let policy = svg.headers()["content-security-policy"].to_str().expect("a policy");
    assert!(policy.contains("script-src 'nonce-") && policy.contains("frame-ancestors 'none'"), "{policy}");
}

#[test]
fn strangers_learn_nothing() {
    let far = Peer("192.0.2.7:4000".parse().expect("an address"));
    for uri in ["/metrics", "/nothing", "/debug/tenure/", "/debug/tenure/page.js", "/debug/pprof/"] {
        for method in ["GET", "HEAD", "PUT", "OPTIONS"] {
            let request = Request::builder().method(method).uri(uri).header("host", "localhost").extension(far);
            let response = Endpoints::new().respond(&request.body(Vec::new()).expect("a request"));
            assert_eq!(response.status(), 403, "{method} {uri}");
        }
    }
}

#[test]
fn paths_and_methods() {
    fails("GET", "/", "", 404, "/debug/pprof/heap, ");
    fails("GET", "/debug/tenure/%3Cscript%3E", "", 404, "there is nothing at this path");
    fails("GET", "/debug/tenure/../../etc/passwd", "", 404, "there is nothing at this path");
    fails("GET", "/debug/tenure/page.css/", "", 404, "there is nothing at this path");
    for (method, uri, allow) in [
        ("POST", "/metrics", "GET, HEAD"),
        ("OPTIONS", "/debug/tenure/mode", "GET, HEAD, PUT"),
        ("GET", "/debug/tenure/collect", "POST"),
        ("GET", "/debug/tenure/baseline", "POST, DELETE"),
        ("TRACE", "/debug/tenure/", "GET, HEAD"),
    ] {
        let response = ask(method, uri, &[], "");
        assert_eq!(
            (response.status().as_u16(), &response.headers()["allow"]),
            (405, &allow.parse().expect("")),
            "{uri}"
        );
    }
    for folder in ["tenure", "pprof"] {
        let response = ask("GET", &format!("/debug/{folder}"), &[], "");
        assert_eq!(
            (response.status().as_u16(), response.headers()["location"].to_str().unwrap_or_default()),
            (308, &*format!("{folder}/"))
        );
    }
    let (head, get) = (ask("HEAD", "/debug/tenure/page.js", &[], ""), ask("GET", "/debug/tenure/page.js", &[], ""));
    assert_eq!((head.status().as_u16(), head.body().len()), (200, 0));
    assert_eq!(head.headers()["content-length"], get.headers()["content-length"]);
    assert!(!get.body().is_empty());
}

/// What the page loads is there, and every row answers something.
#[test]
fn every_row_answers() {
    for path in table::paths() {
        let response = ask("GET", path, &[], "");
        let status = response.status().as_u16();
        let expected: &[u16] = match path {
            "/debug/tenure" | "/debug/pprof" => &[308],
            "/debug/tenure/baseline" | "/debug/tenure/collect" => &[405],
            "/debug/tenure/diff" => &[409],
            _ => &[200],
        };
        assert!(expected.contains(&status), "{path}: {status}: {}", String::from_utf8_lossy(response.body()));
    }
}

#[test]
fn what_is_costly() {
    let endpoints = Endpoints::new();
    for (method, uri, costly) in [
        ("GET", "/metrics", true),
        ("HEAD", "/metrics", true),
        ("POST", "/metrics", false),
        ("GET", "/debug/tenure/live", false),
        ("GET", "/debug/tenure/mode", false),
        ("PUT", "/debug/tenure/mode", true),
        ("POST", "/debug/tenure/baseline", true),
        ("GET", "/nothing", false),
    ] {
        let method = method.parse().expect("a method");
        assert_eq!(endpoints.is_costly(&method, &uri.parse().expect("a URI")), costly, "{method} {uri}");
    }
}

#[test]
fn bounds() {
    fails("GET", &format!("/metrics?{}", "a".repeat(5000)), "", 414, "longer than 4 KiB");
    fails("PUT", "/debug/tenure/mode", &" ".repeat(65_537), 413, "longer than 64 KiB");
    fails("GET", "/metrics", &" ".repeat(65_537), 413, "longer than 64 KiB");
    for n in ["0", "1001", "-1", "x", "", "18446744073709551616"] {
        fails("GET", &format!("/debug/tenure/groups?n={n}"), "", 400, "n is ");
    }
    fails(
        "GET",
        &format!("/debug/tenure/groups?filter={}", "a".repeat(257)),
        "",
        400,
        "filter is longer than 256 bytes",
    );
    for seconds in ["0", "301", "1.5"] {
        fails("GET", &format!("/debug/pprof/heap?seconds={seconds}"), "", 400, "seconds is ");
    }
    fails("GET", "/debug/pprof/heap?debug=3", "", 400, "debug is 3");
    fails("GET", "/debug/pprof/heap?gc=yes", "", 400, "gc is yes");
    fails("GET", "/debug/tenure/charts/memory.svg?width=1000000000", "", 400, "width is ");
    fails("GET", "/debug/tenure/groups?by=colour", "", 400, "by is colour: it must be one of line, function");
    fails("GET", "/debug/tenure/groups?order=x", "", 400, "order is x: it must be one of live-bytes");
    fails("GET", "/debug/tenure/tenuring?by=class", "", 400, "by is class");
    fails("GET", "/debug/tenure/stats?format=xml", "", 400, "format is xml: it must be one of json, text, html");
    fails("GET", "/debug/tenure/stats?token=x", "", 400, "there is no parameter token");
    fails("POST", "/debug/tenure/collect?generation=new", "", 400, "generation is new");
    fails("GET", "/debug/tenure/diff", "", 409, "there is no baseline");
}

#[test]
fn bodies_that_are_wrong() {
    for (path, body, said) in [
        ("mode", "", "not JSON (line 1, column 0)"),
        ("mode", "{\n\"mode\":}", "not JSON (line 2, column 8)"),
        ("mode", "[]", "no object"),
        ("mode", "{}", "mode is missing"),
        ("mode", "{\"mode\":1}", "mode is missing"),
        ("mode", "{\"mode\":\"<script>\"}", "mode is ?script?"),
        ("mode", "{\"mode\":\"exact\",\"seconds\":61}", "seconds must be a whole number from 1 to 60"),
        ("mode", "{\"mode\":\"exact\",\"seconds\":0}", "seconds must be"),
        ("mode", "{\"mode\":\"exact\",\"seconds\":1.5}", "seconds must be"),
        ("mode", "{\"mode\":\"exact\",\"mean\":1}", "mode exact takes no mean"),
        ("mode", "{\"mode\":\"off\",\"seconds\":1}", "mode off takes no seconds"),
        ("mode", "{\"mode\":\"sampled\",\"mean\":0}", "mean must be"),
        ("mode", "{\"mode\":\"sampled\",\"mean\":-5}", "mean must be"),
        ("mode", "{\"mode\":\"sampled\",\"mean\":4095}", "mean must be a whole number from 4096"),
        ("thresholds", "{\"young_bytes\":\"1\"}", "young_bytes must be a whole number"),
        ("thresholds", "{\"young\":1}", "there is no threshold young"),
        ("thresholds", "{\"young_bytes\":1}", "young_bytes is 1, which is not between"),
        ("thresholds", "{\"free_percent\":4294967297}", "free_percent is 4294967295, which is not between"),
        ("thresholds", "{\"idle_ms\":-1}", "idle_ms must be"),
    ] {
        fails("PUT", &format!("/debug/tenure/{path}"), body, 400, said);
    }
    let deep = "[".repeat(60_000);
    fails("PUT", "/debug/tenure/mode", &deep, 400, "not JSON");
}

#[test]
fn who_only_reads_changes_nothing() {
    let endpoints = Endpoints::new().read_only();
    for (method, uri, status) in [
        ("PUT", "/debug/tenure/mode", 403),
        ("PUT", "/debug/tenure/thresholds", 403),
        ("POST", "/debug/tenure/collect", 403),
        ("POST", "/debug/tenure/baseline", 403),
        ("DELETE", "/debug/tenure/baseline", 403),
        ("GET", "/debug/pprof/heap?gc=1", 403),
        ("GET", "/debug/pprof/heap?gc=0", 200),
        ("GET", "/debug/tenure/thresholds", 200),
    ] {
        let response = ask_of(&endpoints, method, uri, &[], "{\"mode\":\"off\"}");
        assert_eq!(response.status().as_u16(), status, "{method} {uri}");
    }
    let live = ask_of(&endpoints, "GET", "/debug/tenure/live", &[], "");
    assert!(text(&live).contains("\"may_change\":false"), "{}", text(&live));
}

/// Nothing of a request comes back as markup, whatever the form of the answer.
#[test]
fn requests_are_not_reflected() {
    let probe = "%3Cscript%3Ealert(1)%3C/script%3E%22%27%26";
    for uri in [
        format!("/debug/tenure/groups?by={probe}"),
        format!("/debug/tenure/groups?n={probe}"),
        format!("/debug/tenure/groups?{probe}=1"),
        format!("/debug/tenure/groups?format={probe}"),
        format!("/debug/tenure/groups?filter={probe}"),
        format!("/debug/tenure/{probe}"),
        format!("/{probe}"),
    ] {
        for accept in ["text/html", "application/json", "*/*"] {
            let response = ask("GET", &uri, &[("accept", accept)], "");
            assert!(!text(&response).contains("<script") && !text(&response).contains("alert(1)"), "{uri} as {accept}");
        }
    }
}

#[test]
fn reports_come_in_the_form_that_is_asked_for() {
    for (uri, accept, kind) in [
        ("/debug/tenure/stats", "*/*", "application/json"),
        ("/debug/tenure/stats", "text/html,*/*;q=0.8", "text/html; charset=utf-8"),
        ("/debug/tenure/stats?format=text", "text/html", "text/plain; charset=utf-8"),
        ("/debug/tenure/stats?format=json", "text/html", "application/json"),
        ("/debug/tenure/stats?format=html", "*/*", "text/html; charset=utf-8"),
        ("/debug/tenure/nothing", "text/html", "text/html; charset=utf-8"),
        ("/debug/tenure/nothing", "*/*", "application/json"),
        ("/nothing", "*/*", "text/plain; charset=utf-8"),
        ("/debug/pprof/heap", "text/html", "application/octet-stream"),
        ("/metrics", "text/html", crate::export::OPENMETRICS_CONTENT_TYPE),
    ] {
        let response = ask("GET", uri, &[("accept", accept)], "");
        assert_eq!(response.headers()["content-type"], kind, "{uri} {accept}");
    }
}

#[test]
fn figures_that_panic_are_left_out() {
    let endpoints = Endpoints::new().figures(|f| f.gauge("a", "", 1.0)).figures(|_| panic!("as the test wants it"));
    let answer = ask_of(&endpoints, "GET", "/debug/tenure/figures?format=text", &[], "");
    assert_eq!(answer.status(), 200);
    assert!(text(&answer).contains("has panicked") && text(&answer).starts_with("a "), "{}", text(&answer));
}

#[test]
fn whoever_has_gone_has_no_job_done() {
    let cancel = Cancel::default();
    cancel.cancel();
    let request = Request::get("/debug/tenure/groups").header("host", "localhost");
    let request = request.extension(Peer("127.0.0.1:1".parse().expect("an address"))).body("").expect("a request");
    assert_eq!(Endpoints::new().respond_until(&request, &cancel).status(), 503);
}

#[test]
fn figures_of_the_program() {
    let endpoints = Endpoints::new()
        .figures(|figures| figures.gauge("pool_bytes", "Of \"the\" pool, in C:\\", 7.5))
        .figures(|figures| figures.counter("reused", "", 3.0))
        .figures(|figures| figures.counter("re used", "", 3.0));
    let metrics = ask_of(&endpoints, "GET", "/metrics", &[], "");
    for line in [
        "# TYPE tenure_program_pool_bytes gauge\n# UNIT tenure_program_pool_bytes bytes\n# HELP tenure_program_pool_bytes Of \\\"the\\\" pool, in C:\\\\\ntenure_program_pool_bytes 7.5\n",
        "tenure_program_reused_total 3\n",
        "tenure_program_figures_left_out 1\n# EOF\n",
    ] {
        assert!(text(&metrics).contains(line), "{line} in {}", text(&metrics));
    }
    assert_eq!(text(&metrics).matches("# EOF").count(), 1);
    let figures = ask_of(&endpoints, "GET", "/debug/tenure/figures?format=text", &[], "");
    assert!(text(&figures).contains("note: the figure \"re used\" is left out"), "{}", text(&figures));
}

/// The program's code may ask us, too.
#[test]
fn no_lock_is_held_while_the_program_is_asked() {
    static AGAIN: Mutex<Option<Endpoints>> = Mutex::new(None);
    let endpoints = Endpoints::new().figures(|figures| {
        let again = AGAIN.lock().expect("no panic").take();
        if let Some(endpoints) = again {
            let endpoints = endpoints.read_only();
            let response = ask_of(&endpoints, "GET", "/debug/tenure/live", &[], "");
            figures.gauge("status", "", response.status().as_u16().into());
        }
    });
    *AGAIN.lock().expect("no panic") = Some(endpoints.clone());
    let metrics = ask_of(&endpoints, "GET", "/metrics", &[], "");
    assert!(text(&metrics).contains("tenure_program_status 200\n"));
}

#[test]
fn no_secret_is_shown() {
    let endpoints = Endpoints::new().trust_caller().bearer_token("s3cret-Token").host("debug.example.com");
    let shown = format!("{endpoints:?} {endpoints:#?}");
    assert!(!shown.contains("s3cret") && shown.contains("debug.example.com"), "{shown}");
}
