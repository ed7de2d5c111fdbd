#!/usr/bin/env bash
# What a program takes in with tenure: libc, libm, once_cell and gimli; and for names, the backtrace crate with what it needs; for names
# of C++, one crate more.
set -euo pipefail
cd "$(dirname "$0")/.."
needs() {
    cargo tree -p tenure -e normal --prefix none --no-dedupe "$@" | awk 'NR > 1 { print $1 }' | sort -u | xargs
}
check() {
    local want=$1 tree
    shift
    tree=$(needs "$@")
    echo "tenure ${*:-as it is} needs: $tree"
    [ "$tree" = "$want" ] || { echo "it should need $want, and nothing else"; exit 1; }
}
check "gimli libc libm once_cell" --no-default-features
check "addr2line adler2 backtrace cfg-if gimli libc libm memchr miniz_oxide object once_cell rustc-demangle"
check "addr2line adler2 backtrace cfg-if cpp_demangle gimli libc libm memchr miniz_oxide object once_cell rustc-demangle" \
    --features cpp
check "ahash arrayvec bytemuck cfg-if getrandom gimli inferno itoa libc libm log memchr num-format once_cell quick-xml rgb str_stack zerocopy" \
    --no-default-features --features flamegraph
check "addr2line adler2 ahash arrayvec backtrace bytemuck bytes cfg-if crc32fast flate2 getrandom gimli http inferno itoa libc libm log memchr miniz_oxide num-format num-traits object once_cell plotters plotters-backend plotters-svg proc-macro2 quick-xml quote rgb rustc-demangle serde serde_core serde_derive serde_json simd-adler32 str_stack subtle syn unicode-ident zerocopy zmij" \
    --no-default-features --features http
