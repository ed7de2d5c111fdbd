//! This thread's words for the C interface, which is a library that programs are loaded with.
//!
//! In a library, a `thread_local!` is found by a call of `__tls_get_addr`, at each allocation and each free. The initial-exec
//! model is a load and an addition: the library is there when the program starts, so its variables stand at a distance from
//! the thread pointer that is known then. There is no stable way to ask rustc for it, so that the variable is written in assembler.
//! A program that loads such a library later, by `dlopen`, needs 1.4 KiB of the room that the C library keeps for this.

use super::magazine::Slot;
use super::{NOTHING, Words};
use crate::pages::classes::CLASSES;
use std::arch::{asm, global_asm};

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("the C interface knows the thread-local storage of x86-64 and aarch64");

// What `Words` is when a thread begins: pop words at `NOTHING`, push words and the heap 0.
const POP: usize = CLASSES;
const REST: usize = size_of::<Words>() - POP * size_of::<*mut Slot>();
const _: () = assert!(std::mem::offset_of!(Words, pop) == 0 && align_of::<Words>() <= 64);

global_asm!(
    ".pushsection .tdata.tenure_words,\"awT\",%progbits",
    ".p2align 6",
    ".hidden tenure_words",
    ".globl tenure_words",
    ".type tenure_words, %object",
    ".size tenure_words, {pop} * 8 + {rest}",
    "tenure_words:",
    ".rept {pop}",
    ".quad {nothing}",
    ".endr",
    ".zero {rest}",
    ".popsection",
    pop = const POP,
    rest = const REST,
    nothing = sym NOTHING,
);

// Before a program's own code runs, while the loader still joins program and libraries, functions that choose other functions
// (IFUNC) are called, and may allocate. The loader's thread has zeroes for thread-local variables then. This is such a
// function, of ours: it is called when the rest of the library is joined, and before the program is, and writes the pop words. Later
// the loader writes the variables' initial values over everything: `thread::attach` knows of that.
#[cfg(all(target_arch = "x86_64", target_env = "gnu"))]
global_asm!(
    ".pushsection .text.tenure_begin,\"ax\",@progbits",
    ".p2align 4",
    ".type tenure_begin, @gnu_indirect_function",
    "tenure_begin:",
    "mov rax, qword ptr [rip + tenure_words@gottpoff]",
    "add rax, qword ptr fs:[0]",
    "lea rcx, [rip + {nothing}]",
    "mov edx, {pop}",
    "2:",
    "mov qword ptr [rax + rdx * 8 - 8], rcx",
    "dec edx",
    "jnz 2b",
    // What was chosen: nobody calls it.
    "lea rax, [rip + tenure_words_begun]",
    "tenure_words_begun:",
    "ret",
    ".size tenure_begin, . - tenure_begin",
    ".popsection",
    // The loader calls it to write down here what it chose.
    ".pushsection .data.rel.ro.tenure_begin,\"aw\",@progbits",
    ".p2align 3",
    ".globl tenure_begins",
    ".hidden tenure_begins",
    "tenure_begins:",
    ".quad tenure_begin",
    ".popsection",
    pop = const POP,
    nothing = sym NOTHING,
);

#[cfg(all(target_arch = "x86_64", target_env = "gnu"))]
unsafe extern "C" {
    static tenure_begins: usize;
}

/// Keeps the linker from leaving it out.
#[cfg(all(target_arch = "x86_64", target_env = "gnu"))]
#[used]
static BEGINS: &usize = {
    // SAFETY: the word is there, and is written before anybody reads it. Nobody does.
    unsafe { &tenure_begins }
};

/// In place of what `thread_local!` makes.
pub(super) struct Here;
pub(super) static WORDS: Here = Here;

impl Here {
    #[inline(always)]
    pub(super) fn with<T>(&self, f: impl FnOnce(&Words) -> T) -> T {
        // SAFETY: the words are initialised when the thread begins, and valid until its last instruction.
        f(unsafe { &*here() })
    }
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn here() -> *const Words {
    let words: *const Words;
    // SAFETY: reads the thread pointer and a word that the loader has written.
    unsafe {
        asm!(
            "mov {words}, qword ptr [rip + tenure_words@gottpoff]",
            "add {words}, qword ptr fs:[0]",
            words = out(reg) words,
            options(pure, nomem, nostack),
        );
    }
    words
}

#[cfg(target_arch = "aarch64")]
#[inline(always)]
fn here() -> *const Words {
    let words: *const Words;
    // SAFETY: as above.
    unsafe {
        asm!(
            "adrp {words}, :gottprel:tenure_words",
            "ldr {words}, [{words}, :gottprel_lo12:tenure_words]",
            "mrs {thread}, tpidr_el0",
            "add {words}, {words}, {thread}",
            words = out(reg) words,
            thread = out(reg) _,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    words
}
