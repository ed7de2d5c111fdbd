#!/usr/bin/env bash
# The fast paths of allocation and free are the same machine code with tracking compiled in and without, and hold no call and no atomic.
# With `planted` as its argument, the build with tracking has a fault, and the check must fail.
set -euo pipefail
cd "$(dirname "$0")/fast-path"

command -v objdump >/dev/null || { echo "skipped: no objdump"; exit 0; }
[ "$(uname -m)" = x86_64 ] || { echo "skipped: knows the instructions of x86-64 only"; exit 0; }

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
target=${CARGO_TARGET_DIR:-../../target}/fast-path

build() { # name, features, flags of rustc
    RUSTFLAGS=${3:-} cargo build --quiet --release --target-dir "$target/$1" --no-default-features --features "$2"
}

# The instructions of a function without what depends on where things are: addresses, distances from the instruction pointer,
# and the offsets of thread-local variables. Targets inside the function are relative to its beginning.
instructions() { # binary, function
    objdump --disassemble --no-show-raw-insn --no-addresses -C "$1" |
        awk -v f="<(__rustc::)?$2>:" '/^<.*>:$/ { inside = $0 ~ "^" f "$" } inside' |
        sed -E -e '/^<.*>:$/d' -e '/^\s*$/d' -e '/\b(int3|nop\w*|xchg +%ax,%ax)\b/d' -e 's/^\s+//' \
            -e 's/-?0x[0-9a-f]+\(%rip\)/(%rip)/' -e 's/\s+#.*//' \
            -e 's/\bmov( +)\$0xfffffffffffff[0-9a-f]{3}/mov\1$TLS/' \
            -e 's/<(.*[^0-9a-f])\+(0x[0-9a-f]+)>/+\2/' -e 's/\s+/ /g'
}

features=
[ "${1:-}" != planted ] || features=planted
build without "" "--cfg tenure_untracked"
build with "$features"
status=0
for f in __rust_alloc __rust_dealloc; do
    for kind in without with; do
        instructions "$target/$kind/release/fast-path" "$f" >"$out/$kind"
        # Up to the first return stands the path that nearly all operations take.
        sed '/^ret/q' "$out/$kind" >"$out/$kind.fast"
    done
    n=$(wc -l <"$out/without.fast")
    if [ "$n" -lt 10 ]; then
        echo "$f: only $n instructions: this is not the fast path"
        status=1
    fi
    if grep -E '^(lock|call|xchg|mfence)' "$out/with.fast" "$out/without.fast"; then
        echo "$f: a call or an atomic operation on the fast path"
        status=1
    fi
    if diff -u --label "$f, without tracking" --label "$f, with tracking" "$out/without" "$out/with"; then
        echo "$f: the same $(wc -l <"$out/with") instructions, $n of them the fast path"
    else
        status=1
    fi
done
exit "$status"
