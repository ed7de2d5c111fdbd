#!/usr/bin/env bash
# Random operations beside the oracle under AddressSanitizer: with tenure as a value, where the sanitizer's own allocator serves all
# else and watches it, and with tenure as the global allocator, where it watches the stacks and the statics.
set -euo pipefail
cd "$(dirname "$0")/.."
target=x86_64-unknown-linux-gnu
cargo +nightly --version >/dev/null 2>&1 || { echo "skipped: no nightly toolchain"; exit 0; }
[ "$(uname -sm)" = "Linux x86_64" ] || { echo "skipped: not $target"; exit 0; }
RUSTFLAGS="-Zsanitizer=address" cargo +nightly test --target "$target" --target-dir "${CARGO_TARGET_DIR:-target}/sanitizer" \
    -p tenure-alloc-tests --test as_a_value --test oracle
