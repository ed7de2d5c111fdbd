//! Where the code has no unwind rules: samples get their stacks from the system's unwinder, exact tracking gets a stack
//! without frames that says so, and nothing is lost from the totals.
#![cfg(all(target_arch = "x86_64", target_env = "gnu"))]

use tenure::Mode;
use tenure::internals::unwind;
use tenure::snapshot::Ending;
use tenure_alloc_tests::Tenure;
use tenure_alloc_tests::child::Scenario;

#[global_allocator]
static ALLOC: Tenure = Tenure::new();

#[test]
fn samples_have_stacks_and_exact_blocks_say_why_not() {
    Scenario::new("samples_have_stacks_and_exact_blocks_say_why_not").run(|| {
        unwind::disable();
        // Every block of a page and more is a sample.
        tenure::set_mode(Mode::Sampled { mean: 1 });
        let sampled = vec![1u8; 5000];
        tenure::set_mode(Mode::Exact);
        let exact = vec![1u8; 5000];
        let (sampled, exact) = (tenure::origin(&sampled[0]), tenure::origin(&exact[0]));
        tenure::set_mode(Mode::Off);

        let sampled = sampled.expect("a sample");
        assert!(sampled.sampled && sampled.stack.len() > 5, "{sampled:?}");
        let line = sampled.line(&mut tenure::Symbols::new()).expect("a line");
        assert!(line.file.as_ref().is_some_and(|file| file.ends_with("no_rules.rs")), "{line:?}");

        let exact = exact.expect("every block is tracked");
        assert_eq!((exact.stack.len(), exact.ending, exact.sampled), (0, Ending::NoRules, false));
        assert!(tenure::stack_method().starts_with("no rules"));
    });
}
