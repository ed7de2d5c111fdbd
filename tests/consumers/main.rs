//! Every export of a snapshot of this process, opened by the program that it is made for. What is not installed is skipped,
//! by name; `ci/consumers.sh` installs it.
//!
//! pprof's consumer is called where the format's other tests are, in `src/export/pprof`.

mod chromium;
mod prometheus;
mod tools;

use std::fs;
use std::hint::black_box;
use std::sync::OnceLock;
use tenure::export::{self, OpenMetrics, Value};
use tenure::{Mode, Snapshot, Symbols, Tenure};

#[global_allocator]
static ALLOC: Tenure = Tenure::new().mode(Mode::Exact);

/// What [`hold`] holds: blocks, and bytes of each.
const HELD: (usize, usize) = (37, 12_345);
/// What [`release`] holds at the first snapshot, and not at the second.
const RELEASED: usize = 54_321;

#[inline(never)]
fn hold() -> Vec<Vec<u8>> {
    let _tag = tenure::scope("a \"tag\"\\\n");
    let mut held = Vec::with_capacity(HELD.0);
    held.extend((0..HELD.0).map(block));
    held
}

#[inline(never)]
fn block(i: usize) -> Vec<u8> {
    // No zeros: those come from elsewhere.
    black_box(vec![i as u8 + 1; HELD.1])
}

#[inline(never)]
fn release() -> Vec<u8> {
    black_box(vec![1; RELEASED])
}

/// A snapshot before and one after: what `hold` holds came, and what `release` held went.
fn snapshots() -> &'static [Snapshot; 2] {
    static SNAPSHOTS: OnceLock<[Snapshot; 2]> = OnceLock::new();
    SNAPSHOTS.get_or_init(|| {
        let released = release();
        let before = tenure::snapshot();
        drop(released);
        let held = hold();
        let after = tenure::snapshot();
        drop(held);
        [before, after]
    })
}

#[test]
fn the_viewer_of_dhat_shows_the_tree() {
    let [_, after] = snapshots();
    let dhat = export::dhat(after, &mut Symbols::new());
    let Some(chromium) = chromium::Chromium::find() else { return };
    let viewer = ["/usr/libexec/valgrind", "/usr/lib/valgrind"]
        .iter()
        .find(|d| fs::exists(format!("{d}/dh_view.html")).is_ok_and(|is| is));
    let Some(viewer) = viewer else {
        println!("skipped: the viewer of DHAT, because there is no dh_view.html of valgrind");
        return;
    };
    let directory = tools::Directory::new("dhat");
    let view = |dhat: &str| {
        for file in ["dh_view.js", "dh_view.css"] {
            fs::copy(format!("{viewer}/{file}"), directory.file(file)).expect("a copy");
        }
        // The viewer, with our file chosen in its own input. What reads the file does so at once: otherwise the page would be
        // looked at before it has.
        let drive = format!(
            "class FileReader {{ readAsText() {{ this.onload({{target: {{result: JSON.stringify({dhat})}}}}); }} }}\n\
             function drive() {{\n\
             const all = new DataTransfer();\n\
             all.items.add(new File([], 'heap.json'));\n\
             gInput.files = all.files;\n\
             gInput.onchange();\n\
             }}"
        );
        fs::write(directory.file("drive.js"), drive).expect("a file");
        let page = fs::read_to_string(format!("{viewer}/dh_view.html")).expect("a page");
        let driven = page
            .replace("</head>", "<script src=\"drive.js\"></script></head>")
            .replace("onLoad()", "onLoad(); drive()");
        assert!(driven.contains("drive.js") && driven.contains("drive()"), "{page}");
        fs::write(directory.file("page.html"), driven).expect("a file");
        chromium.text(&directory.file("page.html"))
    };
    let text = view(&dhat);
    let bytes = tools::grouped(HELD.0 * HELD.1);
    for part in [
        "Mode:    rust-heap; every allocation is tracked; t-gmax is t-end: the peak is not recorded".to_string(),
        format!("PID:     {}", std::process::id()),
        "consumers::block (".into(),
        format!("At t-end:  {bytes} bytes"),
        format!("in {} blocks", HELD.0),
        "Allocated at {".into(),
    ] {
        assert!(text.contains(&part), "{part}: {text}");
    }
    assert!(!text.contains("Error:") && !text.contains("<tenure::allocator"), "{text}");
    // It says so if it cannot read a file.
    assert!(view(&dhat.replace("\"eb\"", "\"xx\"")).contains("Error: data file is missing a field: eb"));
}

#[test]
fn a_browser_draws_the_flame_graph() {
    let [before, after] = snapshots();
    let mut names = Symbols::new();
    let svg = export::flame_graph(after, &mut names, Value::LiveBytes);
    let diff = export::flame_graph_diff(after, before, &mut names, None, Value::LiveBytes);
    let Some(chromium) = chromium::Chromium::find() else { return };
    let directory = tools::Directory::new("svg");
    let open = |svg: &str| {
        fs::write(directory.file("heap.svg"), svg).expect("a file");
        let dom = chromium.dom(&directory.file("heap.svg"));
        assert!(!dom.contains("ERROR"), "{dom}");
        dom
    };
    let bytes = tools::grouped(HELD.0 * HELD.1);
    let dom = open(&svg);
    assert!(dom.contains(&format!("<title>consumers::block ({bytes} bytes, ")), "{dom}");
    assert!(dom.contains("Live bytes: ") && dom.contains("every allocation is tracked"), "{dom}");
    assert!(!dom.contains("parsererror"), "{dom}");
    let dom = open(&diff);
    let colour = |function: &str| {
        let (_, rest) =
            dom.split_once(&format!("<title>consumers::{function} (")).unwrap_or_else(|| panic!("{function}: {dom}"));
        rest.split_once("fill=\"").and_then(|(_, f)| f.split_once('"')).expect("a colour").0.to_string()
    };
    assert_eq!(colour("block"), "rgb(255,100,100)", "nothing grew more: red");
    assert!(colour("release").ends_with(",255)") && colour("release") != "rgb(255,255,255)", "blue");
    assert!(
        dom.contains(&format!("consumers::release ({} bytes, ", tools::grouped(RELEASED))),
        "as wide as it was: {dom}"
    );
    // What is no picture is told from one.
    fs::write(directory.file("cut.svg"), &svg[..svg.len() / 2]).expect("a file");
    assert!(chromium.dom(&directory.file("cut.svg")).contains("parsererror"));
}

#[test]
fn prometheus_scrapes_the_metrics() {
    let [_, after] = snapshots();
    let metrics = export::openmetrics(after, &mut Symbols::new(), OpenMetrics::new());
    let without_end = metrics.strip_suffix("# EOF\n").expect("an end").to_string();
    let Some(server) = prometheus::Prometheus::start(&[("good", metrics.clone()), ("cut", without_end)]) else {
        return;
    };
    let bytes = (HELD.0 * HELD.1).to_string();
    assert_eq!(server.value("up{job=\"good\"}"), "1");
    assert_eq!(server.value("up{job=\"cut\"}"), "0", "it refuses what is cut off");
    assert_eq!(server.value("tenure_site_live_bytes{function=\"consumers::block\"}"), bytes);
    assert_eq!(server.value("tenure_site_allocated_blocks_total{function=\"consumers::block\"}"), HELD.0.to_string());
    let tagged = HELD.0 * (HELD.1 + size_of::<Vec<u8>>());
    assert_eq!(server.value(r#"tenure_tag_live_bytes{tag="a \"tag\"\\\n"}"#), tagged.to_string());
    assert_eq!(server.value("tenure_live_bytes"), after.stats().live.to_string());
    assert_eq!(server.value("sum(tenure_site_live_bytes)"), after.tracked().bytes.to_string());
    let series = metrics.lines().filter(|l| !l.starts_with('#')).count();
    assert_eq!(server.value("scrape_samples_scraped{job=\"good\"}"), series.to_string());
    let metadata = server.get("/api/v1/metadata?metric=tenure_live_bytes");
    assert!(metadata.contains("\"type\":\"gauge\"") && metadata.contains("\"unit\":\"bytes\""), "{metadata}");
}

/// promtool's linter reads the older format only, in which the heads of counters have their ending.
#[test]
fn promtool_finds_nothing_to_say() {
    let metrics = export::openmetrics(&snapshots()[1], &mut Symbols::new(), OpenMetrics::new());
    let mut endings = std::collections::HashMap::new();
    let mut older = String::new();
    for line in metrics.lines().filter(|l| !l.starts_with("# UNIT") && *l != "# EOF") {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some(what), Some(name), Some(rest)) => {
                if what == "TYPE" {
                    let ending =
                        [("counter", "_total"), ("info", "_info")].iter().find(|e| e.0 == rest).map_or("", |e| e.1);
                    endings.insert(name, ending);
                }
                let rest = if what == "TYPE" && rest == "info" { "gauge" } else { rest };
                older += &format!("# {what} {name}{} {rest}\n", endings[name]);
            }
            _ => older += &format!("{line}\n"),
        }
    }
    let Some(said) = prometheus::promtool(&older) else { return };
    assert_eq!(said, "", "{older}");
    let bad = older.replace("# HELP tenure_live_bytes Live blocks.\n", "");
    assert_ne!(bad, older);
    assert!(prometheus::promtool(&bad).expect("as before").contains("tenure_live_bytes no help text"));
}
