#!/usr/bin/env bash
# Checks the files for deployment: Kubernetes manifests against the API's types (needs Go and the module proxy), and, where the tools are
# installed, the systemd unit, the compose file, the workflows and the scripts.
set -euo pipefail
cd "$(dirname "$0")"
(cd ../../internal/tools/manifests && go run . "$OLDPWD"/kubernetes/*.yaml)
(cd ../.. && GOPRM_DEPLOY=1 go test -count=1 -run TestKubernetes ./cmd/prm)
if command -v systemd-analyze >/dev/null; then
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	sed 's|/usr/local/bin/prm|/bin/true|' prm.service >"$work/prm.service" # the program need not be installed here
	systemd-analyze verify "$work/prm.service"
	echo "prm.service is sound"
fi
if docker compose version >/dev/null 2>&1; then
	GOPRM_TOKEN=x MODEL=/m docker compose -f compose.yaml config --quiet
	echo "compose.yaml is sound"
fi
for script in slurm/*.sbatch check.sh ../*.sh ../*/*.sh; do
	bash -n "$script"
done
go run github.com/rhysd/actionlint/cmd/actionlint@v1.7.12 -shellcheck= ../../.github/workflows/*.yml
echo "scripts and workflows are sound"
