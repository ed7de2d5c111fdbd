//! The dashboard in a real browser, over what this process does: it has a leak, a tag that would like to be markup, and small
//! thresholds, so that collections run by themselves.

mod browser;
mod scripts;
mod server;

use browser::Browser;
use std::hint::black_box;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::thread::{sleep, spawn};
use std::time::Duration;
use tenure::http::Endpoints;
use tenure::{Mode, Tenure, Thresholds};

#[global_allocator]
static ALLOC: Tenure = Tenure::new().mode(Mode::Sampled { mean: 16 << 10 }).thresholds(Thresholds {
    young_bytes: 1 << 20,
    young_per_middle: 2,
    middle_per_old: 2,
    ..Thresholds::DEFAULT
});

const MARKUP: &str = "<img src=x onerror=alert(1)>";

/// What nobody ever lets go.
#[inline(never)]
fn remember() -> Vec<u8> {
    black_box(vec![1; 24 << 10])
}

/// Of which some ten are sampled.
#[inline(never)]
fn few() -> Vec<Vec<u8>> {
    (0..30).map(|_| black_box(vec![1; 8 << 10])).collect()
}

/// Allocates for ever, and keeps some of it.
fn work() {
    let mut remembered = Vec::new();
    loop {
        let passing: Vec<Vec<u8>> = (1..40).map(|i| black_box(vec![1; i * 512])).collect();
        drop(passing);
        if remembered.len() < 8 << 10 {
            remembered.push(remember());
        }
        sleep(Duration::from_millis(4));
    }
}

/// The page of endpoints like these; one browser at a time, on a machine that may have few processors.
fn page(endpoints: Endpoints) -> Option<(Browser, MutexGuard<'static, ()>)> {
    static ONE: Mutex<()> = Mutex::new(());
    static WORK: Once = Once::new();
    WORK.call_once(|| {
        spawn(work);
        let _in = tenure::scope(MARKUP);
        std::mem::forget(black_box(vec![1u8; 3 << 20]));
        std::mem::forget(few());
    });
    let turn = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut browser = Browser::open(&server::serve(endpoints))?;
    browser.until("document.querySelector('#sites-table tbody tr')");
    Some((browser, turn))
}

fn endpoints() -> Endpoints {
    Endpoints::new().figures(|figures| figures.gauge("pool_bytes", "What the pool keeps.", 2048.0))
}

/// Says at the end that the browser had nothing to say.
fn in_peace(browser: &Browser) {
    // That the program is at another reading is an answer, which the page knows.
    let all = browser.complaints().into_iter().filter(|complaint| !complaint.contains("status of 429"));
    assert_eq!(all.collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn it_shows_figures_and_goes_on() {
    let Some((mut browser, _turn)) = page(endpoints()) else { return };
    browser.until("document.querySelectorAll('#tiles dd').length === 12");
    assert!(browser.text("tiles.innerText").contains("MiB"), "live bytes");
    assert!(browser.text("document.getElementById('process').textContent").contains(&std::process::id().to_string()));
    browser.until("document.querySelector('#memory-chart polyline.live')?.points.length > 2");
    let before = browser.text("tiles.innerText");
    browser.until(&format!("tiles.innerText !== {before:?}"));
    browser.until("document.querySelector('#generations-chart polygon.old')");
    browser.until("document.querySelectorAll('.frame').length > 3");
    browser.until("document.querySelector('#retention .share')");
    browser.until("document.getElementById('program-table').innerText.includes('pool_bytes')");
    browser.until("document.getElementById('program-table').innerText.includes('2.0 KiB')");
    // What is sampled says how far off it may be.
    browser.until("document.querySelector('#sites-table tbody').innerText.includes('±')");
    let few =
        "[...document.querySelectorAll('#sites-table tbody tr')].find(row => row.innerText.includes('page::few'))";
    browser.until(&format!("/B to .*B\\)/.test({few}?.innerText)"));
    assert!(browser.text("tiles.innerText").contains("in blocks up to 64 KiB"));
    assert!(browser.text("estimates.textContent").contains("estimates from samples"));
    in_peace(&browser);
}

#[test]
fn a_suspect_comes_first_with_its_evidence() {
    let Some((mut browser, _turn)) = page(endpoints()) else { return };
    browser.until("document.querySelector('.suspect h3')?.textContent.includes('remember')");
    let card = browser.text("document.querySelector('.suspect').innerText");
    for part in ["tests/page/main.rs:", "in its old generation", "a minute", "old collections", "page::work"] {
        assert!(card.contains(part), "{part}: {card}");
    }
    assert!(
        browser.holds("document.querySelector('main').firstElementChild.contains(document.querySelector('.suspect'))")
    );
    browser.until("document.title.startsWith('(')");
    // It is announced: what is written into the status is read out, so it is not written again and again.
    let listen = "globalThis.told = []; new MutationObserver((all) => all.filter(({target}) => target.id === 'status') \
                  .forEach(({target}) => told.push(target.textContent))).observe(document, {subtree: true, childList: true})";
    browser.tell("Page.addScriptToEvaluateOnNewDocument", serde_json::json!({"source": listen}));
    let address = browser.text("location.href");
    browser.go(&address);
    browser.until("globalThis.told?.some(text => /New suspects?: .*remember/.test(text)) && told.at(-1) === ''");
    assert!(browser.holds("told.every((text, i) => text !== told[i - 1])"), "{}", browser.value("told"));
    in_peace(&browser);
}

#[test]
fn tables_are_sorted_by_keyboard() {
    let Some((mut browser, _turn)) = page(endpoints()) else { return };
    let names = "[...document.querySelectorAll('#sites-table tbody th .name')].map(name => name.textContent)";
    let head = "document.querySelector('#sites-table thead th')";
    assert_eq!(browser.text(&format!("{head}.getAttribute('aria-sort')")), "none");
    browser.value("document.querySelector('#sites-table thead button').focus()");
    for (order, sign) in [("ascending", "<="), ("descending", ">=")] {
        browser.press("Enter");
        assert_eq!(browser.text(&format!("{head}.getAttribute('aria-sort')")), order);
        let sorted = format!("{names}.every((name, i, all) => i === 0 || all[i - 1].localeCompare(name) {sign} 0)");
        assert!(browser.holds(&sorted), "{order}: {}", browser.value(names));
        assert!(browser.holds(&format!("{names}.length > 2")));
    }
    // The other figures that come do not change the order, nor take the focus.
    let rows = browser.value("document.querySelector('#sites-table tbody tr').remove()");
    browser.until(&format!("{names}.length > 2 && {head}.getAttribute('aria-sort') === 'descending'"));
    assert!(browser.holds("document.activeElement === document.querySelector('#sites-table thead button')"), "{rows}");
    in_peace(&browser);
}

#[test]
fn buttons_do_what_they_say() {
    let Some((mut browser, _turn)) = page(endpoints()) else { return };
    browser.until("!document.getElementById('exact').hidden && !document.getElementById('exact').disabled");
    browser.click("#exact");
    browser.until("document.getElementById('mode').textContent.startsWith('exact, ')");
    browser.until("document.getElementById('exact').textContent.endsWith('s left')");
    assert_eq!(tenure::mode(), Mode::Exact);
    // Now it is known who survives in pages that are mostly empty.
    browser.until("document.querySelector('#retention tbody tr .number')?.textContent.trim().length > 0");
    tenure::set_mode(Mode::Sampled { mean: 16 << 10 });

    // Automatic ones are `automatic`; the one of the button was asked for.
    browser.click("[data-collect=old]");
    browser.until("document.getElementById('status').textContent.includes('Collected old in ')");
    let asked = "[...document.querySelectorAll('#memory-chart .mark.old title')].some(t => t.textContent.endsWith('asked for'))";
    browser.until(asked);

    assert!(browser.holds("document.getElementById('compare').disabled"), "there is nothing to compare with yet");
    browser.click("#keep");
    browser.until("!document.getElementById('compare').disabled");
    browser.click("#compare");
    browser.until("document.activeElement.id === 'comparison-title'");
    browser.until("document.getElementById('comparison-table').querySelector('tbody tr, p:not([hidden])')");
    in_peace(&browser);
}

#[test]
fn who_may_only_read_sees_no_buttons() {
    let Some((mut browser, _turn)) = page(endpoints().read_only()) else { return };
    browser.until("document.querySelectorAll('#tiles dd').length === 12");
    assert!(
        browser.holds("[...document.querySelectorAll('.actions button')].every(b => b.checkVisibility() === false)")
    );
    assert!(browser.holds("document.getElementById('snapshot').checkVisibility()"));
    in_peace(&browser);
}

#[test]
fn the_flame_graph_is_clicked_into() {
    let Some((mut browser, _turn)) = page(endpoints()) else { return };
    browser.until("document.querySelectorAll('.frame').length > 3");
    let width = "Number(document.querySelector('.frame[aria-label*=remember] rect').getAttribute('width'))";
    browser.until("document.querySelector('.frame[aria-label*=remember]')");
    let before = browser.value(width).as_f64().expect("a width");
    browser.click(".frame[aria-label*=remember]");
    browser.until("!document.getElementById('flame-reset').disabled");
    browser.until("document.getElementById('flame-paused').checkVisibility()");
    let zoomed = browser.value(width).as_f64().expect("a width");
    assert!(zoomed > before && zoomed > 1000.0, "{before} {zoomed}");
    // The way back, by keyboard.
    while !browser.holds("document.getElementById('flame-reset').disabled") {
        browser.press("Escape");
    }
    assert!(browser.holds("document.activeElement.classList.contains('frame')"), "the focus stays");
    browser.press("ArrowDown");
    assert!(browser.holds("document.activeElement.getAttribute('aria-label') !== null"));
    browser.press("Enter");
    browser.until("!document.getElementById('flame-reset').disabled");
    browser.value("document.getElementById('flame-search').focus()");
    browser.until("document.getElementById('flame-paused').hidden");
    browser.tell("Input.insertText", serde_json::json!({"text": "REMEMBER"}));
    browser.until("document.querySelector('.frame.hit')");
    assert!(browser.text("document.getElementById('flame-found').textContent").contains("% of what is shown"));
    in_peace(&browser);
}

#[test]
fn the_picture_of_its_own_zooms_under_its_policy() {
    let Some((mut browser, _turn)) = page(endpoints()) else { return };
    let picture = browser.text("new URL('flame.svg', location.href).href");
    browser.go(&picture);
    browser.until("document.querySelector('#frames > g')");
    browser.until("typeof svg !== 'undefined' && !document.querySelector('svg').hasAttribute('viewBox')"); // it ran
    assert!(browser.holds("document.getElementById('unzoom').classList.contains('hide')"));
    let inner = "[...document.querySelectorAll('#frames > g')].find(g => g.textContent.includes('remember'))";
    browser.value(&format!("{inner}.dispatchEvent(new MouseEvent('click', {{bubbles: true}}))"));
    browser.until("!document.getElementById('unzoom').classList.contains('hide')");
    in_peace(&browser);
}

#[test]
fn the_night_has_other_colours() {
    let Some((mut browser, _turn)) = page(endpoints()) else { return };
    browser.until("document.querySelector('#memory-chart polyline.live')");
    let colours = "JSON.stringify([getComputedStyle(document.body).backgroundColor, \
                   getComputedStyle(document.querySelector('#memory-chart polyline.live')).stroke])";
    browser.dark(false);
    let day = browser.text(colours);
    browser.dark(true);
    let night = browser.text(colours);
    for (by_day, by_night) in day.split("\",\"").zip(night.split("\",\"")) {
        assert_ne!(by_day, by_night);
    }
    in_peace(&browser);
}

#[test]
fn what_a_tag_says_is_a_text() {
    let Some((mut browser, _turn)) = page(endpoints()) else { return };
    browser.value("(by.value = 'tag', by.dispatchEvent(new Event('change')))");
    let named = format!(
        "[...document.querySelectorAll('#sites-table tbody th')].some(th => th.textContent.includes({MARKUP:?}))"
    );
    browser.until(&named);
    assert!(browser.holds("document.images.length === 0"));
    in_peace(&browser);
}
