//go:build linux && (amd64 || arm64) && !nocuda

// Package emulator builds a stand-in for libcuda.so.1 whose devices are this processor: the kernels' own sources, compiled by
// g++ against emu.h; and for libnccl.so.2, in the same library. Tests point the driver at it; nothing that is shipped uses it.
package emulator

import (
	"os"
	"os/exec"
	"testing"
	"unsafe"

	"github.com/ebitengine/purego"
	"github.com/goprm/goprm/cuda/internal/driver"
	"github.com/goprm/goprm/cuda/internal/nccl"
)

// Use makes the process's CUDA driver and NCCL the emulator, which it builds first unless it is there. Without g++ the test is
// skipped with one line, or fails if GOPRM_EMULATED is set (required, or all). Call it before anything opens a device: a
// process loads one driver.
func Use(t testing.TB) {
	t.Helper()
	if _, err := exec.LookPath("g++"); err != nil {
		const why = "the emulated GPU needs g++, which is not installed"
		if os.Getenv("GOPRM_EMULATED") != "" {
			t.Fatal(why)
		}
		t.Skip(why)
	}
	library, err := Library()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{driver.LibraryEnv, nccl.LibraryEnv} {
		if err := os.Setenv(name, library); err != nil {
			t.Fatal(err)
		}
	}
}

// Mode says how the device runs.
type Mode struct {
	Late bool   // asynchronous copies as late as the program allows
	Seed uint64 // of the order in which threads run; 0: in turn
	Jobs int    // threads of the processor
	// Races says that what threads of a block do with the same shared memory must be ordered by barriers or waits, whatever
	// order they run in here. It takes half as long again.
	Races bool
}

// symbol finds a function of the library that the process has loaded.
func symbol(name string) (uintptr, error) {
	library, err := purego.Dlopen(os.Getenv(driver.LibraryEnv), purego.RTLD_NOW|purego.RTLD_GLOBAL)
	if err != nil {
		return 0, err
	}
	return purego.Dlsym(library, name)
}

// Configure sets the mode of later launches. GOPRM_EMU_RACES=1 watches for races in every mode.
func Configure(m Mode) error {
	f, err := symbol("emu_configure")
	if err != nil {
		return err
	}
	_, _, _ = purego.SyscallN(f, flag(m.Late), uintptr(m.Seed), uintptr(max(1, m.Jobs)), flag(m.Races || os.Getenv("GOPRM_EMU_RACES") != ""))
	return nil
}

func flag(b bool) uintptr {
	if b {
		return 1
	}
	return 0
}

// SetCapability makes the device one of another compute capability, e.g. 90; 0: as the environment says.
func SetCapability(c int) error {
	f, err := symbol("emu_set_capability")
	if err == nil {
		_, _, _ = purego.SyscallN(f, uintptr(c))
	}
	return err
}

// FailAt makes the n-th kernel from now fail, none for 0, and returns how many there were since it was called last.
func FailAt(n int) (int, error) {
	f, err := symbol("emu_fail_at")
	if err != nil {
		return 0, err
	}
	before, _, _ := purego.SyscallN(f, uintptr(n))
	return int(before), nil
}

// FailOn makes the n-th kernel of a device from now fail, none for 0.
func FailOn(device, n int) error {
	f, err := symbol("emu_fail_on")
	if err == nil {
		_, _, _ = purego.SyscallN(f, uintptr(device), uintptr(n))
	}
	return err
}

// SetDevices makes the machine one of so many devices; 0: as the environment says.
func SetDevices(n int) error {
	f, err := symbol("emu_set_devices")
	if err == nil {
		_, _, _ = purego.SyscallN(f, uintptr(n))
	}
	return err
}

// SetMemory gives every device so many bytes of memory beyond what the first one holds now, 0: as the environment says. Without anything
// behind it, allocations are counted, copies leave them out, and kernels do nothing.
func SetMemory(bytes int, without bool) error {
	f, err := symbol("emu_set_memory")
	if err == nil {
		_, _, _ = purego.SyscallN(f, uintptr(bytes), flag(without))
	}
	return err
}

// Peak is how many bytes of a device were allocated at once, at most, since it was called last.
func Peak(device int) (int, error) {
	f, err := symbol("emu_peak")
	if err != nil {
		return 0, err
	}
	peak, _, _ := purego.SyscallN(f, uintptr(device))
	return int(peak), nil
}

// Revive makes a context usable again that a failed kernel has lost, and returns what was wrong with it.
func Revive() (string, error) {
	f, err := symbol("emu_message")
	if err != nil {
		return "", err
	}
	p, _, _ := purego.SyscallN(f)
	var text []byte
	for at := *(*unsafe.Pointer)(unsafe.Pointer(&p)); *(*byte)(at) != 0; at = unsafe.Add(at, 1) {
		text = append(text, *(*byte)(at))
	}
	if f, err = symbol("emu_revive"); err != nil {
		return "", err
	}
	_, _, _ = purego.SyscallN(f)
	return string(text), nil
}
