//! What the page's scripts make of answers that are made up, or late.

use super::{endpoints, in_peace, page};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// An expression in which `views` and `text` are modules of the page.
fn with_modules(expression: &str) -> String {
    let module = |name: &str| format!("import(new URL('{name}.js', location.href))");
    format!("Promise.all([{}, {}]).then(([views, text]) => ({expression}))", module("views"), module("text"))
}

#[test]
fn an_estimate_says_how_far_off_it_may_be() {
    let Some((mut browser, _turn)) = page(endpoints()) else { return };
    let signed = "text.signed(text.count), text.count";
    for (estimate, shown) in [
        ("{value: 100, low: 80, high: 120}, text.count", "100 ± 20"),
        ("{value: 10, low: 5, high: 18}, text.count", "10 (5 to 18)"),
        ("{value: 3, low: 3, high: 3, exact: true}, text.count", "3"),
        (&format!("{{value: -5, low: -8, high: -2}}, {signed}"), "−5 ± 3"),
        (&format!("{{value: 5, low: -2, high: 30}}, {signed}"), "+5 (−2 to +30)"),
        ("text.around(100, 10), text.count", "100 ± 20"),
        ("text.around(10, 10), text.count", "10 (0 to 30)"),
        ("text.around(10, 0), text.count", "10"),
    ] {
        let made = with_modules(&format!("text.el('p', {{}}, text.estimate({estimate})).textContent"));
        assert_eq!(browser.text(&made), shown, "{estimate}");
    }
    in_peace(&browser);
}

#[test]
fn what_is_not_known_is_not_said() {
    let Some((mut browser, _turn)) = page(endpoints()) else { return };
    for (mode, says) in [("'exact'", true), ("'off'", false), ("{sampled: {mean: 1024}}", false)] {
        let nothing = format!("{{mode: {mode}, total: {{bytes: 0}}, groups: []}}");
        let made = with_modules(&format!("(views.groups({nothing}, 'line'), estimates.textContent)"));
        assert_eq!(browser.text(&made).contains("Every block is counted."), says, "{mode}");
    }
    let size = "{mean: 100, p50: 5e9, p99: 5e9, max: 700}";
    let route = format!(
        "{{route: '/a', requests: 9, exact: 4, allocated_bytes: {size}, peak_bytes: {size}, left_bytes: {size}, live_bytes: 1}}"
    );
    let shown = browser.text(&with_modules(&format!(
        "(views.routes({{one_in: 2, routes: [{route}]}}), document.getElementById('routes-table').innerText)"
    )));
    assert!(shown.contains("Measured") && shown.contains("700 B") && !shown.contains("GiB"), "{shown}");
    in_peace(&browser);
}

#[test]
fn who_reads_in_a_suspect_is_left_alone() {
    let Some((mut browser, _turn)) = page(endpoints()) else { return };
    let made = with_modules(
        "(() => {
            const stack = Array.from({length: 12}, (_, i) => ({function: `frame ${i}`, location: ''}));
            const answer = (names, old_bytes) => ({suspects: names.map((name) => ({name, location: 'a.rs:1', kind: 'line', stack, old_bytes,
                old_bytes_error: 1e5, per_minute: 1, growing_for_s: 1, collections: 5, sure: 0.999})), left_out: 0});
            const card = () => document.querySelector('.suspect');
            const told = [views.suspects(answer(['one'], 1 << 20))];
            const first = card();
            first.querySelector('details').open = true;
            first.querySelector('summary').focus();
            told.push(views.suspects(answer(['one'], 2 << 20)));
            const stays = card() === first && first.contains(document.activeElement);
            told.push(views.suspects(answer(['two', 'one'], 3 << 20)));
            const isOpen = document.querySelectorAll('.suspect')[1].querySelector('details').open;
            return JSON.stringify([told, stays, isOpen, first.querySelector('.evidence').textContent]);
        })()",
    );
    let shown = browser.text(&made);
    assert!(shown.starts_with("[[[\"one\"],[],[\"two\"]],true,true,\"holds 3.0 MiB ± 191 KiB in its"), "{shown}");
    in_peace(&browser);
}

#[test]
fn an_answer_that_comes_late_is_not_shown() {
    let Some((mut browser, _turn)) = page(endpoints()) else { return };
    browser.value(
        "(globalThis.late = [], globalThis.ask = fetch, globalThis.fetch = (path, options) => {
            const answer = ask(path, options);
            return path.includes('by=line') ? new Promise((go) => late.push(() => go(answer))) : answer;
        }, null)",
    );
    browser.until("late.length > 0");
    browser.value("(by.value = 'crate', by.dispatchEvent(new Event('change')), null)");
    let head = "document.querySelector('#sites-table thead th').textContent";
    browser.until(&format!("{head} === 'Crate'"));
    browser.value("(late.forEach((go) => go()), new Promise((go) => setTimeout(go, 500)))");
    let names =
        browser.text("[...document.querySelectorAll('#sites-table tbody th')].map(th => th.textContent).join(' ')");
    assert!(browser.text(head) == "Crate" && !names.contains("::"), "{names}");
    in_peace(&browser);
}

#[test]
fn a_snapshot_is_saved_or_it_says_why_not() {
    let Some((mut browser, _turn)) = page(endpoints()) else { return };
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("page-{}", std::process::id()));
    browser.tell("Page.setDownloadBehavior", json!({"behavior": "allow", "downloadPath": folder}));
    let said = |what: &str| format!("document.getElementById('status').textContent.includes('{what}')");
    // The page may be at a reading for longer than a snapshot waits.
    browser.until(&format!("{} || (snapshot.click(), false)", said("Saved as tenure-")));
    let start = Instant::now();
    let is_whole = |path: &PathBuf| path.extension() == Some("json".as_ref());
    let saved = || std::fs::read_dir(&folder).ok()?.flatten().map(|file| file.path()).find(is_whole);
    while saved().is_none() {
        assert!(start.elapsed() < Duration::from_secs(60), "no file in {}", folder.display());
        sleep(Duration::from_millis(50));
    }
    let text = std::fs::read_to_string(saved().expect("a file")).expect("a text");
    assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok_and(|file| file.is_object()));
    let _ = std::fs::remove_dir_all(&folder);

    browser.value(
        "(globalThis.ask = fetch, globalThis.fetch = (path, options) => path !== 'snapshot' ? ask(path, options) :
            Promise.resolve(new Response('another reading', {status: 429})), null)",
    );
    browser.click("#snapshot");
    browser.until(&said("Snapshot: another reading"));
    in_peace(&browser);
}
