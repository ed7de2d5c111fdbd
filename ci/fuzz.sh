#!/usr/bin/env bash
# Half a minute of sequences that a fuzzer finds. It grows its corpus elsewhere, when somebody lets it run for long.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo +nightly --version >/dev/null 2>&1 || { echo "skipped: no nightly toolchain"; exit 0; }
cargo fuzz --version >/dev/null 2>&1 || { echo "skipped: no cargo-fuzz"; exit 0; }
CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}/fuzz" cargo +nightly fuzz run operations -- -max_total_time=30 -print_final_stats=1
