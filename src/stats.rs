//! stub
/// stub
pub struct Stats;
/// stub
pub struct ClassStats;
/// stub
pub fn stats() -> Stats { Stats }
