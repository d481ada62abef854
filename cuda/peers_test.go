//go:build linux && (amd64 || arm64) && !nocuda

package cuda

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/goprm/goprm/cuda/internal/driver"
	"github.com/goprm/goprm/cuda/internal/emulator"
	"github.com/goprm/goprm/cuda/internal/nccl"
	"github.com/goprm/goprm/internal/dist"
	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/nnet"
	"github.com/goprm/goprm/internal/rng"
	"github.com/stretchr/testify/require"
)

// openRanks opens an emulated GPU for each rank.
func openRanks(t *testing.T, world int) []engine.Backend {
	t.Helper()
	emulator.Use(t)
	t.Setenv("GOPRM_EMU_DEVICES", strconv.Itoa(world))
	list := make([]engine.Backend, world)
	for r := range list {
		var err error
		list[r], err = engine.Open(fmt.Sprintf("cuda:%d", r), engine.Options{})
		require.NoError(t, err)
	}
	return list
}

// onRanks runs f for each rank on a goroutine of its own; who fails gives up the group.
func onRanks(groups []*dist.Group, f func(rank int) error) []error {
	errs := make([]error, len(groups))
	var work sync.WaitGroup
	for r, g := range groups {
		work.Go(func() {
			if errs[r] = f(r); errs[r] != nil {
				g.Fail(errs[r])
			}
		})
	}
	work.Wait()
	return errs
}

// launching is a backend that records nothing.
type launching struct {
	engine.Backend
	engine.RoundsWeights
	engine.ReachesPeers
	engine.PrefersBF16
	engine.Fuser
	engine.Grouper // gradients become ready together, so that rounds are the same
}

// peerRun is what a rank has at the end.
type peerRun struct {
	losses, scores []float64
	values         map[string][]float64
	early, rounds  int64
	sent           int64
}

// trainPeers takes three steps of bf16 on so many emulated GPUs, which meet by the stand-in NCCL or exchange through the host's memory.
func trainPeers(t *testing.T, m *tiny, train string, world, stage int, meets, records bool) []peerRun {
	t.Helper()
	groups, out := dist.Local(world, time.Minute), make([]peerRun, world)
	networks := make([]*nnet.Network, world)
	for r, b := range openRanks(t, world) {
		if !records {
			own := b.(*backend)
			b = launching{b, own, own, own, own, own}
		}
		networks[r] = m.network(t, b, engine.BFloat16, train)
		require.NoError(t, networks[r].Join(groups[r], stage))
	}
	var batches []nnet.MicroBatch
	for len(batches) < 2*world-1 {
		batches = append(batches, m.batches...)
	}
	for _, err := range onRanks(groups, func(r int) error {
		n := networks[r]
		if meets {
			by, why, err := n.Meet()
			if err != nil || by != "NCCL 2.27.3" {
				return fmt.Errorf("%q, %q: %w", by, why, err)
			}
		}
		var mine []nnet.MicroBatch
		for i, b := range batches {
			if i%world == r {
				mine = append(mine, b)
			}
		}
		for range 3 {
			s, err := n.TrainStep(context.Background(), mine, update)
			if err != nil {
				return err
			}
			out[r].losses = append(out[r].losses, s.Loss, s.GradNorm)
		}
		s, err := n.Score(context.Background(), m.batches[0])
		out[r].scores, out[r].values = s.Values, map[string][]float64{}
		for _, p := range n.Parameters() {
			if err == nil && p.Trained {
				out[r].values[p.Name], err = n.Get(p.Name)
			}
		}
		out[r].early, out[r].rounds = n.Overlap()
		out[r].sent = groups[r].Sent
		return err
	}) {
		require.NoError(t, err)
	}
	return out
}

// Ranks on emulated GPUs that exchange by NCCL have the bits of ranks that exchange through the host's memory: losses, norms, parameters,
// and what the products read of them. Their backward pass and update are recorded with the exchanges in them and replayed, with the same
// bits, and most reductions are due before the pass is over.
func TestEmulatedPeers(t *testing.T) {
	if testing.Short() {
		t.Skip("short: seconds of the emulator")
	}
	require.NoError(t, openEmulated(t).Close())
	require.NoError(t, emulator.Configure(emulator.Mode{Jobs: 2}))
	cases := []struct {
		name, train  string
		world, stage int
	}{{"dim64", nnet.TrainLoRA, 2, 1}, {"dim64", nnet.TrainFull, 2, 2}, {"dim128", nnet.TrainLoRA, 5, 2}} // the last by slices
	all := os.Getenv("GOPRM_EMULATED") == "all"
	if all {
		for i := range 16 {
			cases = append(cases, struct {
				name, train  string
				world, stage int
			}{[]string{"dim64", "dim128"}[i&1], []string{nnet.TrainFull, nnet.TrainLoRA}[i>>1&1], 2 << (i >> 2 & 1), 1 + i>>3})
		}
	}
	for i, c := range cases {
		t.Run(fmt.Sprintf("%s/%s/%d ranks/stage %d", c.name, c.train, c.world, c.stage), func(t *testing.T) {
			m := newTiny(t, c.name)
			host := trainPeers(t, m, c.train, c.world, c.stage, false, true)
			met := trainPeers(t, m, c.train, c.world, c.stage, true, true)
			launched := met
			if all || i == 0 {
				launched = trainPeers(t, m, c.train, c.world, c.stage, true, false)
			}
			if c.train == nnet.TrainLoRA && c.world == 2 { // layers are brought among the exchanges
				m.streamed = true
				require.Equal(t, met, trainPeers(t, m, c.train, c.world, c.stage, true, true))
			}
			for r := range met {
				require.Equal(t, host[r].losses, met[r].losses)
				require.Equal(t, host[r].values, met[r].values)
				require.Equal(t, host[r].scores, met[r].scores)
				require.Equal(t, host[0].values, met[r].values)
				require.Equal(t, met[r], launched[r])
				require.Zero(t, host[r].early)
				if c.train == nnet.TrainFull { // adapters of so small a model are an exchange or two
					require.Greater(t, met[r].early, met[r].rounds/3)
				}
				require.Greater(t, met[r].rounds, met[r].early)
			}
		})
	}
}

// Ranks whose step ended between two launches take no further one: their recorded steps would go on without the sums of the others.
func TestEmulatedPeersLeaveForGood(t *testing.T) {
	groups, m := dist.Local(2, time.Minute), newTiny(t, "dim64")
	list := openRanks(t, 2)
	for _, err := range onRanks(groups, func(r int) error {
		n := m.network(t, list[r], engine.BFloat16, nnet.TrainLoRA)
		if err := n.Join(groups[r], 1); err != nil {
			return err
		}
		if _, _, err := n.Meet(); err != nil {
			return err
		}
		for range 3 {
			if _, err := n.TrainStep(context.Background(), m.batches[r:r+1], update); err != nil {
				return err
			}
		}
		ended, end := context.WithCancel(context.Background())
		end()
		for _, ctx := range []context.Context{ended, context.Background()} {
			if _, err := n.TrainStep(ctx, m.batches[r:r+1], update); !errors.Is(err, context.Canceled) {
				return fmt.Errorf("the step ends by %v", err)
			}
		}
		return nil
	}) {
		require.NoError(t, err)
	}
}

// sumsOfRanks launches the kernels of an exchange on parts that are there, and compares with sums in the order of ranks.
func sumsOfRanks(t *testing.T, launched map[string]*kernel) {
	b := openEmulated(t).(*backend)
	defer func() { require.NoError(t, b.Close()) }()
	b.launched = launched
	p := &peers{b: b, world: 3}
	require.NoError(t, p.Reserve(4096))
	build := &builder{backend: b}
	const n = 301
	pitch := p.room / 8
	for p.rank = range p.world {
		own, others := make([]float64, n), make([]float64, 2*pitch)
		narrow, narrowOthers := make([]float32, n), make([]float32, 4*pitch)
		stream := rng.New(uint64(p.rank), "parts")
		all := [3][]float64{}
		for r := range all {
			for i := range n {
				large := math.Ldexp(1+math.Floor(100*stream.Float64(uint64(i))), 36)
				all[r] = append(all[r], []float64{large, stream.Float64(uint64(n+i)) - 0.5, -large}[(i+r)%3]) // where the order shows
			}
		}
		for i := range n {
			own[i], narrow[i] = all[p.rank][i], float32(all[p.rank][i])
			for at, r := range [][]int{{1, 2}, {0, 2}, {0, 1}}[p.rank] {
				others[at*pitch+i], narrowOthers[at*2*pitch+i] = all[r][i], float32(all[r][i])
			}
		}
		for _, c := range []struct{ sum, parts *engine.Tensor }{
			{engine.FromSlice(own, n), engine.FromSlice(others, 2*pitch)}, {engine.FromSlice(narrow, n), engine.FromSlice(narrowOthers, 4*pitch)},
		} {
			sum, err := engine.CopyTo(b, c.sum)
			require.NoError(t, err)
			require.NoError(t, b.Upload(engine.NewTensor(pointer(p.parts), c.parts.Dtype(), c.parts.Shape(), nil), c.parts.Bytes()))
			width := int(c.sum.Dtype().Size())
			k, err := build.kernel("sum_ranks"+suffix(c.sum.Dtype()), ceilDiv(n, each), 1, eachThreads, 0, sum, p.parts, uint64(n),
				uint64(p.room/width), p.world, p.rank)
			require.NoError(t, err)
			require.NoError(t, k.launch())
			require.NoError(t, b.Sync())
			require.NoError(t, b.Download(c.sum.Bytes(), sum))
		}
		for i := range n {
			want, narrowWant := 0.0, 0.0
			for r := range all {
				want, narrowWant = want+all[r][i], narrowWant+float64(float32(all[r][i]))
			}
			require.Equal(t, want, own[i])
			require.Equal(t, float32(narrowWant), narrow[i])
		}
	}
	word, err := b.AllocHost(8)
	require.NoError(t, err)
	k, err := build.kernel("reached", 1, 1, 32, 0, driver.Ptr(uintptr(word)), uint64(7))
	require.NoError(t, err)
	require.NoError(t, k.launch())
	require.NoError(t, b.Sync())
	require.EqualValues(t, 7, *(*uint64)(word))
}

// Sums over ranks are taken in the order of ranks, in float64, and rounded once, whichever rank takes them.
func TestEmulatedSumsOfRanks(t *testing.T) { sumsOfRanks(t, nil) }

// twoPeers is two ranks that have met, each with a tensor and its reduction at rank 0.
func twoPeers(t *testing.T, limit time.Duration, lost func() error) (both [2]*peers, reduce [2]engine.Launch) {
	t.Helper()
	mustEnd(t)
	list := openRanks(t, 2)
	id, err := list[0].(*backend).PeerID()
	require.NoError(t, err)
	for _, err := range onRanks(dist.Local(2, time.Minute), func(r int) error {
		own := list[r].(*backend)
		p, err := own.JoinPeers(id, r, 2, limit, lost)
		if err != nil {
			return err
		}
		both[r] = p.(*peers)
		ones := make([]float32, 100)
		for i := range ones {
			ones[i] = float32(r + 1)
		}
		x, err := engine.CopyTo(own, engine.FromSlice(ones, 100))
		if err == nil {
			err = p.Reserve(1024)
		}
		if err == nil {
			reduce[r], err = p.Reduce("a reduction", []engine.Part{{Tensor: x}})
		}
		return err
	}) {
		require.NoError(t, err)
	}
	return both, reduce
}

// mustEnd ends the program when the test takes half a minute longer: what waits for ever holds the device, so that no cleanup ends either.
func mustEnd(t *testing.T) {
	const limit = 30 * time.Second
	watch := time.AfterFunc(limit, func() { panic(fmt.Sprintf("%s waits for ever: %v have passed", t.Name(), limit)) })
	t.Cleanup(func() { watch.Stop() })
}

// What an exchange reads is done before it, what follows waits for it, launched and replayed: y = 2x, its sum over the ranks at rank 0, and
// z = 3y of what both have of it then, x being another in each run.
func TestEmulatedExchange(t *testing.T) {
	for _, eager := range []string{"0", "1"} { // streams run when they are waited for, or as soon as they can
		t.Setenv("GOPRM_EMU_EAGER", eager)
		exchangeThrice(t)
	}
}

func exchangeThrice(t *testing.T) {
	both, _ := twoPeers(t, time.Minute, nil)
	errs := onRanks(dist.Local(2, time.Minute), func(r int) error {
		p, b := both[r], both[r].b
		place := func() *engine.Tensor {
			x, err := engine.CopyTo(b, engine.FromSlice(make([]float32, 300), 300))
			require.NoError(t, err)
			return x
		}
		x, y, z, host := place(), place(), place(), make([]float32, 300)
		scaled := func(out, in *engine.Tensor, by float64) engine.Launch {
			call := engine.Call{Op: "scale", Attr: engine.AddAttr{Scale: by}, Rows: engine.Fixed, In: []*engine.Tensor{in}, Out: out}
			call.Live = place()
			launch, err := b.Compile(call)
			require.NoError(t, err)
			return launch
		}
		head := engine.NewTensor(y.Ptr, engine.F32, []int{77}, y)
		tail := engine.NewTensor(unsafe.Add(y.Ptr, 4*77), engine.F32, []int{223}, y)
		require.NoError(t, p.Reserve(2000))
		reduce, err := p.Reduce("sum", []engine.Part{{Tensor: head}, {Tensor: tail}})
		require.NoError(t, err)
		spread, err := p.Spread("copy", []engine.Part{{Tensor: y}})
		require.NoError(t, err)
		s := engine.Sequence{Backend: b, Launches: []engine.Launch{scaled(y, x, 2), reduce, spread, p.Wait, scaled(z, y, 3)}}
		for run := range 4 {
			for i := range host {
				host[i] = float32(run*1000 + i*(r+1))
			}
			if err := errors.Join(b.Upload(x, engine.FromSlice(host, 300).Bytes()), s.Run(), b.Sync(),
				b.Download(engine.FromSlice(host, 300).Bytes(), z)); err != nil {
				return err
			}
			for i, v := range host {
				if want := float32(6 * (2*run*1000 + 3*i)); v != want {
					return fmt.Errorf("run %d: number %d is %v, not %v", run, i, v, want)
				}
			}
		}
		return b.Close()
	})
	require.Equal(t, []error{nil, nil}, errs)
}

// A rank whose peer does something else ends with an error that names rank, call and size: as soon as NCCL or the group knows of it, or
// when the time is over. Its device can be closed.
func TestEmulatedPeersThatFail(t *testing.T) {
	var gone atomic.Bool
	lost := func() error {
		if gone.Load() {
			return errors.New("rank 1: it has ended")
		}
		return nil
	}
	for _, c := range []struct {
		limit  time.Duration
		before int // exchanges that both make
		other  func(p *peers) error
		want   string
	}{
		{time.Second, 0, func(*peers) error { return nil }, dist.ErrTimeout.Error()},
		{time.Second, 1, func(*peers) error { return nil }, dist.ErrTimeout.Error()},
		{time.Minute, 0, func(p *peers) error { return p.Leave(errors.New("gave up")) }, "remote process exited"},
		{time.Minute, 0, func(*peers) error { gone.Store(true); return nil }, "it has ended"},
		{time.Minute, 0, func(p *peers) error {
			less, err := p.Reduce("less", []engine.Part{{Tensor: engine.NewTensor(pointer(p.parts), engine.F32, []int{99}, nil)}})
			return errors.Join(err, less(), p.Wait(), p.b.Sync())
		}, "rank 1 sends rank 0 396 bytes"},
	} {
		gone.Store(false)
		both, reduce := twoPeers(t, c.limit, lost)
		for range c.before {
			for _, err := range onRanks(dist.Local(2, time.Minute), func(r int) error {
				return errors.Join(reduce[r](), both[r].Wait(), both[r].b.Sync())
			}) {
				require.NoError(t, err)
			}
		}
		both[0].b.limit = 5 * time.Second // by which the peers' limit has come
		began := time.Now()
		require.NoError(t, c.other(both[1]))
		err := errors.Join(reduce[0](), both[0].Wait(), both[0].b.Sync())
		require.ErrorContains(t, err, c.want)
		if !strings.Contains(c.want, "sends") {
			require.ErrorContains(t, err, "rank 0 of 2: a reduction of 400 bytes: ")
			require.Error(t, reduce[0](), "nothing more is exchanged")
		}
		require.Less(t, time.Since(began), 10*time.Second)
		_, revived := emulator.Revive()
		require.NoError(t, revived)
		for _, p := range both {
			_ = p.Leave(errors.New("over"))
			_ = p.b.Close() // which tells of the same error again
		}
	}
}

// What an exchange leaves out is seen by the stand-ins: it sends before the gradient is done, what follows does not wait for it, a capture
// does not end with it, a stream is the wrong one, a communicator has not settled.
func TestEmulatedPeersMisused(t *testing.T) {
	both, reduce := twoPeers(t, 2*time.Second, nil)
	p := both[0]
	x := engine.NewTensor(pointer(p.parts), engine.F32, []int{16}, nil)
	t.Run("two ranks on one GPU", func(t *testing.T) {
		list := []engine.Backend{openEmulated(t), openEmulated(t)}
		id, err := list[0].(*backend).PeerID()
		require.NoError(t, err)
		errs := onRanks(dist.Local(2, time.Minute), func(r int) error {
			_, err := list[r].(*backend).JoinPeers(id, r, 2, time.Minute, nil)
			return err
		})
		require.Error(t, errs[0])
		require.Error(t, errs[1])
		require.ErrorContains(t, errors.Join(errs...), "two ranks on one GPU") // the other is told that one has aborted
	})
	t.Run("a capture that does not wait", func(t *testing.T) {
		require.NoError(t, reduce[1]())
		_, err := p.b.Record(reduce[0])
		require.ErrorContains(t, err, "UNJOINED")
	})
	t.Run("a communicator that has not settled", func(t *testing.T) {
		require.NoError(t, p.b.do(func() error {
			require.NoError(t, p.comm.Send(uintptr(x.Ptr), 1, nccl.F32, 1, uintptr(p.stream)))
			require.ErrorContains(t, p.comm.Send(uintptr(x.Ptr), 1, nccl.F32, 1, uintptr(p.stream)), "has not settled")
			return nil
		}))
	})
	t.Run("host memory", func(t *testing.T) {
		host := make([]float32, 4)
		require.NoError(t, p.settle(0))
		require.ErrorContains(t, p.comm.Send(uintptr(unsafe.Pointer(&host[0])), 4, nccl.F32, 1, uintptr(p.stream)), "outside of the device")
	})
	for _, p := range both {
		_ = p.Leave(errors.New("over"))
		_ = p.b.Close()
	}
}
