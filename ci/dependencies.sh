#!/usr/bin/env bash
# A program that takes tenure takes gimli, libc and once_cell, and nothing else.
set -euo pipefail
cd "$(dirname "$0")/.."
tree=$(cargo tree -p tenure -e normal --prefix none --no-dedupe | awk 'NR > 1 { print $1 }' | sort -u | xargs)
echo "tenure needs: $tree"
[ "$tree" = "gimli libc once_cell" ] || { echo "it should need gimli, libc and once_cell, and nothing else"; exit 1; }
