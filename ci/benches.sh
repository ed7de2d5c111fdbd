#!/usr/bin/env bash
# Every bench that needs no C compiler runs its workloads once, tiny: nothing is measured.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo bench --quiet -p tenure-benches --bench table -- --smoke
cargo bench --quiet -p tenure-benches --bench modes -- --smoke
cargo bench --quiet -p tenure-benches --bench criterion -- --test
cargo bench --quiet -p tenure-benches --bench exports --features exports -- --smoke
cargo bench --quiet -p tenure-benches --bench service -- --smoke
