//! A service that leaks: somebody subscribes to an event at each request, and nobody unsubscribes.
//!
//! Beside the leak there is what makes leaks hard to find: a cache that holds more than what leaks and is meant to, and
//! requests that allocate and free a hundred times as much.

use std::collections::HashMap;
use std::rc::Rc;

/// Who is told when prices change.
#[derive(Default)]
pub(crate) struct Prices {
    listeners: HashMap<u64, Listener>,
    next: u64,
}

type Listener = Box<dyn Fn(u32)>;

impl Prices {
    /// Has `listener` told of changes until it is [taken away](Prices::unsubscribe).
    pub(crate) fn subscribe(&mut self, listener: impl Fn(u32) + 'static) -> u64 {
        self.next += 1;
        self.listeners.insert(self.next, Box::new(listener));
        self.next
    }

    pub(crate) fn unsubscribe(&mut self, number: u64) {
        self.listeners.remove(&number);
    }

    pub(crate) fn change(&self, price: u32) {
        self.listeners.values().for_each(|listener| listener(price));
    }
}

/// What a visitor looks at.
struct Session {
    visitor: u32,
    viewed: Vec<u64>,
}

/// Pages that are kept ready: those of all products, in the end.
#[derive(Default)]
struct Cache {
    pages: HashMap<u32, Vec<u8>>,
}

impl Cache {
    fn page(&mut self, product: u32) -> &[u8] {
        self.pages.entry(product).or_insert_with(|| render(product))
    }
}

/// Products that there are.
const PRODUCTS: u32 = 5000;

/// A page of 8 KB.
fn render(product: u32) -> Vec<u8> {
    let mut page = format!("<h1>Product {product}</h1>").into_bytes();
    page.resize(8000, b' ');
    page
}

#[derive(Default)]
pub(crate) struct Service {
    cache: Cache,
    prices: Prices,
    visitors: u32,
}

impl Service {
    /// A visitor looks at five products. Returns how many bytes were sent.
    pub(crate) fn browse(&mut self, seed: u32) -> usize {
        let _tag = tenure::scope("GET /browse");
        self.visitors += 1;
        let viewed = vec![0; 100];
        let session = Rc::new(Session { visitor: self.visitors, viewed });
        let subscription = self.watch_prices(&session);
        let sent = (0..5).map(|i| self.show(&session, seed.wrapping_add(i * 7919) % PRODUCTS)).sum();
        // Forgotten: self.prices.unsubscribe(subscription).
        let _ = subscription;
        sent
    }

    /// A visitor searches. This route forgets nothing.
    pub(crate) fn search(&mut self, words: &str) -> usize {
        let _tag = tenure::scope("GET /search");
        let session = Rc::new(Session { visitor: 0, viewed: vec![0; 100] });
        let subscription = self.watch_prices(&session);
        let results: Vec<String> = (0..200).map(|i| format!("result {i} for {words}")).collect();
        self.prices.unsubscribe(subscription);
        results.iter().map(String::len).sum()
    }

    /// A price changes, and all that are subscribed are told.
    pub(crate) fn new_price(&self, price: u32) {
        self.prices.change(price);
    }

    fn show(&mut self, session: &Session, product: u32) -> usize {
        let body = self.cache.page(product);
        let header = format!("visitor {} of {}, {} bytes", session.visitor, session.viewed.len(), body.len());
        let response = [header.as_bytes(), body].concat();
        response.len()
    }

    /// The visitor is told when a price changes, as long as somebody keeps the number.
    fn watch_prices(&mut self, session: &Rc<Session>) -> u64 {
        let session = session.clone();
        self.prices.subscribe(move |price| {
            std::hint::black_box((session.viewed.len(), price));
        })
    }
}
