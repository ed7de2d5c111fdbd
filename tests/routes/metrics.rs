//! Statistics by route as Prometheus' own linter sees them.

use super::by_hand::Called;
use super::{ask, row};
use http::{Request, Response};
use std::convert::Infallible;
use std::future::{Future, ready};
use std::io::Write;
use std::pin::pin;
use std::process::{Command, Stdio};
use std::task::{Context, Poll, Waker};
use tenure::http::tower::RouteLayer;
use tenure::http::{Endpoints, Routes};
use tower_layer::Layer;
use tower_service::Service;

/// What `promtool check metrics` says. `None` if it is not installed.
fn promtool(text: &str) -> Option<String> {
    let mut command = Command::new("promtool");
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut check) = command.spawn() else {
        println!("skipped: promtool, because it is not installed");
        return None;
    };
    check.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("it reads");
    let output = check.wait_with_output().expect("it ends");
    Some(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

#[test]
fn promtool_finds_nothing_to_say() {
    let routes = Routes::new().exact_one_in(1);
    let sizes = |request: Request<()>| {
        let size = request.uri().path().len() * 1000;
        drop(std::hint::black_box(Vec::<u8>::with_capacity(size)));
        ready(Ok::<_, Infallible>(Response::new(())))
    };
    for name in ["/plain", "/with \"quotes\"\\", "/two\nlines\0"] {
        let mut service = RouteLayer::new(&routes, move |_: &Request<()>| Some(name)).layer(Called(sizes));
        for i in 0..20 {
            let request = Request::get("/".repeat(i * i + 1)).body(()).expect("a request");
            assert!(matches!(
                pin!(service.call(request)).poll(&mut Context::from_waker(Waker::noop())),
                Poll::Ready(Ok(_))
            ));
        }
    }
    assert_eq!(row(&routes, "/plain").map(|row| (row.exact, row.peak)), Some((20, 2_490_000)));
    let metrics = ask(&Endpoints::new().routes(&routes), "/metrics");
    // The linter reads the older format, in which the heads of counters have their ending.
    let families: Vec<&str> = metrics.split_inclusive('\n').filter(|line| line.contains("tenure_route_")).collect();
    let older = |left_out: &str| -> String {
        let lines = families.iter().filter(|line| !line.starts_with("# UNIT") && !line.starts_with(left_out));
        let with_ending = |line: &&str| match line.split(' ').nth(2) {
            Some(name) if line.starts_with('#') && !name.ends_with("_bytes") => {
                line.replacen(name, &format!("{name}_total"), 1)
            }
            _ => line.to_string(),
        };
        lines.map(with_ending).collect()
    };
    assert_eq!(families.iter().filter(|line| line.starts_with("# TYPE")).count(), 6);
    assert_eq!(families.iter().filter(|line| !line.starts_with('#')).count(), 3 * (3 + 3 * 17));
    let Some(said) = promtool(&older("nothing")) else { return };
    assert_eq!(said, "");
    assert!(promtool(&older("# HELP tenure_route_left_bytes")).expect("as before").contains("no help text"));
}
