//go:build linux && (amd64 || arm64) && !nocuda

package emulator

import (
	"fmt"
	"math"
	"testing"
	"unsafe"

	"github.com/goprm/goprm/cuda/internal/driver"
	"github.com/stretchr/testify/require"
)

// machine is the emulated device with a module that declares misuse.cu's kernels.
type machine struct {
	t      *testing.T
	stream driver.Stream
	memory driver.Ptr
}

const floats = 1 << 15

func newMachine(t *testing.T) *machine {
	Use(t)
	require.NoError(t, driver.Load())
	device, err := driver.Device(0)
	require.NoError(t, err)
	context, err := driver.Retain(device)
	require.NoError(t, err)
	require.NoError(t, context.Enter())
	t.Cleanup(context.Leave)
	m := &machine{t: t}
	m.stream, err = driver.NewStream()
	require.NoError(t, err)
	m.memory, err = driver.Alloc(4 * floats)
	require.NoError(t, err)
	return m
}

// run launches a kernel of one block on memory of ones, and returns the memory.
func (m *machine) run(name string, threads int) ([]float32, error) {
	return m.runCluster(name, threads, 1)
}

// runCluster launches one of so many blocks, in clusters of two.
func (m *machine) runCluster(name string, threads, blocks int) ([]float32, error) {
	m.t.Helper()
	values := make([]float32, floats)
	for i := range values {
		values[i] = 1
	}
	require.NoError(m.t, driver.Upload(m.memory, unsafe.Slice((*byte)(unsafe.Pointer(&values[0])), 4*floats), m.stream))
	module, err := driver.LoadModule(fmt.Appendf(nil, ".version 7.0\n.target sm_80\n.visible .entry %s(\n.param .u64 p)\n"+
		".maxntid %d, 1, 1\n.reqnctapercluster %d, 1, 1\n{\n", name, 64*blocks, min(blocks, 2)))
	require.NoError(m.t, err)
	f, err := module.Function(name)
	require.NoError(m.t, err)
	address := uint64(m.memory)
	if err := f.Prepare(blocks, 1, threads, 1024, m.stream, []unsafe.Pointer{unsafe.Pointer(&address)}, nil).Do(); err != nil {
		return nil, err
	}
	if err := m.stream.Synchronise(); err != nil {
		return nil, err
	}
	require.NoError(m.t, driver.Download(unsafe.Pointer(&values[0]), m.memory, 4*floats, m.stream))
	return values, m.stream.Synchronise()
}

// What a device must not be asked to do is an error that says who did it, in every mode.
func TestMisuseIsAnError(t *testing.T) {
	m := newMachine(t)
	for _, mode := range []Mode{{}, {Late: true}, {Seed: 3}, {Late: true, Seed: 4}} {
		require.NoError(t, Configure(mode))
		for _, c := range []struct {
			kernel  string
			threads int
			want    string
		}{
			{"divergent_collective", 32, "while others of its warp are at"},
			{"missing_lane", 32, "31 threads wait for ever"},
			{"missed_barrier", 64, "at the barrier"},
			{"shared_address_beyond", 32, "the block has 1024"},
			{"shared_write_beyond", 32, "shared memory was written past its end"},
			{"misaligned_copy", 32, "cp.async of 16 bytes"},
			{"bank_conflict", 32, "bank conflict"},
			{"conflict_of_eights", 32, "bank conflict: 8 bytes"},
			{"store_never_waited_for", 32, "ended before its copies"},
			{"store_of_another_lane", 32, "not its warp's first"},
			{"global_address_beyond", 32, "bad global address"},
		} {
			_, err := m.run(c.kernel, c.threads)
			require.ErrorContains(t, err, "CUDA_ERROR_LAUNCH_FAILED", c.kernel)
			why, err := Revive()
			require.NoError(t, err)
			require.Contains(t, why, c.kernel+": ", "%+v", mode)
			require.Contains(t, why, c.want, "%+v", mode)
		}
		_, err := m.run("copy_never_waited_for", 32)
		if mode.Late {
			require.Error(t, err)
			why, err := Revive()
			require.NoError(t, err)
			require.Contains(t, why, "ended before its copies")
		} else {
			require.NoError(t, err)
		}
	}
}

// What nothing orders is an error in every mode that watches for it, and says who met whom; what is ordered is none.
func TestRacesAreErrors(t *testing.T) {
	m := newMachine(t)
	for _, mode := range []Mode{{}, {Late: true}, {Seed: 3}, {Late: true, Seed: 4}} {
		for _, c := range []struct{ kernel, want string }{
			{"race", "shared address 0, which thread "},
			{"read_before_wait", "reads shared address"},
			{"read_without_barrier", ", which thread"},
			{"written_while_read", "reads"},
			{"copy_of_another", ", which a copy of thread"},
			{"copy_over_a_read", "a copy of thread"},
			{"different_words", "writes shared address 0, which thread"},
			{"store_without_fence", "without a fence of the proxies"},
			{"store_before_others", "a store of warp 0 reads"},
			{"write_over_a_store", "a store of warp 0 reads"},
		} {
			mode.Races = true
			require.NoError(t, Configure(mode))
			_, err := m.run(c.kernel, 64)
			why, reviveErr := Revive()
			require.NoError(t, reviveErr)
			require.ErrorContains(t, err, "CUDA_ERROR_LAUNCH_FAILED", "%s %+v", c.kernel, mode)
			require.Contains(t, why, "race: ", "%s %+v", c.kernel, mode)
			require.Contains(t, why, c.want, "%s %+v", c.kernel, mode)
		}
		for _, kernel := range []string{"ordered", "same_word", "ordered_stores"} {
			_, err := m.run(kernel, 64)
			require.NoError(t, err, "%s %+v", kernel, mode)
		}
	}
}

// What a block of a cluster does to the other's shared memory must be over before that one ends, and is watched.
func TestClusterMisuseIsAnError(t *testing.T) {
	m := newMachine(t)
	for _, mode := range []Mode{{}, {Late: true}, {Seed: 3}, {Late: true, Seed: 4}} {
		mode.Races = true
		require.NoError(t, Configure(mode))
		for _, c := range []struct{ kernel, want string }{
			{"cluster_left_alone", "no barrier says that the other is done"},
			{"cluster_too_late", "a block that has ended"},
			{"cluster_half_met", "at the cluster's barrier"},
			{"cluster_block_beyond", "block 2 of a cluster of 2"},
			{"cluster_read_at_once", "which the copy engine writes"},
			{"cluster_not_met", "the cluster has not met"},
		} {
			_, err := m.runCluster(c.kernel, 128, 2)
			require.ErrorContains(t, err, "CUDA_ERROR_LAUNCH_FAILED", "%s %+v", c.kernel, mode)
			why, err := Revive()
			require.NoError(t, err)
			require.Contains(t, why, c.kernel+": ", "%+v", mode)
			require.Contains(t, why, c.want, "%+v", mode)
		}
	}
}

// What is right by luck is wrong in some mode.
func TestLuckRunsOut(t *testing.T) {
	m := newMachine(t)
	require.NoError(t, Configure(Mode{}))
	v, err := m.run("unwritten_shared", 32)
	require.NoError(t, err)
	require.True(t, math.IsNaN(float64(v[0])), "shared memory is poisoned")

	v, err = m.run("read_before_wait", 32)
	require.NoError(t, err)
	require.EqualValues(t, 1, v[0], "early copies")
	require.NoError(t, Configure(Mode{Late: true}))
	v, err = m.run("read_before_wait", 32)
	require.NoError(t, err)
	require.True(t, math.IsNaN(float64(v[0])), "late copies")

	for _, kernel := range []string{"race", "far_ahead"} {
		seen := map[bool]bool{}
		for seed := range uint64(20) {
			require.NoError(t, Configure(Mode{Seed: seed}))
			v, err := m.run(kernel, 64)
			require.NoError(t, err)
			seen[v[0] == 7] = true
		}
		require.Len(t, seen, 2, "%s: threads run in many orders, and warps ahead of others", kernel)
	}
}

// The driver refuses what a real one does.
func TestDriverRefuses(t *testing.T) {
	m := newMachine(t)
	_, err := driver.LoadModule([]byte("nonsense"))
	require.ErrorContains(t, err, "cuModuleLoadDataEx: CUDA_ERROR_INVALID_PTX (218): ptxas application ptx input, line 1")
	_, err = driver.LoadModule([]byte(".version 8.0\n.target sm_90a\n"))
	require.ErrorContains(t, err, "CUDA_ERROR_INVALID_PTX", "a device of capability 8.0")
	_, err = m.run("race", 65)
	require.ErrorContains(t, err, "cuLaunchKernel: CUDA_ERROR_INVALID_VALUE (1)", "more threads than .maxntid")
	_, err = m.runCluster("cluster_half_met", 128, 3)
	require.ErrorContains(t, err, "cuLaunchKernel: CUDA_ERROR_INVALID_CLUSTER_SIZE (912)", "a block without another")
	require.ErrorContains(t, driver.Fill(m.memory, 0, 4*floats+1, m.stream), "CUDA_ERROR_INVALID_VALUE")
	require.ErrorContains(t, driver.Free(m.memory+1), "CUDA_ERROR_INVALID_VALUE")
	require.NoError(t, m.stream.BeginCapture())
	require.ErrorContains(t, m.stream.Synchronise(), "CAPTURE_UNSUPPORTED")
	_, err = driver.Alloc(1)
	require.ErrorContains(t, err, "CAPTURE_UNSUPPORTED")
	g, err := m.stream.EndCapture()
	require.NoError(t, err)
	require.NoError(t, g.Destroy())
}
