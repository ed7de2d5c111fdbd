#!/usr/bin/env bash
# What the feature `hardened` costs: time and peak memory of the benches' workers with it, all of it and each measure by
# itself, to those of the ordinary build, interleaved.
#
#     ci/hardened-prices.sh [rounds] [measure...]      measures (several with commas): all a_sixteenth canary poison random_order
#                                                      guard_pages delay_large check_address at_exit delay shuffled
#
# `all` is the feature as it is; `a_sixteenth` with `checked_pages=16`.
# Needs an idle machine. Every run's figures go to $CARGO_TARGET_DIR/hardened/times.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-7}
shift || true
measures=${*:-all}
rows=${ROWS:-json btree hashmap syn vec-u8 vec-u64 vec-small large fragment mixed-1 mixed-2 larson prodcons pair32}
out=$(realpath "${CARGO_TARGET_DIR:-target}")/hardened
mkdir -p "$out"

build() { # name, features
    cargo build --quiet --release --target-dir "$out/build" -p tenure-benches --bin worker_tenure \
        --no-default-features --features "$2"
    cp "$out/build/release/worker_tenure" "$out/worker-$1"
}
[ -n "${SKIP_BUILD:-}" ] || {
    build none ""
    for measure in $measures; do
        case $measure in
            all | a_sixteenth) build "$measure" tenure/hardened ;;
            *) TENURE_MEASURES=$measure build "$measure" tenure/hardened ;;
        esac
    done
}

find "$PWD/src" -name '*.rs' >"$out/files"
: >"$out/times"
for ((round = 0; round < rounds; round++)); do
    for row in $rows; do
        for measure in $(shuf -e none $measures); do
            checked=
            [ "$measure" != a_sixteenth ] || checked=checked_pages=16
            figures=$(TENURE=$checked "$out/worker-$measure" "$row" --files "$out/files")
            echo "$row $measure $figures" >>"$out/times"
        done
    done
done

# The median of each row and build, to that of the ordinary one; and the geometric means over the rows.
awk -v rows="$rows" -v measures="$measures" '
    function median(list, n, i, j, t) {
        n = split(list, a, " ")
        for (i = 2; i <= n; i++) for (j = i; j > 1 && a[j - 1] + 0 > a[j] + 0; j--) { t = a[j]; a[j] = a[j - 1]; a[j - 1] = t }
        return n % 2 ? a[(n + 1) / 2] : (a[n / 2] + a[n / 2 + 1]) / 2
    }
    { for (i = 3; i <= NF; i++) { split($i, pair, "="); seen[$1, $2, pair[1]] = seen[$1, $2, pair[1]] " " pair[2] } }
    END {
        nr = split(rows, row, " "); nm = split(measures, measure, " ")
        printf "| row, time (peak memory) |"; for (m = 1; m <= nm; m++) printf " %s |", measure[m]
        printf "\n| --- |"; for (m = 1; m <= nm; m++) printf " --- |"
        for (r = 1; r <= nr; r++) {
            printf "\n| %s |", row[r]
            for (m = 1; m <= nm; m++) {
                t = median(seen[row[r], measure[m], "time_ns"]) / median(seen[row[r], "none", "time_ns"])
                k = median(seen[row[r], measure[m], "peak_kib"]) / median(seen[row[r], "none", "peak_kib"])
                printf " %.2f (%.2f) |", t, k; lt[m] += log(t); lk[m] += log(k)
            }
        }
        printf "\n| **geometric mean** |"
        for (m = 1; m <= nm; m++) printf " **%.3f** (%.3f) |", exp(lt[m] / nr), exp(lk[m] / nr)
        print ""
    }' "$out/times"
