//go:build linux && (amd64 || arm64) && !nocuda

package cuda

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"unsafe"

	"github.com/goprm/goprm/cuda/internal/driver"
	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
)

func open(index int, opt engine.Options) (engine.Backend, error) {
	if opt.Kernels != "" && opt.Kernels != "auto" && opt.Kernels != "sm80" && opt.Kernels != "sm90a" {
		return nil, fmt.Errorf("device cuda:%d: kernels %q: want auto, sm80 or sm90a", index, opt.Kernels)
	}
	if err := driver.Load(); err != nil {
		return nil, fmt.Errorf("device cuda:%d: %w", index, err)
	}
	count, err := driver.DeviceCount()
	if err != nil {
		return nil, fmt.Errorf("device cuda:%d: %w", index, err)
	}
	if index >= count {
		return nil, fmt.Errorf("device cuda:%d: this machine has %d NVIDIA GPUs", index, count)
	}
	d, err := describe(index)
	if err != nil {
		return nil, fmt.Errorf("device cuda:%d: %w", index, err)
	}
	if d.Reason != "" {
		return nil, fmt.Errorf("device %s (%s): %s", d.Name, d.Model, d.Reason)
	}
	var b *backend
	switch opt.Kernels {
	case "", "auto":
		if d.Kernels == "sm90a" {
			b, err = openTried(d)
		} else {
			b, err = openWith(d, d.Kernels)
		}
	default:
		b, err = openWith(d, opt.Kernels)
	}
	if err != nil {
		return nil, err // not an interface that holds a nil backend
	}
	return b, nil
}

// openWith opens the GPU with one family of kernels.
func openWith(d Device, kernels string) (*backend, error) {
	if kernels == "sm90a" && d.Kernels != kernels {
		return nil, fmt.Errorf("device %s (%s): kernels sm90a need compute capability 9.0 and a driver for CUDA 12; it has %s",
			d.Name, d.Model, d.Capability)
	}
	b := &backend{model: d, functions: map[string]driver.Function{}, owned: map[driver.Ptr]int{}, lent: map[uintptr]int{},
		copies: map[driver.Ptr]*copied{}, tables: map[ops.RoPE]driver.Ptr{}, recorded: map[driver.Ptr]int{}, limit: hangLimit}
	b.model.Kernels = kernels
	b.name = d.Name + "/" + kernels
	var err error
	if b.context, err = driver.Retain(d.handle); err != nil {
		return nil, fmt.Errorf("device %s: %w", d.Name, err)
	}
	if err := b.do(b.prepare); err != nil {
		return nil, errors.Join(fmt.Errorf("device %s: %w", d.Name, err), b.Close())
	}
	return b, nil
}

func (b *backend) prepare() error {
	var err error
	if b.stream, err = driver.NewStream(); err != nil {
		return err
	}
	if b.mark, err = driver.NewEvent(); err != nil {
		return err
	}
	if b.staging, err = newStaging(b.stream, b.reach); err != nil {
		return err
	}
	files, err := ptx.ReadDir("ptx")
	if err != nil {
		return err
	}
	for _, f := range files {
		if strings.HasSuffix(f.Name(), "_sm90.ptx") && b.model.Kernels != "sm90a" {
			continue
		}
		text, err := ptx.ReadFile(path.Join("ptx", f.Name()))
		if err != nil {
			return err
		}
		m, err := driver.LoadModule(text)
		if err != nil {
			return fmt.Errorf("%s: %w", f.Name(), err)
		}
		b.modules = append(b.modules, m)
	}
	if b.found, err = driver.AllocHost(8); err != nil {
		return err
	}
	if b.fault, err = b.take(8); err != nil {
		return err
	}
	return driver.Fill(b.fault, 0xff, 8, b.stream)
}

// Close frees everything; a second time it does nothing.
func (b *backend) Close() error {
	if b.closed {
		return nil
	}
	if b.hung { // the driver would wait for the kernel that does not end
		b.closed = true
		return nil
	}
	err := b.do(b.destroy)
	b.closed = true
	if b.hung {
		return err
	}
	return errors.Join(err, driver.Release(b.model.handle))
}

// destroy frees all that the driver made, once it is out of use.
func (b *backend) destroy() error {
	var failed []error
	if b.mark != 0 {
		if failed = append(failed, b.idle()); b.hung {
			return failed[0]
		}
	}
	if b.peers != nil {
		failed = append(failed, b.peers.Leave(nil))
	}
	for p := range b.owned {
		failed = append(failed, driver.Free(p))
	}
	for p := range b.lent {
		failed = append(failed, driver.FreeHost(*(*unsafe.Pointer)(unsafe.Pointer(&p))))
	}
	for _, m := range b.modules {
		failed = append(failed, m.Unload())
	}
	if b.found != nil {
		failed = append(failed, driver.FreeHost(b.found))
	}
	if b.staging != nil {
		failed = append(failed, b.staging.close())
	}
	if b.mark != 0 {
		failed = append(failed, b.mark.Destroy())
	}
	if b.stream != 0 {
		failed = append(failed, b.stream.Destroy())
	}
	return errors.Join(failed...)
}
