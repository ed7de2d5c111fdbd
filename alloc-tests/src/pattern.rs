//! What the tests write into their blocks: bytes that depend on a key and on the position, so that a block that was
//! moved short, shifted, swapped with another or written to by somebody else is recognised.
//!
//! The work is done by `memcpy` and `memcmp`, because tests run without optimisation and write gigabytes.

use crate::rng::mix;

const CHUNK: usize = 512;
const WORDS: usize = CHUNK / 8;

/// One chunk's bytes; the first word carries the chunk's number, the others are the same in all chunks of a key.
struct Template([u64; WORDS]);

impl Template {
    /// Only the bytes below `end` are used: most blocks are small, and a whole template would cost more than they do.
    fn new(key: u64, end: usize) -> Self {
        let mut words = [0; WORDS];
        let mut word = mix(key);
        for slot in &mut words[..end.div_ceil(8).min(WORDS)] {
            // Any odd constant: consecutive words differ in most bytes.
            word = word.wrapping_add(0xd134_2543_de82_ef95);
            *slot = word;
        }
        Template(words)
    }

    fn with_chunk<R>(&mut self, chunk: usize, body: impl FnOnce(&[u8; CHUNK]) -> R) -> R {
        let plain = self.0[0];
        self.0[0] = plain ^ mix(chunk as u64);
        // SAFETY: [u64; WORDS] and [u8; CHUNK] have the same size, any byte is a valid u8, and the borrow ends before
        // the word is restored.
        let result = body(unsafe { &*self.0.as_ptr().cast::<[u8; CHUNK]>() });
        self.0[0] = plain;
        result
    }
}

/// Calls `body(offset in the block, the bytes that belong there)` for the pieces of `from..to`, until it returns
/// false.
fn pieces(key: u64, from: usize, to: usize, mut body: impl FnMut(usize, &[u8]) -> bool) {
    let mut template = Template::new(key, to);
    let mut at = from;
    while at < to {
        let start = at % CHUNK;
        let length = (CHUNK - start).min(to - at);
        if !template.with_chunk(at / CHUNK, |bytes| body(at, &bytes[start..start + length])) {
            return;
        }
        at += length;
    }
}

/// Writes the pattern of `key` to the bytes `from..to` of the block.
///
/// # Safety
/// These bytes of the block are the caller's, to write to.
pub unsafe fn fill(block: *mut u8, from: usize, to: usize, key: u64) {
    pieces(key, from, to, |offset, bytes| {
        // SAFETY: offset + bytes.len() <= to, which the caller answers for; the template is on our stack.
        unsafe { block.add(offset).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        true
    });
}

/// The offset of the first byte in `0..to` that is not the pattern's.
///
/// # Safety
/// These bytes of the block are initialised, and nobody writes to them.
pub unsafe fn damage(block: *const u8, to: usize, key: u64) -> Option<usize> {
    let mut found = None;
    pieces(key, 0, to, |offset, bytes| {
        // SAFETY: offset + bytes.len() <= to, which the caller answers for.
        let actual = unsafe { std::slice::from_raw_parts(block.add(offset), bytes.len()) };
        if actual != bytes {
            found = actual.iter().zip(bytes).position(|(a, b)| a != b).map(|byte| offset + byte);
        }
        found.is_none()
    });
    found
}

/// The offset of the first byte that is not zero.
///
/// # Safety
/// The bytes are initialised, and nobody writes to them.
pub unsafe fn not_zero(block: *const u8, size: usize) -> Option<usize> {
    static ZERO: [u8; 4096] = [0; 4096];
    let mut at = 0;
    while at < size {
        let length = ZERO.len().min(size - at);
        // SAFETY: at + length <= size, which the caller answers for.
        let bytes = unsafe { std::slice::from_raw_parts(block.add(at), length) };
        if bytes != &ZERO[..length] {
            return bytes.iter().position(|&byte| byte != 0).map(|byte| at + byte);
        }
        at += length;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_changed_byte_is_found() {
        let mut block = vec![0u8; 1500];
        // SAFETY: the vector's own bytes.
        unsafe {
            fill(block.as_mut_ptr(), 0, 700, 9);
            fill(block.as_mut_ptr(), 700, 1500, 9);
            assert_eq!(damage(block.as_ptr(), 1500, 9), None);
            assert!(damage(block.as_ptr(), 1500, 10).is_some(), "another key");
            for at in 0..1500 {
                block[at] ^= 0x10;
                assert_eq!(damage(block.as_ptr(), 1500, 9), Some(at));
                block[at] ^= 0x10;
            }
            block.copy_within(CHUNK..2 * CHUNK, 0);
            assert_eq!(damage(block.as_ptr(), 1500, 9).map(|at| at / 8), Some(0), "a chunk in the wrong place");
        }
    }

    #[test]
    fn every_byte_that_is_not_zero_is_found() {
        let mut block = vec![0u8; 9001];
        for at in [0, 1, 4095, 4096, 9000] {
            block[at] = 1;
            // SAFETY: the vector's own bytes.
            assert_eq!(unsafe { not_zero(block.as_ptr(), block.len()) }, Some(at));
            block[at] = 0;
        }
        // SAFETY: as above.
        assert_eq!(unsafe { not_zero(block.as_ptr(), block.len()) }, None);
    }
}
