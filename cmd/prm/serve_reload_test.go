package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/goprm/goprm/prm"
	"github.com/stretchr/testify/require"
)

// certificate writes a certificate of its own with a serial number, and its key.
func certificate(t *testing.T, cert, key string, serial int64) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "localhost"},
		DNSNames:  []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	require.NoError(t, err)
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded}), 0o600))
}

// SIGHUP replaces model, certificate, tokens and log while clients ask: none of them loses a request. What cannot be read stays as it was.
func TestServeReloads(t *testing.T) {
	dir, _, _, config := fixture(t)
	code, _, stderr := prmCommand("train", "--config", config, "--quiet")
	require.Zero(t, code, stderr)
	model := filepath.Join(dir, "run", "model")
	cert, key, list, log := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "tokens.yaml"),
		filepath.Join(dir, "access.jsonl")
	certificate(t, cert, key, 1)
	write(t, list, "tokens:\n  - name: one\n    token: secret-one\n")
	url, stop, said := servedAs(t, `https://127\.0\.0\.1:\d+`, "--model", model, "--tls-cert", cert, "--tls-key", key, "--tokens", list,
		"--access-log", log)

	ask := func(token string) (status int, serial int64) {
		transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
		client := &http.Client{Timeout: 10 * time.Second, Transport: transport}
		r, err := http.NewRequest("POST",
			url+"/reward/remote_rm", strings.NewReader(`{"prompt":"p","response":"<think>\nOne.\n</think>\n\nTwo."}`))
		require.NoError(t, err)
		r.Header.Set("Authorization", "Bearer "+token)
		got, err := client.Do(r)
		if err != nil {
			t.Error(err)
			return 0, 0
		}
		_, err = io.Copy(io.Discard, got.Body)
		require.NoError(t, err)
		require.NoError(t, got.Body.Close())
		return got.StatusCode, got.TLS.PeerCertificates[0].SerialNumber.Int64()
	}
	status, serial := ask("secret-one")
	require.Equal(t, []int64{200, 1}, []int64{int64(status), serial})
	status, _ = ask("wrong")
	require.Equal(t, 401, status)

	var end atomic.Bool
	ended := make(chan int, 1)
	go func() {
		n := 0
		for ; !end.Load(); n++ {
			if status, _ := ask("secret-one"); status != 200 {
				t.Errorf("status %d", status)
			}
		}
		ended <- n
	}()
	certificate(t, cert, key, 2)
	write(t, list, "tokens:\n  - {name: one, token: secret-one}\n  - {name: two, sha256: "+fmt.Sprintf("%x",
		sha256.Sum256([]byte("secret-two")))+"}\n")
	require.NoError(t, os.Rename(log, log+".1"))
	hangup(t, said, "is served anew")
	status, serial = ask("secret-two")
	require.Equal(t, []int64{200, 2}, []int64{int64(status), serial})
	_, err := os.Stat(log)
	require.NoError(t, err)

	require.NoError(t, os.Rename(model, model+".away"))
	write(t, list, "tokens: []\n")
	write(t, cert, "garbage")
	hangup(t, said, "--model stays as it was")
	require.Contains(t, said(), "--tokens stays as it was")
	require.Contains(t, said(), "--tls-cert, --tls-key stays as it was")
	status, serial = ask("secret-two")
	require.Equal(t, []int64{200, 2}, []int64{int64(status), serial})
	end.Store(true)
	require.Positive(t, <-ended)
	stop()
	lines, err := os.ReadFile(log + ".1")
	require.NoError(t, err)
	require.Contains(t, string(lines), `"token":"one"`)
	require.NotContains(t, string(lines), "secret")
}

// hangup sends SIGHUP and waits until the server has said a word.
func hangup(t *testing.T, said func() string, word string) {
	t.Helper()
	self, err := os.FindProcess(os.Getpid())
	require.NoError(t, err)
	require.NoError(t, self.Signal(syscall.SIGHUP))
	require.Eventually(t, func() bool { return strings.Contains(said(), word) }, 20*time.Second, 10*time.Millisecond, "%s", said())
}

func TestServeRefusesHalfOfTLS(t *testing.T) {
	for _, args := range [][]string{{"--tls-cert", "a.pem"}, {"--tls-key", "a.pem"}, {"--memory", "-1"}} {
		code, _, stderr := prmCommand(append([]string{"serve", "--model", "nowhere"}, args...)...)
		require.Equal(t, 2, code, stderr)
	}
	for text, message := range map[string]string{
		"tokens: []": "it has no tokens", "tokens: [{name: a}]": "one of token and sha256",
		"tokens: [{name: a, token: b, sha256: c}]": "one of token and sha256",
		"tokens: [{name: a, sha256: abc}]":         "64 hexadecimal digits", "tokens: [{name: a, token: b, rate: 3}]": "rate",
		"tokens: [{token: b}]": "has no name", "tokens: [{name: a, token: b, per_minute: -1}]": "negative",
	} {
		path := write(t, filepath.Join(t.TempDir(), "tokens.yaml"), text)
		list, err := prm.ReadServerTokens(path)
		if err == nil {
			err = prm.ServerOptions{Tokens: list}.Validate()
		}
		require.ErrorContains(t, err, message, text)
	}
}
