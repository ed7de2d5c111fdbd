#!/usr/bin/env bash
# Programs with a planted memory fault each, in Rust and in C: which of them end with a line in the ordinary build, in one with
# the feature `hardened`, and in the ordinary build with every block guarded. Prints the tables; fails if fewer are caught
# than here, or if a program without its fault ends with anything but success.
#
#     ci/faults.sh [PRELOADED.so...]      libraries to stand in the table of C beside ours, and the system's
set -euo pipefail
cd "$(dirname "$0")/.."
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
out=$target/faults
mkdir -p "$out"

build() { # name, features
    cargo build --quiet --release -p tenure-faults --bin planted --features "$2"
    cp "$target/release/planted" "$out/planted-$1"
    cargo build --quiet --profile preload -p tenure-preload --features "$2"
    cp "$target/preload/libtenure_preload.so" "$out/$1.so"
}
build default ""
build hardened hardened
cargo build --quiet --release -p tenure-faults --bin faults

guarded=TENURE=sampled=1,guarded=1,guarded_slots=3000
args=(--table "Programs in Rust"
    --column "default:$out/planted-default" --column "hardened:$out/planted-hardened"
    --column "guarded:$out/planted-default:$guarded"
    --least default=6 --least hardened=99 --least guarded=70)
if command -v cc >/dev/null; then
    cc -O1 -g -w -fno-builtin -pthread -o "$out/planted-c" alloc-tests/faults/c/planted.c
    args+=(--table "Programs in C, under a preloaded library"
        --other "system:$out/planted-c" --column "default:$out/planted-c:LD_PRELOAD=$out/default.so"
        --column "hardened:$out/planted-c:LD_PRELOAD=$out/hardened.so"
        --column "guarded:$out/planted-c:LD_PRELOAD=$out/default.so:$guarded"
        --least default=32 --least hardened=70 --least guarded=65)
    for library in "$@"; do
        args+=(--other "$(basename "$library" .so):$out/planted-c:LD_PRELOAD=$library")
    done
else
    echo "skipped: the faults of C programs, because there is no cc"
fi
"$target/release/faults" "${args[@]}"
