#!/usr/bin/env bash
# The programs that run with a preloaded allocator are here, so that the tests after this skip none. By root, where there is apt-get,
# what is missing is installed. Where that fails, this says by name what will be skipped; it is no failure of the code.
set -uo pipefail

# The program or file, and Debian's package of it: as in `programs/src/table`.
suite=$(/usr/bin/python3 -c 'import sys; print("libpython%d.%d-testsuite" % sys.version_info[:2])' 2>/dev/null || echo libpython3-testsuite)
declare -A package=(
    [/usr/bin/python3]=python3 ["/usr/lib/python3*/test/test_dict.py"]="$suite" [perl]=perl [node]=nodejs
    [redis-server]=redis-server [redis-benchmark]=redis-tools [sqlite3]=sqlite3 [git]=git [gcc]=gcc [g++]=g++
    [gs]=ghostscript [xmllint]=libxml2-utils [xz]=xz-utils [zstd]=zstd [pigz]=pigz [stress-ng]=stress-ng
    [valgrind]=valgrind [heaptrack]=heaptrack
)
missing() {
    for program in "${!package[@]}"; do
        case $program in
            # A pattern: it is there if it matches.
            /*) compgen -G "$program" >/dev/null || echo "$program" ;;
            *) command -v "$program" >/dev/null || echo "$program" ;;
        esac
    done | sort
}

# One after the other: one that cannot be had does not keep the others away.
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null && [ -n "$(missing)" ]; then
    apt-get update -q >/dev/null || echo "apt-get update failed"
    while read -r program; do
        # A server that is installed is not to be started: there may be no init to do it, and nobody has asked for it.
        RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends "${package[$program]}" </dev/null >/dev/null ||
            echo "apt-get could not install ${package[$program]}"
    done < <(missing)
fi
while read -r program; do
    echo "skipped in the tests: $program, because it is not installed (Debian's package is ${package[$program]})"
done < <(missing)
exit 0
