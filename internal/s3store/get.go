package s3store

import (
	"context"
	"crypto/md5" // as stores compute ETags; nothing is authenticated by it
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"net/http"
	"os"
	"regexp"
	"time"

	"github.com/goprm/goprm/internal/remote"
	"github.com/minio/minio-go/v7"
)

// sumKey is the metadata that an object's SHA-256 is kept under: an ETag is one of parts, or of what was encrypted.
const sumKey = "Sha256"

var plainETag = regexp.MustCompile(`^[0-9a-f]{32}$`)

// errChanged ends a download of what is another object now.
var errChanged = errors.New("it was replaced while it was read")

// Get implements [remote.Store]. A connection that breaks, or stands still, is taken up where it ended.
func (s *Store) Get(ctx context.Context, o remote.Object, to *os.File) error {
	p, err := s.object(o.URL)
	if err != nil {
		return err
	}
	var info minio.ObjectInfo
	got, wait := int64(0), 200*time.Millisecond
	for try := 1; got < o.Size; try++ {
		n, i, err := p.read(ctx, o, got, to)
		if info.ETag == "" {
			info = i
		}
		if got += n; got >= o.Size && err == nil {
			break
		}
		if err == nil {
			err = io.ErrUnexpectedEOF
		}
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		if local := new(fs.PathError); errors.As(err, &local) { // such as a full disk
			return fmt.Errorf("%s: its copy: %w", o.URL, local)
		}
		var answer minio.ErrorResponse
		refused := errors.As(err, &answer) && answer.StatusCode >= 400 && answer.StatusCode < 500
		if ctx.Err() != nil || errors.Is(err, errChanged) || refused || try == tries {
			return fmt.Errorf("%w (after %d of %d bytes)", p.fail("read", err), got, o.Size)
		}
		if n > 0 {
			try = 1 // it goes on, however slowly
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
		wait = min(2*wait, 5*time.Second)
	}
	if got != o.Size {
		return fmt.Errorf("%s: %d bytes came, and it has %d", o.URL, got, o.Size)
	}
	return check(o, info, to)
}

// read appends what of the object follows the first from bytes to the file.
func (p place) read(ctx context.Context, o remote.Object, from int64, to *os.File) (int64, minio.ObjectInfo, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var opt minio.GetObjectOptions
	if err := opt.SetMatchETag(o.ETag); err != nil {
		return 0, minio.ObjectInfo{}, err
	}
	if from > 0 {
		if err := opt.SetRange(from, 0); err != nil {
			return 0, minio.ObjectInfo{}, err
		}
	}
	body, info, _, err := p.GetObject(ctx, p.bucket, p.key, opt)
	var answer minio.ErrorResponse
	if errors.As(err, &answer) && answer.StatusCode == http.StatusPreconditionFailed {
		return 0, info, errChanged
	}
	if err != nil {
		return 0, info, err
	}
	stalled := time.AfterFunc(idle, func() { stop(fmt.Errorf("no byte came for %v", idle)) })
	defer stalled.Stop()
	n, err := io.Copy(to, io.LimitReader(watched{body, stalled}, o.Size-from))
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	return n, info, errors.Join(err, body.Close())
}

// watched sets the clock of a transfer back with every byte.
type watched struct {
	io.Reader
	clock *time.Timer
}

func (w watched) Read(b []byte) (int, error) {
	n, err := w.Reader.Read(b)
	w.clock.Reset(idle)
	return n, err
}

// check compares what came with the SHA-256 that Put stored, else with an ETag that is an MD5.
func check(o remote.Object, info minio.ObjectInfo, f *os.File) error {
	var sum hash.Hash
	want := info.UserMetadata[sumKey]
	encrypted := info.Metadata.Get("X-Amz-Server-Side-Encryption")
	switch {
	case o.Size == 0:
		return nil
	case want != "":
		sum = sha256.New()
	case plainETag.MatchString(o.ETag) && (encrypted == "" || encrypted == "AES256") &&
		info.Metadata.Get("X-Amz-Server-Side-Encryption-Customer-Algorithm") == "":
		sum, want = md5.New(), o.ETag
	default:
		return nil
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if _, err := io.Copy(sum, f); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != want {
		return fmt.Errorf("%s: what came has the hash %s, the store says %s: it was damaged on its way or in the store", o.URL, got, want)
	}
	return nil
}
