#!/usr/bin/env bash
# Plants each bug of scripts/mutations.txt in a copy of its file and runs the named test, which must fail by itself
# (a mutation that does not apply or does not compile is an error of this list). The working tree is not touched.
# Usage: mutate.sh [PATTERN]   PATTERN: only mutations whose line matches this extended regular expression.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
survived=0 count=0
while IFS=$'\t' read -r name file edit package run; do
  case $name in '#'* | '') continue ;; esac
  count=$((count + 1))
  perl -0pe "$edit" "$file" >"$work/mutant.go"
  cmp -s "$file" "$work/mutant.go" && { echo "BROKEN    $name: does not apply"; survived=$((survived + 1)); continue; }
  printf '{"Replace":{"%s":"%s"}}' "$PWD/$file" "$work/mutant.go" >"$work/overlay.json"
  go vet -overlay "$work/overlay.json" "./$(dirname "$file")" >"$work/out" 2>&1 || { echo "BROKEN    $name: does not compile"; tail -n 2 "$work/out"; survived=$((survived + 1)); continue; }
  if GOFLAGS="-overlay=$work/overlay.json" go test -short -count=1 -timeout 5m "$package" -run "$run" >"$work/out" 2>&1; then
    echo "SURVIVED  $name"; survived=$((survived + 1))
  else
    printf 'caught    %-50s by %s\n' "$name" "$(grep -m1 -oE '^ *--- FAIL: [^ ]+' "$work/out" | sed 's/.*FAIL: //' || grep -m1 -E 'panic|build failed' "$work/out")"
  fi
done < <(grep -E -- "${1:-}" scripts/mutations.txt)
echo "$((count - survived)) of $count caught"
exit $((survived > 0))
