//go:build linux && (amd64 || arm64) && !nocuda && !gorgonia_cu

package driver

import (
	"runtime"
	"unsafe"
)

// This file and calls_gorgonia.go hold the same calls: here by the addresses that driver.go found, there by gorgonia.org/cu.

// Version is the driver's: 13000 for CUDA 13.0.
func Version() (int, error) {
	var v int32
	err := cuDriverGetVersion.do(uintptr(unsafe.Pointer(&v)))
	return int(v), err
}

// DeviceCount is how many GPUs there are.
func DeviceCount() (int, error) {
	var n int32
	err := cuDeviceGetCount.do(uintptr(unsafe.Pointer(&n)))
	return int(n), err
}

// Device returns the handle of GPU number index.
func Device(index int) (int, error) {
	var d int32
	err := cuDeviceGet.do(uintptr(unsafe.Pointer(&d)), uintptr(index))
	return int(d), err
}

// Name of a device.
func Name(device int) (string, error) {
	buffer := make([]byte, 256)
	err := cuDeviceGetName.do(uintptr(unsafe.Pointer(&buffer[0])), uintptr(len(buffer)-1), uintptr(device))
	return goString(&buffer[0]), err
}

// Attribute of a device.
func Attribute(device, which int) (int, error) {
	var v int32
	err := cuDeviceGetAttribute.do(uintptr(unsafe.Pointer(&v)), uintptr(which), uintptr(device))
	return int(v), err
}

// TotalMemory of a device in bytes.
func TotalMemory(device int) (int, error) {
	var n uintptr
	err := cuDeviceTotalMem.do(uintptr(unsafe.Pointer(&n)), uintptr(device))
	return int(n), err
}

// Retain returns the device's primary context; Release gives it back.
func Retain(device int) (Context, error) {
	var c uintptr
	err := cuDevicePrimaryCtxRetain.do(uintptr(unsafe.Pointer(&c)), uintptr(device))
	return Context{&Prepared{call: cuCtxSetCurrent, args: []uintptr{c}}}, err
}

// Release gives a primary context back.
func Release(device int) error { return cuDevicePrimaryCtxRelease.do(uintptr(device)) }

// MemoryInfo tells how many bytes are free, and how many there are.
func MemoryInfo() (free, total int, err error) {
	var f, t uintptr
	err = cuMemGetInfo.do(uintptr(unsafe.Pointer(&f)), uintptr(unsafe.Pointer(&t)))
	return int(f), int(t), err
}

// Alloc takes device memory.
func Alloc(bytes int) (Ptr, error) {
	var p Ptr
	err := cuMemAlloc.do(uintptr(unsafe.Pointer(&p)), uintptr(bytes))
	return p, err
}

// Free gives device memory back.
func Free(p Ptr) error { return cuMemFree.do(uintptr(p)) }

// FreeHost gives page-locked memory back.
func FreeHost(p unsafe.Pointer) error { return cuMemFreeHost.do(uintptr(p)) }

// Upload copies host memory to the device. Page-locked memory must stay as it is until the copy is done; other memory may be
// used again when it returns.
func Upload(dst Ptr, src []byte, s Stream) error {
	if len(src) == 0 {
		return nil
	}
	err := cuMemcpyHtoDAsync.do(uintptr(dst), uintptr(unsafe.Pointer(&src[0])), uintptr(len(src)), uintptr(s))
	runtime.KeepAlive(src)
	return err
}

// Download copies device memory to dst, which must stay until the stream is synchronised.
func Download(dst unsafe.Pointer, src Ptr, bytes int, s Stream) error {
	if bytes == 0 {
		return nil
	}
	return cuMemcpyDtoHAsync.do(uintptr(dst), uintptr(src), uintptr(bytes), uintptr(s))
}

// Fill sets bytes of device memory.
func Fill(dst Ptr, value byte, bytes int, s Stream) error {
	if bytes == 0 {
		return nil
	}
	return cuMemsetD8Async.do(uintptr(dst), uintptr(value), uintptr(bytes), uintptr(s))
}

// Unload frees a module.
func (m Module) Unload() error { return cuModuleUnload.do(uintptr(m)) }

// Function looks a kernel up.
func (m Module) Function(name string) (Function, error) {
	var f Function
	text := append([]byte(name), 0)
	err := cuModuleGetFunction.do(uintptr(unsafe.Pointer(&f)), uintptr(m), uintptr(unsafe.Pointer(&text[0])))
	runtime.KeepAlive(text)
	return f, err
}

// Prepare readies launches of a kernel; params are the addresses of its parameters, of sizes bytes, which are read at each
// launch.
func (f Function) Prepare(gridX, gridY, threads, shared int, s Stream, params []unsafe.Pointer, _ []int) *Prepared {
	return f.prepare(gridX, gridY, threads, shared, s, params)
}

// PrepareFill readies setting bytes of device memory, of which SetTarget may change the address.
func PrepareFill(value byte, bytes int, s Stream) *Prepared {
	return &Prepared{call: cuMemsetD8Async, args: []uintptr{0, uintptr(value), uintptr(bytes), uintptr(s)}}
}

// NewStream makes a stream that does not wait for the default one.
func NewStream() (Stream, error) {
	var s Stream
	err := cuStreamCreate.do(uintptr(unsafe.Pointer(&s)), nonBlocking)
	return s, err
}

// Destroy frees the stream.
func (s Stream) Destroy() error { return cuStreamDestroy.do(uintptr(s)) }

// Synchronise waits for everything on the stream.
func (s Stream) Synchronise() error {
	return cuStreamSynchronize.do(uintptr(s))
}

// NewEvent makes a mark that a stream can be given.
func NewEvent() (Event, error) {
	var e Event
	err := cuEventCreate.do(uintptr(unsafe.Pointer(&e)), withoutTiming)
	return e, err
}

// Record puts the event behind everything on the stream.
func (e Event) Record(s Stream) error { return cuEventRecord.do(uintptr(e), uintptr(s)) }

// Done tells whether the stream has come to where the event was recorded last.
func (e Event) Done() (bool, error) { return done(cuEventQuery.do(uintptr(e))) }

// Synchronise waits until the stream has come to where the event was recorded last.
func (e Event) Synchronise() error { return cuEventSynchronize.do(uintptr(e)) }

// Destroy frees the event.
func (e Event) Destroy() error { return cuEventDestroy.do(uintptr(e)) }

func linked(uintptr) error { return nil }
