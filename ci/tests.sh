#!/usr/bin/env bash
# The README's test commands.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo test --no-fail-fast
# What stands behind features.
cargo test --no-fail-fast -p tenure --features cli,axum
cargo test --no-fail-fast -p tenure --no-default-features
cargo test --no-fail-fast -p tenure --lib --features hardened
# The library for programs that are not recompiled.
cargo test --no-fail-fast -p tenure --features c-interface
cargo test --no-fail-fast -p tenure-preload
