#!/usr/bin/env bash
# Writes the generated files again and refuses when that changes one: they would say something else than their sources.
set -euo pipefail
cd "$(dirname "$0")/.."

sums() { git ls-files --cached --others --exclude-standard -- '*.gen.go' 'domain/schemas/*.json' | git hash-object --stdin-paths; }

before=$(sums)
go generate ./...
if [[ $(sums) != "$before" ]]; then
  git --no-pager diff --stat -- '*.gen.go' 'domain/schemas/*.json'
  echo 'Generated files were not current: run "make generate" and commit what it writes.' >&2
  exit 1
fi
# What is committed must be what was just written; before a commit there is nothing to compare with.
if [[ -n ${CI:-} ]]; then git --no-pager diff --exit-code -- '*.gen.go' 'domain/schemas/*.json'; fi
