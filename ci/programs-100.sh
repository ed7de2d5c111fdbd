#!/usr/bin/env bash
# Real programs a hundred times each with the preloaded allocator, sampled and exact, and with a hardened one: no crash, no hang,
# no other output. Not part of CI: it takes an hour and more. Arguments are the runner's, as `--only git,redis --rounds 10`.
set -euo pipefail
cd "$(dirname "$0")/.."
bash ci/programs.sh

target=${CARGO_TARGET_DIR:-$PWD/target}
cargo build --quiet --release -p tenure-programs -p tenure-preload
libraries=(--library "$target/release/libtenure_preload.so")
if grep -q '^hardened' preload/Cargo.toml; then
    cargo build --quiet --release -p tenure-preload --features hardened --target-dir "$target/hardened"
    libraries+=(--hardened "$target/hardened/release/libtenure_preload.so")
else
    echo "there is no feature hardened: what it does is not run"
fi
status=0
"$target/release/programs" --rounds 100 "${libraries[@]}" "$@" || status=$?
echo "$(date -u +%F), $(git describe --always --dirty): ended with $status"
exit "$status"
