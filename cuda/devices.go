//go:build linux && (amd64 || arm64) && !nocuda

package cuda

import (
	"fmt"

	"github.com/goprm/goprm/cuda/internal/driver"
)

// Devices lists the GPUs of this machine; an error says why there are none to list.
func Devices() (Report, error) {
	if err := driver.Load(); err != nil {
		return Report{}, err
	}
	version, err := driver.Version()
	if err != nil {
		return Report{}, err
	}
	r := Report{Driver: fmt.Sprintf("%d.%d", version/1000, version%1000/10)}
	count, err := driver.DeviceCount()
	for i := 0; i < count && err == nil; i++ {
		var d Device
		if d, err = describe(i); err == nil {
			r.Devices = append(r.Devices, d)
		}
	}
	return r, err
}

// describe asks the driver about GPU number index.
func describe(index int) (Device, error) {
	d := Device{Name: fmt.Sprintf("cuda:%d", index)}
	var err error
	if d.handle, err = driver.Device(index); err != nil {
		return d, err
	}
	if d.Model, err = driver.Name(d.handle); err != nil {
		return d, err
	}
	if d.Memory, err = driver.TotalMemory(d.handle); err != nil {
		return d, err
	}
	var major, minor int
	for _, a := range []struct {
		which int
		to    *int
	}{{driver.Major, &major}, {driver.Minor, &minor}, {driver.Multiprocessors, &d.Multiprocessors}} {
		if *a.to, err = driver.Attribute(d.handle, a.which); err != nil {
			return d, err
		}
	}
	d.Capability = fmt.Sprintf("%d.%d", major, minor)
	if major < 8 {
		d.Reason = fmt.Sprintf("compute capability %s: the kernels need 8.0 (Ampere) or more", d.Capability)
	} else {
		d.Kernels = "sm80"
		if major == 9 && minor == 0 && driver.HasTensorMaps() {
			d.Kernels = "sm90a" // if they pass their trial
		}
	}
	return d, nil
}
