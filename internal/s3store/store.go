package s3store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"slices"
	"strings"

	"github.com/goprm/goprm/internal/remote"
	"github.com/minio/minio-go/v7"
)

// place is an object's place, and the client that reaches it.
type place struct {
	*minio.Core
	url, bucket, key string
	endpoint         string
}

func (s *Store) place(url string) (place, error) {
	bucket, key, err := split(url)
	if err != nil {
		return place{}, err
	}
	core, err := s.client()
	if err != nil {
		return place{}, fmt.Errorf("%s: %w", url, err)
	}
	return place{core, url, bucket, key, core.EndpointURL().String()}, nil
}

// object is a place that a file can be at.
func (s *Store) object(url string) (place, error) {
	p, err := s.place(url)
	if err == nil && (p.key == "" || strings.HasSuffix(p.key, "/")) {
		err = fmt.Errorf("%s: names no object: the key is empty or ends in a slash", url)
	}
	return p, err
}

// Stat implements [remote.Store].
func (s *Store) Stat(ctx context.Context, url string) (remote.Object, error) {
	p, err := s.object(url)
	if err != nil {
		return remote.Object{}, err
	}
	info, err := p.StatObject(ctx, p.bucket, p.key, minio.StatObjectOptions{})
	if err != nil {
		return remote.Object{}, p.fail("read", err)
	}
	return remote.Object{URL: url, Size: info.Size, ETag: info.ETag}, nil
}

// List implements [remote.Store].
func (s *Store) List(ctx context.Context, folder string) ([]remote.Object, error) {
	p, err := s.place(folder)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var list []remote.Object
	for o := range p.Client.ListObjects(ctx, p.bucket, minio.ListObjectsOptions{Prefix: p.key}) {
		if o.Err != nil {
			return nil, p.fail("listed", o.Err)
		}
		if o.Key != p.key { // some programs make an empty object for a folder
			list = append(list, remote.Object{URL: remote.Scheme + p.bucket + "/" + o.Key, Size: o.Size, ETag: o.ETag})
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, p.fail("listed", err)
	}
	slices.SortFunc(list, func(a, b remote.Object) int { return cmp.Compare(a.URL, b.URL) })
	return list, nil
}

// Remove implements [remote.Store].
func (s *Store) Remove(ctx context.Context, url string) error {
	p, err := s.object(url)
	if err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(ctx, idle)
	defer stop()
	if err := p.RemoveObject(ctx, p.bucket, p.key, minio.RemoveObjectOptions{}); err != nil {
		if err = p.fail("removed", err); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// fail says what a store's terse error means. done is what could not be done.
func (p place) fail(done string, err error) error {
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("%s: interrupted: %w", p.url, err)
	}
	var answer minio.ErrorResponse
	if !errors.As(err, &answer) || answer.StatusCode == 0 {
		return fmt.Errorf("%s: cannot be %s at %s: %w; AWS_ENDPOINT_URL says where the store is", p.url, done, p.endpoint, err)
	}
	advice := ""
	switch {
	case answer.Code == minio.NoSuchBucket:
		advice = fmt.Sprintf("; %s has no bucket %q", p.endpoint, p.bucket)
	case answer.StatusCode == http.StatusNotFound:
		return fmt.Errorf("%s: %w: %s has no such object, or no bucket %q", p.url, fs.ErrNotExist, p.endpoint, p.bucket)
	case answer.StatusCode == http.StatusForbidden || answer.StatusCode == http.StatusUnauthorized:
		const places = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, the profile AWS_PROFILE, or the role of the machine or pod"
		advice = "; the credentials (" + places + ") need s3:GetObject, s3:PutObject, s3:DeleteObject and s3:ListBucket"
		if keys, failed := p.GetCreds(); failed != nil || keys.AccessKeyID == "" {
			advice = "; no credentials were found: " + places
		}
	case answer.StatusCode == http.StatusMovedPermanently || answer.Code == "AuthorizationHeaderMalformed":
		advice = "; AWS_REGION must be the bucket's region"
	}
	return fmt.Errorf("%s: cannot be %s: %s (%s, status %d)%s", p.url, done, strings.TrimSuffix(answer.Message, "."), answer.Code,
		answer.StatusCode, advice)
}
