// Package cuda computes on NVIDIA GPUs of compute capability 8.0 or more. Importing it registers the device "cuda":
//
//	import _ "github.com/goprm/goprm/cuda"
//
// and then cuda:0 is a device like cpu. Nothing is needed to build it, not even cgo: the kernels are embedded as PTX and
// the driver is found at run time. Without one, and in builds for other systems or with the tag nocuda, opening the device
// is an error that says so.
package cuda

// Device describes a GPU of this machine.
type Device struct {
	Name            string `json:"name"`       // the device's, e.g. cuda:0
	Model           string `json:"model"`      // what the driver calls it
	Capability      string `json:"capability"` // e.g. 9.0
	Memory          int    `json:"memory"`     // bytes
	Multiprocessors int    `json:"multiprocessors"`
	Kernels         string `json:"kernels,omitempty"` // which would be used; sm90a are tried first when the device is opened
	Reason          string `json:"reason,omitempty"`  // why none would be
	handle          int    // the driver's
}

// Report is what Devices found.
type Report struct {
	Driver  string   `json:"driver,omitempty"` // the CUDA version it is for, e.g. 13.0
	Devices []Device `json:"devices"`
}
