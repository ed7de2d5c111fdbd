#!/usr/bin/env bash
# What depends on races and on the optimiser, once more without debug assertions: the machine code that users run.
set -euo pipefail
cd "$(dirname "$0")/.."
tests=(oracle boundaries threads fork teardown stealing hooks hooks_sampling hooks_stats unwind sites modes tags traced snapshots no_rules)
# Some of them load it.
cargo build --release --quiet -p tenure-alloc-tests --example plugin
cargo test --release --no-fail-fast -p tenure-alloc-tests "${tests[@]/#/--test=}"
