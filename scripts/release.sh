#!/usr/bin/env bash
# Builds prm for every system into archives with their checksums: scripts/release.sh OUT [VERSION COMMIT]
# Each holds the licences of what is linked in, and a list of it (CycloneDX). The same commit gives the same bytes on any machine with the same Go: -trimpath, no build id of a version control system, and archives
# whose entries have no owner and the commit's time. scripts/release.sh --check builds one system twice, from two folders, and compares.
# Needs Go, GNU tar, gzip and sha256sum.
set -euo pipefail
cd "$(dirname "$0")/.."

build() { # OUT VERSION COMMIT SYSTEM...
	local out=$1 version=$2 commit=$3 when target goos goarch name dir notices
	shift 3
	when=${WHEN:-$(git log -1 --format=%cI)}
	mkdir -p "$out"
	notices=$(mktemp)
	GOFLAGS= go build -o "$notices" ./internal/tools/notices
	for target in "$@"; do
		goos=${target%/*} goarch=${target#*/} name=prm-$version-$goos-$goarch
		dir=$(mktemp -d)
		mkdir "$dir/$name"
		GOOS=$goos GOARCH=$goarch CGO_ENABLED=0 GOFLAGS= go build -trimpath -buildvcs=false \
			-ldflags "-s -w -buildid= -X main.version=$version -X main.commit=$commit" \
			-o "$dir/$name/prm$([ "$goos" = windows ] && echo .exe || true)" ./cmd/prm
		GOOS=$goos GOARCH=$goarch CGO_ENABLED=0 GOFLAGS= "$notices" >"$dir/$name/THIRD_PARTY_NOTICES.txt"
		GOOS=$goos GOARCH=$goarch CGO_ENABLED=0 GOFLAGS= "$notices" -sbom >"$dir/$name/sbom.cdx.json"
		cp LICENSE README.md CHANGELOG.md examples/run.yaml examples/label.yaml "$dir/$name"
		tar -C "$dir" --sort=name --owner=0 --group=0 --numeric-owner --mtime="$when" --mode=u+rwX,go+rX,go-w -cf - "$name" | gzip -9n >"$out/$name.tar.gz"
		rm -rf "$dir"
		echo "$out/$name.tar.gz"
	done
	rm -f "$notices"
	(cd "$out" && sha256sum prm-*.tar.gz >SHA256SUMS)
}

if [ "${1:-}" = --check ]; then
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	build "$work/a" v0 c0 linux/amd64
	mkdir "$work/elsewhere"
	git ls-files -z --cached --others --exclude-standard | tar --null -T - -cf - | tar -C "$work/elsewhere" -xf -
	WHEN=$(git log -1 --format=%cI) bash "$work/elsewhere/scripts/release.sh" --one "$work/b"
	cmp "$work/a/SHA256SUMS" "$work/b/SHA256SUMS" || { tar -C "$work/a" -xzf "$work/a/prm-v0-linux-amd64.tar.gz"; tar -C "$work/b" -xzf "$work/b/prm-v0-linux-amd64.tar.gz"; diff -rq "$work/a" "$work/b"; exit 1; }
	tar -C "$work" -xzf "$work/a/prm-v0-linux-amd64.tar.gz"
	"$work/prm-v0-linux-amd64/prm" version | grep -q 'prm v0, commit c0'
	grep -q '^go.etcd.io/bbolt v.*: LICENSE' "$work/prm-v0-linux-amd64/THIRD_PARTY_NOTICES.txt" && grep -q '"bomFormat": "CycloneDX"' "$work/prm-v0-linux-amd64/sbom.cdx.json"
	echo "two builds in two folders: $(cut -c1-16 "$work/a/SHA256SUMS")"
	exit
fi
if [ "${1:-}" = --one ]; then
	build "$2" v0 c0 linux/amd64
	exit
fi
version=${2:-$(git describe --tags --always --dirty)}
build "${1:?the folder to write}" "$version" "${3:-$(git rev-parse --short=12 HEAD)}" \
	linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64
