//go:build linux && (amd64 || arm64) && !nocuda

package cuda

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/goprm/goprm/cuda/internal/driver"
	"github.com/goprm/goprm/cuda/internal/emulator"
	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/mmap"
	"github.com/goprm/goprm/internal/ops"
	"github.com/goprm/goprm/internal/rng"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"
)

func TestEveryOpHasAKernel(t *testing.T) {
	var have []string
	for op := range table {
		have = append(have, op)
	}
	slices.Sort(have)
	require.ElementsMatch(t, ops.Ops(), append(have, ops.Int8Ops()...))
}

// child runs this test binary again, as a process has one driver: the test named, with some environment.
func child(t *testing.T, test string, env ...string) string {
	t.Helper()
	command := exec.Command(os.Args[0], "-test.run", "^"+test+"$", "-test.v")
	command.Env = append(os.Environ(), append(env, "GOPRM_CHILD=1")...)
	out, err := command.CombinedOutput()
	require.NoError(t, err, string(out))
	return string(out)
}

// What is wrong with a machine is an error that says so, never an exit.
func TestEmulatedOpenErrors(t *testing.T) {
	if os.Getenv("GOPRM_CHILD") != "" {
		_, err := engine.Open(os.Getenv("GOPRM_DEVICE"), engine.Options{})
		t.Logf("error: %v", err)
		auto, err := engine.Open("auto", engine.Options{})
		require.NoError(t, err)
		t.Logf("auto: %s", auto.Name())
		require.NoError(t, auto.Close())
		return
	}
	emulator.Use(t)
	for _, c := range []struct{ device, env, want, auto string }{
		{"cuda:0", driver.LibraryEnv + "=/nowhere/libcuda.so.1", "/nowhere/libcuda.so.1", "cpu/"},
		{"cuda:0", "GOPRM_EMU_NO_DEVICE=1", "CUDA_ERROR_NO_DEVICE (100)", "cpu/"},
		{"cuda:0", "GOPRM_EMU_DRIVER=11020", "too old: it is for CUDA 11.2", "cpu/"},
		{"cuda:0", "GOPRM_EMU_CAPABILITY=75", "capability 7.5: the kernels need 8.0", "cpu/"},
		{"cuda:0", "GOPRM_EMU_MEMORY=100", "out of memory on cuda:0", "cpu/"},
		{"cuda:1", "GOPRM_EMU_MEMORY=1000000", "this machine has 1 NVIDIA GPUs", "cuda:0/sm80"},
	} {
		out := child(t, "TestEmulatedOpenErrors", c.env, "GOPRM_DEVICE="+c.device)
		require.Contains(t, out, c.want)
		require.Contains(t, out, "auto: "+c.auto)
		require.NotContains(t, out, "error: <nil>")
	}
}

func TestNoDriver(t *testing.T) {
	if os.Getenv("GOPRM_CHILD") == "" {
		out := child(t, "TestNoDriver", driver.LibraryEnv+"=")
		if !strings.Contains(out, "GPUs") { // else this machine has a driver
			require.Contains(t, out, "no NVIDIA driver: libcuda.so.1 was not found")
		}
		return
	}
	r, err := Devices()
	if err == nil {
		t.Logf("%d GPUs", len(r.Devices))
	} else {
		t.Log(err)
	}
}

func TestEmulatedMemory(t *testing.T) {
	b := openEmulated(t)
	require.Equal(t, "cuda:0/sm80", b.Name())
	p, err := b.Alloc(1000)
	require.NoError(t, err)
	x := engine.NewTensor(p, engine.F32, []int{250}, nil)
	raw := make([]byte, 1000)
	raw[999] = 1
	require.NoError(t, b.Download(raw, x))
	require.Equal(t, make([]byte, 1000), raw, "new memory is zero")
	require.ErrorContains(t, b.Upload(x, make([]byte, 1001)), "1001 bytes for a tensor of 1000")
	require.ErrorContains(t, b.Download(make([]byte, 1001), x), "1001 bytes wanted of a tensor of 1000")
	_, err = b.Alloc(0)
	require.ErrorContains(t, err, "allocation of 0 bytes")
	_, err = b.Alloc(1 << 40)
	require.ErrorContains(t, err, "out of memory on cuda:0")
	require.ErrorContains(t, err, "1099511627776 bytes wanted")
	var memory *engine.MemoryError
	require.ErrorAs(t, err, &memory)
	free, err := b.(engine.ReportsMemory).FreeMemory()
	require.NoError(t, err)
	require.Equal(t, int64(memory.Free), free)
	require.Equal(t, 1<<40, memory.Wanted)
	require.GreaterOrEqual(t, memory.Held, 1000)
	require.LessOrEqual(t, memory.Free+memory.Held, memory.Total)
	b.Free(p)
	b.Free(p)
	_, err = engine.Open("cuda:0", engine.Options{Kernels: "sm90a"})
	require.ErrorContains(t, err, "kernels sm90a need compute capability 9.0")
	require.NoError(t, b.Close())
	require.NoError(t, b.Close())
	_, err = b.Alloc(1)
	require.ErrorContains(t, err, "closed")
	_, err = engine.Open("cuda:0", engine.Options{Kernels: "avx2"})
	require.ErrorContains(t, err, `kernels "avx2": want auto, sm80 or sm90a`)
}

// Copies longer than the staging memory, and many short ones before anybody waits, arrive whole and in order. The emulator
// reads page-locked memory as late as it may.
func TestEmulatedStaging(t *testing.T) {
	b := openEmulated(t)
	defer func() { require.NoError(t, b.Close()) }()
	const large, small = 3*stagingBytes + 1000, 3000
	p, err := b.Alloc(large)
	require.NoError(t, err)
	x := engine.NewTensor(p, engine.I32, []int{large / 4}, nil)
	raw := make([]byte, large)
	for _, seed := range []uint64{1, 2} {
		for i := range raw {
			raw[i] = byte(rng.Mix(seed + uint64(i)))
		}
		require.NoError(t, b.Upload(x, raw))
	}
	for i := 0; i < large-small; i += small {
		for j := range small {
			raw[i+j] = byte(i / small * 7)
		}
		require.NoError(t, b.Upload(engine.NewTensor(unsafe.Add(p, i), engine.I32, []int{small / 4}, nil), raw[i:i+small]))
		require.NoError(t, b.Download(nil, x), "which waits for nothing")
	}
	for _, bytes := range []int{1, stagingBytes, stagingBytes + 1, 2 * stagingBytes, large} {
		got := make([]byte, bytes)
		require.NoError(t, b.Download(got, x))
		require.True(t, string(got) == string(raw[:bytes]), "%d bytes", bytes)
	}
}

// Host memory that kernels use begins as zeros, and copies to and from it wait for the kernels.
func TestEmulatedHostMemory(t *testing.T) {
	b := openEmulated(t)
	defer func() { require.NoError(t, b.Close()) }()
	const n = 1000
	p, err := b.(engine.HostMemory).AllocHost(4 * n)
	require.NoError(t, err)
	host := engine.NewTensor(p, engine.F32, []int{n}, nil)
	raw := make([]float32, n)
	bytes := unsafe.Slice((*byte)(unsafe.Pointer(&raw[0])), 4*n)
	read := func(x *engine.Tensor, want float32) {
		require.NoError(t, b.Download(bytes, x))
		for _, v := range raw {
			require.Equal(t, want, v)
		}
	}
	raw[0] = 1
	read(host, 0)
	for i := range raw {
		raw[i] = 3
	}
	device, err := engine.CopyTo(b, engine.FromSlice(raw, n))
	require.NoError(t, err)
	double := func(out, in *engine.Tensor) {
		launch, err := b.Compile(engine.Call{Op: "scale", Attr: engine.AddAttr{Scale: 2}, Rows: engine.Fixed, In: []*engine.Tensor{in}, Out: out})
		require.NoError(t, err)
		require.NoError(t, launch())
	}
	double(host, device)
	read(host, 6)
	double(device, host)
	require.NoError(t, b.Upload(host, make([]byte, 4*n)))
	read(device, 12)
	read(host, 0)
	require.Error(t, b.Upload(host, make([]byte, 4*n+1)))
	b.Free(p)
	_, err = b.(engine.HostMemory).AllocHost(0)
	require.ErrorContains(t, err, "allocation of 0 bytes")
}

// A kernel that fails ends its context: every later call says so, and names the kernel.
func TestEmulatedLostContext(t *testing.T) {
	b := openEmulated(t)
	x, err := engine.CopyTo(b, engine.FromDType(engine.F32, 4000))
	require.NoError(t, err)
	wild := engine.NewTensor(nil, engine.F32, []int{4000}, nil)
	launch, err := b.Compile(engine.Call{Op: "scale", Attr: engine.AddAttr{Scale: 2}, Rows: engine.Fixed, In: []*engine.Tensor{wild}, Out: x})
	require.NoError(t, err)
	require.NoError(t, launch(), "launches do not wait")
	err = b.Sync()
	require.ErrorContains(t, err, "CUDA_ERROR_LAUNCH_FAILED (719)")
	require.ErrorContains(t, err, "scale_f32")
	require.ErrorContains(t, launch(), "[f32[4000]]", "the next call is refused, with its shapes")
	why, err := emulator.Revive()
	require.NoError(t, err)
	require.Contains(t, why, "bad global address (nil)")
	require.NoError(t, b.Close())
}

// Weights come to the device from their file, not through the mapping: one that was cut short is an error that names it, without a guard.
func TestEmulatedTruncatedWeights(t *testing.T) {
	b := openEmulated(t)
	defer func() { require.NoError(t, b.Close()) }()
	path := filepath.Join(t.TempDir(), "model.safetensors")
	raw := make([]byte, 2*stagingBytes+4000)
	for i := range raw {
		raw[i] = byte(rng.Mix(uint64(i)))
	}
	require.NoError(t, os.WriteFile(path, raw, 0o600))
	file, err := os.Open(path)
	require.NoError(t, err)
	m, err := mmap.Map(path, file, len(raw))
	require.NoError(t, err)
	defer func() { require.NoError(t, m.Close()) }()
	require.NoError(t, file.Close())
	placed := func() (*engine.Tensor, error) {
		return engine.CopyTo(b, engine.NewTensor(unsafe.Pointer(&m.Data[1000]), engine.I32, []int{(len(raw) - 2000) / 4}, m))
	}
	same := func(name string) {
		x, err := placed()
		require.NoError(t, err, name)
		got := make([]byte, x.MemSize())
		require.NoError(t, b.Download(got, x))
		require.True(t, string(got) == string(raw[1000:][:len(got)]), name)
		b.Free(x.Ptr)
	}
	same("as it was mapped")
	require.NoError(t, os.Rename(path, path+".old"))
	same("its name is gone")
	require.NoError(t, os.WriteFile(path, []byte("another"), 0o600))
	same("another file has its name")
	require.NoError(t, os.Rename(path+".old", path))
	require.NoError(t, os.Truncate(path, stagingBytes+7))
	_, err = placed()
	var fault *mmap.FaultError
	require.ErrorAs(t, err, &fault)
	require.Equal(t, path, fault.Path)
	require.EqualValues(t, stagingBytes+7, fault.Offset)
	require.NoError(t, b.Sync(), "the device is as it was")
}

// A kernel that never ends is given up after a limit. From then on every call is an error, and closing does not wait.
func TestEmulatedHang(t *testing.T) {
	if os.Getenv("GOPRM_CHILD") == "" {
		out := child(t, "TestEmulatedHang", "GOPRM_EMU_HANG=scale_f32")
		require.Contains(t, out, "sync: device cuda:0/sm80 (emulated sm_80): after 50ms: the GPU does not answer: a kernel does not end")
		require.Contains(t, out, "launch: scale: device cuda:0/sm80: the GPU does not answer")
		require.Contains(t, out, "close: <nil>")
		return
	}
	b := openEmulated(t)
	b.(*backend).limit = 50 * time.Millisecond
	x, err := engine.CopyTo(b, engine.FromDType(engine.F32, 40))
	require.NoError(t, err)
	launch, err := b.Compile(engine.Call{Op: "scale", Attr: engine.AddAttr{Scale: 2}, Rows: engine.Fixed, In: []*engine.Tensor{x}, Out: x})
	require.NoError(t, err)
	require.NoError(t, launch())
	t.Log("sync:", b.Sync())
	t.Log("launch:", launch())
	require.ErrorIs(t, b.Download(make([]byte, 4), x), driver.ErrHung)
	require.ErrorIs(t, b.Upload(x, make([]byte, 4)), driver.ErrHung)
	b.Free(x.Ptr)
	t.Log("close:", b.Close())
	require.ErrorContains(t, b.Sync(), "closed")
}

// PTX that the driver refuses is an error with the file's name and what the driver's assembler said.
func TestEmulatedRefusedPTX(t *testing.T) {
	if os.Getenv("GOPRM_CHILD") == "" {
		out := child(t, "TestEmulatedRefusedPTX", "GOPRM_EMU_REFUSE=rmsnorm_f32")
		require.Contains(t, out, "device cuda:0: rows.ptx: cuModuleLoadDataEx: CUDA_ERROR_INVALID_PTX (218): "+
			"ptxas application ptx input, line 77; error : Not a name of any known instruction: 'planted'")
		return
	}
	emulator.Use(t)
	_, err := engine.Open("cuda:0", engine.Options{})
	t.Log(err)
}

// Head dimensions that the kernels do not have are refused when the graph is compiled.
func TestEmulatedHeadDims(t *testing.T) {
	b := openEmulated(t)
	defer func() { require.NoError(t, b.Close()) }()
	for _, c := range []struct {
		dtype tensor.Dtype
		dim   int
		want  string
	}{{engine.F32, 258, "up to 256"}, {engine.BFloat16, 130, "even ones up to 128"}, {engine.BFloat16, 7, "even ones up to 128"}} {
		of := func(dtype tensor.Dtype, shape ...int) *engine.Tensor { return engine.NewTensor(nil, dtype, shape, nil) }
		ints := func(shape ...int) *engine.Tensor { return of(engine.I32, shape...) }
		_, err := b.Compile(engine.Call{Op: "attention", Attr: ops.Attention{Heads: 1, KVHeads: 1, HeadDim: c.dim}, Rows: engine.Fixed,
			In:  []*engine.Tensor{of(c.dtype, 3, c.dim), of(c.dtype, 3, c.dim), of(c.dtype, 3, c.dim), ints(2), ints(2), ints(1, 5)},
			Out: of(c.dtype, 3*c.dim+ops.LSELen(c.dtype, 3))})
		require.ErrorContains(t, err, c.want)
	}
}
