#!/usr/bin/env bash
# Runs the quick starts of docs/ as printed: their fenced sh blocks in order, except those after <!-- not run -->, and their Go program.
# scripts/first_hour.sh [TREE]: by default a clean clone of this repository's last commit. A TREE is used as it is.
# Needs Go, git, curl. A program hf that makes a tiny random model stands in for the Hub's, which would download gigabytes.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [ $# -gt 0 ]; then
	tree=$(cd "$1" && pwd)
else
	tree=$work/goprm
	git clone --quiet "$here" "$tree"
	export GOFLAGS=-trimpath # what is compiled does not depend on the folder, so the build cache serves every clone
fi
docs=${DOCS:-$tree/docs}
mkdir "$work/bin" "$work/hour"
(cd "$tree" && go build -o "$work/bin/prm" ./cmd/prm && go build -o "$work/bin/randommodel" ./internal/tools/randommodel)
cat >"$work/bin/hf" <<'STUB'
#!/bin/sh
[ "$1 $3" = "download --local-dir" ] || { echo "hf: not a download: $*" >&2; exit 2; }
randommodel --shape test --out "$4"
STUB
chmod +x "$work/bin/hf"
export PATH="$work/bin:$PATH"

# blocks prints the sh blocks of a page.
blocks() {
	awk '/^<!-- not run -->$/ { skip = 1 } /^```sh$/ { inside = !skip; skip = 0; next } /^```$/ { inside = 0 } inside' "$1"
}

# A free port in place of the page's, which may be taken.
port=$((20000 + RANDOM % 20000))
cd "$work/hour"
blocks "$docs/quickstart.md" | sed "s/127.0.0.1:5000/127.0.0.1:$port/g" >cli.sh
bash -euo pipefail cli.sh >cli.out 2>cli.err || { tail -n 20 cli.out cli.err; exit 1; }
for made in runs/one/model/goprm.json runs/two/model/goprm.json scores.jsonl report.html selected.jsonl run.yaml; do
	[ -s "$made" ] || { echo "docs/quickstart.md made no $made"; exit 1; }
done
grep -q '"steps":\[{' cli.out || { echo "docs/quickstart.md: the server gave no steps"; cat cli.out; exit 1; }
echo "docs/quickstart.md: $(grep -c . cli.sh) lines ran"

# The program's modules are those of the tree, found in the module cache: nothing is looked up on the network.
blocks "$docs/quickstart-go.md" | sed "/^go mod tidy$/i awk '/^\`\`\`go\$/ { f = 1; next } /^\`\`\`\$/ { f = 0 } f' '$docs/quickstart-go.md' > main.go
/^go mod tidy$/i go mod edit -require github.com/goprm/goprm@v0.0.0 -replace github.com/goprm/goprm='$tree'
/^go mod tidy$/i cp '$tree/go.sum' .
s/^go mod tidy$/\${TIDY:-go mod tidy}/" >go.sh
bash -euo pipefail go.sh >go.out 2>go.err || { tail -n 20 go.out go.err; exit 1; }
grep -q '^best: ' go.out || { echo "docs/quickstart-go.md: the program picked no answer"; cat go.out; exit 1; }
echo "docs/quickstart-go.md: $(tail -n 1 go.out)"
