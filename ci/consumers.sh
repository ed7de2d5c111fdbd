#!/usr/bin/env bash
# The programs that read exports, and what makes the files of odd programs, are here, so that the tests after this skip none. By root, where there is apt-get, what is
# missing is installed. Where that fails, this says by name what will be skipped; it is no failure of the code.
set -uo pipefail

declare -A package=([go]=golang-go [chromium]=chromium [prometheus]=prometheus [promtool]=prometheus [dh_view.html]=valgrind [objcopy]=binutils)
missing() {
    for program in go chromium prometheus promtool objcopy; do
        command -v "$program" >/dev/null || echo "$program"
    done
    [ -e /usr/libexec/valgrind/dh_view.html ] || [ -e /usr/lib/valgrind/dh_view.html ] || echo dh_view.html
}

# One after the other: one that cannot be had does not keep the others away.
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null && [ -n "$(missing)" ]; then
    apt-get update -q >/dev/null || echo "apt-get update failed"
    for program in $(missing); do
        DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends "${package[$program]}" >/dev/null ||
            echo "apt-get could not install ${package[$program]}"
    done
fi
for program in $(missing); do
    echo "skipped in the tests: $program, because it is not installed (Debian's package is ${package[$program]})"
done
exit 0
