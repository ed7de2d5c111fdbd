//! `tenure::testing` in a program whose global allocator is another one.

use tenure::testing::{measure, no_alloc};

#[test]
fn says_what_to_add() {
    for case in [|| drop(measure(|| ())), || drop(no_alloc())] {
        let message = std::panic::catch_unwind(case).expect_err("nothing can be measured");
        let message = message.downcast_ref::<&str>().expect("a message");
        assert!(message.starts_with("tenure is not this program's global allocator"), "{message}");
        assert!(
            message.contains("\n    #[global_allocator]\n    static ALLOC: tenure::Tenure = tenure::Tenure::new();\n")
        );
    }
}
