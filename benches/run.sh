#!/usr/bin/env bash
# Builds sidemint and everything it is measured beside, then prints the table: benches/run.sh [PART…]
#
# Needs cargo, python3, wrk, valgrind and openssl. nginx, node with npm, go and Envoy (.tools/venv/bin/envoy, or $ENVOY)
# each add rows; a row whose peer is not installed says "not measured".
set -euo pipefail
cd "$(dirname "$0")"

for tool in cargo python3 wrk valgrind openssl; do
  command -v "$tool" >/dev/null || { echo "benches/run.sh needs $tool" >&2; exit 2; }
done

if [ -z "${SIDEMINT:-}" ]; then
  cargo build --release --quiet --manifest-path ../Cargo.toml
fi
# The floors are built from the very versions the subject is locked to.
cp ../Cargo.lock peers/rust/Cargo.lock
cargo build --release --quiet --manifest-path peers/rust/Cargo.toml

if command -v npm >/dev/null && [ ! -d peers/node/node_modules ]; then
  npm ci --prefix peers/node --no-audit --no-fund --silent
fi
if command -v go >/dev/null; then
  (cd peers/go && go build -ldflags "-s -w" -o target/peer main.go)
fi
if [ ! -x peers/python/venv/bin/uvicorn ]; then
  python3 -m venv peers/python/venv
  peers/python/venv/bin/pip install --quiet --requirement peers/python/requirements.txt
fi

exec python3 run.py "$@"
