#!/usr/bin/env bash
# Builds sidemint and everything it is measured beside, then prints the table: benches/run.sh [--record] [PART…]
#
# Needs cargo, python3, npm with node, wrk, valgrind, nginx and openssl, and what `make parts` installs. Each row has its peer:
# a program that is missing ends the run before it begins.
set -euo pipefail
cd "$(dirname "$0")"

for tool in cargo python3 npm node wrk valgrind nginx openssl ../.tools/venv/bin/envoy; do
  command -v "$tool" >/dev/null || { echo "benches/run.sh needs $tool: make parts installs what is not a toolchain" >&2; exit 2; }
done

if [ -z "${SIDEMINT:-}" ]; then
  cargo build --locked --release --quiet --manifest-path ../Cargo.toml
fi
# The floors are built from the very versions the subject is locked to.
cp ../Cargo.lock peers/rust/Cargo.lock
cargo build --release --quiet --manifest-path peers/rust/Cargo.toml
# Go's programs; a Go that is new enough is installed beside them.
../tests/judges/go/build ../tests/judges/go/oauth2-proxy peers/oathkeeper peers/go-net-http

if [ ! -d peers/node/node_modules ]; then
  npm ci --prefix peers/node --no-audit --no-fund --silent
fi
if [ ! -x peers/python/venv/bin/uvicorn ]; then
  python3 -m venv peers/python/venv
  peers/python/venv/bin/pip install --quiet --requirement peers/python/requirements.txt
fi

exec python3 run.py "$@"
