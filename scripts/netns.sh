#!/usr/bin/env bash
# Counts what 2 and 4 ranks send over TCP, each in a network namespace of its own. Must be root, to make the namespaces.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "$(id -u)" != 0 ]; then
	echo "netns.sh: must be root: it makes network namespaces" >&2
	exit 1
fi
command -v ip >/dev/null || { echo "netns.sh: needs ip, of the package iproute2" >&2; exit 1; }
GOPRM_NETNS=1 go test -count=1 -timeout 10m -v -run TestBytesOnTheWire ./cmd/prm
