//! From an address of the code to its rule, by way of the tables that its object carries for unwinding (DWARF's call
//! frame information): the sorted table of `.eh_frame_hdr` leads to the function's entry in `.eh_frame`.
//!
//! `gimli` parses. The instructions are carried out here, because only three columns matter and the stack is short:
//! `gimli`'s own machine takes several KiB of it.

use super::rule::{Rule, SavedBp};
use crate::os::objects::{self, Object};
use gimli::{
    BaseAddresses, CallFrameInstruction as Do, CallFrameInstructionIter, EhFrame, EhFrameOffset, EndianSlice,
    FrameDescriptionEntry, NativeEndian, Register, UnwindExpression, UnwindSection,
};

type Bytes = EndianSlice<'static, NativeEndian>;

/// x86-64's numbers for registers.
const RBP: Register = Register(6);
const RSP: Register = Register(7);
const RIP: Register = Register(16);

/// The rule for an address. `None` if no object is known to hold it: that may change without notice, so it is not to
/// be remembered.
#[cold]
#[inline(never)]
pub(super) fn resolve(lookup: usize) -> Option<Rule> {
    let object = objects::find(lookup)?;
    Some(in_object(object, lookup).unwrap_or(Rule::NO_RULES))
}

/// An entry of `.eh_frame_hdr`: where a function begins, and where its entry in `.eh_frame` stands. Both relative to
/// the header.
type Row32 = [i32; 2];

/// The sorted table of an `.eh_frame_hdr`. `None` if it is not of the kind that all linkers make.
fn sorted_table(header: usize) -> Option<&'static [Row32]> {
    // Version; then encodings: relative to itself, unsigned, relative to the header; all of four bytes.
    const KIND: [u8; 4] = [1, 0x1b, 0x03, 0x3b];
    if header == 0 || !header.is_multiple_of(4) {
        return None;
    }
    // SAFETY: the loader says that the header is there, and the header says how long it is.
    unsafe {
        if read::<[u8; 4]>(header) != KIND {
            return None;
        }
        let n = read::<u32>(header + 8) as usize;
        Some(std::slice::from_raw_parts(std::ptr::with_exposed_provenance(header + 12), n))
    }
}

/// # Safety
/// There is a `T` at the address.
unsafe fn read<T: Copy>(address: usize) -> T {
    // SAFETY: by the caller's promise.
    unsafe { std::ptr::with_exposed_provenance::<T>(address).read_unaligned() }
}

/// The part of `.eh_frame` that holds the entry of a function and the one that it has in common with others, as a
/// section of its own, and where the function's entry stands in it.
fn part_of_section(entry: usize) -> Option<(EhFrame<Bytes>, BaseAddresses, EhFrameOffset)> {
    // SAFETY: the sorted table leads to entries, each of which says how long it is and where the common one stands,
    // which is in the same section, before it.
    let (common, bytes) = unsafe {
        let (length, back) = (read::<u32>(entry) as usize, read::<u32>(entry + 4) as usize);
        // 0 is the section's end, the largest ones announce 64 bits, and nobody writes entries of 16 MiB.
        if !(4..1 << 24).contains(&length) || back < 8 {
            return None;
        }
        let common = (entry + 4).checked_sub(back)?;
        let bytes = std::ptr::with_exposed_provenance(common);
        (common, std::slice::from_raw_parts(bytes, entry + 4 + length - common))
    };
    let bases = BaseAddresses::default().set_eh_frame(common as u64);
    Some((EhFrame::new(bytes, NativeEndian), bases, EhFrameOffset(entry - common)))
}

/// `None` if the object has no entry for the address.
fn in_object(object: Object, lookup: usize) -> Option<Rule> {
    let header = object.eh_frame_hdr;
    let table = sorted_table(header)?;
    let distance = lookup.wrapping_sub(header) as isize;
    let n = table.partition_point(|row| row[0] as isize <= distance);
    let entry = header.wrapping_add_signed(table.get(n.checked_sub(1)?)?[1] as isize);
    let (section, bases, at) = part_of_section(entry)?;
    let function = section.fde_from_offset(&bases, at, EhFrame::cie_from_offset).ok()?;
    if !function.contains(lookup as u64) {
        return None;
    }
    Some(match row_at(&section, &bases, &function, lookup) {
        Some(row) => encode(&row, &section, function.cie().is_signal_trampoline(), lookup),
        None => Rule::COMPLEX,
    })
}

/// `None` if the instructions make no sense.
fn row_at(
    section: &EhFrame<Bytes>,
    bases: &BaseAddresses,
    function: &FrameDescriptionEntry<Bytes>,
    lookup: usize,
) -> Option<Row> {
    let common = function.cie();
    let mut machine = Machine {
        row: Row::default(),
        at: function.initial_address(),
        target: lookup as u64,
        code_factor: common.code_alignment_factor(),
        data_factor: common.data_alignment_factor(),
    };
    machine.run(common.instructions(section, bases), None)?;
    let initial = machine.row;
    machine.run(function.instructions(section, bases), Some(&initial))?;
    Some(machine.row)
}

/// Where something is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Column {
    #[default]
    Unmentioned,
    Undefined,
    /// At the CFA plus this.
    At(i64),
    /// At the address that the expression yields.
    Expression(UnwindExpression<usize>),
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cfa {
    Register(Register, i64),
    Expression(UnwindExpression<usize>),
}

/// What holds at one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    cfa: Cfa,
    bp: Column,
    sp: Column,
    ip: Column,
}

impl Default for Row {
    fn default() -> Row {
        let unmentioned = Column::Unmentioned;
        Row { cfa: Cfa::Register(Register(0), 0), bp: unmentioned, sp: unmentioned, ip: unmentioned }
    }
}

impl Row {
    fn set(&mut self, register: Register, column: Column) {
        match register {
            RBP => self.bp = column,
            RSP => self.sp = column,
            RIP => self.ip = column,
            _ => (), // no rule that is followed here needs another register
        }
    }

    fn get(&self, register: Register) -> Column {
        match register {
            RBP => self.bp,
            RSP => self.sp,
            RIP => self.ip,
            _ => Column::Unmentioned,
        }
    }
}

struct Machine {
    row: Row,
    at: u64,
    target: u64,
    code_factor: u64,
    data_factor: i64,
}

impl Machine {
    /// Carries out what holds up to the target. `None` if the instructions make no sense.
    fn run(&mut self, instructions: CallFrameInstructionIter<'_, Bytes>, initial: Option<&Row>) -> Option<()> {
        // Compilers remember one state, or two; 4 cost 400 bytes of stack.
        let (mut remembered, mut depth) = ([Row::default(); 4], 0);
        let factored = |n: i64, factor: i64| n.wrapping_mul(factor);
        for instruction in instructions {
            match instruction.ok()? {
                Do::SetLoc { address } => self.at = address,
                Do::AdvanceLoc { delta } => {
                    self.at = self.at.wrapping_add(u64::from(delta).wrapping_mul(self.code_factor));
                }
                Do::DefCfa { register, offset } => self.row.cfa = Cfa::Register(register, offset as i64),
                Do::DefCfaSf { register, factored_offset } => {
                    self.row.cfa = Cfa::Register(register, factored(factored_offset, self.data_factor));
                }
                Do::DefCfaRegister { register } => {
                    let Cfa::Register(_, offset) = self.row.cfa else { return None };
                    self.row.cfa = Cfa::Register(register, offset);
                }
                Do::DefCfaOffset { offset } => {
                    let Cfa::Register(register, _) = self.row.cfa else { return None };
                    self.row.cfa = Cfa::Register(register, offset as i64);
                }
                Do::DefCfaOffsetSf { factored_offset } => {
                    let Cfa::Register(register, _) = self.row.cfa else { return None };
                    self.row.cfa = Cfa::Register(register, factored(factored_offset, self.data_factor));
                }
                Do::DefCfaExpression { expression } => self.row.cfa = Cfa::Expression(expression),
                Do::Undefined { register } => self.row.set(register, Column::Undefined),
                Do::SameValue { register } => self.row.set(register, Column::Unmentioned),
                Do::Offset { register, factored_offset } => {
                    self.row.set(register, Column::At(factored(factored_offset as i64, self.data_factor)));
                }
                Do::OffsetExtendedSf { register, factored_offset } => {
                    self.row.set(register, Column::At(factored(factored_offset, self.data_factor)));
                }
                Do::Expression { register, expression } => self.row.set(register, Column::Expression(expression)),
                Do::ValOffset { register, .. }
                | Do::ValOffsetSf { register, .. }
                | Do::ValExpression { register, .. }
                | Do::Register { dest_register: register, .. } => self.row.set(register, Column::Other),
                Do::Restore { register } => self.row.set(register, initial?.get(register)),
                Do::RememberState => {
                    *remembered.get_mut(depth)? = self.row;
                    depth += 1;
                }
                Do::RestoreState => {
                    depth = depth.checked_sub(1)?;
                    self.row = *remembered.get(depth)?;
                }
                Do::ArgsSize { .. } | Do::Nop => (),
                _ => return None,
            }
            if self.at > self.target {
                break;
            }
        }
        Some(())
    }
}

/// DWARF's operations, as far as expressions are recognised.
mod op {
    pub(super) const DEREF: u8 = 0x06;
    pub(super) const PLUS_UCONST: u8 = 0x23;
    pub(super) const BREG_RBP: u8 = 0x76;
    pub(super) const BREG_RSP: u8 = 0x77;
    /// The procedure linkage table of glibc's linkers: RSP + 8, and 8 more from the instruction on that follows a push,
    /// which begins at the 11th byte of each 16 (or another one: it is left out here).
    pub(super) const PLT: [u8; 6] = [BREG_RSP, 8, 0x80, 0, 0x3f, 0x1a];
    pub(super) const PLT_END: [u8; 4] = [0x2a, 0x33, 0x24, 0x22];
    pub(super) const LIT0: u8 = 0x30;
}

fn encode(row: &Row, section: &EhFrame<Bytes>, interrupted: bool, lookup: usize) -> Rule {
    let bytes = |e: UnwindExpression<usize>| e.get(section).map(|e| e.0.slice()).unwrap_or(&[]);
    if row.ip == Column::Undefined {
        return Rule::END;
    }
    if let (true, Cfa::Expression(e)) = (interrupted, row.cfa)
        && let [op::BREG_RSP, offset @ .., op::DEREF] = bytes(e)
        && signed(offset) == Some(super::odd::CONTEXT_RSP as i64)
    {
        return Rule::SIGNAL;
    }
    // Whatever moves RSP otherwise than to the CFA is no frame that we know.
    if row.sp != Column::Unmentioned {
        return Rule::COMPLEX;
    }
    let bp = match row.bp {
        Column::Unmentioned | Column::Undefined => SavedBp::Unchanged,
        Column::At(offset) if offset < 0 && offset % 8 == 0 => SavedBp::BelowCfa(offset.unsigned_abs() as usize / 8),
        Column::Expression(e) if bytes(e) == [op::BREG_RBP, 0] => SavedBp::AtBp,
        _ => SavedBp::Lost,
    };
    let Column::At(ra) = row.ip else { return Rule::COMPLEX };
    match row.cfa {
        Cfa::Register(RSP, offset) if ra == -8 => {
            // A slot below RSP is a pop that the tables have not noticed; it holds the value as far as the red zone.
            let bp = match bp {
                SavedBp::BelowCfa(words) if (words * 8) as i64 > offset.saturating_add(128) => SavedBp::Lost,
                bp => bp,
            };
            Rule::plain(false, offset, bp, interrupted)
        }
        Cfa::Register(RBP, offset) if ra == -8 => Rule::plain(true, offset, bp, interrupted),
        Cfa::Register(..) => Rule::COMPLEX,
        Cfa::Expression(e) => match bytes(e) {
            [op::BREG_RBP, inner, op::DEREF, outer @ ..] => {
                let Some(inner) = signed(&[*inner]) else { return Rule::COMPLEX };
                match outer {
                    [] => Rule::loaded(inner, 0, ra.saturating_neg(), bp, interrupted),
                    [op::PLUS_UCONST, outer] if *outer < 0x80 => {
                        Rule::loaded(inner, (*outer).into(), ra.saturating_neg(), bp, interrupted)
                    }
                    _ => Rule::COMPLEX,
                }
            }
            // Only a signal interrupts here, so the lookup address is the pc itself, and a constant.
            e if e.len() == 11 && e[..6] == op::PLT && e[7..] == op::PLT_END && ra == -8 => {
                let pushed = lookup & 15 >= usize::from(e[6].wrapping_sub(op::LIT0));
                Rule::plain(false, if pushed { 16 } else { 8 }, bp, interrupted)
            }
            _ => Rule::COMPLEX,
        },
    }
}

/// A signed LEB128 of one or two bytes.
fn signed(bytes: &[u8]) -> Option<i64> {
    match *bytes {
        [a] if a < 0x80 => Some(i64::from((a << 1) as i8 >> 1)),
        [a, b] if a >= 0x80 && b < 0x80 => {
            Some(i64::from(((u16::from(a & 0x7f) | u16::from(b) << 7) << 2) as i16 >> 2))
        }
        _ => None,
    }
}

#[cfg(test)]
#[path = "cfi_tests.rs"]
mod tests;
