//! Snapshots in the formats of other tools.
