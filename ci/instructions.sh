#!/usr/bin/env bash
# Counts the instructions of a 32-byte pair, allocated and freed, under callgrind: no more than LIMIT.
# With `planted` as its argument, the allocator has a fault, and the check must fail. With `hardened` it counts those of that feature, or, as in
# `TENURE_MEASURES=canary ci/instructions.sh hardened`, of some of its measures, and nothing is too many.
set -euo pipefail
cd "$(dirname "$0")/fast-path"

# 26 when this was written, with rustc 1.95; a counter beside each allocation makes it 39.
LIMIT=30

command -v valgrind >/dev/null || { echo "skipped: no valgrind"; exit 0; }
target=${CARGO_TARGET_DIR:-../../target}/fast-path
case ${1:-} in
    planted) features=planted ;;
    hardened) features=tenure/hardened LIMIT=1000 ;;
    *) features= ;;
esac
cargo build --quiet --release --target-dir "$target/counted" --no-default-features --features "$features"

count() { # pairs
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$target/counted/release/fast-path" "$1" 2>&1 |
        awk '/Collected *:/ { print $NF }'
}

few=$(count 1000000)
many=$(count 2000000)
# In hundredths: what the process does once falls out, its first samples too.
hundredths=$(((many - few) / 10000))
echo "a pair of 32 bytes: $((hundredths / 100)).$(printf %02d $((hundredths % 100))) instructions, the loop around it included (limit $LIMIT)"
[ "$hundredths" -gt 2000 ] || { echo "fewer than the fast path has: nothing was measured"; exit 1; }
[ "$hundredths" -le $((LIMIT * 100)) ] || { echo "too many"; exit 1; }
