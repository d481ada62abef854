package speed

import (
	"context"
	"encoding/json"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
	"github.com/stretchr/testify/require"

	_ "github.com/goprm/goprm/internal/cpu"
	_ "github.com/goprm/goprm/nn"
)

// Executed and nominal operations of the tiny shape, worked out by hand: two layers of width 64, keys of 32, 160 inside.
func TestCountsOfAScoringStep(t *testing.T) {
	o := Defaults()
	o.Shape, o.Tokens, o.ReadEvery, o.Steps, o.Warmup = "tiny", 200, 50, 2, 0
	r, err := Run(context.Background(), o)
	require.NoError(t, err)
	const qkv, after, attention = 64*64 + 2*32*64, 64*64 + 3*64*160, 200 * 201 / 2 * 64
	reads := 4
	executed := 2*200*(2*qkv+after) + 2*reads*(after+64) + 2*4*attention // the last layer after its attention at read-outs alone; the head
	require.InDelta(t, float64(executed)/1e9, r.Executed, 1e-12)
	require.InDelta(t, float64(2*200*2*(qkv+after)+2*4*attention)/1e9, r.Nominal, 1e-12)
	require.Len(t, r.Seconds, 2)
	launches := map[string]int{}
	total := r.Outside
	for _, op := range r.Ops {
		launches[op.Op] = op.Launches
		total += op.Seconds
	}
	require.Equal(t, 2, launches["attention"])
	require.Equal(t, 4, launches["linear 160×64"]+2*launches["linear_swiglu 160×64"], "gate and up")
	require.InDelta(t, (r.Seconds[0]+r.Seconds[1])/2, total, 1e-9, "ops and what lies between them are the whole step")
}

// In int8 every projection of the trunk is a product of int8, and nothing else is.
func TestInt8Projections(t *testing.T) {
	o := Defaults()
	o.Shape, o.DType, o.Tokens, o.Steps = "tiny", "int8", 64, 1
	r, err := Run(context.Background(), o)
	require.NoError(t, err)
	launches := map[string]int{}
	for _, op := range r.Ops {
		name, _, _ := strings.Cut(op.Op, " ")
		launches[name] += op.Launches
	}
	require.Equal(t, 14, launches["linear_int8"])
	require.Equal(t, 1, launches["linear"], "the head")
	require.Equal(t, 2, launches["attention"])
}

// A training step by definition: of frozen matrices 2 products, of trained ones 3.
func TestNominalOfTraining(t *testing.T) {
	for mode, want := range map[string]float64{
		"lora": 2*100*(2*86016+3*2*8*(2*(64+64)+2*(64+32)+3*(64+160))) + 3.5*4*2*5050*64,
		"full": 2*100*3*86016 + 3.5*4*2*5050*64,
	} {
		o := Defaults()
		o.Shape, o.Mode, o.Tokens, o.Rank, o.Steps, o.Warmup, o.Recompute = "tiny", mode, 100, 8, 1, 0, false
		r, err := Run(context.Background(), o)
		require.NoError(t, err)
		require.InDelta(t, want/1e9, r.Nominal, 1e-9, mode)
		require.Greater(t, r.Executed, r.Nominal/2)
		o.Recompute = true
		again, err := Run(context.Background(), o)
		require.NoError(t, err)
		require.Greater(t, again.Executed, r.Executed, "%s: what is computed again counts as executed", mode)
		require.InDelta(t, r.Nominal, again.Nominal, 0)
	}
}

// The first step is the same work in every mode, so its loss is too; the more is trained, the more gradients there are. What scripts/bench
// computes of the same folder in PyTorch stands beside it in docs/benchmarks.md.
func TestFirstStep(t *testing.T) {
	o := Defaults()
	o.Shape, o.Tokens, o.Steps, o.Warmup, o.DType = "tiny", 100, 1, 1, "f32"
	of := map[string]First{}
	for _, mode := range []string{"score", "head", "lora", "full"} {
		o.Mode = mode
		r, err := Run(context.Background(), o)
		require.NoError(t, err)
		of[mode] = r.First
	}
	require.Greater(t, math.Abs(of["score"].Score-0.5), 1e-4, "the head is not 0")
	require.InDelta(t, of["head"].Loss, of["lora"].Loss, 1e-6)
	require.InDelta(t, of["head"].Loss, of["full"].Loss, 1e-6)
	require.Greater(t, of["lora"].GradNorm, of["head"].GradNorm)
	require.Greater(t, of["full"].GradNorm, of["lora"].GradNorm)
}

// A step of the head computes what a score does, and a few products of the head.
func TestHeadStep(t *testing.T) {
	o := Defaults()
	o.Shape, o.Mode, o.Tokens, o.ReadEvery, o.Steps, o.Warmup = "tiny", "head", 200, 50, 1, 0
	r, err := Run(context.Background(), o)
	require.NoError(t, err)
	nominal, err := o.Nominal()
	require.NoError(t, err)
	require.InDelta(t, nominal, r.Nominal, 1e-12)
	o.Mode = "score"
	score, err := Run(context.Background(), o)
	require.NoError(t, err)
	require.InDelta(t, score.Nominal, r.Nominal, 1e-12)
	require.InDelta(t, score.Executed, r.Executed, 5*2*4*64/1e9, "products of the head at four read-outs")
}

// Parameters as Qwen2.5's model cards have them, in billions: 0.49 and 1.54.
func TestSizes(t *testing.T) {
	for shape, want := range map[string]float64{"0.5b": 0.494, "1.5b": 1.544} {
		size, err := SizeOf(shape)
		require.NoError(t, err)
		require.InDelta(t, want, float64(size.Parameters)/1e9, 0.001)
	}
}

// Pairs of queries and keys against each of them asked by itself.
func TestPairs(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		starts, offsets, ranges := []int32{0}, []int32{0}, []int32{}
		want := 0
		for range 1 + r.IntN(3) {
			queries := r.IntN(9)
			for range r.IntN(3) {
				mask, keys, window := r.IntN(3), r.IntN(12), 1+r.IntN(6)
				ranges = append(ranges, 0, 5, int32(5+keys), int32(mask), int32(window))
				for i := range queries {
					for k := range keys {
						if mask == ops.MaskFull || mask == ops.MaskCausal && k <= i || mask == ops.MaskWindow && i-k >= 0 && i-k < window {
							want++
						}
					}
				}
			}
			starts, offsets = append(starts, starts[len(starts)-1]+int32(queries)), append(offsets, int32(len(ranges)/ops.RangeLen))
		}
		c := engine.Call{In: []*engine.Tensor{nil, nil, nil, engine.FromSlice(starts, len(starts)), engine.FromSlice(offsets, len(offsets)),
			engine.FromSlice(ranges, len(ranges)/ops.RangeLen, ops.RangeLen)},
			Live: engine.FromSlice([]int32{-1, -1, -1}, int(engine.NumDims))}
		require.InDelta(t, float64(want), pairs(c), 0)
	}
}

func TestReport(t *testing.T) {
	o := Defaults()
	o.Shape, o.Tokens, o.Steps = "tiny", 64, 1
	r, err := Run(context.Background(), o)
	require.NoError(t, err)
	for _, p := range r.Machine.Peaks {
		require.Greater(t, p.Rate, 0.0, p.DType)
	}
	require.Greater(t, r.Machine.Memory, 0.0)
	var text strings.Builder
	require.NoError(t, r.Write(&text))
	require.Contains(t, text.String(), "score of 64 tokens in f32 on cpu/")
	require.Contains(t, text.String(), " 160×64")
	raw, err := json.Marshal(r)
	require.NoError(t, err)
	require.Contains(t, string(raw), `"nominal_gflop":`)
	if r.Peak > 0 {
		require.InDelta(t, r.ExecutedRate/r.Peak, r.Share, 1e-12)
		require.False(t, math.IsInf(r.Share, 0))
	}
}

func TestValidate(t *testing.T) {
	for want, change := range map[string]func(*Options){
		"shape":      func(o *Options) { o.Shape = "3b" },
		"mode":       func(o *Options) { o.Mode = "train" },
		"dtype":      func(o *Options) { o.DType = "f16" },
		"tokens":     func(o *Options) { o.Tokens = 0 },
		"read-every": func(o *Options) { o.ReadEvery = 0 },
		"steps":      func(o *Options) { o.Steps = 0 },
		"scoring":    func(o *Options) { o.DType, o.Mode = "int8", "lora" },
		"threads":    func(o *Options) { o.Threads = -1 },
	} {
		o := Defaults()
		require.NoError(t, o.Validate())
		change(&o)
		require.ErrorContains(t, o.Validate(), want)
	}
}
