#!/usr/bin/env bash
# No warning of clippy or the compiler, in any target, with the features that change the code.
set -euo pipefail
cd "$(dirname "$0")/.."
# By package: built together, the tests' `internals` would be on for all.
cargo clippy --quiet -p tenure --all-targets -- -D warnings
cargo clippy --quiet -p tenure --all-targets --features internals,cli,axum -- -D warnings
cargo clippy --quiet -p tenure --all-targets --no-default-features -- -D warnings
for feature in symbols cpp serde json pprof flamegraph http tower; do
    cargo clippy --quiet -p tenure --no-default-features --features "$feature" -- -D warnings
done
cargo clippy --quiet -p tenure --all-targets --features hardened -- -D warnings
cargo clippy --quiet -p tenure --all-targets --features c-interface -- -D warnings
cargo clippy --quiet -p tenure-preload --all-targets -- -D warnings
cargo clippy --quiet -p tenure-preload --all-targets --features hardened -- -D warnings
cargo clippy --quiet -p tenure-alloc-tests --all-targets -- -D warnings
cargo clippy --quiet -p tenure-alloc-tests --all-targets --features planted -- -D warnings
cargo clippy --quiet -p tenure-dispatcher --all-targets -- -D warnings
cargo clippy --quiet -p tenure-dispatcher --no-default-features -- -D warnings
cargo clippy --quiet -p tenure-programs --all-targets -- -D warnings
cargo clippy --quiet -p tenure-benches --all-targets --features exports -- -D warnings
cargo clippy --quiet --manifest-path ci/fast-path/Cargo.toml --target-dir "${CARGO_TARGET_DIR:-target}" -- -D warnings
