//! The limits in force: what was chosen, and what that comes to in bytes, which the cgroup may change at any time.

use super::pressure;
use crate::arena::held;
use crate::config::limits::{Hard, LEAST, Limits, SHARE, Soft};
use crate::os::{self, cgroup, lock::Lock};
use crate::sync::{AtomicBool, AtomicU64, Ordering};

/// Milliseconds between two looks at the cgroup.
const INTERVAL_MS: u64 = 1000;
/// Of a cgroup's limit, what others have is left to them, and at least this part of it: our figures are some milliseconds old,
/// and the kernel has memory in the group that it tells nobody of.
const OTHERS: u64 = 16;

/// Guards the two limits and what they come to, which are set together. Nothing is locked under it.
static CHOSEN: Lock<Limits> = Lock::new(Limits::new());
/// Whether the cgroup is to be looked at.
static CGROUP: AtomicBool = AtomicBool::new(false);
/// When it was looked at, by [`os::uptime_ms`].
static LOOKED: AtomicU64 = AtomicU64::new(0);
/// What it leaves us; `u64::MAX` if it has no limit.
static LEFT: AtomicU64 = AtomicU64::new(u64::MAX);

static REFUSED: AtomicU64 = AtomicU64::new(0);
static REFUSED_BYTES: AtomicU64 = AtomicU64::new(0);

// Relaxed throughout: numbers that order nothing, and switches that are read a moment later as well.

/// What was chosen.
pub(crate) fn chosen() -> Limits {
    *CHOSEN.lock()
}

/// From now on these are the limits. Reads the cgroup's if asked to; does not allocate.
pub(crate) fn set(limits: Limits) {
    let mut chosen = CHOSEN.lock();
    *chosen = limits;
    CGROUP.store(limits.hard == Hard::Cgroup, Ordering::Relaxed);
    LOOKED.store(os::uptime_ms(), Ordering::Relaxed);
    LEFT.store(u64::MAX, Ordering::Relaxed);
    apply(&limits);
    held::forget_closest();
    pressure::forget();
}

/// Looks at the cgroup again if that is a second ago. One load where it is of no interest.
#[inline]
pub(crate) fn look_again() {
    if CGROUP.load(Ordering::Relaxed) {
        look_if_due();
    }
}

#[cold]
fn look_if_due() {
    let (last, now) = (LOOKED.load(Ordering::Relaxed), os::uptime_ms());
    // Of several threads, one looks.
    let due = now >= last.saturating_add(INTERVAL_MS);
    if due && LOOKED.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
        apply(&CHOSEN.lock());
    }
}

/// What the limits come to.
fn apply(limits: &Limits) {
    let (hard, throttled) = match limits.hard {
        Hard::Never => (u64::MAX, u64::MAX),
        Hard::Bytes(bytes) => (bytes, u64::MAX),
        Hard::Cgroup => left_by_cgroup(),
    };
    let share = |percent: u32| hard / 100 * u64::from(percent);
    let soft = match (limits.soft, limits.hard) {
        (Soft::Bytes(bytes), _) => bytes.min(hard),
        (Soft::Percent(percent), _) if hard < u64::MAX => share(percent),
        (Soft::Unset, Hard::Cgroup) if hard < u64::MAX => share(SHARE),
        _ => u64::MAX,
    };
    // Beyond `memory.high` the kernel makes the process wait: that is what a soft limit is to prevent.
    let soft = if limits.soft == Soft::Never { soft } else { soft.min(throttled) };
    let bytes = |limit: u64| usize::try_from(limit).unwrap_or(usize::MAX);
    held::set_limit(bytes(hard));
    pressure::set_soft(bytes(soft));
}

/// What the cgroup and those above it leave us of what they may have at all, and before they are slowed down.
fn left_by_cgroup() -> (u64, u64) {
    let ours = held::bytes() as u64;
    let (mut left, mut throttled) = (u64::MAX, u64::MAX);
    let read = cgroup::each(|group| {
        left = left.min(ours_of(group.max, group.used, ours));
        throttled = throttled.min(ours_of(group.high, group.used, ours));
    });
    // Out of file descriptors, perhaps: what was known stays.
    if read {
        LEFT.store(left, Ordering::Relaxed);
    }
    (LEFT.load(Ordering::Relaxed), throttled)
}

/// What is ours of a limit, if all together use so much and we hold so much.
fn ours_of(limit: u64, used: u64, ours: u64) -> u64 {
    if limit == u64::MAX {
        return limit;
    }
    let others = used.saturating_sub(ours).max(limit / OTHERS);
    limit.saturating_sub(others).max(LEAST)
}

/// An allocation of so many bytes fails, for which so many of slices were needed. Counts it if that is for the limit: if they do
/// not fit at this moment.
pub(crate) fn refused(bytes: usize, slices: usize) {
    if !held::fits(slices) {
        REFUSED.fetch_add(1, Ordering::Relaxed);
        REFUSED_BYTES.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// Allocations that were refused for the limit, and their bytes.
pub(crate) fn refusals() -> (u64, u64) {
    (REFUSED.load(Ordering::Relaxed), REFUSED_BYTES.load(Ordering::Relaxed))
}

pub(crate) fn before_fork() {
    CHOSEN.acquire();
}

pub(crate) fn after_fork() {
    CHOSEN.release();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_groups_limit() {
        const GIB: u64 = 1 << 30;
        assert_eq!(ours_of(u64::MAX, 5 * GIB, GIB), u64::MAX);
        // Nobody else is there: a sixteenth is left for what we do not see.
        assert_eq!(ours_of(16 * GIB, GIB, GIB), 15 * GIB);
        assert_eq!(ours_of(16 * GIB, 0, 3 * GIB), 15 * GIB);
        // Others have four: they keep them.
        assert_eq!(ours_of(16 * GIB, 5 * GIB, GIB), 12 * GIB);
        // They have more than all: we go on with the least.
        assert_eq!(ours_of(16 * GIB, 40 * GIB, GIB), LEAST);
        assert_eq!(ours_of(0, 0, 0), LEAST);
    }
}
