// Command speed times one case of a model folder and prints one JSON line: tokens per second and peak memory of scoring,
// or of training steps, on one packed trajectory with a read-out every stride tokens.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/hfmodel"
	"github.com/goprm/goprm/internal/nnet"
	"github.com/goprm/goprm/loss"

	_ "github.com/goprm/goprm/internal/cpu"
	_ "github.com/goprm/goprm/nn"
)

type options struct {
	model, mode, kernels, dtype   string
	tokens, steps, warmup, stride int
	threads, rank                 int
	recompute                     bool
}

func main() {
	var o options
	flag.StringVar(&o.model, "model", "", "model folder")
	flag.StringVar(&o.mode, "mode", "score", "score, lora or full")
	flag.StringVar(&o.kernels, "backend", "auto", "kernels")
	flag.StringVar(&o.dtype, "dtype", "f32", "arithmetic: f32, f64 or bf16")
	flag.IntVar(&o.tokens, "tokens", 2048, "tokens of the trajectory")
	flag.IntVar(&o.steps, "steps", 3, "timed steps")
	flag.IntVar(&o.warmup, "warmup", 1, "untimed steps before them")
	flag.IntVar(&o.stride, "stride", 64, "a read-out every so many tokens")
	flag.IntVar(&o.threads, "threads", 2, "worker threads")
	flag.IntVar(&o.rank, "rank", 16, "LoRA rank")
	flag.BoolVar(&o.recompute, "recompute", true, "recompute activations layer by layer in the backward pass")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "speed:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	config, err := hfmodel.ReadConfig(o.model)
	if err != nil {
		return err
	}
	weights, err := hfmodel.OpenWeights(o.model)
	if err != nil {
		return err
	}
	backend, err := engine.Open("cpu", engine.Options{Kernels: o.kernels, Workers: o.threads, DType: o.dtype})
	if err != nil {
		return err
	}
	dtype, err := engine.ParseDType(o.dtype)
	if err != nil {
		return err
	}
	if _, err := engine.ResolveDType(o.dtype, backend); err != nil {
		return err
	}
	train := map[string]string{"score": nnet.TrainNothing, "lora": nnet.TrainLoRA, "full": nnet.TrainFull}[o.mode]
	net, err := nnet.New(nnet.Spec{Config: config, DType: dtype, Train: train, Recompute: o.recompute, Loss: loss.MSE,
		Head: nnet.HeadSpec{Kind: nnet.Scalar, Activation: "sigmoid", Final: "shared"},
		LoRA: nnet.LoRASpec{Rank: o.rank, Alpha: 2 * float64(o.rank),
			Targets: []string{"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}},
	}, backend, nnet.Weights{nnet.InWeights(weights)})
	if err != nil {
		return err
	}
	if err := net.InitAdapters(1); err != nil {
		return err
	}
	micro := nnet.MicroBatch{Batch: batch(o, config.VocabSize)}
	step := func() error {
		if train == nnet.TrainNothing {
			_, err := net.Score(context.Background(), micro)
			return err
		}
		_, err := net.TrainStep(context.Background(), []nnet.MicroBatch{micro},
			nnet.AdamW{LR: 1e-5, HeadLR: 1e-5, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.01,
				Clip: 1})
		return err
	}
	var seconds []float64
	for i := range o.warmup + o.steps {
		start := time.Now()
		if err := step(); err != nil {
			return err
		}
		if i >= o.warmup {
			seconds = append(seconds, time.Since(start).Seconds())
		}
	}
	sorted := slices.Sorted(slices.Values(seconds))
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"mode": o.mode, "dtype": o.dtype, "tokens": o.tokens, "backend": backend.Name(), "threads": o.threads,
		"recompute": o.recompute, "seconds": seconds,
		"tokens_per_s":      float64(o.tokens) / sorted[len(sorted)/2],
		"tokens_per_s_best": float64(o.tokens) / sorted[0],
		"peak_rss_mb":       peakMB(),
	})
}

func batch(o options, vocab int) *data.Batch {
	b := &data.Batch{CuSeqlens: []int32{0, int32(o.tokens)}}
	for i := range o.tokens {
		b.Tokens, b.Positions = append(b.Tokens, int32(i*7919%vocab)), append(b.Positions, int32(i))
		if (i+1)%o.stride == 0 || i == o.tokens-1 {
			b.Reads, b.Kind = append(b.Reads, int32(i)), append(b.Kind, data.KindStep)
			b.Target, b.Weight = append(b.Target, float64(i%10)/10), append(b.Weight, 1/float64(o.tokens/o.stride+1))
		}
	}
	return b
}

// peakMB is the process's largest resident set, as Linux counts it (mapped weights included).
func peakMB() int {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	var kb int
	if _, after, ok := strings.Cut(string(status), "VmHWM:"); ok {
		_, _ = fmt.Sscan(after, &kb)
	}
	return kb / 1024
}
