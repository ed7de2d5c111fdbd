//! Names from files: of libraries that come late, of files that moved, were stripped, compressed, exchanged or removed.

use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard};
use tenure::snapshot::{Frame, Module, Names};
use tenure::{Snapshot, Symbols};
use tenure_alloc_tests::{Tenure, plugin::Plugin};

#[global_allocator]
static ALLOC: Tenure = Tenure::new();

/// A directory that goes with this.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Directory {
        let path = std::env::temp_dir().join(format!("tenure-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a directory");
        Directory(path.canonicalize().expect("it is there"))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The library, an address in it, and a snapshot that knows both.
struct Loaded {
    snapshot: Snapshot,
    module: Module,
    address: u64,
}

/// The tests of this file look at what is loaded, one at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(|e| e.into_inner())
}

fn load() -> Loaded {
    let plugin = Plugin::open();
    let address = plugin.call_back as usize as u64;
    let snapshot = tenure::snapshot();
    let module = snapshot.place(address).module.expect("the library").clone();
    Loaded { snapshot, module, address }
}

impl Loaded {
    /// The outermost frame of the address, as if the module were this one; and the notes.
    fn name_in(&self, module: &Module, symbols: &mut Symbols) -> (Frame, Vec<String>) {
        let mut place = self.snapshot.place(self.address);
        place.address = place.address - self.module.base + module.base;
        place.module = Some(module);
        let frame = symbols.frames(&place).last().expect("a frame").clone();
        symbols.finish();
        (frame, symbols.notes())
    }

    /// The module as another process would have it, which loaded it from here.
    fn elsewhere(&self, path: &Path) -> Module {
        let mut module = self.module.clone();
        module.path = path.to_str().expect("UTF-8").into();
        module.base += 0x123_4000;
        for code in &mut module.code {
            code.start += 0x123_4000;
            code.end += 0x123_4000;
        }
        module
    }

    fn copy(&self, to: &Path) {
        std::fs::copy(&self.module.path, to).expect("a copy");
    }
}

fn is_whole(frame: &Frame) -> bool {
    frame.function.contains("plugin_call_back") && frame.line.is_some()
}

/// Runs binutils' `objcopy`; `false`, and a line, if it is not there.
fn objcopy(test: &str, arguments: &[&str]) -> bool {
    match Command::new("objcopy").args(arguments).output() {
        Ok(output) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            true
        }
        Err(_) => {
            println!("skipped: {test}, because there is no objcopy");
            false
        }
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

#[test]
fn a_library_that_is_loaded_after_the_first_report() {
    let _alone = alone();
    let mut symbols = Symbols::new();
    let own = a_library_that_is_loaded_after_the_first_report as fn() as usize as u64;
    let before = tenure::snapshot();
    let frames = symbols.frames(&before.place(own));
    assert!(frames.last().expect("a frame").function.ends_with("a_library_that_is_loaded_after_the_first_report"));
    symbols.finish();
    let late = load();
    let (frame, notes) = late.name_in(&late.module, &mut symbols);
    assert!(is_whole(&frame) && notes.is_empty(), "{frame:?} {notes:?}");
}

#[test]
fn a_file_that_moved_is_searched_for_and_one_of_another_build_is_refused() {
    let _alone = alone();
    let (loaded, directory) = (load(), Directory::new("moved"));
    let copy = directory.0.join("libother.so");
    loaded.copy(&copy);
    let moved = loaded.elsewhere(&copy);
    let (frame, notes) = loaded.name_in(&moved, &mut Symbols::new());
    assert!(is_whole(&frame) && notes.is_empty(), "{frame:?} {notes:?}");

    let gone = loaded.elsewhere(Path::new("/nowhere/libother.so"));
    let mut symbols = Symbols::new();
    let (frame, notes) = loaded.name_in(&gone, &mut symbols);
    assert!(!frame.named && frame.function.starts_with("libother.so+0x"), "{frame:?}");
    assert!(notes.len() == 1 && notes[0].contains("not here") && notes[0].contains(&gone.build_id), "{notes:?}");
    let (frame, notes) = loaded.name_in(&gone, &mut symbols.search(&directory.0));
    assert!(is_whole(&frame) && notes.is_empty(), "{frame:?} {notes:?}");

    let mut other = moved.clone();
    other.build_id = "ab12".repeat(10);
    let (frame, notes) = loaded.name_in(&other, &mut Symbols::new().search(&directory.0));
    assert!(!frame.named, "{frame:?}");
    assert!(notes.len() == 1 && notes[0].contains(&other.build_id) && notes[0].contains(&moved.build_id), "{notes:?}");

    // Without a build id code must lie in the same places, and still nobody knows.
    let mut plain = moved.clone();
    plain.build_id = String::new();
    let (frame, notes) = loaded.name_in(&plain, &mut Symbols::new());
    assert!(is_whole(&frame) && notes.len() == 1 && notes[0].contains("may be wrong"), "{frame:?} {notes:?}");
    plain.code[0].end += 4096;
    let (frame, notes) = loaded.name_in(&plain, &mut Symbols::new());
    assert!(!frame.named && notes[0].contains("another build"), "{frame:?} {notes:?}");

    // One cache for all of them.
    let mut symbols = Symbols::new();
    for (module, whole) in [(&moved, true), (&other, false), (&loaded.module, true), (&gone, false), (&moved, true)] {
        assert_eq!(is_whole(&loaded.name_in(module, &mut symbols).0), whole, "{}", module.path);
    }
}

#[test]
fn debug_information_in_a_file_of_its_own() {
    let _alone = alone();
    let (loaded, directory) = (load(), Directory::new("split"));
    let (whole, debug) = (directory.0.join("whole.so"), directory.0.join("libother.dbg"));
    let there = directory.0.join("there");
    std::fs::create_dir_all(&there).expect("a directory");
    let stripped = there.join("libother.so");
    loaded.copy(&whole);
    if !objcopy("debug_information_in_a_file_of_its_own", &["--only-keep-debug", text(&whole), text(&debug)]) {
        return;
    }
    let link = format!("--add-gnu-debuglink={}", text(&debug));
    assert!(objcopy("", &["--strip-all", &link, text(&whole), text(&stripped)]));
    let module = loaded.elsewhere(&stripped);
    let (frame, notes) = loaded.name_in(&module, &mut Symbols::new());
    assert!(frame.line.is_none() && notes.len() == 1 && notes[0].contains("line-tables-only"), "{frame:?} {notes:?}");
    // By the link's name: in a directory that is searched, and beside the file.
    let (frame, notes) = loaded.name_in(&module, &mut Symbols::new().search(&directory.0));
    assert!(is_whole(&frame) && notes.is_empty(), "{frame:?} {notes:?}");
    let beside = there.join("libother.dbg");
    std::fs::rename(&debug, &beside).expect("moved");
    assert!(is_whole(&loaded.name_in(&module, &mut Symbols::new()).0));
    // The same without a build id, by the link's checksum.
    let mut plain = module.clone();
    plain.build_id = String::new();
    assert!(is_whole(&loaded.name_in(&plain, &mut Symbols::new()).0));
    // By the build id, with the file itself gone.
    let store = directory.0.join("store");
    let (first, rest) = module.build_id.split_at(2);
    std::fs::create_dir_all(store.join(".build-id").join(first)).expect("a directory");
    std::fs::rename(&beside, store.join(".build-id").join(first).join(format!("{rest}.debug"))).expect("moved");
    std::fs::remove_file(&stripped).expect("it was there");
    let (frame, notes) = loaded.name_in(&module, &mut Symbols::new().search(&store));
    assert!(is_whole(&frame) && notes.is_empty(), "{frame:?} {notes:?}");
}

#[test]
fn compressed_debug_information() {
    let _alone = alone();
    let (loaded, directory) = (load(), Directory::new("compressed"));
    let (whole, compressed) = (directory.0.join("whole.so"), directory.0.join("libother.so"));
    loaded.copy(&whole);
    for kind in ["zlib", "zlib-gnu"] {
        let option = format!("--compress-debug-sections={kind}");
        if !objcopy("compressed_debug_information", &[&option, text(&whole), text(&compressed)]) {
            return;
        }
        assert!(std::fs::metadata(&compressed).expect("it").len() < std::fs::metadata(&whole).expect("it").len());
        let (frame, notes) = loaded.name_in(&loaded.elsewhere(&compressed), &mut Symbols::new());
        assert!(is_whole(&frame) && notes.is_empty(), "{kind}: {frame:?} {notes:?}");
    }
}

/// What the compiler split off: single files, and a package.
#[test]
fn debug_information_that_was_split_off() {
    const SOURCE: &str = "#[inline(always)] fn inner(n: u64) -> Vec<u64> { (0..n).map(|x| x * x).collect() }\n\
         #[unsafe(no_mangle)] pub extern \"C\" fn outer(n: u64) -> u64 { inner(n).iter().sum() }\n";
    let _alone = alone();
    let directory = Directory::new("dwo");
    for kind in ["off", "unpacked", "packed"] {
        let place = directory.0.join(kind);
        std::fs::create_dir_all(&place).expect("a directory");
        std::fs::write(place.join("split.rs"), SOURCE).expect("a file");
        let split = format!("-Csplit-debuginfo={kind}");
        let arguments = ["--edition=2024", "-g", "-O", "--crate-type=cdylib", &split, "split.rs", "-o", "libsplit.so"];
        let Ok(output) = Command::new("rustc").args(arguments).current_dir(&place).output() else {
            println!("skipped: debug_information_that_was_split_off, because there is no rustc");
            return;
        };
        assert!(output.status.success(), "{}", text_of(&output.stderr));
        let path = CString::new(text(&place.join("libsplit.so"))).expect("no null");
        // SAFETY: the library is the one that was just built; the names end with a null.
        let outer = unsafe {
            let handle = libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL);
            assert!(!handle.is_null(), "it cannot be loaded");
            libc::dlsym(handle, c"outer".as_ptr()) as u64
        };
        let (snapshot, mut symbols) = (tenure::snapshot(), Symbols::new());
        let found = (outer..outer + 64).any(|address| {
            let frames = symbols.frames(&snapshot.place(address));
            let names: Vec<_> = frames.iter().map(|f| (&*f.function, f.line)).collect();
            names.len() > 2
                && names.iter().any(|n| n.0.ends_with("inner") && n.1 == Some(1))
                && names.last().is_some_and(|n| n.0 == "outer")
        });
        assert!(found, "{kind}: {:?} {:?}", symbols.frames(&snapshot.place(outer)), symbols.notes());
    }
}

/// The program's file is removed while it runs; another one is put into its place.
#[test]
fn a_program_that_was_removed() {
    let own = a_program_that_was_removed as fn() as usize as u64;
    let name = || {
        let snapshot = tenure::snapshot();
        let mut symbols = Symbols::new();
        let frame = symbols.frames(&snapshot.place(own)).last().expect("a frame").clone();
        (frame, symbols.notes())
    };
    if let Ok(path) = std::env::var("TENURE_TEST_REMOVED") {
        std::fs::remove_file(&path).expect("this program");
        for replaced in [false, true] {
            if replaced {
                std::fs::write(&path, "nothing").expect("a file");
            }
            let (frame, notes) = name();
            assert!(frame.function.ends_with("a_program_that_was_removed") && frame.line.is_some(), "{frame:?}");
            assert!(notes.is_empty(), "{notes:?}");
        }
        println!("named all the same");
        return;
    }
    let directory = Directory::new("removed");
    let copy = directory.0.join("program");
    std::fs::copy(std::env::current_exe().expect("a path"), &copy).expect("a copy");
    let mut command = Command::new(&copy);
    command.args(["a_program_that_was_removed", "--exact", "--nocapture"]).env("TENURE_TEST_REMOVED", &copy);
    let output = command.output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("named all the same"), "{said}{}", text_of(&output.stderr));
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
