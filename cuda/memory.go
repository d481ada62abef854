//go:build linux && (amd64 || arm64) && !nocuda

package cuda

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/goprm/goprm/cuda/internal/driver"
	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/mmap"
)

// take allocates in the current context.
func (b *backend) take(bytes int) (driver.Ptr, error) {
	p, err := driver.Alloc(bytes)
	var failed *driver.Error
	if errors.As(err, &failed) && failed.Code == driver.OutOfMemory {
		if free, total, err := driver.MemoryInfo(); err == nil {
			device := fmt.Sprintf("%s (%s)", b.name, b.model.Model)
			return 0, &engine.MemoryError{Device: device, Wanted: bytes, Free: free, Total: total, Held: b.held()}
		}
	}
	if err != nil {
		return 0, err
	}
	b.owned[p] = bytes
	return p, nil
}

// FreeMemory is part of engine.ReportsMemory.
func (b *backend) FreeMemory() (int64, error) {
	var free int
	err := b.do(func() (err error) { free, _, err = driver.MemoryInfo(); return err })
	return int64(free), err
}

func (b *backend) held() int {
	n := 0
	for _, bytes := range b.owned {
		n += bytes
	}
	return n
}

func (b *backend) Alloc(bytes int) (unsafe.Pointer, error) {
	if bytes <= 0 {
		return nil, fmt.Errorf("device %s: allocation of %d bytes", b.name, bytes)
	}
	var p driver.Ptr
	err := b.do(func() (err error) {
		if p, err = b.take(bytes); err == nil {
			err = driver.Fill(p, 0, bytes, b.stream)
		}
		return err
	})
	return pointer(p), err
}

// AllocHost returns page-locked memory, which kernels address as the host does: the driver maps it for every device of this
// capability on 64-bit systems.
func (b *backend) AllocHost(bytes int) (unsafe.Pointer, error) {
	if bytes <= 0 {
		return nil, fmt.Errorf("device %s: allocation of %d bytes", b.name, bytes)
	}
	var p unsafe.Pointer
	if err := b.do(func() (err error) { p, err = driver.AllocHost(bytes); return err }); err != nil {
		return nil, fmt.Errorf("%d bytes of page-locked host memory: %w", bytes, err)
	}
	host := unsafe.Slice((*byte)(p), bytes)
	for i := range host {
		host[i] = 0
	}
	b.lent[uintptr(p)] = bytes
	return p, nil
}

// onHost is the host memory of a tensor that lies there whole, once nothing on the stream uses it; nil for any other.
func (b *backend) onHost(t *engine.Tensor) ([]byte, error) {
	if bytes, lent := b.lent[uintptr(t.Ptr)]; !lent || bytes < int(t.MemSize()) {
		return nil, nil
	}
	return unsafe.Slice((*byte)(t.Ptr), t.MemSize()), b.do(b.idle)
}

// pointer is a device address in the form that tensors hold; Go never follows it.
func pointer(p driver.Ptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&p)) }

func (b *backend) Free(ptr unsafe.Pointer) {
	if _, host := b.lent[uintptr(ptr)]; host {
		delete(b.lent, uintptr(ptr))
		b.release(func() error { return driver.FreeHost(ptr) })
		return
	}
	p := driver.Ptr(uintptr(ptr))
	if _, mine := b.owned[p]; !mine {
		return
	}
	delete(b.owned, p)
	if c := b.copies[p]; c != nil {
		delete(b.copies, p)
		b.Free(pointer(c.at))
	}
	b.release(func() error { return driver.Free(p) })
}

// release gives memory back once nothing uses it, which the driver would wait for too, without a limit. A lost context has freed it.
func (b *backend) release(free func() error) {
	_ = b.do(func() error {
		if err := b.idle(); b.hung {
			return err
		}
		return free()
	})
}

func (b *backend) Upload(dst *engine.Tensor, src []byte) error {
	if uintptr(len(src)) > dst.MemSize() {
		return fmt.Errorf("device %s: %d bytes for a tensor of %d", b.name, len(src), dst.MemSize())
	}
	if host, err := b.onHost(dst); host != nil || err != nil {
		if err == nil {
			_, err = mmap.Copy(host, src)
		}
		return err
	}
	return b.do(func() error {
		if err := b.staging.upload(addressOf(dst), src); err != nil {
			return err
		}
		if c := b.copies[addressOf(dst)]; c != nil {
			return c.round.launch()
		}
		return nil
	})
}

func (b *backend) Download(dst []byte, src *engine.Tensor) error {
	if uintptr(len(dst)) > src.MemSize() {
		return fmt.Errorf("device %s: %d bytes wanted of a tensor of %d", b.name, len(dst), src.MemSize())
	}
	if host, err := b.onHost(src); host != nil || err != nil {
		copy(dst, host)
		return err
	}
	return b.do(func() error { return b.staging.download(dst, driver.Ptr(uintptr(src.Ptr))) })
}
