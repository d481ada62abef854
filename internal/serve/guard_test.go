package serve

import (
	"crypto/sha256"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// get asks with headers; Host is the request's.
func get(t *testing.T, url string, headers map[string]string) (int, string) {
	t.Helper()
	r, err := http.NewRequest("GET", url, nil)
	require.NoError(t, err)
	for name, value := range headers {
		if name == "Host" {
			r.Host = value
		} else {
			r.Header.Set(name, value)
		}
	}
	got, err := (&http.Client{Timeout: 10 * time.Second}).Do(r)
	require.NoError(t, err)
	defer func() { require.NoError(t, got.Body.Close()) }()
	text, err := io.ReadAll(got.Body)
	require.NoError(t, err)
	return got.StatusCode, string(text)
}

// Without a token only names and addresses of this machine are answered, and no page of another origin.
func TestHostAndOrigin(t *testing.T) {
	_, url := start(t, newFake(), Options{HostNames: []string{"Reward.internal"}})
	own := strings.TrimPrefix(url, "http://")
	for _, c := range []struct {
		host, origin string
		status       int
	}{
		{own, "", 200}, {"localhost:5000", "", 200}, {"LOCALHOST", "", 200}, {"[::1]:5000", "", 200}, {"127.8.9.10", "", 200},
		{"localhost.", "", 200},
		{"reward.internal:80", "", 200}, {"evil.example", "", 421}, {"evil.example:5000", "", 421}, {"localhost.evil.example", "", 421},
		{"127.0.0.1.evil.example", "", 421}, {"192.0.2.1", "", 421}, {"xlocalhost", "", 421},
		{own, url, 200}, {own, "http://evil.example", 403}, {own, "null", 403}, {own, "http://127.0.0.1:1", 403},
		{"localhost:5000", "http://localhost:5000", 200},
	} {
		headers := map[string]string{"Host": c.host}
		if c.origin != "" {
			headers["Origin"] = c.origin
		}
		for _, path := range []string{"/", "/v1/models", "/metrics", "/nothing"} {
			want := c.status
			if path == "/nothing" && want == 200 {
				want = 404
			}
			status, text := get(t, url+path, headers)
			require.Equal(t, want, status, "%v %s: %s", c, path, text)
		}
		status, _ := get(t, url+"/healthz", headers)
		require.Equal(t, 200, status, c)
	}
	r, err := http.NewRequest("POST", url+"/reward/remote_rm", strings.NewReader(remote("q")))
	require.NoError(t, err)
	r.Header.Set("Origin", "http://evil.example")
	r.Header.Set("Content-Type", "text/plain")
	got, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	require.NoError(t, got.Body.Close())
	require.Equal(t, 403, got.StatusCode)

	_, guarded := start(t, newFake(), Options{Token: "secret"})
	status, _ := get(t, guarded+"/v1/models", map[string]string{"Host": "evil.example", "Authorization": "Bearer secret"})
	require.Equal(t, 200, status, "the token tells who may ask")
	_, any := start(t, newFake(), Options{HostNames: []string{"*"}})
	status, _ = get(t, any+"/", map[string]string{"Host": "evil.example"})
	require.Equal(t, 200, status)
}

func TestContentPolicy(t *testing.T) {
	_, url := start(t, newFake(), Options{})
	r, err := http.Get(url + "/")
	require.NoError(t, err)
	require.NoError(t, r.Body.Close())
	policy := r.Header.Get("Content-Security-Policy")
	for _, part := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"} {
		require.Contains(t, strings.Split(policy, "; "), part)
	}
}

// Each token has a name and limits of its own; no beginning, end or hash of one is one.
func TestNamedTokens(t *testing.T) {
	f := newFake()
	f.block = make(chan struct{})
	sum := func(s string) [32]byte { return sha256.Sum256([]byte(s)) }
	s, url := start(t, f, Options{Tokens: []Token{
		{Name: "one", SHA256: sum("secret-one"), Concurrent: 1}, {Name: "two", SHA256: sum("secret-two"), PerMinute: 2},
	}})
	bearer := func(token string) map[string]string { return map[string]string{"Authorization": "Bearer " + token} }
	for token, want := range map[string]int{"secret-one": 200, "secret-on": 401, "secret-one ": 200, "secret-onex": 401, "": 401, "one": 401} {
		status, _ := get(t, url+"/v1/models", bearer(token)) // the client takes white space off
		require.Equal(t, want, status, token)
	}
	for i, want := range []int{200, 200, 429} {
		status, text := get(t, url+"/v1/models", bearer("secret-two"))
		require.Equal(t, want, status, i)
		require.NotContains(t, text, "secret")
	}
	post := func() *http.Response {
		r, err := http.NewRequest("POST", url+"/reward/remote_rm", strings.NewReader(remote("q")))
		require.NoError(t, err)
		r.Header.Set("Authorization", "Bearer secret-one")
		got, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		require.NoError(t, got.Body.Close())
		return got
	}
	first := make(chan int, 1)
	go func() { first <- post().StatusCode }()
	f.began(t)
	second := post()
	require.Equal(t, 429, second.StatusCode)
	require.Equal(t, "1", second.Header.Get("Retry-After"))
	f.unblock()
	require.Equal(t, 200, <-first)
	waitFor(t, "the first has left", func() bool { return post().StatusCode == 200 })

	require.ErrorContains(t, s.SetTokens([]Token{{Name: "a"}, {Name: "a"}}), "two tokens have the name")
	require.NoError(t, s.SetTokens([]Token{{Name: "three", SHA256: sum("secret-three")}}))
	status, _ := get(t, url+"/v1/models", bearer("secret-one"))
	require.Equal(t, 401, status)
	status, _ = get(t, url+"/v1/models", bearer("secret-three"))
	require.Equal(t, 200, status)
}

// Requests a minute come back evenly.
func TestTokenRate(t *testing.T) {
	var set tokens
	token := Token{Name: "a", PerMinute: 60}
	set.set([]Token{token})
	now := time.Now()
	enter := func(at time.Duration) int {
		leave, wait, err := set.enter(token, now.Add(at))
		if err == nil {
			leave()
		}
		return wait
	}
	for range 60 {
		require.Zero(t, enter(0))
	}
	require.Equal(t, 1, enter(0))
	require.Zero(t, enter(1100*time.Millisecond))
	require.Equal(t, 1, enter(1200*time.Millisecond))
	for range 60 {
		require.Zero(t, enter(time.Hour))
	}
	require.Equal(t, 1, enter(time.Hour))
}
