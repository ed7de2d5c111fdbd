use super::*;
use std::hint::black_box;

/// Where its caller goes on.
#[inline(never)]
fn return_address() -> u64 {
    let mut frames = Vec::new();
    backtrace::trace(|f| {
        frames.push(f.ip() as u64);
        true
    });
    let own = return_address as fn() -> u64 as usize as u64;
    // Frames of the crate, this function, its caller.
    let at = frames.iter().position(|&ip| ip > own && ip < own + 0x1000).expect("this function");
    frames[at + 1]
}

#[inline(always)]
fn inlined() -> u64 {
    black_box(return_address()) // the line that is looked for
}

#[inline(never)]
fn outer() -> u64 {
    black_box(inlined())
}

fn here(address: u64, symbols: &mut Symbols, modules: &[Module]) -> Arc<[Frame]> {
    symbols.frames(&Place::new(address, modules))
}

fn line_of(text: &str) -> u32 {
    include_str!("tests.rs").lines().position(|l| l.contains(text)).expect("the line") as u32 + 1
}

#[test]
fn the_line_of_the_call_with_what_was_inlined() {
    let (modules, mut symbols) = (loaded(), Symbols::new());
    let frames = here(outer() - 1, &mut symbols, &modules);
    let names: Vec<_> = frames.iter().map(|f| (&*f.function, f.line)).collect();
    assert_eq!(names[0], ("tenure::symbols::tests::inlined", Some(line_of("the line that is looked for"))));
    assert_eq!(names[1].0, "tenure::symbols::tests::outer");
    assert!(frames[0].file.as_deref().expect("a file").ends_with("src/symbols/tests.rs"));
    assert_eq!(symbols.notes(), Vec::<String>::new());
}

/// An address is looked up as it is: one before the first of a function belongs to its neighbour.
#[test]
fn nothing_is_subtracted() {
    let (modules, mut symbols) = (loaded(), Symbols::new());
    let entry = outer as fn() -> u64 as usize as u64;
    let first = here(entry, &mut symbols, &modules);
    assert_eq!(&*first.last().expect("a frame").function, "tenure::symbols::tests::outer");
    let before = here(entry - 1, &mut symbols, &modules);
    assert_ne!(&*before.last().expect("a frame").function, "tenure::symbols::tests::outer");
}

#[test]
fn memory_is_bounded_and_answers_stay_right() {
    let (modules, mut small, mut large) = (loaded(), Symbols::with_capacity(20_000), Symbols::new());
    let entry = outer as fn() -> u64 as usize as u64;
    let mut most = 0;
    for round in 0..3 {
        for address in (entry - 4000..entry + 4000).step_by(7) {
            assert_eq!(here(address, &mut small, &modules), here(address, &mut large, &modules), "round {round}");
            most = most.max(small.bytes());
        }
    }
    assert!(most <= 20_000 + 2_000 && large.bytes() > 40_000, "{most} {}", large.bytes());
    small.clear();
    assert_eq!(small.bytes(), 0);
}

#[test]
fn what_has_no_name_has_a_module_and_an_offset_and_a_reason() {
    let (mut modules, mut symbols) = (loaded(), Symbols::new());
    assert_eq!(&*here(0x1234, &mut symbols, &modules)[0].function, "0x1234");
    assert_eq!(symbols.notes(), Vec::<String>::new());
    // As if from another process.
    let own = outer as fn() -> u64 as usize as u64;
    let program = modules.iter_mut().find(|m| m.contains(own)).expect("the program");
    program.build_id = "00".into();
    let (base, file) = (program.base, program.file_name().to_string());
    assert_eq!(&*here(own, &mut symbols, &modules)[0].function, format!("{file}+{:#x}", own - base));
    let notes = symbols.notes();
    assert!(notes.len() == 1 && notes[0].contains("of another build") && notes[0].contains("build id 00"), "{notes:?}");
    assert_eq!(symbols.notes(), Vec::<String>::new(), "said once");
}

#[test]
fn each_reason_has_its_sentence() {
    let module = |path: &str, id: &str| Module { path: path.into(), build_id: id.into(), base: 0, code: Vec::new() };
    let said = |module: &Module, note: &dyn Fn(&mut Reasons)| {
        let mut reasons = Reasons::default();
        note(&mut reasons);
        assert!(!reasons.is_first(module));
        let sentences = reasons.sentences(false).join("|");
        assert!(reasons.sentences(false).is_empty(), "said once");
        sentences
    };
    let found = |path: &str, names: bool, line: bool| {
        let module = module(path, "");
        let place = Place { address: 1, module: Some(&module) };
        let frame = if names { Frame::new("f", None, line.then_some(1)) } else { Frame::unnamed(&place) };
        said(&module, &|reasons| reasons.found(&module, std::slice::from_ref(&frame)))
    };
    assert_eq!(found("/opt/shop", true, true), "");
    assert!(found("/opt/shop", false, false).contains("stripped"));
    assert!(found("/opt/shop", false, false).contains("line-tables-only"));
    assert!(
        found("/opt/shop", true, false).contains("no lines") && found("/opt/shop", true, false).contains("debug =")
    );
    assert_eq!(found("/lib/x86_64-linux-gnu/libc.so.6", true, false), "", "no fault of the program's");
    let absent = |absence: Absence| {
        let module = module("/opt/shop", "ab12");
        said(&module, &|reasons| reasons.absent(&module, absence.clone()))
    };
    let search = "give a directory that holds it, or its debug file, of build id ab12, to `Symbols::search` or `tenure --search`";
    assert_eq!(
        absent(Absence::Missing),
        format!("no names from /opt/shop: the file is not here, or was removed since; {search}")
    );
    assert_eq!(
        absent(Absence::Other("/opt/shop".into(), "cd34".into())),
        format!("no names from /opt/shop: /opt/shop is of another build: it has cd34; {search}")
    );
    assert!(absent(Absence::Other("/opt/shop".into(), String::new())).contains("it has no build id;"));
    let unreadable = absent(Absence::Unreadable("/opt/shop".into(), "Permission denied".into()));
    assert!(unreadable.contains("/opt/shop is not read: Permission denied; give"), "{unreadable}");
    assert!(absent(Absence::Kernel).contains("kernel's own code"));
    assert!(absent(Absence::NotGiven).contains("no module of the snapshot"));
    let plain = module("/opt/shop", "");
    assert!(said(&plain, &|reasons| reasons.unchecked(&plain)).contains("may be wrong: it has no build id"));
    let fault = said(&plain, &|reasons| {
        reasons.found(&plain, &[Frame::new("f", None, None)]);
        reasons.fault(&plain, "its section .debug_info is cut off or spoiled".into());
    });
    assert_eq!(fault, "no lines from /opt/shop: its section .debug_info is cut off or spoiled");
}
