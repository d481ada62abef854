//go:build linux && (amd64 || arm64) && !nocuda

// Package emulator builds a stand-in for libcuda.so.1 whose devices are this processor: the kernels' own sources, compiled by
// g++ against emu.h; and for libnccl.so.2, in the same library. Tests point the driver at it; nothing that is shipped uses it.
package emulator

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/ebitengine/purego"
	"github.com/goprm/goprm/cuda/internal/driver"
	"github.com/goprm/goprm/cuda/internal/nccl"
)

// flags of the compiler. Sums are fused only where a kernel says so, as in PTX.
var flags = []string{"-std=c++17", "-O2", "-fPIC", "-DGPU_EMU", "-ffp-contract=off", "-fno-math-errno",
	"-Wall", "-Wno-unknown-pragmas", "-Wno-unused-function", "-Wno-psabi"}

// userCache is the user's, not what testcache puts in its place later.
var userCache, errUserCache = os.UserCacheDir()

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

// Library builds the emulated driver unless it is there, and returns its path.
func Library() (string, error) {
	_, here, _, _ := runtime.Caller(0)
	dir := filepath.Join(filepath.Dir(here), "device")
	kernels := filepath.Join(dir, "..", "..", "..", "kernels")
	if other := os.Getenv("GOPRM_EMU_KERNELS"); other != "" { // with a planted bug, see scripts/mutate_cuda.sh
		kernels = other
	}
	return build(dir, kernels)
}

// build compiles the library into the user's cache, under a name that its sources determine.
func build(emulator, kernels string) (string, error) {
	var sources []string
	for _, pattern := range []string{filepath.Join(emulator, "*.c[cu]"), filepath.Join(emulator, "*.h"),
		filepath.Join(emulator, "..", "..", "conformance", "*.cu"), filepath.Join(kernels, "*.cu"), filepath.Join(kernels, "*.h")} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			return "", err
		}
		sources = append(sources, found...)
	}
	options := slices.Clone(flags)
	if runtime.GOARCH == "amd64" {
		options = append(options, "-march=native") // fused multiply-add is an instruction, not a call
	}
	options = append(options, strings.Fields(os.Getenv("GOPRM_EMU_CXXFLAGS"))...)
	key, common := sha256.New(), sha256.New() // of everything, and of what every object depends on
	_, _ = fmt.Fprintln(io.MultiWriter(key, common), options, processor())
	for _, path := range sources {
		text, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		_, _ = fmt.Fprintf(key, "%s %d\n%s", filepath.Base(path), len(text), text)
		if strings.HasSuffix(path, ".h") {
			_, _ = fmt.Fprintf(common, "%s %d\n%s", filepath.Base(path), len(text), text)
		}
	}
	cache, err := userCache, errUserCache
	if err != nil {
		cache = os.TempDir()
	}
	cache = filepath.Join(cache, "goprm", "emulator")
	library := filepath.Join(cache, fmt.Sprintf("%x.so", key.Sum(nil)[:12]))
	if _, err := os.Stat(library); err == nil {
		return library, nil
	}
	if err := os.MkdirAll(cache, 0o777); err != nil {
		return "", err
	}
	// One process builds at a time: a library that another replaced would be loaded twice, under one name.
	lock, err := os.OpenFile(filepath.Join(cache, "lock"), os.O_CREATE|os.O_RDWR, 0o666)
	if err != nil {
		return "", err
	}
	defer func() { _ = lock.Close() }() // which ends the lock
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("%s: %w", lock.Name(), err)
	}
	if _, err := os.Stat(library); err == nil {
		return library, nil
	}
	work, err := os.MkdirTemp(cache, "build")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(work) }()
	var objects []string
	var running []chan error
	turn := make(chan struct{}, runtime.NumCPU())
	for _, path := range sources {
		if strings.HasSuffix(path, ".h") {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		object := filepath.Join(cache, fmt.Sprintf("%x.o", sha256.Sum256(append(common.Sum(nil), text...)))[:26]+".o")
		objects = append(objects, object)
		if _, err := os.Stat(object); err == nil {
			continue
		}
		done := make(chan error, 1)
		running = append(running, done)
		go func() {
			turn <- struct{}{}
			defer func() { <-turn }()
			made := filepath.Join(work, filepath.Base(path)+".o")
			var watched []string // see races.h
			if strings.HasSuffix(path, ".cu") {
				watched = []string{"-fsanitize=thread", "--param", "tsan-instrument-func-entry-exit=0"}
			}
			err := compiler(slices.Concat(options, watched, []string{"-I", emulator, "-I", kernels, "-x", "c++", "-c", path, "-o", made}))
			if err == nil {
				err = os.Rename(made, object)
			}
			done <- err
		}()
	}
	for _, done := range running {
		err = errors.Join(err, <-done)
	}
	if err != nil {
		return "", err
	}
	made := filepath.Join(work, "libcuda.so.1")
	link := []string{"-shared", "-Wl,-soname,libcuda.so.1", "-Wl,-z,defs", "-Wl,-Bsymbolic", "-o", made}
	if err := compiler(slices.Concat(options, link, objects, []string{"-lpthread", "-lrt"})); err != nil {
		return "", err
	}
	return library, os.Rename(made, library)
}

// processor tells machines apart that -march=native would compile differently for.
func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	for line := range bytes.Lines(text) {
		if bytes.HasPrefix(line, []byte("flags")) {
			return string(line)
		}
	}
	return ""
}

func compiler(args []string) error {
	out, err := exec.Command("g++", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("g++ %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// Mode says how the device runs.
type Mode struct {
	Late bool   // asynchronous copies as late as the program allows
	Seed uint64 // of the order in which threads run; 0: in turn
	Jobs int    // threads of the processor
	// Races says that what threads of a block do with the same shared memory must be ordered by barriers or waits, whatever
	// order they run in here. It takes three times as long.
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
