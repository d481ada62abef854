#!/bin/sh
# Asks a server through clients that are not ours: curl, the openai package, and the shims called as verl and TRL call them.
# Needs a Python with openai (PYTHON), curl, and a model folder that prm score reads: scripts/clients/check.sh MODEL
set -eu
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'kill "$server" 2>/dev/null || true; rm -rf "$work"' EXIT
go build -o "$work/prm" ./cmd/prm
"$work/prm" serve --model "$1" --name prm --addr 127.0.0.1:0 2>"$work/log" &
server=$!
until url=$(grep -o 'http://127[0-9.:]*' "$work/log"); do
	kill -0 "$server" || { cat "$work/log"; exit 1; }
	sleep 0.1
done
sh examples/clients/requests.sh "$url" >"$work/answers"
"${PYTHON:-python3}" scripts/clients/check.py "$url"
kill "$server"
wait "$server"
echo "curl: $(grep -c '^#' "$work/answers") requests answered; the server ended well"
