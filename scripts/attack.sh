#!/usr/bin/env bash
# Attacks a server of its own over loopback and prints what it bore; fails where a bound is broken. Needs Go alone.
# Usage: attack.sh [--model DIR] [--for 3s] [--only REGEXP]
set -euo pipefail
cd "$(dirname "$0")/.."
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
go build -o "$dir/prm" ./cmd/prm
go build -o "$dir/attack" ./internal/tools/attack
"$dir/attack" --prm "$dir/prm" "$@"
