#!/usr/bin/env bash
# All sources are formatted, those of the packages outside the workspace too.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo fmt --all --check
for package in fuzz ci/fast-path; do
    cargo fmt --manifest-path "$package/Cargo.toml" --check
done
