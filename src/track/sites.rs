//! Sites: call stacks, interned as a calling-context tree (Ammons, Ball and Larus, 1997), in the allocator's own memory.
//!
//! A **node** is a lookup address under a parent, the next outer frame. Five roots stand for the five ways in which a
//! stack can end, so that how it ended is part of its identity. A stack that shares its outer frames with others costs
//! its inner ones: 16 bytes each, and 4 to 8 of the hash table that finds the children. A node that some stack ends at,
//! innermost, gets a **site**: a small number, dense, for counters to stand under.
//!
//! Two stacks are one site only if all of their frames are equal: nodes are compared by parent and address, never by a
//! hash. Nodes and sites are never given back. Both are bounded; what comes after goes to the site [`OVERFLOW`].
//!
//! Looking up takes no lock. A lookup that finds nothing is repeated under the writers' lock before a node is made:
//! the table grows by splitting one chain at a time (Litwin, "Linear Hashing", 1980), and a reader may be led from the
//! chain it is on into the one that a node was moved to. It then misses nodes, but never follows a link that is none,
//! and each chain ends.

use super::array::{Array, pieces};
use super::{Ending, word};
use crate::os::lock::Lock;
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// The site of blocks whose stack could not be captured: allocated inside a capture, by a signal handler.
pub(crate) const UNKNOWN: u32 = 0;
/// The site of blocks for whose stack there was no room.
pub(crate) const OVERFLOW: u32 = 1;
/// The first site with a stack.
const FIRST: u32 = 2;

/// Bits of a node's number and of a site's, in [`Node::links`].
const NODE: u32 = 22;
const SITE: u32 = 20;
const _: () = assert!(2 * NODE + SITE == u64::BITS && 1 << SITE <= word::SITES);

/// A node's number; 0 is none. The roots come first, in the order of [`Ending`].
pub(crate) type Id = u32;
const ROOTS: u32 = 5;
/// How many nodes there can be.
pub(crate) const MOST_NODES: u32 = 1 << NODE;
/// How many sites there can be.
pub(crate) const MOST_SITES: u32 = 1 << SITE;

/// Invariants: `address`, the parent and the site (once it is not 0) never change after the node can be found; `next`
/// changes under the writers' lock.
#[repr(C)]
struct Node {
    address: AtomicU64,
    /// Parent, next node of the same bucket, site: [`Links`].
    links: AtomicU64,
}

#[derive(Clone, Copy)]
struct Links(u64);

impl Links {
    const MASK: u64 = (1 << NODE) - 1;

    fn new(parent: Id, next: Id) -> Self {
        Links(parent as u64 | (next as u64) << NODE)
    }
    fn parent(self) -> Id {
        (self.0 & Self::MASK) as Id
    }
    fn next(self) -> Id {
        (self.0 >> NODE & Self::MASK) as Id
    }
    fn site(self) -> u32 {
        (self.0 >> (2 * NODE)) as u32
    }
    fn with_next(self, next: Id) -> Self {
        Links(self.0 & !(Self::MASK << NODE) | (next as u64) << NODE)
    }
    fn with_site(self, site: u32) -> Self {
        Links(self.0 | (site as u64) << (2 * NODE))
    }
}

static NODES: Array<Node, { pieces::<Node>(MOST_NODES as usize) }> = Array::new();
/// The first node of each bucket.
static BUCKETS: Array<AtomicU32, { pieces::<AtomicU32>(MOST_NODES as usize) }> = Array::new();
/// The innermost node of each site.
static LEAVES: Array<AtomicU32, { pieces::<AtomicU32>(MOST_SITES as usize) }> = Array::new();

/// How many buckets are in use: at least one, at most one for each node.
static USED_BUCKETS: AtomicU32 = AtomicU32::new(1);
static USED_SITES: AtomicU32 = AtomicU32::new(FIRST);

struct Writer {
    nodes: u32,
    /// Bounds that the configuration sets.
    most_sites: u32,
    most_nodes: u32,
}

static WRITER: Lock<Writer> = Lock::new(Writer { nodes: 1 + ROOTS, most_sites: MOST_SITES, most_nodes: MOST_NODES });

/// Nodes that a site may need, on average: stacks share their outer frames.
const NODES_A_SITE: u32 = 8;
/// Nodes that there may be however few the sites are: whole stacks, when there are not many to share frames with.
const FEW_NODES: u32 = 4096;

/// Bounds the sites, and with them the memory of the tree.
pub(crate) fn bound(sites: u32) {
    let mut writer = WRITER.lock();
    writer.most_sites = sites.clamp(FIRST, MOST_SITES);
    writer.most_nodes = sites.saturating_mul(NODES_A_SITE).clamp(FEW_NODES, MOST_NODES);
}

/// Sites in use, those of [`UNKNOWN`] and [`OVERFLOW`] included: each is below this.
pub(crate) fn count() -> u32 {
    USED_SITES.load(Ordering::Acquire) // Acquire: the leaves of those sites are there
}

/// Nodes in use, and the bytes of nodes, buckets and leaves.
#[cfg(feature = "internals")]
pub(crate) fn memory() -> (u32, usize) {
    let nodes = WRITER.lock().nodes;
    let buckets = USED_BUCKETS.load(Ordering::Relaxed) as usize; // Relaxed: a statistic
    (nodes, nodes as usize * size_of::<Node>() + (buckets + count() as usize) * size_of::<u32>())
}

#[inline]
fn hash(parent: Id, address: u64) -> u32 {
    // Multiplicative, with the high half folded in: neighbouring addresses and parents spread.
    let h = (address ^ (parent as u64) << 40).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (h >> 32) as u32 ^ (h >> 48) as u32
}

/// The bucket of a hash when so many are in use.
#[inline]
fn bucket(hash: u32, used: u32) -> u32 {
    let mask = used.next_power_of_two() - 1;
    let i = hash & mask;
    if i < used { i } else { i & (mask >> 1) }
}

/// The child of a node at an address; 0 if none was found.
#[inline]
fn find(parent: Id, address: u64) -> Id {
    // Acquire because the nodes of the buckets must be seen.
    let i = bucket(hash(parent, address), USED_BUCKETS.load(Ordering::Acquire));
    let Some(first) = BUCKETS.get(i) else { return 0 };
    let mut id = first.load(Ordering::Acquire); // Acquire: the node is written before it is linked
    while id != 0 {
        let Some(node) = NODES.get(id) else { return 0 };
        let links = Links(node.links.load(Ordering::Acquire)); // Acquire: as above, for the next node
        // Relaxed: written before the node was linked.
        if node.address.load(Ordering::Relaxed) == address && links.parent() == parent {
            return id;
        }
        id = links.next();
    }
    0
}

impl Writer {
    /// A new node, which is not there yet; 0 if there is no room.
    fn add(&mut self, parent: Id, address: u64) -> Id {
        if self.nodes >= self.most_nodes {
            return 0;
        }
        let id = self.nodes;
        let Some(node) = NODES.make(id) else { return 0 };
        let used = USED_BUCKETS.load(Ordering::Relaxed); // Relaxed: written under this lock
        let Some(first) = BUCKETS.make(bucket(hash(parent, address), used)) else { return 0 };
        // Relaxed: the store to the bucket publishes them.
        node.address.store(address, Ordering::Relaxed);
        node.links.store(Links::new(parent, first.load(Ordering::Relaxed)).0, Ordering::Relaxed);
        first.store(id, Ordering::Release); // Release: see `find`
        self.nodes += 1;
        if self.nodes > used {
            self.split(used);
        }
        id
    }

    /// One bucket more: the nodes that belong into it leave the chain that they are in.
    fn split(&self, used: u32) {
        let from = bucket(used, used);
        let (Some(from), Some(to)) = (BUCKETS.make(from), BUCKETS.make(used)) else { return };
        let mut before: Id = 0;
        let mut id = from.load(Ordering::Relaxed); // Relaxed, below too: we hold the lock
        while let (true, Some(node)) = (id != 0, NODES.get(id)) {
            let links = Links(node.links.load(Ordering::Relaxed));
            let next = links.next();
            if bucket(hash(links.parent(), node.address.load(Ordering::Relaxed)), used + 1) == used {
                // Out of the one chain first, so that no node is in two chains; a reader on it goes on in the other.
                match NODES.get(before) {
                    Some(node) if before != 0 => set_next(node, next),
                    _ => from.store(next, Ordering::Release), // Release, here and below: see `find`
                }
                set_next(node, to.load(Ordering::Relaxed));
                to.store(id, Ordering::Release);
            } else {
                before = id;
            }
            id = next;
        }
        USED_BUCKETS.store(used + 1, Ordering::Release); // Release: see `find`
    }

    /// The site of a node, made if need be.
    fn site(&mut self, id: Id) -> u32 {
        let Some(node) = NODES.make(id) else { return OVERFLOW };
        let links = Links(node.links.load(Ordering::Relaxed)); // Relaxed: written under this lock
        if links.site() != 0 {
            return links.site();
        }
        let site = USED_SITES.load(Ordering::Relaxed); // Relaxed: as above
        if site >= self.most_sites {
            return OVERFLOW;
        }
        let Some(leaf) = LEAVES.make(site) else { return OVERFLOW };
        leaf.store(id, Ordering::Relaxed); // Relaxed: published by the count
        USED_SITES.store(site + 1, Ordering::Release); // Release: see `count`
        node.links.store(links.with_site(site).0, Ordering::Release); // Release: whoever reads the site finds its leaf
        site
    }
}

fn set_next(node: &Node, next: Id) {
    // Relaxed load: links change under the lock, which the caller holds. Release store: see `find`.
    let links = Links(node.links.load(Ordering::Relaxed));
    node.links.store(links.with_next(next).0, Ordering::Release);
}

/// The node that stands for how a stack ended: the parent of its outermost frame.
#[inline]
pub(crate) fn root(ending: Ending) -> Id {
    1 + ending as u32
}

/// The node of a frame, by its lookup address and the node of the next outer frame; 0 if it is not known. Takes no lock.
#[inline]
pub(crate) fn known(parent: Id, address: usize) -> Id {
    find(parent, address as u64)
}

/// Makes nodes for frames under a node, outermost first, as far as they are not known, and gives each to `f`: 0 for those
/// that there is no room for.
#[cold]
#[inline(never)]
pub(crate) fn make(mut parent: Id, frames: impl Iterator<Item = usize>, mut f: impl FnMut(Id)) {
    let mut writer = WRITER.lock();
    let mut made = false;
    for address in frames {
        // A node that was just made has no children.
        parent = match if made || parent == 0 { 0 } else { find(parent, address as u64) } {
            0 if parent == 0 => 0,
            0 => {
                made = true;
                writer.add(parent, address as u64)
            }
            id => id,
        };
        f(parent);
    }
}

/// The site of the stack whose innermost frame's node this is; [`OVERFLOW`] if there is no room, or no node.
#[inline]
pub(crate) fn of(id: Id) -> u32 {
    let links = NODES.get(id).map_or(0, |node| node.links.load(Ordering::Acquire)); // Acquire: see `Writer::site`
    match Links(links).site() {
        _ if id == 0 => OVERFLOW,
        0 => WRITER.lock().site(id),
        site => site,
    }
}

/// The site of a stack: lookup addresses, leaf first. [`OVERFLOW`] if there is no room.
pub(crate) fn intern(stack: impl DoubleEndedIterator<Item = usize> + Clone, ending: Ending) -> u32 {
    let mut at = root(ending);
    let mut frames = stack.rev();
    let mut rest = frames.clone();
    while let Some(address) = frames.next() {
        match known(at, address) {
            0 => {
                make(at, rest, |id| at = id);
                break;
            }
            id => at = id,
        }
        rest = frames.clone();
    }
    of(at)
}

/// Gives `f` the lookup addresses of a site's stack, leaf first, and says how it ended. Nothing for the sites without one.
pub(crate) fn stack(site: u32, mut f: impl FnMut(usize)) -> Ending {
    const ENDINGS: [Ending; ROOTS as usize] =
        [Ending::Complete, Ending::Depth, Ending::NoRules, Ending::Complex, Ending::Foreign];
    let Some(leaf) = LEAVES.get(site).filter(|_| (FIRST..count()).contains(&site)) else { return Ending::NoRules };
    let mut id = leaf.load(Ordering::Relaxed); // Relaxed: `count` has acquired it
    while let (true, Some(node)) = (id > ROOTS, NODES.get(id)) {
        f(node.address.load(Ordering::Relaxed) as usize); // Relaxed: written before the site was
        id = Links(node.links.load(Ordering::Relaxed)).parent();
    }
    ENDINGS[(id.max(1) - 1) as usize]
}

pub(crate) fn before_fork() {
    WRITER.acquire();
}

pub(crate) fn after_fork() {
    WRITER.release();
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    // One table for the process: each test has frames of its own.
    fn addresses(test: usize, seed: usize) -> Vec<usize> {
        let mut x = seed.wrapping_mul(0x9E37_79B9) + 1;
        let n = 1 + seed % 20;
        let frame = |i: usize| {
            x = x.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            test << 40 | ((x >> 33) % (2 + i)) << 8 | i
        };
        (0..n).map(frame).collect()
    }

    fn read(site: u32) -> (Vec<usize>, Ending) {
        let mut frames = Vec::new();
        let ending = stack(site, |f| frames.push(f));
        (frames, ending)
    }

    #[test]
    fn equal_stacks_and_no_others_are_one_site() {
        let mut known = HashMap::new();
        for seed in 0..20_000 {
            let frames: Vec<_> = addresses(1, seed).into_iter().rev().collect();
            let ending = if seed % 7 == 0 { Ending::Depth } else { Ending::Complete };
            let site = intern(frames.iter().copied(), ending);
            assert!(site >= FIRST);
            assert_eq!(*known.entry((frames.clone(), ending as u8)).or_insert(site), site, "one stack, two sites");
            assert_eq!(read(site), (frames, ending));
        }
        let mut sites: Vec<_> = known.values().collect();
        sites.sort();
        sites.dedup();
        assert_eq!(sites.len(), known.len(), "two stacks, one site");
    }

    #[test]
    fn the_ending_is_part_of_a_stack() {
        let all = [Ending::Complete, Ending::Depth, Ending::NoRules, Ending::Complex, Ending::Foreign];
        let sites = all.map(|ending| intern([2 << 40 | 5].into_iter(), ending));
        for (i, &site) in sites.iter().enumerate() {
            assert_eq!(read(site), (vec![2 << 40 | 5], all[i]));
            assert!(!sites[..i].contains(&site));
        }
    }

    #[test]
    fn a_prefix_of_a_stack_is_another_site() {
        let long = intern([3 << 40 | 1, 3 << 40 | 2, 3 << 40 | 3].into_iter(), Ending::Complete);
        let short = intern([3 << 40 | 2, 3 << 40 | 3].into_iter(), Ending::Complete);
        assert_ne!(long, short);
        assert_eq!(intern(std::iter::empty(), Ending::NoRules), intern(std::iter::empty(), Ending::NoRules));
    }

    #[test]
    fn threads_agree() {
        let threads: Vec<_> = (0..4)
            .map(|t| {
                std::thread::spawn(move || {
                    let mut sites: Vec<_> = (0..5_000)
                        .map(|i| (i * 7 + t * 1250) % 5_000)
                        .map(|seed| (seed, intern(addresses(4, seed).into_iter(), Ending::Complete)))
                        .collect();
                    sites.sort();
                    sites
                })
            })
            .collect();
        let all: Vec<_> = threads.into_iter().map(|t| t.join().expect("a thread")).collect();
        all.windows(2).for_each(|w| assert_eq!(w[0], w[1]));
        all[0].iter().for_each(|&(seed, site)| assert_eq!(read(site).0, addresses(4, seed)));
    }

    #[test]
    fn the_chains_hold_what_they_should() {
        (0..3_000).for_each(|seed| _ = intern(addresses(5, seed).into_iter(), Ending::Complete));
        let writer = WRITER.lock();
        let used = USED_BUCKETS.load(Ordering::Relaxed);
        let mut found = 0;
        for i in 0..used {
            let mut id = BUCKETS.get(i).map_or(0, |b| b.load(Ordering::Relaxed));
            while id != 0 {
                let node = NODES.get(id).expect("a node");
                let links = Links(node.links.load(Ordering::Relaxed));
                assert_eq!(bucket(hash(links.parent(), node.address.load(Ordering::Relaxed)), used), i);
                found += 1;
                id = links.next();
            }
        }
        assert_eq!(found, writer.nodes - 1 - ROOTS, "a node is in one chain");
    }
}
