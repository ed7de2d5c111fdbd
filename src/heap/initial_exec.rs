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
