//go:build linux && (amd64 || arm64) && !nocuda

package cuda

import (
	"errors"
	"unsafe"

	"github.com/goprm/goprm/cuda/internal/driver"
	"github.com/goprm/goprm/internal/mmap"
)

// stagingBytes is a half of the staging memory.
const stagingBytes = 4 << 20

// staging is page-locked memory on the way between host and device, where the copy engine works while the processor goes on:
// an upload returns when its bytes are here, and of a long copy one half is filled while the other is on its way. Weights are read
// into it from their files: the driver never sees a mapping, as a fault inside of it would end the process.
type staging struct {
	stream driver.Stream
	wait   func(driver.Event) error
	halves [2][]byte
	sent   [2]driver.Event // behind the copies of a half
	half   int             // that uploads go to
	used   int             // bytes of it
}

func newStaging(s driver.Stream, wait func(driver.Event) error) (*staging, error) {
	t := &staging{stream: s, wait: wait}
	for i := range t.halves {
		p, err := driver.AllocHost(stagingBytes)
		if err != nil {
			return t, err
		}
		t.halves[i] = unsafe.Slice((*byte)(p), stagingBytes)
		if t.sent[i], err = driver.NewEvent(); err != nil {
			return t, err
		}
	}
	return t, nil
}

func (t *staging) upload(dst driver.Ptr, src []byte) error {
	for len(src) > 0 {
		if t.used == stagingBytes {
			if err := t.sent[t.half].Record(t.stream); err != nil {
				return err
			}
			t.half, t.used = 1-t.half, 0
			if err := t.wait(t.sent[t.half]); err != nil {
				return err
			}
		}
		part := t.halves[t.half][t.used:]
		n, err := mmap.Copy(part, src)
		if err != nil {
			return err
		}
		part = part[:n]
		if err := driver.Upload(dst, part, t.stream); err != nil {
			return err
		}
		t.used += len(part)
		src, dst = src[len(part):], dst+driver.Ptr(len(part))
	}
	return nil
}

// download waits for everything on the stream, uploads included: so it may take both halves whole.
func (t *staging) download(dst []byte, src driver.Ptr) error {
	if len(dst) == 0 {
		return nil
	}
	var before []byte // the part that is on its way
	for half := 0; len(dst) > 0 || len(before) > 0; half = 1 - half {
		part := dst[:min(len(dst), stagingBytes)]
		if len(part) > 0 {
			if err := driver.Download(unsafe.Pointer(&t.halves[half][0]), src, len(part), t.stream); err != nil {
				return err
			}
			if err := t.sent[half].Record(t.stream); err != nil {
				return err
			}
		}
		if len(before) > 0 {
			if err := t.wait(t.sent[1-half]); err != nil {
				return err
			}
			copy(before, t.halves[1-half])
		}
		dst, src, before = dst[len(part):], src+driver.Ptr(len(part)), part
	}
	t.half, t.used = 0, 0
	return nil
}

func (t *staging) close() error {
	var failed []error
	for i, half := range t.halves {
		if half != nil {
			failed = append(failed, driver.FreeHost(unsafe.Pointer(&half[0])))
		}
		if t.sent[i] != 0 {
			failed = append(failed, t.sent[i].Destroy())
		}
	}
	return errors.Join(failed...)
}
