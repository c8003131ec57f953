#!/usr/bin/env bash
# Installs what a bare Debian lacks besides Go: make, git, a C compiler for the race detector, and Postgres' binaries.
# Where there is no apt it installs nothing: the tests then fetch a Postgres of their own.
set -euo pipefail

have() { command -v "$1" >/dev/null; }

# postgres finds server binaries where the ledger itself looks for them.
postgres() {
  local dir
  for dir in ${PATH//:/ } "$(pg_config --bindir 2>/dev/null || true)" /usr/lib/postgresql/*/bin; do
    if [[ -x $dir/initdb && -x $dir/postgres ]]; then return 0; fi
  done
  return 1
}

missing=()
have make || missing+=(make)
have git || missing+=(git)
have cc || missing+=(gcc libc6-dev)
postgres || missing+=(postgresql)

if ((${#missing[@]} == 0)); then
  echo 'Nothing is missing.'
elif ! have apt-get; then
  echo "Not here, and no apt-get to install it with: ${missing[*]}"
else
  root() { if ((EUID)); then sudo "$@"; else "$@"; fi; }
  install() { root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null; }

  echo "Installing ${missing[*]}"
  root apt-get update -qq
  if [[ " ${missing[*]} " == *' postgresql '* ]]; then
    # The package would start a cluster of its own; the tests start theirs.
    install postgresql-common
    root sed -i 's/^#*create_main_cluster.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf
  fi
  install "${missing[@]}"
fi
