package hfmodel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/goprm/goprm/internal/mmap"
	"github.com/goprm/goprm/internal/safetensors"
)

// ErrNotFinite is the error of weights that hold NaN or Inf.
var ErrNotFinite = errors.New("its weights hold NaN or Inf, so every score would be NaN and training would fail at its first step")

// CheckFinite reads all weights and names the first tensor that holds NaN or Inf. The error is an [ErrNotFinite]. Unless each is nil, it
// is called for each file instead, and runs the check or knows its result.
func (w *Weights) CheckFinite(each func(path string, check func() error) error) error {
	for _, file := range w.files {
		check := func() error { return CheckFinite(file) }
		var err error
		if each == nil {
			err = check()
		} else {
			err = each(file.Path(), check)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// CheckFinite reads a file's tensors and names the first that holds NaN or Inf, as an [ErrNotFinite].
func CheckFinite(file File) error {
	names, err := notFinite(file)
	if err != nil {
		return err
	}
	if len(names) > 0 {
		return fmt.Errorf("%s: tensor %q: %w (%d tensors in this file)", file.Path(), names[0], ErrNotFinite, len(names))
	}
	return nil
}

// notFinite are the names of a file's tensors that hold NaN or Inf, in the file's order.
func notFinite(file File) ([]string, error) {
	bad := make([]bool, file.Len())
	var next atomic.Int64
	var failed atomic.Pointer[error]
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			if err := mmap.Guard(func() error { // which holds for one goroutine
				for i := next.Add(1) - 1; i < int64(len(bad)); i = next.Add(1) - 1 {
					info := file.At(int(i))
					bad[i] = !finite(info.DType, file.Bytes(info.Name))
				}
				return nil
			}); err != nil {
				failed.Store(&err)
			}
		})
	}
	workers.Wait()
	if err := failed.Load(); err != nil {
		return nil, *err
	}
	var names []string
	for i := range bad {
		if bad[i] {
			names = append(names, file.At(i).Name)
		}
	}
	return names, file.Check()
}

// finite reports whether no number of a tensor's data is NaN or Inf: whether none has all bits of its exponent set.
func finite(dtype safetensors.DType, data []byte) bool {
	switch dtype {
	case safetensors.BF16:
		return finite16(data, 0x7f80)
	case safetensors.F16:
		return finite16(data, 0x7c00)
	case safetensors.F32:
		if data = skipFinite(data, 0x7f800000_7f800000, 0x80000000_80000000); len(data) >= 8 {
			return false
		}
		for ; len(data) >= 4; data = data[4:] {
			if binary.LittleEndian.Uint32(data)&0x7f800000 == 0x7f800000 {
				return false
			}
		}
	case safetensors.F64:
		for ; len(data) >= 8; data = data[8:] {
			if binary.LittleEndian.Uint64(data)&0x7ff0000000000000 == 0x7ff0000000000000 {
				return false
			}
		}
	}
	return true
}

func finite16(data []byte, exponent uint16) bool {
	if data = skipFinite(data, uint64(exponent)*0x0001_0001_0001_0001, 0x8000_8000_8000_8000); len(data) >= 8 {
		return false
	}
	for ; len(data) >= 2; data = data[2:] {
		if binary.LittleEndian.Uint16(data)&exponent == exponent {
			return false
		}
	}
	return true
}

// skipFinite skips eight bytes at a time, up to the first that hold a number with all bits of its exponent set; exponents and signs have
// these bits of each number set. A number's exponent turned around is 0 there, and the only one to which adding all bits but the sign's
// does not carry into the sign.
func skipFinite(data []byte, exponents, signs uint64) []byte {
	for len(data) >= 8 {
		turned := ^binary.LittleEndian.Uint64(data) & exponents
		if (turned+(^signs))&signs != signs {
			return data
		}
		data = data[8:]
	}
	return data
}
