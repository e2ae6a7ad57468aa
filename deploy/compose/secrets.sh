#!/bin/sh
# Makes the passwords of compose.yaml, each once; git ignores the folder.
set -eu
cd "$(dirname "$0")"
install -d -m 0700 secrets # nobody else of this machine gets in; the containers, which run as other users, are given the files
for name in state-password grafana-password; do
    [ -e "secrets/$name" ] || od -An -N 32 -tx1 /dev/urandom | tr -d ' \n' >"secrets/$name"
    chmod 0444 "secrets/$name"
done
