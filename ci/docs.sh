#!/usr/bin/env bash
# The documentation builds, and every link in it leads somewhere: what users see, and what only this crate's readers do.
set -euo pipefail
cd "$(dirname "$0")/.."
export RUSTDOCFLAGS="-D warnings"
cargo doc --quiet --no-deps
cargo doc --quiet --no-deps -p tenure --features cli,axum
cargo doc --quiet --no-deps -p tenure --document-private-items --features internals,cli,axum,c-interface
