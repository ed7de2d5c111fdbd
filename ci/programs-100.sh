#!/usr/bin/env bash
# Real programs a hundred times each with the preloaded allocator, sampled and exact, and with a hardened one: no crash, no hang,
# no other output. Not part of CI: it takes an hour and more. Arguments are the runner's, as `--only git,redis --rounds 10`.
set -euo pipefail
cd "$(dirname "$0")/.."
bash ci/programs.sh

target=${CARGO_TARGET_DIR:-$PWD/target}
cargo build --quiet --release -p tenure-programs
cargo build --quiet --profile preload -p tenure-preload
libraries=(--library "$target/preload/libtenure_preload.so")
cargo build --quiet --profile preload -p tenure-preload --features hardened --target-dir "$target/hardened"
libraries+=(--hardened "$target/hardened/preload/libtenure_preload.so")
status=0
"$target/release/programs" --rounds 100 "${libraries[@]}" "$@" || status=$?
echo "$(date -u +%F), $(git describe --always --dirty): ended with $status"
exit "$status"
