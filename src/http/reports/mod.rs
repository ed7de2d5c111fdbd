//! What the allocator knows, as JSON and as text.

use super::answer::{Answer, Fault};
use super::call::Call;

pub(super) fn stats(call: &Call<'_>) -> Result<Answer, Fault> {
    let stats = crate::stats();
    Ok(call.report("Statistics", &stats, || format!("{stats:#}")))
}
