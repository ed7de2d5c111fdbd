//! A service in fast motion: what it allocates in some minutes of traffic, without waiting for any.
//!
//! Everything here is as services do it, and one thing is wrong.

use std::collections::{HashMap, VecDeque};

/// One in so many requests subscribes to a topic, and nobody unsubscribes it.
const SUBSCRIBES: u64 = 12;
/// Pages that the cache keeps at most.
const CACHED: usize = 2000;
/// Sessions that are open at a time.
const SESSIONS: usize = 4000;

/// The service.
pub(crate) struct Service {
    requests: u64,
    prices: Vec<(u64, String)>,
    cache: HashMap<u64, Vec<u8>>,
    sessions: VecDeque<Box<Session>>,
    topics: Vec<Subscription>,
    journal: Vec<Entry>,
}

struct Session {
    user: u64,
    viewed: Vec<u64>,
}

/// Who wants to hear of a topic.
struct Subscription {
    user: u64,
    pattern: String,
}

/// Something that is written down at each request, and forgotten when the day ends; but for audits.
#[derive(Clone)]
pub(crate) struct Entry {
    text: Box<[u8; 112]>,
    audit: bool,
}

impl Service {
    /// What is built at the start, and stays.
    pub(crate) fn start() -> Service {
        let prices =
            (0..20_000).map(|product| (product, format!("{}.{:02} EUR", product % 97, product % 100))).collect();
        Service {
            requests: 0,
            prices,
            cache: HashMap::new(),
            sessions: VecDeque::new(),
            topics: Vec::new(),
            journal: Vec::new(),
        }
    }

    /// A request: a page from the cache, a session, a journal entry, and much that lives for a moment only.
    pub(crate) fn request(&mut self) -> usize {
        self.requests += 1;
        let user = self.requests.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
        let body = self.parse(user);
        let page = self.page(user).len();
        self.open_session(user);
        if self.requests.is_multiple_of(SUBSCRIBES) {
            self.subscribe(user);
        }
        self.write_down(user);
        body + page
    }

    /// Scratch space: hundreds of small blocks that die before the answer is sent.
    fn parse(&self, user: u64) -> usize {
        let words: Vec<String> = (0..24).map(|i| format!("field-{i}={user:016x}")).collect();
        words.iter().map(String::len).sum()
    }

    /// A cache that fills, and then replaces what it has.
    fn page(&mut self, user: u64) -> &[u8] {
        // Some products are asked for more often than others: the cache fills quickly at first, and slowly then.
        let key = (user % 256) * (user / 256 % 256) / 16;
        if self.cache.len() >= CACHED && !self.cache.contains_key(&key) {
            let oldest = *self.cache.keys().next().expect("it is full");
            self.cache.remove(&oldest);
        }
        self.cache.entry(key).or_insert_with(|| render(&self.prices[key as usize].1))
    }

    /// Sessions end in the order in which they began.
    fn open_session(&mut self, user: u64) {
        self.sessions.push_back(Box::new(Session { user, viewed: vec![user; 32] }));
        if self.sessions.len() > SESSIONS {
            let ended = self.sessions.pop_front().expect("there are some");
            debug_assert!(ended.viewed.contains(&ended.user));
        }
    }

    /// The mistake: a subscription is made, and never ended.
    #[inline(never)]
    fn subscribe(&mut self, user: u64) {
        self.topics.push(Subscription { user, pattern: format!("prices/{user:08}/{:>80}", "*") });
    }

    /// One in 512 entries is an audit, which stays when the day ends.
    fn write_down(&mut self, user: u64) {
        let mut text = Box::new([0; 112]);
        text[..8].copy_from_slice(&user.to_le_bytes());
        self.journal.push(Entry { text, audit: self.journal.len().is_multiple_of(512) });
    }

    /// The day ends: the journal is closed, and audits are kept.
    pub(crate) fn end_day(&mut self) -> Vec<Entry> {
        let mut audits = std::mem::take(&mut self.journal);
        audits.retain(|entry| entry.audit);
        audits.shrink_to_fit();
        audits
    }

    /// Somebody looks at what was subscribed to.
    pub(crate) fn subscribers(&self, pattern: &str) -> usize {
        self.topics.iter().filter(|t| t.user > 0 && t.pattern.contains(pattern)).count()
    }
}

fn render(price: &str) -> Vec<u8> {
    let mut page = format!("<p>Only {price}!</p>").into_bytes();
    page.resize(6000, b' ');
    page
}

/// What audits are kept for.
pub(crate) fn checksum(audits: &[Entry]) -> u64 {
    audits.iter().flat_map(|entry| entry.text.iter()).map(|&byte| u64::from(byte)).sum()
}
