use super::*;
use crate::snapshot::loaded;
use std::collections::BTreeMap;

/// What the `backtrace` crate says of an address of this process.
fn oracle(place: &Place<'_>) -> Vec<Frame> {
    let mut frames = Vec::new();
    // The crate takes an address for one that a call returns to, and looks up the one before it.
    let returns_to = std::ptr::without_provenance_mut((place.address as usize).wrapping_add(1));
    backtrace::resolve(returns_to, |symbol| {
        let file = symbol.filename().map(|p| p.to_string_lossy());
        match symbol.name().map(|n| format!("{n:#}")) {
            Some(function) => frames.push(Frame::new(&function, file.as_deref(), symbol.lineno())),
            None if file.is_some() => {
                let file = file.as_deref().map(Into::into);
                frames.push(Frame { file, line: symbol.lineno(), ..Frame::unnamed(place) });
            }
            None => (),
        }
    });
    frames
}

fn open(module: &Module) -> Object {
    let program = std::fs::read_link("/proc/self/exe").expect("a path");
    let is_program = program.to_string_lossy() == module.path.as_str();
    Object::open(find::find(module, &[], is_program).expect("its file"), module)
}

/// The addresses of a module that are compared: spread over its code.
fn addresses(module: &Module, count: u64) -> impl Iterator<Item = u64> {
    module.code.iter().flat_map(move |c| (c.start..c.end).step_by(((c.end - c.start) / count).max(1) as usize))
}

/// Thousands of addresses, in whatever is loaded: the same functions, files and lines.
#[test]
fn the_backtrace_crate_says_the_same() {
    let (mut compared, mut lines, mut inlined, mut between) = (0, 0, 0, 0);
    let mut differ = BTreeMap::new();
    for module in loaded().iter().filter(|m| !m.path.starts_with("linux-vdso")) {
        let mut object = open(module);
        let (mut crates, mut of_oracle) = (Crates::new(), Crates::new());
        for address in addresses(module, 20_000) {
            let place = Place { address, module: Some(module) };
            let offset = address - module.base;
            let (plain, mut expected) = (object.plain(&place, offset), oracle(&place));
            // A name from the symbol table alone is one of several that a function may have, and ends with the function.
            let by_symbol = expected.len() == 1 && expected[0].file.is_none() && plain.iter().all(|f| f.file.is_none());
            if by_symbol || expected.is_empty() && plain.is_empty() {
                continue;
            }
            // Between functions: the crate takes the first byte there for the function's, and knows nothing of the rest.
            if plain.len() == 1 && !plain[0].named && object.symbol(offset).is_none() && expected.len() < 2 {
                between += 1;
                continue;
            }
            compared += 1;
            lines += usize::from(plain.iter().any(|f| f.line.is_some()));
            inlined += usize::from(plain.len() > 1);
            // A function may have several names in the symbol table, and none in the debug information.
            if let ([one], [other]) = (&plain[..], &mut expected[..])
                && object.symbol(offset).as_deref() == Some(&*one.function)
            {
                other.function = one.function.clone();
            }
            if plain != expected {
                differ.insert((module.path.clone(), offset), (plain, expected));
                continue;
            }
            let whole = object.symbol(offset);
            if expected.iter().any(qualify::is_bare) {
                qualify::qualify(&mut expected, whole.as_deref(), &mut of_oracle);
            }
            assert_eq!(object.frames(&place, offset, &mut crates), expected, "{offset:#x} with paths");
        }
    }
    let shown: Vec<_> = differ.iter().take(5).collect();
    assert!(differ.is_empty(), "{} of {compared} differ: {shown:#?}", differ.len());
    assert!(compared > 10_000 && lines > compared / 2 && inlined > 500, "{compared} {lines} {inlined}");
    assert!(between < compared / 100, "{between} of {compared}");
    println!("{compared} addresses are alike, {lines} with lines, {inlined} with inlined calls");
}
