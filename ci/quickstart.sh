#!/usr/bin/env bash
# The README's main command.
set -euo pipefail
cd "$(dirname "$0")/.."
out=$(mktemp)
trap 'rm -f "$out"' EXIT
cargo run --quiet --release --example quickstart | tee "$out"
# It ends with the table of statistics; an empty output would be no success.
grep -q "blocks" "$out" || { echo "no statistics were printed"; exit 1; }
