package serve

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// tokens are what requests may bring. Their use is counted by name, and outlives a reload.
type tokens struct {
	mu   sync.Mutex
	list []Token
	use  map[string]*tokenUse
}

type tokenUse struct {
	running int
	left    float64 // requests that may still come at once
	at      time.Time
}

// set replaces the tokens.
func (t *tokens) set(list []Token) {
	t.mu.Lock()
	defer t.mu.Unlock()
	use := map[string]*tokenUse{}
	for _, token := range list {
		if use[token.Name] = t.use[token.Name]; use[token.Name] == nil {
			use[token.Name] = &tokenUse{left: float64(token.PerMinute), at: time.Now()}
		}
	}
	t.list, t.use = slices.Clone(list), use
}

// none tells whether requests need no token.
func (t *tokens) none() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.list) == 0
}

// find returns the token of a secret. Every token is compared in full, so that the time tells nothing.
func (t *tokens) find(secret string) (found Token, ok bool) {
	got := sha256.Sum256([]byte(secret))
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, token := range t.list {
		if subtle.ConstantTimeCompare(token.SHA256[:], got[:]) == 1 {
			found, ok = token, true
		}
	}
	return found, ok
}

// enter counts a request of the token, or says that it has to wait, and for how many seconds. leave ends it.
func (t *tokens) enter(token Token, now time.Time) (leave func(), wait int, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	use := t.use[token.Name]
	if use == nil { // a reload has just taken it
		return func() {}, 0, nil
	}
	if token.Concurrent > 0 && use.running >= token.Concurrent {
		return nil, 1, fmt.Errorf("%d requests of token %q are being answered, its most", use.running, token.Name)
	}
	if token.PerMinute > 0 {
		rate := float64(token.PerMinute) / 60
		use.left = min(float64(token.PerMinute), use.left+rate*now.Sub(use.at).Seconds())
		if use.at = now; use.left < 1 {
			wait = int(math.Ceil((1 - use.left) / rate))
			return nil, wait, fmt.Errorf("token %q has used up its %d requests a minute", token.Name, token.PerMinute)
		}
		use.left--
	}
	use.running++
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		use.running--
	}, 0, nil
}

var errToken = withStatus(http.StatusUnauthorized, errors.New("the request lacks a token of the server (Authorization: Bearer ...)"))

// guarded asks for a token, if there are any.
func (s *Server) guarded(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.tokens.none() {
			h.ServeHTTP(w, r)
			return
		}
		secret, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		token, ok := s.tokens.find(secret)
		if !bearer || !ok {
			w.Header().Set("WWW-Authenticate", "Bearer")
			s.reply(w, r, nil, errToken)
			return
		}
		seenOf(r).token = token.Name
		leave, wait, err := s.tokens.enter(token, time.Now())
		if err != nil {
			w.Header().Set("Retry-After", fmt.Sprint(wait))
			s.reply(w, r, nil, withStatus(http.StatusTooManyRequests, err))
			return
		}
		defer leave()
		h.ServeHTTP(w, r)
	})
}

// checkOrigin keeps web pages of others from asking where no token does: by a name that resolves to this machine (DNS rebinding), or
// from their own origin. Names of balancers' probes, which learn nothing, are not looked at.
func (s *Server) checkOrigin(r *http.Request) error {
	if !s.tokens.none() || slices.Contains([]string{"/health", "/healthz", "/readyz"}, r.URL.Path) {
		return nil
	}
	if !s.ownHost(r) {
		return withStatus(http.StatusMisdirectedRequest, fmt.Errorf("the request is for host %q, which this server does not know as its own; "+
			"name it with --host-name, or set a token", r.Host))
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return nil
	}
	if u, err := url.Parse(origin); err != nil || u.Host == "" || !strings.EqualFold(u.Host, r.Host) {
		return withStatus(http.StatusForbidden,
			fmt.Errorf("pages of %q may not ask here; without a token only the server's own page may", origin))
	}
	return nil
}

// ownHost tells whether the Host that a request names is this server: a name of loopback, a name that the options give, or an address.
// Where the connection came in over loopback, other addresses are none of its own; an address cannot be rebound. A request that came over
// no network is the program's own.
func (s *Server) ownHost(r *http.Request) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if !ok {
		return true
	}
	host := strings.ToLower(hostOf(r.Host))
	if slices.Contains(s.opt.HostNames, "*") || host == "localhost" || slices.Contains(s.hostNames, host) {
		return true
	}
	address, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	return address.Unmap().IsLoopback() || !local.IP.IsLoopback()
}

// hostOf is a host without its port, and without the brackets of an IPv6 address.
func hostOf(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.TrimSuffix(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"), ".")
}
