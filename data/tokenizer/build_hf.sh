#!/bin/sh
# Builds libtokenizers.a, which the build tag hf_tokenizers links, from the Rust sources that the Go module holds.
# Usage: build_hf.sh [DIR]   DIR: where the library goes, bin/hf_tokenizers at the top of the repository by default.
# Needs go and cargo; the module's Cargo.lock pins every crate. About a minute.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
out=${1:-$root/bin/hf_tokenizers}
mkdir -p "$out"
out=$(cd "$out" && pwd)

cd "$root"
go mod download github.com/daulet/tokenizers
module=$(go list -m -f '{{.Dir}}' github.com/daulet/tokenizers)
version=$(go list -m -f '{{.Version}}' github.com/daulet/tokenizers)
if [ -f "$out/libtokenizers.a" ] && [ "$(cat "$out/version" 2>/dev/null)" = "$version" ]; then
	echo "$out/libtokenizers.a is $version already"
	exit 0
fi

# The module cache is read-only and cargo writes beside its manifest.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -r "$module/." "$work"
chmod -R u+w "$work"
(cd "$work" && cargo build --release --locked --quiet)
cp "$work/target/release/libtokenizers.a" "$out/libtokenizers.a"
echo "$version" >"$out/version"
echo "built $out/libtokenizers.a $version; use it with"
echo "  CGO_ENABLED=1 CGO_LDFLAGS=-L$out go test -tags hf_tokenizers ./data/tokenizer"
