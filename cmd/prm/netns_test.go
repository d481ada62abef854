//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/goprm/goprm/internal/safetensors"
	"github.com/goprm/goprm/internal/tinymodel"
	"github.com/stretchr/testify/require"
)

// A frame carries at most 1,448 bytes of a TCP stream: an MTU of 1,500 less 20 of IP and 32 of TCP with time stamps. Before it are 14 of
// Ethernet.
const (
	frameData   = 1448.0
	frameHeader = 66.0
)

// What a rank's network interface sends in an optimizer step is what docs/scale.md says, and the headers of its frames: each rank runs in
// a network namespace of its own, and all that leaves it is counted by the kernel.
func TestBytesOnTheWire(t *testing.T) {
	if os.Getenv("GOPRM_NETNS") == "" {
		t.Skip("make netns runs it: GOPRM_NETNS is not set")
	}
	dir, _, labelled, config := fixture(t)
	model := filepath.Join(dir, "larger")
	require.NoError(t, tinymodel.Write(model, tinymodel.Options{Hidden: 256, Intermediate: 1024, Layers: 4}))
	prm := filepath.Join(dir, "prm")
	out, err := exec.Command("go", "build", "-o", prm, ".").CombinedOutput()
	require.NoError(t, err, string(out))
	for _, world := range []int{2, 4} {
		n := network{t, fmt.Sprintf("goprm%d", os.Getpid()), world}
		n.make()
		for _, zero := range []int{1, 2} {
			var wire, sent [2][]float64
			const short, long = 2, 6 // optimizer steps: what is sent besides them, such as at the start, is in both
			for i, steps := range []int{short, long} {
				run := filepath.Join(dir, fmt.Sprintf("run-%d-%d-%d", world, zero, steps))
				write(t, config, fmt.Sprintf("model: %s\ndata: {train: [%s]}\ntrain: full\nbatch: {trajectories: %d, tokens: 64}\noptim: {steps: %d}\n"+
					"dist: {zero: %d}\nthreads: 1\ncheckpoint: {every: 1000}\nout: %s\n", model, labelled, 2*world, steps, zero, run))
				wire[i] = n.run(prm, config)
				sent[i] = bytesSent(t, run)
			}
			parameters := trainedBytes(t, filepath.Join(dir, fmt.Sprintf("run-%d-%d-%d", world, zero, short), "model", "model.safetensors"))
			share := float64(world-1) / float64(world)
			want := 2 * parameters * share // of ranks that share the parameters alike
			if zero == 2 {
				want = (1 + 2) * parameters * share // two micro-batches, since one holds one trajectory
			}
			var all, allWire float64
			for rank := range world {
				payload := (sent[1][rank] - sent[0][rank]) / (long - short)
				frames := (wire[1][rank] - wire[0][rank]) / (long - short)
				all, allWire = all+payload, allWire+frames
				t.Logf("%d ranks, stage %d, rank %d: %.0f bytes a step, on the wire %.0f (%.3f)", world, zero, rank, payload, frames, frames/payload)
				// Headers of what it sends, and at most one acknowledgement for each frame that it receives. What is sent besides the
				// steps, which is subtracted, differs a little from run to run.
				require.Greater(t, frames, payload*(1+frameHeader/frameData)*0.995)
				require.Less(t, frames, payload*(1+2*frameHeader/frameData)*1.005)
			}
			t.Logf("%d ranks, stage %d: formula %.0f, sent %.0f, on the wire %.0f (%.3f of the formula)", world, zero, want, all/float64(world),
				allWire/float64(world), allWire/float64(world)/want)
			require.InEpsilon(t, want, all/float64(world), 0.002)
		}
		n.remove()
	}
}

// trainedBytes is the size of all trained parameters in f32.
func trainedBytes(t *testing.T, path string) float64 {
	t.Helper()
	f, err := safetensors.Open(path)
	require.NoError(t, err)
	defer func() { _ = f.Close() }()
	n := 0
	for _, info := range f.Tensors() {
		size := 1
		for _, d := range info.Shape {
			size *= d
		}
		n += size
	}
	return float64(4 * n)
}

func bytesSent(t *testing.T, run string) (list []float64) {
	t.Helper()
	var record struct {
		Ranks []struct {
			Ranks []struct {
				BytesSent float64 `json:"bytes_sent"`
			}
		}
	}
	text, err := os.ReadFile(filepath.Join(run, "run.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &record))
	require.Len(t, record.Ranks, 1)
	for _, rank := range record.Ranks[0].Ranks {
		list = append(list, rank.BytesSent)
	}
	return list
}

// network is a bridge in a namespace of its own, with a namespace for each rank on it.
type network struct {
	t     *testing.T
	name  string
	world int
}

func (n network) space(rank int) string { return fmt.Sprintf("%sr%d", n.name, rank) }

func (n network) ip(args string) {
	n.t.Helper()
	out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput()
	require.NoError(n.t, err, "ip %s: %s", args, out)
}

func (n network) make() {
	hub := n.name + "hub"
	n.ip("netns add " + hub)
	n.t.Cleanup(n.remove)
	n.ip("-n " + hub + " link add br0 type bridge")
	n.ip("-n " + hub + " link set br0 up")
	for rank := range n.world {
		space, port := n.space(rank), fmt.Sprintf("port%d", rank)
		n.ip("netns add " + space)
		n.ip("-n " + hub + " link add " + port + " type veth peer name eth0 netns " + space)
		n.ip("-n " + hub + " link set " + port + " master br0 up")
		n.ip(fmt.Sprintf("-n %s addr add 10.9.0.%d/24 dev eth0", space, rank+1))
		n.ip("-n " + space + " link set eth0 gso_max_segs 1 up") // else frames are counted before they are cut, with one header for many
		n.ip("-n " + space + " link set lo up")
	}
}

func (n network) remove() {
	for rank := range n.world {
		_ = exec.Command("ip", "netns", "del", n.space(rank)).Run()
	}
	_ = exec.Command("ip", "netns", "del", n.name+"hub").Run()
}

// run trains with a rank in each namespace, and says what each one's interface has sent.
func (n network) run(prm, config string) (sent []float64) {
	n.t.Helper()
	before := n.counters()
	var ranks []*exec.Cmd
	for rank := range n.world {
		cmd := exec.Command("ip", "netns", "exec", n.space(rank), prm, "--quiet", "train", "--config", config)
		cmd.Env = append(os.Environ(), "RANK="+strconv.Itoa(rank), "WORLD_SIZE="+strconv.Itoa(n.world), "LOCAL_RANK=0", "LOCAL_WORLD_SIZE=1",
			"MASTER_ADDR=10.9.0.1", "MASTER_PORT=29500")
		var text strings.Builder
		cmd.Stdout, cmd.Stderr = &text, &text
		require.NoError(n.t, cmd.Start())
		ranks = append(ranks, cmd)
	}
	for rank, cmd := range ranks {
		require.NoError(n.t, cmd.Wait(), "rank %d: %s", rank, cmd.Stderr)
	}
	for rank, after := range n.counters() {
		sent = append(sent, after-before[rank])
	}
	return sent
}

func (n network) counters() (list []float64) {
	n.t.Helper()
	for rank := range n.world {
		out, err := exec.Command("ip", "netns", "exec", n.space(rank), "cat", "/sys/class/net/eth0/statistics/tx_bytes").Output()
		require.NoError(n.t, err)
		bytes, err := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
		require.NoError(n.t, err)
		list = append(list, bytes)
	}
	return list
}
