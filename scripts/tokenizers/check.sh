#!/usr/bin/env bash
# Builds prm with and without the tag hf_tokenizers and shows that both give the same: ids of the reference vectors, scores by every
# public head format, and the demo (its numbers, its scores and the weights it trained). Runs the tests under the tag first.
# Usage: check.sh   The development data is looked for as the tests do: GOPRM_SHARED, or ../shared. Needs what build_hf.sh needs.
set -euo pipefail
cd "$(dirname "$0")/../.."
shared=${GOPRM_SHARED:-../shared}
[ -d "$shared/data/goldens/heads" ] || { echo "no development data in $shared: set GOPRM_SHARED" >&2; exit 2; }
data/tokenizer/build_hf.sh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
ldflags="-L$PWD/bin/hf_tokenizers ${CGO_LDFLAGS:-}"
export GOPRM_HF_INPUTS=${GOPRM_HF_INPUTS:-2000}
CGO_ENABLED=1 CGO_LDFLAGS=$ldflags go vet -tags hf_tokenizers ./data/tokenizer ./cmd/prm
CGO_ENABLED=1 CGO_LDFLAGS=$ldflags go test -p 1 -tags hf_tokenizers -timeout 30m ./data/... ./prm/... ./cmd/prm/...

CGO_ENABLED=0 go build -o "$work/prm-go" ./cmd/prm
CGO_ENABLED=1 CGO_LDFLAGS=$ldflags go build -tags hf_tokenizers -o "$work/prm-rust" ./cmd/prm
"$work/prm-go" version
"$work/prm-rust" version
"$work/prm-go" version --json | grep -q '"tokenizer": "goprm"'
"$work/prm-rust" version --json | grep -q '"tokenizer": "github.com/daulet/tokenizers '

same() { # NAME ARGUMENTS: standard output of both programs, which must not be empty
  local name=$1
  shift
  "$work/prm-go" --quiet "$@" >"$work/go.out"
  "$work/prm-rust" --quiet "$@" >"$work/rust.out"
  [ -s "$work/go.out" ] || { echo "$name: no output" >&2; exit 1; }
  cmp "$work/go.out" "$work/rust.out" || { echo "$name: the two differ" >&2; exit 1; }
  echo "$name: $(wc -l <"$work/go.out") lines are the same"
}

cat "$shared"/data/tokenizer/vectors_*.jsonl >"$work/vectors.jsonl"
same ids tokenize --tokenizer "$shared/data/tokenizer/qwen2.5" --in "$work/vectors.jsonl"
cat >"$work/texts.jsonl" <<'JSON'
{"id":"1","problem":"What is 12 + 34?","steps":["12 + 34 = 46.","So the answer is \\boxed{46}."]}
{"id":"2","problem":"১২ + ৩৪ কত?","steps":["যোগফল ৪৬।","e\u0301 ≠ é, \u0000 is a byte and 🙂🙂 are two.\n\n"]}
{"id":"3","problem":"<|im_end|> <x>","steps":["  It's\t a tag.  ","DON'T\r\n\r\nsplit №5"]}
JSON
for head in "$shared"/data/goldens/heads/*/; do
  name=$(basename "$head")
  case $name in # several formats fit these
  math_shepherd_*) format=(--format math_shepherd) ;;
  token_classification) format=(--format token_classification) ;;
  *) format=() ;;
  esac
  same "scores of $name" score --model "$head" "${format[@]}" --in "$work/texts.jsonl"
done

for build in go rust; do
  "$work/prm-$build" --quiet demo --json --out "$work/demo-$build" >"$work/demo-$build.json"
  grep -vE '"(seconds|out)":' "$work/demo-$build.json" >"$work/$build.json"
done
cmp "$work/go.json" "$work/rust.json"
for file in scores.jsonl run/model/model.safetensors; do
  cmp "$work/demo-go/$file" "$work/demo-rust/$file"
done
echo "demo: numbers, scores and weights are the same"
