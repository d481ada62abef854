package speed

import (
	"cmp"
	"context"
	"errors"
	"runtime"
	"slices"
	"time"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/hfmodel"
	"github.com/goprm/goprm/internal/nnet"
	"github.com/goprm/goprm/loss"
)

// Report is what a run measured. Rates and shares are of the median step; ops are means of all timed steps.
type Report struct {
	Machine        Machine   `json:"machine"`
	Backend        string    `json:"backend"`
	Mode           string    `json:"mode"`
	DType          string    `json:"dtype"`
	Tokens         int       `json:"tokens"`
	Recompute      bool      `json:"recompute"`
	Seconds        []float64 `json:"seconds"` // of each timed step
	TokensPerS     float64   `json:"tokens_per_s"`
	TokensPerSBest float64   `json:"tokens_per_s_best"`
	Nominal        float64   `json:"nominal_gflop"`  // of a step by definition
	Executed       float64   `json:"executed_gflop"` // of a step, as its launches computed it
	ExecutedRate   float64   `json:"executed_gflops"`
	Peak           float64   `json:"peak_gflops"`           // of products in the dtype; 0: not known
	Share          float64   `json:"share_of_peak"`         // executed
	NominalShare   float64   `json:"nominal_share_of_peak"` // above 1 where much is left out
	Had            float64   `json:"processor_share"`       // of the threads' time that this process computed; 0: not known
	PeakRSS        int       `json:"peak_rss_mb"`
	First          First     `json:"first"`
	Ops            []Op      `json:"ops"`             // longest first
	Outside        float64   `json:"outside_seconds"` // of a step, between launches
}

// First is what the first step of a run computed, whether timed or not. Weights of a folder, the tokens, the head and the adapters are
// the same in every run, so another implementation can be held to it.
type First struct {
	Score    float64 `json:"score"`     // mean over the read-outs; 0 in training
	Loss     float64 `json:"loss"`      // 0 without training
	GradNorm float64 `json:"grad_norm"` // global L2 before clipping; 0 without training
}

// Op is one kind of launch, of a step.
type Op struct {
	Op       string  `json:"op"`
	Launches int     `json:"launches"`
	Seconds  float64 `json:"seconds"`
	Time     float64 `json:"share_of_time"`
	GFLOP    float64 `json:"gflop"`
	Share    float64 `json:"share_of_peak"` // of the peak of products for those and attention, else of the memory's rate
	GB       float64 `json:"gb"`            // read and written, each operand once
}

// Run times what the options say. The context ends it between two launches.
func Run(ctx context.Context, o Options) (_ *Report, err error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	backend, err := engine.Open("cpu", engine.Options{Kernels: o.Kernels, Workers: o.Threads, DType: o.DType})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, backend.Close()) }()
	if o.DType, err = engine.ResolveDType(o.DType, backend); err != nil {
		return nil, err
	}
	r := &Report{Backend: backend.Name(), Mode: o.Mode, DType: o.DType, Tokens: o.Tokens, Recompute: o.Recompute && o.Mode != "score"}
	if r.Machine, err = measureMachine(backend, cmp.Or(o.Threads, runtime.GOMAXPROCS(0))); err != nil {
		return nil, err
	}
	config, source, closeWeights, err := o.weights()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closeWeights()) }()
	p := &profiled{Backend: backend, ops: map[string]*tally{}}
	if err := o.time(ctx, r, p, config, source); err != nil {
		return nil, err
	}
	r.Nominal = modes[o.Mode].nominal(config, o.lora(), o.Tokens) / 1e9
	r.summarise(p.ops)
	return r, nil
}

func (o Options) lora() nnet.LoRASpec {
	return nnet.LoRASpec{Rank: o.Rank, Alpha: 2 * float64(o.Rank),
		Targets: []string{"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}}
}

// time runs the steps.
func (o Options) time(ctx context.Context, r *Report, p *profiled, config *hfmodel.Config, source nnet.Source) error {
	dtype, err := engine.F32, error(nil)
	if o.DType != engine.Int8 {
		if dtype, err = engine.ParseDType(o.DType); err != nil {
			return err
		}
	}
	spec := nnet.Spec{Config: config, DType: dtype, Int8: o.DType == engine.Int8, Train: modes[o.Mode].train, Recompute: o.Recompute,
		Loss: loss.MSE, LoRA: o.lora(), Head: nnet.HeadSpec{Kind: nnet.Scalar, Activation: "sigmoid", Final: "shared"}}
	step, closeNets, err := o.step(ctx, spec, p, source)
	if err != nil {
		return err
	}
	defer closeNets()
	for i := range o.Warmup + o.Steps {
		if i == o.Warmup {
			clear(p.ops)
		}
		began, processor := time.Now(), processorSeconds()
		computed, err := step()
		if err != nil {
			return err
		}
		if i == 0 {
			r.First = computed
		}
		if i >= o.Warmup {
			took := time.Since(began).Seconds()
			r.Seconds = append(r.Seconds, took)
			r.Had += (processorSeconds() - processor) / took / float64(r.Machine.Threads*o.Steps)
		}
	}
	return nil
}

// batch is one text with a read-out every so many tokens, and at its end.
func (o Options) batch(vocabulary int) *data.Batch {
	b := &data.Batch{CuSeqlens: []int32{0, int32(o.Tokens)}}
	for i := range o.Tokens {
		b.Tokens, b.Positions = append(b.Tokens, int32(i*7919%vocabulary)), append(b.Positions, int32(i))
		if (i+1)%o.ReadEvery == 0 || i == o.Tokens-1 {
			b.Reads, b.Kind = append(b.Reads, int32(i)), append(b.Kind, data.KindStep)
			b.Target, b.Weight = append(b.Target, float64(i%10)/10), append(b.Weight, 1/float64(o.Tokens/o.ReadEvery+1))
		}
	}
	return b
}

func (r *Report) summarise(ops map[string]*tally) {
	sorted := slices.Sorted(slices.Values(r.Seconds))
	median, mean, steps := sorted[len(sorted)/2], 0.0, float64(len(sorted))
	for _, s := range sorted {
		mean += s / steps
	}
	r.TokensPerS, r.TokensPerSBest = float64(r.Tokens)/median, float64(r.Tokens)/sorted[0]
	r.Peak, r.PeakRSS, r.Outside = r.Machine.peak(r.DType), peakMB(), mean
	for name, t := range ops {
		op := Op{Op: name, Launches: t.launches / len(sorted), Seconds: t.elapsed.Seconds() / steps, GFLOP: t.flops / 1e9 / steps,
			GB: t.bytes / 1e9 / steps}
		op.Time, op.Share = op.Seconds/mean, op.GB/op.Seconds/r.Machine.Memory
		if op.GFLOP > 0 {
			op.Share = share(op.GFLOP/op.Seconds, r.Machine.peak(t.products))
		}
		r.Executed, r.Outside = r.Executed+op.GFLOP, r.Outside-op.Seconds
		r.Ops = append(r.Ops, op)
	}
	slices.SortFunc(r.Ops, func(a, b Op) int { return cmp.Or(cmp.Compare(b.Seconds, a.Seconds), cmp.Compare(a.Op, b.Op)) })
	r.ExecutedRate = r.Executed / median
	r.Share, r.NominalShare = share(r.ExecutedRate, r.Peak), share(r.Nominal/median, r.Peak)
}

func share(rate, peak float64) float64 {
	if peak == 0 {
		return 0
	}
	return rate / peak
}
