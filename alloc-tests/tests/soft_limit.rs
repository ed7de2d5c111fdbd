//! The soft limit, the hooks that hear of it, the words of the environment, and the cgroup's limits. Counters are compared, not times.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use tenure::generation::{self, Generation};
use tenure::limits::{LimitStats, Limits, Pressure, limits, on_pressure, set_limits};
use tenure::{Tenure, internals, stats};
use tenure_alloc_tests::child::{Outcome, Scenario};
use tenure_alloc_tests::rss::MIB;

// A builder with limits of its own.
#[global_allocator]
static ALLOC: Tenure = Tenure::new().limits(Limits::new().soft(3 << 30).hard(4 << 30));

fn now() -> LimitStats {
    stats().limits
}

/// A child with words of `TENURE`, in which nothing happens that depends on time: no helper, and no epochs but for bytes.
fn with(test: &'static str, words: &str) -> Scenario {
    Scenario::new(test).env("TENURE", &format!("helper=off,idle=24h,young=1024GiB,limit=none,{words}"))
}

/// Young, middle and old collections that were asked for, and how often the limit was reached.
fn asked() -> [u64; 4] {
    let LimitStats { young_asked, middle_asked, old_asked, soft_reached, .. } = now();
    [young_asked, middle_asked, old_asked, soft_reached]
}

/// Blocks of a MiB until so many bytes are held.
fn grow_to(bytes: usize, blocks: &mut Vec<Vec<u8>>) {
    while (now().held as usize) < bytes {
        blocks.push(Vec::with_capacity(MIB));
    }
}

fn collections() -> [u64; 3] {
    generation::stats().map(|stats| stats.collections)
}

#[test]
fn collections_are_asked_for_as_the_limit_comes_near() {
    with("collections_are_asked_for_as_the_limit_comes_near", "soft_limit=160MiB").run(|| {
        let mut blocks = Vec::with_capacity(1000);
        grow_to(115 * MIB, &mut blocks);
        assert_eq!((asked(), collections()), ([0; 4], [0; 3]));
        // At 120, 140, 150 and 160 MiB.
        let mut after = |mib: usize| {
            grow_to(mib * MIB, &mut blocks);
            asked()
        };
        assert_eq!(
            [121, 135, 141, 147, 151, 157, 161].map(&mut after),
            [
                [1, 0, 0, 0],
                // A sixteenth more was allocated: a young one again, and no more.
                [2, 0, 0, 0],
                [2, 1, 0, 0],
                [2, 1, 0, 0],
                [2, 1, 1, 0],
                [2, 1, 1, 0],
                [2, 1, 2, 1],
            ]
        );
        // They are collections like others. What they do not get to on the slow paths of these few blocks, is done here.
        while generation::poll().is_some() {}
        drop(std::mem::take(&mut blocks));
        let done = collections();
        println!("{done:?} collections; {:?}", now());
        assert!(done[Generation::Old as usize] >= 1 && done.iter().sum::<u64>() <= 5, "{done:?}");
    });
}

/// A process that lives just below its limit, and one that lives above it, have a bounded number of collections.
#[test]
fn who_lives_near_the_limit_does_not_collect_all_the_time() {
    with("who_lives_near_the_limit_does_not_collect_all_the_time", "soft_limit=64MiB").run(|| {
        for near in [47, 56, 60, 63, 70] {
            let mut blocks = Vec::with_capacity(1000);
            grow_to(near * MIB, &mut blocks);
            let before = asked();
            // 400 MiB, as they come and go: over each level and back again.
            for _ in 0..100 {
                let more: Vec<Vec<u8>> = (0..4).map(|_| Vec::with_capacity(MIB)).collect();
                drop(more);
                internals::collect();
            }
            let after = asked();
            let sum = |asked: [u64; 4]| asked[..3].iter().sum::<u64>();
            let sixteenths = 400 / 4;
            println!("near {near} MiB: {before:?}, then {after:?}");
            // What comes and goes is a sixteenth: it crosses one level, and each has one for each sixteenth.
            assert!(sum(after) - sum(before) <= 2 * sixteenths + 4, "more than the bound");
            assert!(after[3] - before[3] <= sixteenths + 1, "more than the bound");
            assert!(sum(after) > sum(before), "none at all");
            drop(blocks);
            internals::collect();
        }
    });
}

static CALLS: AtomicUsize = AtomicUsize::new(0);
static TOLD: AtomicU64 = AtomicU64::new(0);

fn count(pressure: &Pressure) {
    assert_eq!(pressure.soft, 64 << 20);
    CALLS.fetch_add(1, SeqCst);
    TOLD.store(pressure.held, SeqCst);
    // It may allocate, collect, and poll.
    let text = std::hint::black_box(format!("{pressure:?}"));
    assert!(text.len() > 10 && generation::collect(Generation::Young).generation == Generation::Young);
    generation::poll();
}

#[test]
fn hooks_hear_of_the_limit_and_not_inside_an_allocation() {
    // The backtrace of a panic would allocate a sixteenth of the limit.
    let scenario = with("hooks_hear_of_the_limit_and_not_inside_an_allocation", "soft_limit=64MiB");
    scenario.env("RUST_BACKTRACE", "0").run(|| {
        on_pressure(count).expect("there is room");
        on_pressure(|_| panic!("on purpose")).expect("there is room");
        on_pressure(count).expect("there is room");
        let calls = || CALLS.load(SeqCst);
        let mut blocks = Vec::with_capacity(1000);
        grow_to(63 * MIB, &mut blocks);
        generation::poll();
        generation::collect(Generation::Old);
        assert_eq!((calls(), asked()[3]), (0, 0), "it is not reached");
        grow_to(66 * MIB, &mut blocks);
        assert_eq!((calls(), asked()[3]), (0, 1), "no hook runs in an allocation");
        // The panic of the one does not keep the other away.
        generation::poll();
        assert_eq!(calls(), 2);
        assert!(TOLD.load(SeqCst) >= 60 << 20, "{TOLD:?}");
        generation::poll();
        generation::collect(Generation::Old);
        assert_eq!(calls(), 2, "once");
        // A sixteenth later, it is reached again.
        let before = blocks.len();
        while asked()[3] == 1 && blocks.len() < before + 10 {
            blocks.push(Vec::with_capacity(MIB));
        }
        assert_eq!((calls(), asked()[3]), (2, 2));
        generation::collect(Generation::Young);
        assert_eq!(calls(), 4);
        drop(blocks);
    });
}

/// Where the helper is allowed, nobody needs to poll.
#[test]
fn hooks_are_called_by_a_thread_of_their_own() {
    Scenario::new("hooks_are_called_by_a_thread_of_their_own").env("TENURE", "soft_limit=64MiB").run(|| {
        on_pressure(count).expect("there is room");
        let mut blocks = Vec::with_capacity(1000);
        grow_to(66 * MIB, &mut blocks);
        // However long that takes: a test that hangs fails.
        while CALLS.load(SeqCst) == 0 {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        drop(blocks);
    });
}

/// The lines of ours that a child has written.
fn lines(outcome: &Outcome) -> Vec<&str> {
    outcome.stderr.lines().filter_map(|line| line.strip_prefix("tenure: ")).collect()
}

#[test]
fn words_of_the_environment() {
    const GIB: u64 = 1 << 30;
    for (words, soft, hard) in [
        ("", Some(3 * GIB), Some(4 * GIB)),
        ("limit=5GiB", Some(3 * GIB), Some(5 * GIB)),
        // The builder's soft limit gives way.
        ("limit=1GiB", Some(GIB), Some(GIB)),
        ("limit=1GiB,soft_limit=512MiB", Some(GIB / 2), Some(GIB)),
        ("soft_limit=10%", Some(4 * GIB / 100 * 10), Some(4 * GIB)),
        ("limit=none", Some(3 * GIB), None),
        ("soft_limit=none", None, Some(4 * GIB)),
        ("limit=none,soft_limit=none", None, None),
        ("limit=8MiB,soft_limit=8MiB", Some(8 << 20), Some(8 << 20)),
    ] {
        let outcome = Scenario::new("words_of_the_environment").env("TENURE", words).outcome(|| {
            println!("\n<{:?} {:?} {}>", now().soft, now().hard, limits());
        });
        let Some(outcome) = outcome else { return };
        assert!(outcome.status.success() && outcome.completed && lines(&outcome).is_empty(), "{words}: {outcome:?}");
        assert!(outcome.stdout.contains(&format!("<{soft:?} {hard:?} limit=")), "{words}: {}", outcome.stdout);
    }
    for bad in ["limit=1MiB", "limit=lots", "soft_limit=5GiB", "soft_limit=0%"] {
        let words = format!("limit=2GiB,{bad}");
        let Some(outcome) = Scenario::new("words_of_the_environment").env("TENURE", &words).outcome(|| ()) else {
            return;
        };
        let said = lines(&outcome);
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].starts_with(&format!("TENURE: `{bad}` needs a size ")) && said[0].ends_with("; it is ignored"));
    }
    let words = "help,limit=2GiB,soft_limit=80%";
    let Some(outcome) = Scenario::new("words_of_the_environment").env("TENURE", words).outcome(|| ()) else { return };
    let help = lines(&outcome).join("\n");
    assert!(help.contains("  limit=2GiB ") && help.contains("  soft_limit=80% "), "{help}");
}

/// Exports have what happened.
#[test]
fn in_snapshots_and_exports() {
    with("in_snapshots_and_exports", "soft_limit=64MiB").run(|| {
        set_limits(Limits::new().soft(64 << 20).hard(100 << 20)).expect("they are fine");
        let mut blocks = Vec::with_capacity(1000);
        grow_to(66 * MIB, &mut blocks);
        assert!(Vec::<u8>::new().try_reserve_exact(50 * MIB).is_err());
        let snapshot = tenure::snapshot();
        let limits = snapshot.stats().limits;
        assert_eq!((limits.soft, limits.hard), (Some(64 << 20), Some(100 << 20)));
        assert_eq!((limits.refused, limits.refused_bytes, limits.soft_reached), (1, 50 << 20, 1));
        let mut names = tenure::Symbols::new();
        let text = tenure::export::openmetrics(&snapshot, &mut names, Default::default());
        for line in [
            "tenure_soft_limit_bytes 67108864",
            "tenure_hard_limit_bytes 104857600",
            "tenure_refused_allocations_total 1",
            "tenure_refused_bytes_total 52428800",
            "tenure_soft_limit_reached_total 1",
            &format!("tenure_held_bytes {}", limits.held),
        ] {
            assert!(text.lines().any(|l| l == line), "{line}");
        }
        let again = tenure::export::from_json(&tenure::export::raw(&snapshot)).expect("it was written here");
        assert_eq!(again.0.stats().limits, limits);
        let text = snapshot.stats().to_string();
        assert!(text.contains("1 allocations refused") && text.contains("reached 1 times"), "{text}");
        // A file of a version that knew no limits.
        let raw = tenure::export::raw(&snapshot);
        let begin = raw.find("\"limits\":{").expect("they are in it");
        let end = begin + raw[begin..].find("},").expect("an object") + 2;
        let old = raw[..begin].to_owned() + &raw[end..];
        let old = tenure::export::from_json(&old).expect("old files can be read");
        assert_eq!(old.0.stats().limits, LimitStats::default());
        set_limits(Limits::new()).expect("they are fine");
        let text = tenure::export::openmetrics(&tenure::snapshot(), &mut names, Default::default());
        assert!(!text.contains("tenure_hard_limit") && !text.contains("tenure_soft_limit_bytes"), "there is none");
    });
}

/// What this machine allows is what the allocator finds.
#[test]
fn the_cgroup_of_this_process() {
    Scenario::new("the_cgroup_of_this_process").env("TENURE", "limit=cgroup").run(|| {
        let (soft, hard) = (now().soft, now().hard);
        println!("in the cgroup of this process: soft {soft:?}, hard {hard:?}");
        assert!(limits().to_string().starts_with("limit=cgroup"));
        match hard {
            // The builder's soft limit is in bytes, and holds where it is not above.
            None => assert_eq!(soft, Some(3 << 30)),
            Some(hard) => assert!(hard >= 8 << 20 && soft.is_some_and(|soft| soft <= hard)),
        }
    });
}

/// A group of version 2 with a limit, if one can be made here: the allocator stays below it, and the kernel kills nobody.
#[test]
fn a_cgroup_with_a_limit() {
    const NAME: &str = "a_cgroup_with_a_limit";
    let inner = std::env::var("TENURE_TEST_CHILD").is_ok();
    let group = match if inner { Ok(None) } else { group::Group::new(256 << 20).map(Some) } {
        Ok(group) => group,
        Err(why) => return println!("skipped: {NAME}, because {why}"),
    };
    let mut scenario = Scenario::new(NAME).env("TENURE", "limit=cgroup,soft_limit=none");
    if let Some(group) = &group {
        scenario = scenario.cgroup(&group.path);
    }
    scenario.run(|| {
        let hard = now().hard.expect("the group has a limit");
        assert!((128 << 20..=256 << 20).contains(&hard), "{hard}");
        let mut blocks: Vec<Vec<u8>> = Vec::with_capacity(1000);
        loop {
            let mut block = Vec::new();
            if block.try_reserve_exact(MIB).is_err() {
                break;
            }
            block.resize(MIB, 1);
            blocks.push(block);
        }
        let held = blocks.len();
        drop(blocks);
        println!("{held} MiB of 256 MiB");
        assert!(held >= 100);
    });
}

mod group {
    use std::path::{Path, PathBuf};

    /// A cgroup beside that of this process.
    pub(crate) struct Group {
        pub(crate) path: PathBuf,
    }

    impl Group {
        /// With so many bytes at most. Why not, if there can be none.
        pub(crate) fn new(bytes: u64) -> Result<Group, String> {
            let text = std::fs::read_to_string("/proc/self/cgroup").map_err(|e| format!("/proc/self/cgroup: {e}"))?;
            if text.lines().any(|line| line.split(':').nth(1).is_some_and(|c| c.split(',').any(|c| c == "memory"))) {
                return Err("memory is limited by cgroups of version 1 here".into());
            }
            let own = text.lines().find_map(|line| line.strip_prefix("0::")).ok_or("there are no cgroups here")?;
            let own = Path::new("/sys/fs/cgroup").join(own.trim_start_matches('/'));
            let parent = own.parent().filter(|parent| parent.starts_with("/sys/fs/cgroup"));
            let parent = parent.ok_or("this process is in the root of all groups")?;
            let has = std::fs::read_to_string(parent.join("cgroup.subtree_control")).unwrap_or_default();
            if !has.split_whitespace().any(|controller| controller == "memory") {
                return Err(format!("the groups in {} have no limits of memory", parent.display()));
            }
            let path = parent.join(format!("tenure-test-{}", std::process::id()));
            std::fs::create_dir(&path).map_err(|e| format!("{}: {e}", path.display()))?;
            let group = Group { path };
            let file = group.path.join("memory.max");
            std::fs::write(&file, bytes.to_string()).map_err(|e| format!("{}: {e}", file.display()))?;
            Ok(group)
        }
    }

    impl Drop for Group {
        fn drop(&mut self) {
            _ = std::fs::remove_dir(&self.path);
        }
    }
}
