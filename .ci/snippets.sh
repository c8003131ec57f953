#!/usr/bin/env bash
# Runs what customers run, as processes of their own, against a ledger that serves: the commands of the documentation with
# curl, fetch in Node, Python's standard library, and the documentation's receiver on express; and the README's analyses with
# psql and DuckDB. What of these tools is missing it installs, where that is Debian's to give; express and DuckDB go into a
# temporary folder.
set -euo pipefail
cd "$(dirname "$0")/.."

have() { command -v "$1" >/dev/null; }

missing=()
have curl || missing+=(curl)
have node || missing+=(nodejs)
have npm || missing+=(npm)
have python3 || missing+=(python3)
have psql || missing+=(postgresql-client)
if ((${#missing[@]})); then
  root() { if ((EUID)); then sudo "$@"; else "$@"; fi; }
  echo "Installing ${missing[*]}"
  root apt-get update -qq
  root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

modules=$(mktemp -d)
trap 'rm -rf "$modules"' EXIT
npm install --prefix "$modules" --silent --no-audit --no-fund --ignore-scripts express@5 @duckdb/node-api@1.5.6-r.1

go vet -tags snippets ./cmd/ledger
NODE_PATH=$modules/node_modules go test -tags snippets -count=1 -timeout=10m -run '^TestSnippet' ./cmd/ledger
