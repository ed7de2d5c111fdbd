//! A builder that locks `TENURE` out: alone in its file, because the allocator of a process is one.

use tenure::{Mode, Tenure};
use tenure_alloc_tests::child::Scenario;

#[global_allocator]
static ALLOC: Tenure = Tenure::new().mode(Mode::Off).environment(false);

#[test]
fn the_builder_can_lock_it_out() {
    let scenario = Scenario::new("the_builder_can_lock_it_out").env("TENURE", "exact,help,nonsense");
    let outcome = scenario.outcome(|| {
        assert_eq!(tenure::mode(), Mode::Off);
        assert!(tenure::origin(&*Box::new(5)).is_none());
    });
    if let Some(outcome) = outcome {
        outcome.print();
        assert!(outcome.status.success() && outcome.completed);
        assert!(!outcome.stderr.contains("tenure"), "it is not even looked at: {}", outcome.stderr);
    }
}
