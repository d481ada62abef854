#!/usr/bin/env bash
# Runs arrays of eight tasks over a real S3 server on loopback: VersityGW, built from its Go module, with TLS. VERSITYGW names a program
# that is built already. Needs Go and the module proxy.
set -euo pipefail
cd "$(dirname "$0")/.."
dir=$(mktemp -d)
gateway=
trap '[ -z "$gateway" ] || kill "$gateway"; chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
if [ -z "${VERSITYGW:-}" ]; then
	GOBIN=$dir go install github.com/versity/versitygw/cmd/versitygw@v1.8.0
	VERSITYGW=$dir/versitygw
fi
mkdir -p "$dir/buckets/goprm" "$dir/sidecar"
(cd "$dir" && go run "$(go env GOROOT)/src/crypto/tls/generate_cert.go" --host 127.0.0.1 --ca --duration 24h >/dev/null 2>&1)
export AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_ENDPOINT_URL AWS_EC2_METADATA_DISABLED=true GOPRM_S3_BUCKET=s3://goprm
AWS_ACCESS_KEY_ID=$(head -c 12 /dev/urandom | od -An -tx1 | tr -d ' \n')
AWS_SECRET_ACCESS_KEY=$(head -c 20 /dev/urandom | od -An -tx1 | tr -d ' \n')
port=${PORT:-$((20000 + RANDOM % 20000))}
AWS_ENDPOINT_URL=https://127.0.0.1:$port
ROOT_ACCESS_KEY_ID=$AWS_ACCESS_KEY_ID ROOT_SECRET_ACCESS_KEY=$AWS_SECRET_ACCESS_KEY "$VERSITYGW" --port "127.0.0.1:$port" \
	--cert "$dir/cert.pem" --key "$dir/key.pem" posix --sidecar "$dir/sidecar" "$dir/buckets" >"$dir/log" 2>&1 &
gateway=$!
for _ in $(seq 100); do
	(exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break
	kill -0 "$gateway" || { cat "$dir/log"; exit 1; }
	sleep 0.1
done
GOPRM_S3_DISTRUSTED=1 go test -count=1 -run TestRealServerOfNoAuthority ./internal/s3store
SSL_CERT_FILE=$dir/cert.pem go test -count=1 -timeout 20m -v -run 'RealServer$|RealS3Server' ./internal/s3store ./cmd/prm
if grep -rlF "$AWS_SECRET_ACCESS_KEY" "$dir/buckets" "$dir/sidecar"; then
	echo "the secret key lies in the bucket" >&2
	exit 1
fi
