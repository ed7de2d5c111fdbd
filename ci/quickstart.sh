#!/usr/bin/env bash
# The README's main commands.
set -euo pipefail
cd "$(dirname "$0")/.."
out=$(mktemp)
trap 'rm -f "$out"' EXIT
# The service prints one address, and there is a page that lives.
cargo build --quiet --release -p tenure-dispatcher
cargo run --quiet --release -p tenure-dispatcher -- --port 0 >"$out" &
service=$!
trap 'kill "$service" 2>/dev/null || true; rm -f "$out"' EXIT
for _ in $(seq 100); do grep -q "http://" "$out" && break; sleep 0.2; done
cat "$out"
port=$(grep -o "127.0.0.1:[0-9]*" "$out" | cut -d: -f2)
get() {
    exec 3<>"/dev/tcp/127.0.0.1/$port"
    printf 'GET /debug/tenure/%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' "$1" >&3
    cat <&3
}
get "" | grep -q "tenure: where the memory goes" || { echo "there is no dashboard"; exit 1; }
sleep 5
get "routes?format=text" | grep -q "/search" || { echo "nobody visits the service"; exit 1; }
kill "$service"
wait "$service" || { echo "the service did not end in an orderly way"; exit 1; }
# An empty output would be no success.
cargo run --quiet --release --example quickstart | tee "$out"
grep -q "blocks" "$out" || { echo "no statistics were printed"; exit 1; }
# The line that leaks, by samples, by exact counts, and in a test.
cargo run --quiet --release --example leak_hunt 2>&1 | tee "$out"
[ "$(grep -c "leak_hunt::service::Service::browse " "$out")" -ge 3 ] || { echo "the leak was not found"; exit 1; }
grep -q "It fails, and names the place" "$out" || { echo "the test did not find the leak"; exit 1; }
# The planted suspect is named, the cache is none, and so are the survivors of a day.
cargo run --quiet --release --example tenure 2>&1 | tee "$out"
suspects=$(sed -n '/^4\. Who/,/^> /p' "$out")
grep -q "tenure::service::Service::subscribe " <<<"$suspects" || { echo "the suspect was not named"; exit 1; }
if grep -q "::page \|::render \|::open_session " <<<"$suspects"; then echo "the cache or the sessions are suspects"; exit 1; fi
survivors=$(grep -A1 "blocks of 112 B" "$out")
grep -q "tenure::service::write_down " <<<"$survivors" || { echo "the survivors were not named"; exit 1; }
