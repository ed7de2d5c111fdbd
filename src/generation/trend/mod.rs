//! stub
pub(crate) struct History {
    n: u32,
}
pub(crate) struct Times {
    n: u32,
}
pub(crate) struct Observation {
    pub(crate) old_bytes: f64,
    pub(crate) old_variance: f64,
    pub(crate) allocated_bytes: f64,
}
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trend {
    pub(crate) bytes_per_epoch: f64,
    pub(crate) bytes_per_minute: f64,
    pub(crate) since_epoch: u64,
    pub(crate) since_unix_nanos: u64,
    pub(crate) observations: u32,
    pub(crate) confidence: f64,
}
impl Times {
    pub(crate) const fn new() -> Times {
        Times { n: 0 }
    }
    pub(crate) fn push(&mut self, _: u64, _: u64) {
        self.n += 1;
    }
}
impl History {
    pub(crate) fn push(&mut self, _: &Times, _: Observation) {
        self.n += 1;
    }
    pub(crate) fn judge(&self, _: &Times) -> Option<Trend> {
        None
    }
}
