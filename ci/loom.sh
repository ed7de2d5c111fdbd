#!/usr/bin/env bash
# All interleavings, and all that the memory model allows, of the locks, the gate, and stealing.
set -euo pipefail
cd "$(dirname "$0")/.."
RUSTFLAGS="--cfg loom" cargo test --release --lib --target-dir "${CARGO_TARGET_DIR:-target}/loom" -p tenure loom_
