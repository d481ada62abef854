#!/usr/bin/env bash
# Builds the wheels for Linux and installs this machine's into a new virtual environment: scripts/wheel/check.sh OUT VERSION COMMIT
# Needs Go, and Python with venv.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=$1 work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
rm -rf "$out"
go run ./internal/tools/notices >"$work/notices"
for arch in amd64 arm64; do
	GOOS=linux GOARCH=$arch CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -buildid= -X main.version=$2 -X main.commit=$3" -o "$work/$arch/prm" ./cmd/prm
	machine=$([ $arch = amd64 ] && echo x86_64 || echo aarch64)
	python3 scripts/wheel/build.py "$work/$arch/prm" "$2" "manylinux_2_17_$machine" "$out" "$work/notices"
done
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --no-index "$out"/*_"$(uname -m)".whl
"$work/venv/bin/prm" version | grep -F "prm $2, commit $3"
cd "$work" && venv/bin/python - <<'PY'
import goprm
from goprm.goprm_client import Client
from goprm.trl_reward import prm_reward
from goprm.verl_reward import compute_score

try:
    Client("http://127.0.0.1:1", tries=1).ask("/health", {})
except RuntimeError as error:
    print("goprm", goprm.__version__, "asks:", str(error)[:40])
PY
