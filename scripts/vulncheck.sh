#!/usr/bin/env bash
# Known vulnerabilities in code that goprm reaches, from every exported function (the command's are called by reflection, which a call graph
# does not show): scripts/vulncheck.sh [DATABASE]
# DATABASE is https://vuln.go.dev, or file:///folder with a copy of it for machines that do not reach it: its zip, unpacked
# (https://vuln.go.dev/vulndb.zip). Exit 3: something was found. scripts/vulncheck.sh --check shows that the check can fail: with a database
# of its own whose one entry is about a function that goprm calls, and passes with the same entry about a version that is not linked.
# Needs Go and the module proxy.
set -euo pipefail
cd "$(dirname "$0")/.."
scan() { go run golang.org/x/vuln/cmd/govulncheck@v1.9.0 -db "$1" "${@:2}"; }

if [ "${1:-}" != --check ]; then
	scan "${1:-https://vuln.go.dev}" ./...
	exit
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
module=go.yaml.in/yaml/v3 version=$(go list -m -f '{{.Version}}' go.yaml.in/yaml/v3)
# database DIR FIXED: the planted entry holds for all versions below FIXED.
database() {
	local when=2026-01-01T00:00:00Z
	mkdir -p "$1/index" "$1/ID"
	echo "{\"modified\":\"$when\"}" >"$1/index/db.json"
	echo "[{\"path\":\"$module\",\"vulns\":[{\"id\":\"GO-2026-0001\",\"modified\":\"$when\",\"fixed\":\"$2\"}]}]" >"$1/index/modules.json"
	echo "[{\"id\":\"GO-2026-0001\",\"modified\":\"$when\"}]" >"$1/index/vulns.json"
	cat >"$1/ID/GO-2026-0001.json" <<-JSON
		{"schema_version":"1.3.1","id":"GO-2026-0001","modified":"$when","published":"$when","summary":"planted","details":"planted",
		 "affected":[{"package":{"name":"$module","ecosystem":"Go"},"ranges":[{"type":"SEMVER","events":[{"introduced":"0"},{"fixed":"$2"}]}],
		 "ecosystem_specific":{"imports":[{"path":"$module","symbols":["Decoder.Decode"]}]}}],"database_specific":{"url":"https://example.com"}}
	JSON
}
database "$work/bad" 99.0.0
database "$work/fixed" "${version#v}"
status=0
scan "file://$work/bad" ./prm >"$work/out" 2>&1 || status=$?
grep -q GO-2026-0001 "$work/out" && [ "$status" != 0 ] || { cat "$work/out"; echo "a planted vulnerability in $module was not found"; exit 1; }
scan "file://$work/fixed" ./prm >"$work/out" 2>&1 || { cat "$work/out"; exit 1; }
echo "a planted vulnerability in $module is found, and none where $version is the fix"
