#!/bin/sh
# Asks a server through clients that are not ours: curl, the openai package, and, where they are installed, TRL's GRPOTrainer and
# verl's reward manager with the shims of examples/clients.
# Needs a Python with openai (PYTHON), curl, and a model folder that prm score reads: scripts/clients/check.sh MODEL
# For the trainers: pip install trl datasets; pip install --no-deps verl, and ray tensordict codetiming hydra-core pyvers aiohttp orjson
set -eu
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'kill "$server" 2>/dev/null || true; rm -rf "$work"' EXIT
go build -o "$work/prm" ./cmd/prm
"$work/prm" serve --model "$1" --name prm --addr 127.0.0.1:0 2>"$work/served" &
server=$!
until url=$(grep -o 'http://127[0-9.:]*' "$work/served"); do
	kill -0 "$server" || { cat "$work/served"; exit 1; }
	sleep 0.1
done
sh examples/clients/requests.sh "$url" >"$work/answers"
python=${PYTHON:-python3}
"$python" scripts/clients/check.py "$url"
go run ./internal/tools/randommodel --shape tiny --out "$work/base"
for trainer in trl verl; do
	if "$python" -c "import $trainer" 2>/dev/null; then
		"$python" -W ignore "scripts/clients/${trainer}_run.py" "$url" "$work/base" >"$work/said" 2>"$work/log" || { tail "$work/log"; exit 1; }
		tail -n 1 "$work/said"
	else
		echo "$trainer: not installed, left out"
	fi
done
kill "$server"
wait "$server"
echo "curl: $(grep -c '^#' "$work/answers") requests answered; the server ended well"
