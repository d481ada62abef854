//go:build linux && (amd64 || arm64) && !nocuda && gorgonia_cu

package driver

import (
	"fmt"
	"reflect"
	"unsafe"

	"github.com/ebitengine/purego"
	"gorgonia.org/cu"
)

// This file and calls_purego.go hold the same calls: here by gorgonia.org/cu, there by the addresses that driver.go found. cu's
// handles are structs of one pointer, so ours and its are the same words. Importing cu initialises the driver, and ends the
// program where that fails: that is why it stands behind a tag.

// as reads a handle of the driver as one of cu.
func as[To, From any](from From) To { return *(*To)(unsafe.Pointer(&from)) }

// checked makes cu's error, of an unexported kind of int, one that names the call.
func checked(call *call, err error) error {
	if err == nil {
		return nil
	}
	if v := reflect.ValueOf(err); v.Kind() == reflect.Int {
		return call.failed(int(v.Int()))
	}
	return fmt.Errorf("%s: %w", call.name, err)
}

// Version is the driver's: 13000 for CUDA 13.0.
func Version() (int, error) { return cu.Version(), nil }

// DeviceCount is how many GPUs there are.
func DeviceCount() (int, error) {
	n, err := cu.NumDevices()
	return n, checked(cuDeviceGetCount, err)
}

// Device returns the handle of GPU number index.
func Device(index int) (int, error) {
	d, err := cu.GetDevice(index)
	return int(d), checked(cuDeviceGet, err)
}

// Name of a device.
func Name(device int) (string, error) {
	name, err := cu.Device(device).Name()
	return name, checked(cuDeviceGetName, err)
}

// Attribute of a device.
func Attribute(device, which int) (int, error) {
	v, err := cu.Device(device).Attribute(cu.DeviceAttribute(which))
	return v, checked(cuDeviceGetAttribute, err)
}

// TotalMemory of a device in bytes.
func TotalMemory(device int) (int, error) {
	n, err := cu.Device(device).TotalMem()
	return int(n), checked(cuDeviceTotalMem, err)
}

// Retain returns the device's primary context; Release gives it back.
func Retain(device int) (Context, error) {
	c, err := cu.Device(device).RetainPrimaryCtx()
	return Context{&Prepared{by: func() error { return checked(cuCtxSetCurrent, cu.SetCurrentContext(c)) }}},
		checked(cuDevicePrimaryCtxRetain, err)
}

// Release gives a primary context back.
func Release(device int) error {
	return checked(cuDevicePrimaryCtxRelease, cu.Device(device).ReleasePrimaryCtx())
}

// MemoryInfo tells how many bytes are free, and how many there are.
func MemoryInfo() (free, total int, err error) {
	f, t, err := cu.MemInfo()
	return int(f), int(t), checked(cuMemGetInfo, err)
}

// Alloc takes device memory.
func Alloc(bytes int) (Ptr, error) {
	p, err := cu.MemAlloc(int64(bytes))
	return Ptr(p), checked(cuMemAlloc, err)
}

// Free gives device memory back.
func Free(p Ptr) error { return checked(cuMemFree, cu.MemFree(cu.DevicePtr(p))) }

// FreeHost gives page-locked memory back.
func FreeHost(p unsafe.Pointer) error { return checked(cuMemFreeHost, cu.MemFreeHost(p)) }

// Upload copies host memory to the device. Page-locked memory must stay as it is until the copy is done; other memory may be
// used again when it returns. It must not be part of an object with Go pointers, which cgo refuses.
func Upload(dst Ptr, src []byte, s Stream) error {
	if len(src) == 0 {
		return nil
	}
	return checked(cuMemcpyHtoDAsync, cu.MemcpyHtoDAsync(cu.DevicePtr(dst), unsafe.Pointer(&src[0]), int64(len(src)), as[cu.Stream](s)))
}

// Download copies device memory to dst, which must stay until the stream is synchronised.
func Download(dst unsafe.Pointer, src Ptr, bytes int, s Stream) error {
	if bytes == 0 {
		return nil
	}
	return checked(cuMemcpyDtoHAsync, cu.MemcpyDtoHAsync(dst, cu.DevicePtr(src), int64(bytes), as[cu.Stream](s)))
}

// Fill sets bytes of device memory.
func Fill(dst Ptr, value byte, bytes int, s Stream) error {
	if bytes == 0 {
		return nil
	}
	return checked(cuMemsetD8Async, cu.MemsetD8Async(cu.DevicePtr(dst), value, int64(bytes), as[cu.Stream](s)))
}

// Unload frees a module.
func (m Module) Unload() error { return checked(cuModuleUnload, as[cu.Module](m).Unload()) }

// Function looks a kernel up.
func (m Module) Function(name string) (Function, error) {
	f, err := as[cu.Module](m).Function(name)
	return as[Function](f), checked(cuModuleGetFunction, err)
}

// Prepare readies launches of a kernel; params are the addresses of its parameters, of sizes bytes, which are read at each
// launch. cu copies eight bytes a parameter, so a kernel with a longer one is launched beside it.
func (f Function) Prepare(gridX, gridY, threads, shared int, s Stream, params []unsafe.Pointer, sizes []int) *Prepared {
	for _, bytes := range sizes {
		if bytes > 8 {
			return f.prepare(gridX, gridY, threads, shared, s, params)
		}
	}
	function, stream := as[cu.Function](f), as[cu.Stream](s)
	return &Prepared{by: func() error {
		return checked(cuLaunchKernel, function.Launch(gridX, gridY, 1, threads, 1, 1, shared, stream, params))
	}}
}

// PrepareFill readies setting bytes of device memory, of which SetTarget may change the address.
func PrepareFill(value byte, bytes int, s Stream) *Prepared {
	p := &Prepared{args: make([]uintptr, 1)}
	p.by = func() error { return Fill(Ptr(p.args[0]), value, bytes, s) }
	return p
}

// NewStream makes a stream that does not wait for the default one.
func NewStream() (Stream, error) {
	s, err := cu.MakeStream(cu.NonBlocking)
	return as[Stream](s), checked(cuStreamCreate, err)
}

// Destroy frees the stream.
func (s Stream) Destroy() error {
	stream := as[cu.Stream](s)
	return checked(cuStreamDestroy, stream.Destroy())
}

// Synchronise waits for everything on the stream.
func (s Stream) Synchronise() error {
	return checked(cuStreamSynchronize, as[cu.Stream](s).Synchronize())
}

// NewEvent makes a mark that a stream can be given.
func NewEvent() (Event, error) {
	e, err := cu.MakeEvent(cu.DisableTiming)
	return as[Event](e), checked(cuEventCreate, err)
}

// Record puts the event behind everything on the stream.
func (e Event) Record(s Stream) error {
	return checked(cuEventRecord, as[cu.Event](e).Record(as[cu.Stream](s)))
}

// Done tells whether the stream has come to where the event was recorded last.
func (e Event) Done() (bool, error) { return done(checked(cuEventQuery, as[cu.Event](e).Query())) }

// Synchronise waits until the stream has come to where the event was recorded last.
func (e Event) Synchronise() error { return checked(cuEventSynchronize, as[cu.Event](e).Synchronize()) }

// Destroy frees the event.
func (e Event) Destroy() error {
	event := as[cu.Event](e)
	return checked(cuEventDestroy, cu.DestroyEvent(&event))
}

// linked makes sure that the library that driver.go found is the one that cu is linked to.
func linked(initialise uintptr) error {
	if own, err := purego.Dlsym(purego.RTLD_DEFAULT, cuInit.name); err != nil || own != initialise {
		return fmt.Errorf("a program built with the tag gorgonia_cu is linked to its driver: %s must name the same library", LibraryEnv)
	}
	return nil
}
