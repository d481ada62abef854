// Package s3test is a small S3 server in memory for tests, which misbehaves on request. What it answers is written from the API's
// documentation, not with the client's code.
package s3test

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Server holds the objects of any number of buckets that are called as in Buckets.
type Server struct {
	mu      sync.Mutex
	Objects map[string]Object // by /bucket/key
	Uploads map[string]map[int][]byte
	Buckets []string
	// Before may answer a request itself, then it returns true.
	Before func(w http.ResponseWriter, r *http.Request) bool
	Log    []string // method and path of every request
	meta   map[string]http.Header
	number int
}

// Object is an object's content and metadata.
type Object struct {
	Content []byte
	ETag    string
	Meta    http.Header
}

// Start starts a server with a bucket, and points the environment of the test at it.
func Start(t *testing.T, bucket string) *Server {
	t.Helper()
	s := &Server{Objects: map[string]Object{}, Uploads: map[string]map[int][]byte{}, Buckets: []string{bucket}, meta: map[string]http.Header{}}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	for name, value := range map[string]string{"AWS_ENDPOINT_URL_S3": "", "AWS_ENDPOINT_URL": server.URL,
		"AWS_ACCESS_KEY_ID":     "key-of-the-test",
		"AWS_SECRET_ACCESS_KEY": "secret-of-the-test", "AWS_REGION": "eu-north-1", "AWS_SESSION_TOKEN": "", "AWS_EC2_METADATA_DISABLED": "true",
		"XDG_CACHE_HOME": t.TempDir()} {
		t.Setenv(name, value)
	}
	return s
}

// Get is an object's content, nil: there is none.
func (s *Server) Get(path string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Objects[path].Content
}

// Put makes an object as another client would.
func (s *Server) Put(path string, content []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Objects[path] = Object{Content: content, ETag: etag(content)}
}

// Keys lists the paths of all objects.
func (s *Server) Keys() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []string
	for path := range s.Objects {
		list = append(list, path)
	}
	slices.Sort(list)
	return list
}

func etag(b []byte) string {
	sum := md5.Sum(b)
	return hex.EncodeToString(sum[:])
}

// Fail answers with an error of the API.
func Fail(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code><Message>the message of %s</Message></Error>", code, code)
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.Log = append(s.Log, r.Method+" "+r.URL.RequestURI())
	before := s.Before
	s.mu.Unlock()
	if before != nil && before(w, r) {
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	sum := sha256.Sum256(body)
	if want := r.Header.Get("X-Amz-Content-Sha256"); len(want) == 64 && want != hex.EncodeToString(sum[:]) {
		Fail(w, http.StatusBadRequest, "XAmzContentSHA256Mismatch")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	query := r.URL.Query()
	switch {
	case !strings.Contains(r.Header.Get("Authorization"), "Credential=key-of-the-test/"):
		Fail(w, http.StatusForbidden, "AccessDenied")
	case !slices.Contains(s.Buckets, bucket):
		Fail(w, http.StatusNotFound, "NoSuchBucket")
	case key == "":
		s.list(w, "/"+bucket+"/", query.Get("prefix"), query.Get("delimiter"))
	case query.Has("uploads"), query.Has("uploadId"):
		s.upload(w, r, body)
	case r.Method == http.MethodPut:
		s.Objects[r.URL.Path] = Object{body, etag(body), meta(r.Header)}
		w.Header().Set("ETag", `"`+etag(body)+`"`)
	case r.Method == http.MethodDelete:
		delete(s.Objects, r.URL.Path)
		w.WriteHeader(http.StatusNoContent)
	default:
		s.read(w, r)
	}
}

func meta(h http.Header) http.Header {
	kept := http.Header{}
	for name, values := range h {
		if strings.HasPrefix(name, "X-Amz-Meta-") {
			kept[name] = values
		}
	}
	return kept
}

func (s *Server) read(w http.ResponseWriter, r *http.Request) {
	o, ok := s.Objects[r.URL.Path]
	if !ok {
		Fail(w, http.StatusNotFound, "NoSuchKey")
		return
	}
	if want := strings.Trim(r.Header.Get("If-Match"), `"`); want != "" && want != o.ETag {
		Fail(w, http.StatusPreconditionFailed, "PreconditionFailed")
		return
	}
	from := 0
	if text, ok := strings.CutPrefix(r.Header.Get("Range"), "bytes="); ok {
		from, _ = strconv.Atoi(strings.TrimSuffix(text, "-"))
	}
	for name, values := range o.Meta {
		w.Header()[name] = values
	}
	w.Header().Set("ETag", `"`+o.ETag+`"`)
	w.Header().Set("Last-Modified", "Mon, 02 Jan 2006 15:04:05 GMT")
	w.Header().Set("Content-Length", strconv.Itoa(len(o.Content)-from))
	if from > 0 {
		w.WriteHeader(http.StatusPartialContent)
	}
	_, _ = w.Write(o.Content[from:])
}

func (s *Server) upload(w http.ResponseWriter, r *http.Request, body []byte) {
	query := r.URL.Query()
	id := query.Get("uploadId")
	parts, ok := s.Uploads[id]
	switch {
	case query.Has("uploads"):
		s.number++
		id = "upload-" + strconv.Itoa(s.number)
		s.Uploads[id], s.meta[id] = map[int][]byte{}, meta(r.Header)
		_, _ = fmt.Fprintf(w, "<InitiateMultipartUploadResult><UploadId>%s</UploadId></InitiateMultipartUploadResult>", id)
	case !ok:
		Fail(w, http.StatusNotFound, "NoSuchUpload")
	case r.Method == http.MethodDelete:
		delete(s.Uploads, id)
		w.WriteHeader(http.StatusNoContent)
	case r.Method == http.MethodPut:
		number, _ := strconv.Atoi(query.Get("partNumber"))
		parts[number] = body
		w.Header().Set("ETag", `"`+etag(body)+`"`)
	default:
		var whole []byte
		for i := 1; i <= len(parts); i++ {
			whole = append(whole, parts[i]...)
		}
		delete(s.Uploads, id)
		tag := etag(whole) + "-" + strconv.Itoa(len(parts))
		s.Objects[r.URL.Path] = Object{whole, tag, s.meta[id]}
		_, _ = fmt.Fprintf(w, "<CompleteMultipartUploadResult><Bucket>b</Bucket><Key>k</Key><ETag>%s</ETag></CompleteMultipartUploadResult>", tag)
	}
}

func (s *Server) list(w http.ResponseWriter, bucket, prefix, delimiter string) {
	type content struct {
		Key, ETag, LastModified string
		Size                    int
	}
	type folder struct{ Prefix string }
	var result struct {
		XMLName        xml.Name `xml:"ListBucketResult"`
		IsTruncated    bool
		Contents       []content
		CommonPrefixes []folder
	}
	for path, o := range s.Objects {
		key, ok := strings.CutPrefix(path, bucket)
		rest, under := strings.CutPrefix(key, prefix)
		if !ok || !under {
			continue
		}
		if first, _, deeper := strings.Cut(rest, "/"); deeper && delimiter != "" {
			if f := (folder{prefix + first + "/"}); !slices.Contains(result.CommonPrefixes, f) {
				result.CommonPrefixes = append(result.CommonPrefixes, f)
			}
			continue
		}
		result.Contents = append(result.Contents, content{key, o.ETag, "2006-01-02T15:04:05Z", len(o.Content)})
	}
	_ = xml.NewEncoder(w).Encode(result)
}
