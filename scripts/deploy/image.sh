#!/usr/bin/env bash
# Builds what the Dockerfile describes without a container engine, and runs it: scripts/deploy/image.sh [ROOTFS]
# The program is built by the Dockerfile's own RUN line, from a copy of the committed tree; its base image is made by debootstrap (minbase of
# the release that FROM names) or taken from ROOTFS; COPY, ENV, USER and ENTRYPOINT are followed. In a chroot as that user it says its version, scores
# with a model that is mounted read-only, and serves: health, readiness, a score, SIGTERM. Needs root, Go, git, curl and, without ROOTFS,
# debootstrap and Debian's mirror.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
server=
cleanup() {
	[ -z "$server" ] || kill "$server" 2>/dev/null || true
	wait 2>/dev/null || true
	mountpoint -q "$work/rootfs/models" && umount "$work/rootfs/models"
	mountpoint -q "$work/rootfs/proc" && umount "$work/rootfs/proc"
	rm -rf --one-file-system "$work"
}
trap cleanup EXIT
file=scripts/deploy/Dockerfile
field() { sed -n "s/^$1 //p" "$file" | tail -n 1; } # of the last stage

# FROM golang: the build stage.
git clone --quiet . "$work/src"
build=$(sed -n 's/^RUN \(CGO_ENABLED=0 go build .*\)$/\1/p' "$file")
(cd "$work/src" && export GOFLAGS= VERSION=image COMMIT=$(git rev-parse --short=12 HEAD) && eval "${build/ -o \/prm/ -o "$work/prm"}" &&
	go run ./internal/tools/notices >"$work/THIRD_PARTY_NOTICES.txt")

# FROM debian: the root file system.
if [ $# -gt 0 ]; then
	cp -a "$1" "$work/rootfs"
else
	[ "$(field FROM)" = debian:12-slim ] || { echo "FROM $(field FROM): this script knows debian:12-slim" >&2; exit 1; }
	debootstrap --variant=minbase bookworm "$work/rootfs" >"$work/debootstrap.log" || { tail "$work/debootstrap.log"; exit 1; }
fi
chmod 755 "$work" "$work/rootfs"
cp "$work/prm" "$work/rootfs$(sed -n 's/^COPY --from=build \/prm //p' "$file")"
mkdir -p "$work/rootfs/usr/share/doc/prm"
cp "$work/THIRD_PARTY_NOTICES.txt" LICENSE "$work/rootfs/usr/share/doc/prm/"
mkdir -p "$work/rootfs/models" "$work/rootfs/proc"
mount -t proc proc "$work/rootfs/proc"
go run ./internal/tools/randommodel --shape test --out "$work/models/prm"
go run ./cmd/prm train --quiet --model "$work/models/prm" --data scripts/deploy/image.jsonl --out "$work/run" --batch-size 2 --steps 2 --train full
mv "$work/run/model" "$work/models/scorer"
chmod -R a+rX "$work/models"
mount --bind -o ro "$work/models" "$work/rootfs/models"
mount -o remount,bind,ro "$work/rootfs/models"

entry=$(field ENTRYPOINT | tr -d '[]"')
# Its environment, its user, nothing of this machine's but the network.
# shellcheck disable=SC2207
inside=(env -i $(field ENV) PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin chroot "--userspec=$(field USER)" "$work/rootfs" "$entry")
run() { "${inside[@]}" "$@"; }
run version | grep -F "prm image, commit "
run devices
run score --quiet --model /models/scorer --in - <scripts/deploy/image.jsonl >"$work/scores"
[ "$(wc -l <"$work/scores")" = "$(wc -l <scripts/deploy/image.jsonl)" ]

port=$((20000 + RANDOM % 20000))
"${inside[@]}" serve --model /models/scorer --addr "0.0.0.0:$port" 2>"$work/serve.log" &
server=$!
for _ in $(seq 100); do
	curl -sf "http://127.0.0.1:$port/healthz" >/dev/null && break
	kill -0 "$server" || { cat "$work/serve.log"; exit 1; }
	sleep 0.1
done
curl -sf "http://127.0.0.1:$port/readyz" >/dev/null
curl -sf "http://127.0.0.1:$port/v1/steps" -d '{"problem": "1+1?", "thinking": "Add.", "response": "2"}' | grep -o '"reward":-\?[0-9.]\+'
kill -TERM "$server"
wait "$server"
server=
echo "the image's root file system runs: version, devices, score, serve, SIGTERM (exit 0)"
