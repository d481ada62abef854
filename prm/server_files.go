package prm

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"sync/atomic"

	"github.com/goprm/goprm/internal/strictyaml"
)

// ServerToken is a secret that requests may bring as Authorization: Bearer, with the name by which logs call it.
type ServerToken struct {
	Name       string
	SHA256     [32]byte // of the secret
	PerMinute  int      // requests, at most as many at once; 0: any number
	Concurrent int      // requests at a time; 0: any number
}

// ReadServerTokens reads a YAML file whose key tokens is a list: each has a name, the token or its sha256 in hexadecimal, and may have
// per_minute and concurrent. A file without a token is refused, since a server without one answers everybody.
func ReadServerTokens(path string) ([]ServerToken, error) {
	var file struct {
		Tokens []struct {
			Name       string `yaml:"name"`
			Token      string `yaml:"token"`
			SHA256     string `yaml:"sha256"`
			PerMinute  int    `yaml:"per_minute"`
			Concurrent int    `yaml:"concurrent"`
		} `yaml:"tokens"`
	}
	if err := strictyaml.DecodeFile(path, &file); err != nil {
		return nil, err
	}
	var list []ServerToken
	for i, t := range file.Tokens {
		token := ServerToken{Name: t.Name, SHA256: sha256.Sum256([]byte(t.Token)), PerMinute: t.PerMinute, Concurrent: t.Concurrent}
		switch sum, err := hex.DecodeString(t.SHA256); {
		case (t.Token == "") == (t.SHA256 == ""):
			return nil, fmt.Errorf("%s: token %d (%q): one of token and sha256 is needed", path, i, t.Name)
		case t.SHA256 != "" && (err != nil || len(sum) != len(token.SHA256)):
			return nil, fmt.Errorf("%s: token %d (%q): sha256 is not 64 hexadecimal digits", path, i, t.Name)
		case t.SHA256 != "":
			copy(token.SHA256[:], sum)
		}
		list = append(list, token)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s: it has no tokens", path)
	}
	return list, nil
}

// Certificate is a TLS certificate with its key, in two PEM files that can be read again while connections are made.
type Certificate struct {
	cert, key string
	loaded    atomic.Pointer[tls.Certificate]
}

// OpenCertificate reads a certificate, with those that vouch for it, and its key.
func OpenCertificate(cert, key string) (*Certificate, error) {
	c := &Certificate{cert: cert, key: key}
	return c, c.Reload()
}

// Reload reads the files again. After an error new connections still get what was read before.
func (c *Certificate) Reload() error {
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return fmt.Errorf("%s, %s: %w", c.cert, c.key, err)
	}
	c.loaded.Store(&pair)
	return nil
}

// Config is a configuration that offers the certificate, in HTTP/1.1 over TLS 1.2 or later.
func (c *Certificate) Config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.loaded.Load(), nil },
	}
}
