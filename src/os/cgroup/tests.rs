//! Texts as systems have them, and as no system has them.

use super::*;
use std::collections::HashMap;

const NONE: u64 = u64::MAX;
const MIB: u64 = 1 << 20;

/// Files by their paths.
struct Texts(HashMap<String, String>);

impl Source for Texts {
    fn lines(&self, path: &CStr, f: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        let Some(text) = path.to_str().ok().and_then(|path| self.0.get(path)) else { return false };
        text.lines().all(|line| f(line.as_bytes()));
        true
    }
}

/// The groups that are found, innermost first.
fn groups(files: &[(&str, &str)]) -> Vec<Group> {
    let texts = Texts(files.iter().map(|&(path, text)| (path.to_owned(), text.to_owned())).collect());
    let mut found = Vec::new();
    let any = each_from(&texts, &mut |group| found.push(group));
    assert_eq!(any, !found.is_empty());
    found
}

const V2_MOUNT: &str = "24 30 0:22 / /proc rw,relatime - proc proc rw\n\
                        30 24 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

#[test]
fn version_2_with_limits_above_each_other() {
    let found = groups(&[
        ("/proc/self/cgroup", "0::/system.slice/web.service/worker\n"),
        ("/proc/self/mountinfo", V2_MOUNT),
        ("/sys/fs/cgroup/system.slice/web.service/worker/memory.max", "max\n"),
        ("/sys/fs/cgroup/system.slice/web.service/worker/memory.high", "max\n"),
        ("/sys/fs/cgroup/system.slice/web.service/memory.max", "1073741824\n"),
        ("/sys/fs/cgroup/system.slice/web.service/memory.high", "943718400\n"),
        ("/sys/fs/cgroup/system.slice/web.service/memory.current", "419430400\n"),
        (
            "/sys/fs/cgroup/system.slice/web.service/memory.stat",
            "anon 104857600\nfile 314572800\ninactive_file 209715200\nactive_file 104857600\nslab 1\n",
        ),
        ("/sys/fs/cgroup/system.slice/memory.max", "max\n"),
        // The root has no such files.
    ]);
    let no_limit = Group { max: NONE, high: NONE, used: 0 };
    let limited = Group { max: 1024 * MIB, high: 900 * MIB, used: 100 * MIB };
    assert_eq!(found, [no_limit, limited, no_limit]);
}

/// A container sees its own group as the root, with a namespace of its own; or, without one, mounted under the name of others.
#[test]
fn version_2_in_a_container() {
    let limit = [("/sys/fs/cgroup/memory.max", "268435456\n"), ("/sys/fs/cgroup/memory.current", "1048576\n")];
    let right = [Group { max: 256 * MIB, high: NONE, used: MIB }];
    let own = "700 690 0:30 / /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw\n";
    let bound = "700 690 0:30 /docker/abc /sys/fs/cgroup ro,nosuid master:9 - cgroup2 cgroup rw\n";
    for (group, mount) in [
        ("0::/\n", own),
        ("0::/docker/abc\n", bound),
        // From outside of the namespace, and where what is mounted does not show the group.
        ("0::/../other\n", own),
        ("0::/elsewhere\n", bound),
        ("0::/docker/abcdef\n", bound),
    ] {
        let mut files = vec![("/proc/self/cgroup", group), ("/proc/self/mountinfo", mount)];
        files.extend(limit);
        assert_eq!(groups(&files), right, "{group}{mount}");
    }
    let mut files = vec![("/proc/self/cgroup", "0::/docker/abc/inner\n"), ("/proc/self/mountinfo", bound)];
    files.extend(limit);
    files.push(("/sys/fs/cgroup/inner/memory.max", "134217728"));
    assert_eq!(groups(&files), [Group { max: 128 * MIB, high: NONE, used: 0 }, right[0]]);
}

const HYBRID: &str = "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n\
                      32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n\
                      35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
                      41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";

#[test]
fn version_1_and_both() {
    let found = groups(&[
        ("/proc/self/cgroup", "9:name=systemd:/\n4:cpu,memory:/jobs/a:b\n1:cpu:/\n0::/elsewhere\n"),
        ("/proc/self/mountinfo", HYBRID),
        ("/sys/fs/cgroup/memory/jobs/a:b/memory.limit_in_bytes", "536870912\n"),
        ("/sys/fs/cgroup/memory/jobs/a:b/memory.usage_in_bytes", "10485760\n"),
        (
            "/sys/fs/cgroup/memory/jobs/a:b/memory.stat",
            "inactive_file 1\ntotal_inactive_file 4194304\ntotal_active_file 1048576\n",
        ),
        // No limit, as version 1 writes it: with OS pages of 4 KiB, and of 64 KiB.
        ("/sys/fs/cgroup/memory/jobs/memory.limit_in_bytes", "9223372036854771712\n"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854710272\n"),
        ("/sys/fs/cgroup/unified/elsewhere/memory.max", "1"),
    ]);
    let no_limit = Group { max: NONE, high: NONE, used: 0 };
    assert_eq!(found, [Group { max: 512 * MIB, high: NONE, used: 5 * MIB }, no_limit, no_limit]);
    // The memory controller is in version 2.
    let found = groups(&[
        ("/proc/self/cgroup", "9:name=systemd:/\n1:cpu:/\n0::/a\n"),
        ("/proc/self/mountinfo", HYBRID),
        ("/sys/fs/cgroup/unified/a/memory.max", "1048576"),
    ]);
    assert_eq!(found, [Group { max: MIB, high: NONE, used: 0 }]);
}

#[test]
fn a_mount_with_a_strange_name() {
    let mount = "30 24 0:26 / /mnt/c\\040d\\134e\\9 rw - cgroup2 none rw\n";
    let found = groups(&[
        ("/proc/self/cgroup", "0::/a b/\n"),
        ("/proc/self/mountinfo", mount),
        ("/mnt/c d\\e\\9/a b/memory.max", "5242880"),
    ]);
    assert_eq!(found, [Group { max: 5 * MIB, high: NONE, used: 0 }]);
}

/// Two mounts: the one that shows the group is taken, wherever it stands.
#[test]
fn more_than_one_mount() {
    let (part, whole) = ("1 2 0:26 /x /part rw - cgroup2 none rw\n", "1 2 0:26 / /whole rw - cgroup2 none rw\n");
    for mounts in [format!("{part}{whole}"), format!("{whole}{part}")] {
        let found = groups(&[
            ("/proc/self/cgroup", "0::/y"),
            ("/proc/self/mountinfo", &mounts),
            ("/whole/y/memory.max", "1048576"),
            ("/part/memory.max", "1"),
            ("/part/y/memory.max", "2"),
        ]);
        assert_eq!(found, [Group { max: MIB, high: NONE, used: 0 }], "{mounts}");
    }
}

#[test]
fn what_cannot_be_read_is_no_limit() {
    let group = ("/proc/self/cgroup", "0::/a\n");
    let mount = ("/proc/self/mountinfo", V2_MOUNT);
    let file = |text| ("/sys/fs/cgroup/a/memory.max", text);
    assert_eq!(groups(&[]), []);
    assert_eq!(groups(&[group]), []);
    assert_eq!(groups(&[mount, file("1")]), []);
    assert_eq!(groups(&[group, mount]), []);
    for text in ["", "\n", "maximum", "-1", "+5", "0x10", "12 34", "1e9", " 5", "½"] {
        assert_eq!(groups(&[group, mount, file(text)]), [], "{text:?}");
    }
    for (text, max) in [("0", 0), ("1152921504606846975", (1 << 60) - 1), ("99999999999999999999999999", NONE)] {
        assert_eq!(groups(&[group, mount, file(text)]).first().map(|g| g.max), Some(max), "{text}");
    }
    for bad in ["", ":", "::", "0:", "0:memory", "x\ny\n", "1::/a\n", "0:memory2:/a\n", "\0:\0:\0"] {
        assert_eq!(groups(&[("/proc/self/cgroup", bad), mount, file("1")]), [], "{bad:?}");
    }
    for bad in
        ["", "-", "- cgroup2", "1 2 3 / /x", "1 2 3 / /x rw -", "1 2 3 / - cgroup2 x rw", "\0 \0 \0 \0 \0 \0 - cgroup2"]
    {
        assert_eq!(groups(&[group, ("/proc/self/mountinfo", bad), file("1")]), [], "{bad:?}");
    }
}

/// Nothing is longer than the room for it, and nothing goes on for ever.
#[test]
fn endless_names() {
    let file = ("/sys/fs/cgroup/memory.max", "1048576");
    for group in ["/a".repeat(400), "/".repeat(900), "/".repeat(100_000), "a".repeat(5000), "/..".repeat(300)] {
        let group = format!("0::{group}\n");
        let found = groups(&[("/proc/self/cgroup", &group), ("/proc/self/mountinfo", V2_MOUNT), file]);
        assert!(found.len() <= DEEPEST);
    }
    for length in [LONGEST - 2, LONGEST - 1, LONGEST, LONGEST + 1, 10 * LONGEST] {
        let mount = format!("1 2 3 / /{} rw - cgroup2 x rw\n", "m".repeat(length));
        assert_eq!(groups(&[("/proc/self/cgroup", "0::/a"), ("/proc/self/mountinfo", &mount)]), []);
    }
}

/// Lines are found whole wherever they fall in the buffer, and those that do not fit are left out.
#[test]
fn lines_of_a_file() {
    let path = std::env::temp_dir().join(format!("tenure-cgroup-{}", std::process::id()));
    let name = std::ffi::CString::new(path.to_str().expect("a path in ASCII")).expect("no zero");
    for lengths in [vec![], vec![0], vec![5, LONGEST - 1, 3], vec![LONGEST, 4], vec![3000, 0, 7], vec![700; 9]] {
        for end in ["", "\n"] {
            let lines: Vec<_> = lengths.iter().zip(b'a'..).map(|(&n, c)| char::from(c).to_string().repeat(n)).collect();
            let text = lines.join("\n") + end;
            std::fs::write(&path, &text).expect("a file");
            let mut found = Vec::new();
            assert!(Files.lines(&name, &mut |line| {
                found.push(String::from_utf8(line.to_vec()).expect("as it was written"));
                true
            }));
            let right: Vec<_> = text.lines().filter(|line| line.len() < LONGEST).collect();
            assert_eq!(found, right, "{lengths:?}{end:?}");
        }
    }
    std::fs::remove_file(&path).expect("it is there");
    assert!(!Files.lines(&name, &mut |_| true));
}

/// What this machine says is what is found: of the group itself, at least.
#[test]
fn this_process() {
    let mut found = Vec::new();
    if !each(|group| found.push(group)) {
        return println!("skipped: this_process, because no cgroup with limits of memory can be read here");
    }
    println!("{found:?}");
    assert!(found.len() <= DEEPEST && found.iter().all(|group| group.max > 0));
}
