//go:build linux && (amd64 || arm64) && !nocuda

package emulator

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
)

// flags of the compiler. Sums are fused only where a kernel says so, as in PTX.
var flags = []string{"-std=c++17", "-fPIC", "-DGPU_EMU", "-ffp-contract=off", "-fno-math-errno",
	"-Wall", "-Wno-unknown-pragmas", "-Wno-unused-function", "-Wno-psabi"}

// Kernels are watched (see races.h); what watches them is to be fast.
var (
	kernelFlags   = []string{"-O2", "-fsanitize=thread", "--param", "tsan-instrument-func-entry-exit=0"}
	emulatorFlags = []string{"-O3"}
)

// userCache is the user's, not what testcache puts in its place later.
var userCache, errUserCache = os.UserCacheDir()

// Library builds the emulated driver unless it is there, and returns its path. With GOPRM_EMU_KERNELS, which names a copy of the
// kernels with a planted bug (scripts/mutate_cuda.sh), what is built of that copy lies in it and goes with it.
func Library() (string, error) {
	_, here, _, _ := runtime.Caller(0)
	b := builder{emulator: filepath.Join(filepath.Dir(here), "device")}
	b.kernels = filepath.Join(b.emulator, "..", "..", "..", "kernels")
	if errUserCache != nil {
		userCache = os.TempDir()
	}
	b.cache = filepath.Join(userCache, "goprm", "emulator")
	b.places = []string{b.cache}
	if other := os.Getenv("GOPRM_EMU_KERNELS"); other != "" {
		b.kernels, b.cache = other, filepath.Join(other, "built")
		b.places = append(b.places, b.cache)
	}
	return b.library()
}

// A builder compiles each source into an object whose name is a hash of all that makes it: the compiler's options, the source and
// the headers that it includes. So a source is compiled anew only where one of them changed.
type builder struct {
	emulator, kernels string
	cache             string   // where what is built goes
	places            []string // where it may be already
	options           []string
}

// A unit is a source and the name of its object.
type unit struct{ source, object string }

func (b *builder) library() (string, error) {
	b.options = slices.Clone(flags)
	if runtime.GOARCH == "amd64" {
		b.options = append(b.options, "-march=native") // fused multiply-add is an instruction, not a call
	}
	b.options = append(b.options, strings.Fields(os.Getenv("GOPRM_EMU_CXXFLAGS"))...)
	units, key, err := b.units()
	if err != nil {
		return "", err
	}
	if path := b.find(key + ".so"); path != "" {
		return path, nil
	}
	if err := os.MkdirAll(b.cache, 0o777); err != nil {
		return "", err
	}
	// One process builds at a time: a library that another replaced would be loaded twice, under one name.
	lock, err := os.OpenFile(filepath.Join(b.cache, "lock"), os.O_CREATE|os.O_RDWR, 0o666)
	if err != nil {
		return "", err
	}
	defer func() { _ = lock.Close() }() // which ends the lock
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("%s: %w", lock.Name(), err)
	}
	if path := b.find(key + ".so"); path != "" {
		return path, nil
	}
	return b.build(units, key+".so")
}

// units are all sources, and what their library is called.
func (b *builder) units() (all []unit, key string, err error) {
	library := sha256.New()
	for _, pattern := range []string{filepath.Join(b.emulator, "*.c[cu]"), filepath.Join(b.emulator, "..", "..", "conformance", "*.cu"),
		filepath.Join(b.kernels, "*.cu")} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			return nil, "", err
		}
		for _, path := range found {
			object := sha256.New()
			_, _ = fmt.Fprintln(object, b.arguments(path), processor())
			files := []string{path}
			for i := 0; i < len(files); i++ { // which grows
				text, err := os.ReadFile(files[i])
				if err != nil {
					return nil, "", err
				}
				_, _ = fmt.Fprintf(object, "%s %d\n%s", filepath.Base(files[i]), len(text), text)
				files = b.included(text, files)
			}
			name := fmt.Sprintf("%x.o", object.Sum(nil)[:12])
			_, _ = fmt.Fprintln(library, name)
			all = append(all, unit{path, name})
		}
	}
	return all, fmt.Sprintf("%x", library.Sum(nil)[:12]), nil
}

var includes = regexp.MustCompile(`(?m)^#include "(.*)"`)

// included adds to the files those that the text includes.
func (b *builder) included(text []byte, files []string) []string {
	for _, m := range includes.FindAllSubmatch(text, -1) {
		path := filepath.Join(b.kernels, string(m[1]))
		if _, err := os.Stat(path); err != nil {
			path = filepath.Join(b.emulator, string(m[1]))
		}
		if !slices.Contains(files, path) {
			files = append(files, path)
		}
	}
	return files
}

// arguments are what a source is compiled with, but for where it lies.
func (b *builder) arguments(source string) []string {
	if strings.HasSuffix(source, ".cu") {
		return slices.Concat(b.options, kernelFlags)
	}
	return slices.Concat(b.options, emulatorFlags)
}

// find returns where a file is that was built before; "": nowhere.
func (b *builder) find(name string) string {
	for _, place := range b.places {
		path := filepath.Join(place, name)
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return ""
}

// build compiles what is not there and links all.
func (b *builder) build(units []unit, name string) (string, error) {
	work, err := os.MkdirTemp(b.cache, "build")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(work) }()
	objects, errs := make([]string, len(units)), make(chan error, len(units))
	turn := make(chan struct{}, runtime.NumCPU())
	for i, u := range units {
		objects[i] = b.find(u.object)
		if objects[i] != "" {
			errs <- nil
			continue
		}
		objects[i] = filepath.Join(b.cache, u.object)
		go func() {
			turn <- struct{}{}
			defer func() { <-turn }()
			made := filepath.Join(work, u.object)
			err := compiler(append(b.arguments(u.source), "-I", b.emulator, "-I", b.kernels, "-x", "c++", "-c", u.source, "-o", made))
			if err == nil {
				err = os.Rename(made, objects[i])
			}
			errs <- err
		}()
	}
	for range units {
		err = errors.Join(err, <-errs)
	}
	if err != nil {
		return "", err
	}
	made, library := filepath.Join(work, "libcuda.so.1"), filepath.Join(b.cache, name)
	link := []string{"-shared", "-Wl,-soname,libcuda.so.1", "-Wl,-z,defs", "-Wl,-Bsymbolic", "-o", made}
	if err := compiler(slices.Concat(b.options, link, objects, []string{"-lpthread", "-lrt"})); err != nil {
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
