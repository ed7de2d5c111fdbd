//! Every row of every function of this program and of the libraries beneath it, beside `gimli`'s own machine; and
//! tables that are damaged.

use super::super::rule::Kind;
use super::*;
use gimli::{CfaRule, RegisterRule, UnwindContext, UnwindContextStorage, UnwindTableRow};

unsafe extern "C" {
    fn malloc();
    fn _Unwind_Backtrace();
    fn cos();
}

struct Large;

impl UnwindContextStorage<usize> for Large {
    type Rules = [(Register, RegisterRule<usize>); 64];
    type Stack = [UnwindTableRow<usize, Self>; 8];
}

fn column(rule: Option<RegisterRule<usize>>) -> Column {
    match rule {
        None | Some(RegisterRule::SameValue) => Column::Unmentioned,
        Some(RegisterRule::Undefined) => Column::Undefined,
        Some(RegisterRule::Offset(n)) => Column::At(n),
        Some(RegisterRule::Expression(e)) => Column::Expression(e),
        Some(_) => Column::Other,
    }
}

fn row_of(row: &UnwindTableRow<usize, Large>) -> Row {
    let cfa = match row.cfa() {
        CfaRule::RegisterAndOffset { register, offset } => Cfa::Register(*register, *offset),
        CfaRule::Expression(e) => Cfa::Expression(*e),
    };
    let [bp, sp, ip] = [RBP, RSP, RIP].map(|r| column(row.register(r)));
    Row { cfa, bp, sp, ip }
}

fn objects() -> Vec<Object> {
    let places = [objects as *const () as usize, malloc as *const () as usize, _Unwind_Backtrace as *const () as usize];
    let mut all: Vec<_> = places.into_iter().chain([cos as *const () as usize]).filter_map(objects::find).collect();
    all.dedup();
    all
}

#[test]
fn every_row_is_as_gimli_has_it() {
    let mut context = Box::new(UnwindContext::<usize, Large>::new_in());
    for object in objects() {
        let header = object.eh_frame_hdr;
        let (mut rows, mut kinds) = (0, [0; 8]);
        let table = sorted_table(header).expect("it has a table");
        let mut gaps = 0;
        for (i, row) in table.iter().enumerate() {
            let entry = header.wrapping_add_signed(row[1] as isize);
            let (section, bases, at) = part_of_section(entry).expect("an entry");
            let function = section.fde_from_offset(&bases, at, EhFrame::cie_from_offset).expect("an entry");
            assert_eq!(function.initial_address() as usize, header.wrapping_add_signed(row[0] as isize));
            // Between two functions there is nothing.
            let end = function.end_address() as usize;
            let next = header.wrapping_add_signed(table.get(i + 1).unwrap_or(&[i32::MAX; 2])[0] as isize);
            if end < next && objects::find(end) == Some(object) {
                assert_eq!(resolve(end), Some(Rule::NO_RULES), "{end:#x}");
                gaps += 1;
            }
            let mut table = function.rows(&section, &bases, &mut *context).expect("instructions");
            while let Some(row) = table.next_row().expect("instructions") {
                for lookup in [row.start_address(), row.end_address() - 1] {
                    if lookup < row.start_address() {
                        continue; // an empty row
                    }
                    let ours = row_at(&section, &bases, &function, lookup as usize).expect("instructions");
                    assert_eq!(ours, row_of(row), "{lookup:#x}");
                    rows += 1;
                    let interrupted = function.cie().is_signal_trampoline();
                    let rule = encode(&ours, &section, interrupted, lookup as usize);
                    kinds[rule.kind() as usize] += 1;
                    // The way by the sorted table ends at the same rule, wherever entries do not overlap.
                    let found = resolve(lookup as usize).expect("an object");
                    assert!(found == rule || found == Rule::NO_RULES, "{lookup:#x}: {found:?}, {rule:?}");
                }
            }
        }
        println!("{rows} addresses: Rsp, Rbp, End, NoRules, Complex, Signal, Loaded, Interrupted: {kinds:?}");
        assert!(gaps > 10, "{gaps}");
        assert!(rows > 100 && kinds[Kind::Rsp as usize] * 2 > rows);
        // Procedure linkage tables excepted, all that compilers make is followed.
        assert!(kinds[Kind::Complex as usize] * 100 < rows, "{kinds:?}");
    }
}

/// Damaged tables yield wrong rules or none, and nothing else.
#[test]
fn damage_does_no_harm() {
    let object = objects::find(damage_does_no_harm as *const () as usize).expect("this program");
    let mut random = 0x1234_5678_9abc_def1u64;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random as usize
    };
    let table = sorted_table(object.eh_frame_hdr).expect("it has a table");
    for row in table.iter().step_by(table.len() / 50 + 1) {
        let entry = object.eh_frame_hdr.wrapping_add_signed(row[1] as isize);
        let (_, bases, _) = part_of_section(entry).expect("an entry");
        let common = bases.eh_frame.section.expect("an address") as usize;
        // SAFETY: an entry's own length, and the one that it has in common with others.
        let [common, own] = unsafe {
            [common, entry].map(|at| std::slice::from_raw_parts(at as *const u8, 4 + read::<u32>(at) as usize).to_vec())
        };
        // Without what lies between, which is not looked at.
        let copy = [&common[..], &own].concat().leak();
        let new_at = common.len();
        copy[new_at + 4..new_at + 8].copy_from_slice(&(new_at as u32 + 4).to_ne_bytes());
        for _ in 0..if cfg!(debug_assertions) { 500 } else { 5000 } {
            let place = next() % copy.len();
            let was = std::mem::replace(&mut copy[place], next() as u8);
            // SAFETY: the leaked bytes live for ever, and this reference to them ends before they change again.
            let bytes: &'static [u8] = unsafe { std::slice::from_raw_parts(copy.as_ptr(), copy.len()) };
            let damaged = EhFrame::new(bytes, NativeEndian);
            if let Ok(function) = damaged.fde_from_offset(&bases, EhFrameOffset(new_at), EhFrame::cie_from_offset) {
                for lookup in [0, 40, 4000].map(|n| function.initial_address().wrapping_add(n) as usize) {
                    if let Some(row) = row_at(&damaged, &bases, &function, lookup) {
                        encode(&row, &damaged, lookup & 1 == 0, lookup);
                    }
                }
            }
            copy[place] = was;
        }
    }
}
