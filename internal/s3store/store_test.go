package s3store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/goprm/goprm/internal/remote"
	"github.com/goprm/goprm/internal/s3test"
	"github.com/stretchr/testify/require"
)

func content(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

func file(t *testing.T, b []byte) *os.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(path, b, 0o600))
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func get(t *testing.T, s *Store, url string) ([]byte, error) {
	t.Helper()
	o, err := s.Stat(t.Context(), url)
	if err != nil {
		return nil, err
	}
	f := file(t, nil)
	if err := s.Get(t.Context(), o, f); err != nil {
		return nil, err
	}
	b, err := os.ReadFile(f.Name())
	require.NoError(t, err)
	return b, nil
}

func TestWhatIsPutIsGot(t *testing.T) {
	server := s3test.Start(t, "bucket")
	s := &Store{PartBytes: 1000}
	for url, n := range map[string]int{"s3://bucket/empty": 0, "s3://bucket/a/one part": 1000, "s3://bucket/a/b/parts": 3500} {
		want := content(n)
		require.NoError(t, s.Put(t.Context(), url, file(t, want)))
		got, err := get(t, s, url)
		require.NoError(t, err)
		require.True(t, bytes.Equal(want, got), url)
		require.True(t, bytes.Equal(want, server.Get(strings.TrimPrefix(url, "s3:/"))))
	}
	require.Empty(t, server.Uploads)
	list, err := s.List(t.Context(), "s3://bucket/a/")
	require.NoError(t, err)
	require.Len(t, list, 2)
	require.Equal(t, "s3://bucket/a/b/", list[0].URL)
	require.Equal(t, "s3://bucket/a/one part", list[1].URL)
	require.NoError(t, s.Remove(t.Context(), "s3://bucket/empty"))
	require.NoError(t, s.Remove(t.Context(), "s3://bucket/empty"))
	_, err = get(t, s, "s3://bucket/empty")
	require.ErrorIs(t, err, fs.ErrNotExist)
}

// A connection that breaks is taken up where it broke; one object is never made of the bytes of two.
func TestBrokenDownloads(t *testing.T) {
	server := s3test.Start(t, "bucket")
	want := content(100_000)
	server.Put("/bucket/key", want)
	var breaks, ranges atomic.Int32
	replace := false
	server.Before = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet {
			return false
		}
		if r.Header.Get("Range") != "" {
			ranges.Add(1)
		}
		if breaks.Add(-1) < 0 {
			return false
		}
		from := 0
		if r.Header.Get("Range") != "" {
			from = 40_000
		}
		w.Header().Set("ETag", `"`+server.Objects["/bucket/key"].ETag+`"`)
		w.Header().Set("Last-Modified", "Mon, 02 Jan 2006 15:04:05 GMT")
		w.Header().Set("Content-Length", "60000")
		_, _ = w.Write(want[from : from+40_000])
		w.(http.Flusher).Flush()
		if replace {
			server.Put("/bucket/key", content(10))
		}
		panic(http.ErrAbortHandler)
	}
	breaks.Store(2)
	got, err := get(t, &Store{}, "s3://bucket/key")
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, got))
	require.Equal(t, int32(2), ranges.Load())

	replace = true
	breaks.Store(1)
	_, err = get(t, &Store{}, "s3://bucket/key")
	require.ErrorContains(t, err, "was replaced while it was read")
}

func TestDamageIsFound(t *testing.T) {
	server := s3test.Start(t, "bucket")
	s := &Store{PartBytes: 1000}
	require.NoError(t, s.Put(t.Context(), "s3://bucket/parts", file(t, content(3000))))
	server.Put("/bucket/other", content(3000))
	for _, key := range []string{"parts", "other"} {
		o := server.Objects["/bucket/"+key]
		o.Content = bytes.Clone(o.Content)
		o.Content[5] ^= 1
		server.Objects["/bucket/"+key] = o
		_, err := get(t, s, "s3://bucket/"+key)
		require.ErrorContains(t, err, "was damaged on its way or in the store", key)
	}
}

// Nothing is seen of an upload that fails, and its parts are removed, also where it is interrupted.
func TestFailedUploads(t *testing.T) {
	server := s3test.Start(t, "bucket")
	server.Put("/bucket/key", []byte("before"))
	s := &Store{PartBytes: 1000}
	ctx, interrupt := context.WithCancel(t.Context())
	for name, before := range map[string]func(w http.ResponseWriter, r *http.Request) bool{
		"refused": func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Query().Get("partNumber") != "3" {
				return false
			}
			_, _ = io.Copy(io.Discard, r.Body)
			s3test.Fail(w, http.StatusForbidden, "QuotaExceeded")
			return true
		},
		"not completed": func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPost || r.URL.Query().Get("uploadId") == "" {
				return false
			}
			s3test.Fail(w, http.StatusBadRequest, "InvalidPart")
			return true
		},
	} {
		server.Before = before
		err := s.Put(ctx, "s3://bucket/key", file(t, content(5000)))
		require.ErrorContains(t, err, "s3://bucket/key: cannot be written: the message of", name)
		require.Equal(t, "before", string(server.Get("/bucket/key")), name)
		require.Empty(t, server.Uploads, name)
	}
	server.Before = func(_ http.ResponseWriter, r *http.Request) bool {
		if r.URL.Query().Get("partNumber") == "2" {
			interrupt()
		}
		return false
	}
	err := s.Put(ctx, "s3://bucket/key", file(t, content(5000)))
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, "before", string(server.Get("/bucket/key")))
	require.Empty(t, server.Uploads)
}

// A store that is busy is asked again, a bounded number of times.
func TestRetries(t *testing.T) {
	server := s3test.Start(t, "bucket")
	var busy, asked atomic.Int32
	server.Before = func(w http.ResponseWriter, _ *http.Request) bool {
		asked.Add(1)
		if busy.Add(-1) < 0 {
			return false
		}
		s3test.Fail(w, http.StatusServiceUnavailable, "SlowDown")
		return true
	}
	busy.Store(2)
	require.NoError(t, (&Store{}).Put(t.Context(), "s3://bucket/key", file(t, content(100))))
	require.Equal(t, int32(3), asked.Load())
	busy.Store(1000)
	asked.Store(0)
	err := (&Store{}).Put(t.Context(), "s3://bucket/key", file(t, content(100)))
	require.ErrorContains(t, err, "SlowDown")
	require.Equal(t, int32(tries), asked.Load())
}

func TestErrorsSayWhatToDo(t *testing.T) {
	s3test.Start(t, "bucket")
	for url, want := range map[string]string{
		"s3://bucket/none":         "s3://bucket/none: file does not exist",
		"s3://other/key":           `no bucket "other"`,
		"s3://bucket/":             "names no object",
		"s3://bucket//key":         "begins with a slash",
		"s3://user:geheim@host/k":  "is not of the form s3://BUCKET/KEY",
		"s3://":                    "is not of the form s3://BUCKET/KEY",
		"s3://bucket/a/../../key ": "file does not exist",
	} {
		_, err := get(t, &Store{}, url)
		require.ErrorContains(t, err, want, url)
		require.NotContains(t, err.Error(), "geheim")
	}
	err := (&Store{}).Put(t.Context(), "s3://other/key", file(t, nil))
	require.ErrorContains(t, err, `has no bucket "other"`)

	t.Setenv("AWS_ACCESS_KEY_ID", "another-key")
	err = (&Store{}).Put(t.Context(), "s3://bucket/key", file(t, nil))
	require.ErrorContains(t, err, "AccessDenied")
	require.ErrorContains(t, err, "need s3:GetObject")
	require.NotContains(t, err.Error(), "secret-of-the-test")
	require.NotContains(t, err.Error(), "another-key")
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(t.TempDir(), "none"))
	_, err = get(t, &Store{}, "s3://bucket/key")
	require.ErrorContains(t, err, "no credentials were found")

	for endpoint, want := range map[string]string{
		"localhost:9000":          "is not of the form https://",
		"https://me:geheim@host/": "holds a user's name or password",
		"http://host/path":        "has a path",
	} {
		t.Setenv("AWS_ENDPOINT_URL", endpoint)
		_, err := get(t, &Store{}, "s3://bucket/key")
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "geheim")
	}
	t.Setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
	_, err = get(t, &Store{}, "s3://bucket/key")
	require.ErrorContains(t, err, "AWS_ENDPOINT_URL says where the store is")
	require.False(t, errors.Is(err, fs.ErrNotExist))
}

// A real server, which scripts/s3.sh starts, takes and gives the same bytes, in one part and in several, and leaves no parts behind.
func TestRealServer(t *testing.T) {
	bucket := os.Getenv("GOPRM_S3_BUCKET")
	if bucket == "" {
		t.Skip("make s3 runs it: GOPRM_S3_BUCKET is not set")
	}
	s := &Store{PartBytes: 5 << 20} // S3's smallest
	for _, n := range []int{0, 1, 5 << 20, 23<<20 + 5} {
		url, want := fmt.Sprintf("%s/store/a file of %d+bytes", bucket, n), content(n)
		require.NoError(t, s.Put(t.Context(), url, file(t, want)))
		got, err := get(t, s, url)
		require.NoError(t, err)
		require.True(t, bytes.Equal(want, got), url)
	}
	list, err := s.List(t.Context(), bucket+"/store/")
	require.NoError(t, err)
	require.Len(t, list, 4)

	url := bucket + "/store/interrupted"
	ctx, interrupt := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer interrupt()
	require.Error(t, s.Put(ctx, url, file(t, content(200<<20))))
	_, err = s.Stat(t.Context(), url)
	require.ErrorIs(t, err, fs.ErrNotExist)
	p, err := s.object(url)
	require.NoError(t, err)
	for u := range p.ListIncompleteUploads(t.Context(), p.bucket, "", true) {
		require.NoError(t, u.Err)
		require.Fail(t, "parts are left", "%v", u)
	}
	for _, o := range list {
		require.NoError(t, s.Remove(t.Context(), o.URL))
	}
	_, err = s.Stat(t.Context(), strings.Replace(bucket, "s3://", "s3://no-", 1)+"/key")
	require.ErrorIs(t, err, fs.ErrNotExist)
	t.Setenv("AWS_SECRET_ACCESS_KEY", "wrong")
	_, err = (&Store{}).List(t.Context(), bucket+"/store/")
	require.ErrorContains(t, err, "SignatureDoesNotMatch")
	require.NotContains(t, err.Error(), "wrong")
}

// A server whose certificate nobody vouches for is refused.
func TestRealServerOfNoAuthority(t *testing.T) {
	if os.Getenv("GOPRM_S3_DISTRUSTED") == "" {
		t.Skip("make s3 runs it: GOPRM_S3_DISTRUSTED is not set")
	}
	_, err := (&Store{}).Stat(t.Context(), os.Getenv("GOPRM_S3_BUCKET")+"/key")
	require.ErrorContains(t, err, "certificate signed by unknown authority")
}

var _ remote.Store = &Store{}
