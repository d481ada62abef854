package s3store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/minio/minio-go/v7"
)

const (
	partBytes = 64 << 20
	mostParts = 10_000           // of S3
	patience  = 15 * time.Minute // for a part with all its tries
)

// Put implements [remote.Store]. A large file goes in parts, which become the object together; where one fails they are removed.
func (s *Store) Put(ctx context.Context, url string, from *os.File) error {
	p, err := s.object(url)
	if err != nil {
		return err
	}
	info, err := from.Stat()
	if err != nil {
		return err
	}
	size := info.Size()
	body, sum, err := section(from, 0, size)
	if err != nil {
		return fmt.Errorf("%s: cannot be read to be stored as %s: %w", from.Name(), url, err)
	}
	opt := minio.PutObjectOptions{ContentType: "application/octet-stream", UserMetadata: map[string]string{sumKey: sum},
		DisableContentSha256: true} // the client's own, by chunks; ours covers the whole
	part := s.PartBytes
	if part == 0 {
		part = partBytes
	}
	if size > part {
		return p.putParts(ctx, from, size, max(part, (size+mostParts-1)/mostParts), opt)
	}
	ctx, stop := context.WithTimeout(ctx, patience)
	defer stop()
	if _, err := p.PutObject(ctx, p.bucket, p.key, body, size, "", sum, opt); err != nil {
		return p.fail("written", err)
	}
	return nil
}

// section is a part of a file, and its SHA-256, which the signature covers: the store refuses what is damaged on its way.
func section(f *os.File, from, n int64) (*io.SectionReader, string, error) {
	body, sum := io.NewSectionReader(f, from, n), sha256.New()
	if got, err := io.Copy(sum, body); err != nil || got != n {
		return nil, "", errors.Join(err, fmt.Errorf("%d of %d bytes could be read", got, n))
	}
	_, err := body.Seek(0, io.SeekStart)
	return body, hex.EncodeToString(sum.Sum(nil)), err
}

func (p place) putParts(ctx context.Context, from *os.File, size, part int64, opt minio.PutObjectOptions) error {
	id, err := p.NewMultipartUpload(ctx, p.bucket, p.key, opt)
	if err != nil {
		return p.fail("written", err)
	}
	var parts []minio.CompletePart
	for at := int64(0); at < size; at += part {
		done, err := p.putPart(ctx, id, len(parts)+1, from, at, min(part, size-at))
		if err != nil {
			return p.abort(ctx, id, p.fail("written", err))
		}
		parts = append(parts, done)
	}
	ctx, stop := context.WithTimeout(ctx, patience)
	defer stop()
	if _, err := p.CompleteMultipartUpload(ctx, p.bucket, p.key, id, parts, minio.PutObjectOptions{}); err != nil {
		return p.abort(ctx, id, p.fail("written", err))
	}
	return nil
}

func (p place) putPart(ctx context.Context, id string, number int, from *os.File, at, n int64) (minio.CompletePart, error) {
	body, sum, err := section(from, at, n)
	if err != nil {
		return minio.CompletePart{}, err
	}
	ctx, stop := context.WithTimeout(ctx, patience)
	defer stop()
	opt := minio.PutObjectPartOptions{Sha256Hex: sum, DisableContentSha256: true}
	done, err := p.PutObjectPart(ctx, p.bucket, p.key, id, number, body, n, opt)
	return minio.CompletePart{PartNumber: number, ETag: done.ETag}, err
}

// abort removes the parts of an upload that failed, also where it was interrupted.
func (p place) abort(ctx context.Context, id string, failed error) error {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), idle)
	defer stop()
	err := p.AbortMultipartUpload(ctx, p.bucket, p.key, id)
	if answer := (minio.ErrorResponse{}); err != nil && !(errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound) {
		return fmt.Errorf("%w; its parts could not be removed (upload %s): %w", failed, id, err)
	}
	return failed
}
