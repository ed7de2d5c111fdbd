//! Growth as real programs do it: by `Vec`, with the contents verified.

use tenure_alloc_tests::Tenure;
use tenure_alloc_tests::rng::mix;
use tenure_alloc_tests::rss::MIB;

#[global_allocator]
static ALLOC: Tenure = Tenure::new();

/// Appends words up to `bytes`, in pieces whose size is no power of two.
fn grow(vec: &mut Vec<u64>, bytes: usize, key: u64) {
    while vec.len() * 8 < bytes {
        let from = vec.len() as u64;
        vec.extend((from..from + 1013).map(|at| at ^ key));
    }
}

fn verify(vec: &[u64], key: u64) {
    // One assertion for each run of words: without optimisation one for each word takes seconds.
    let wrong = vec.iter().zip(0u64..).position(|(&word, at)| word != at ^ key);
    assert_eq!(wrong, None, "the first wrong word of {}", vec.len());
}

#[test]
fn one_vector_to_64_mib() {
    let mut vec = Vec::new();
    for bytes in [MIB / 64, MIB, 5 * MIB, 16 * MIB, 64 * MIB] {
        grow(&mut vec, bytes, 7);
        verify(&vec, 7);
    }
    vec.truncate(MIB);
    vec.shrink_to_fit();
    verify(&vec, 7);
    grow(&mut vec, 16 * MIB, 7);
    verify(&vec, 7);
}

/// Neither can simply grow into the space behind it.
#[test]
fn two_vectors_in_turns() {
    let (mut first, mut second) = (Vec::new(), Vec::new());
    let mut bytes = 64;
    while bytes <= 16 * MIB {
        grow(&mut first, bytes, 1);
        grow(&mut second, bytes, 2);
        verify(&first, 1);
        verify(&second, 2);
        bytes *= 2;
    }
}

#[test]
fn many_small_vectors() {
    let mut vecs: Vec<Vec<u32>> = vec![Vec::new(); 500];
    for round in 0..400u32 {
        for (number, vec) in vecs.iter_mut().enumerate() {
            vec.push(round ^ number as u32);
        }
    }
    for (number, vec) in vecs.iter().enumerate() {
        assert!(vec.iter().zip(0u32..).all(|(&word, round)| word == round ^ number as u32), "vector {number}");
    }
}

#[test]
fn shrink_to_fit_keeps_the_contents() {
    for elements in [1, 3, 100, 1000, 5000, 70_000, 300_000, 2_000_000] {
        let mut vec: Vec<u64> = Vec::with_capacity(elements * 3);
        vec.extend((0..elements as u64).map(mix));
        vec.shrink_to_fit();
        assert!(vec.iter().zip(0u64..).all(|(&word, at)| word == mix(at)), "{elements} elements");
        vec.push(mix(elements as u64));
        vec.truncate(elements / 2 + 1);
        vec.shrink_to_fit();
        assert!(vec.iter().zip(0u64..).all(|(&word, at)| word == mix(at)), "{elements} elements, cut to half");
    }
}

#[test]
fn strings_and_boxes() {
    let mut text = String::new();
    for number in 0..100_000u32 {
        text.push_str(&number.to_string());
    }
    let expected: usize = (0..100_000u32).map(|number| number.to_string().len()).sum();
    let boxed = text.into_boxed_str();
    assert_eq!(boxed.len(), expected);
    assert!(boxed.starts_with("0123456789101112") && boxed.ends_with("9999899999"));
}
