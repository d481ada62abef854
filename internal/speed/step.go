package speed

import (
	"context"
	"math"

	"github.com/goprm/goprm/internal/nnet"
	"github.com/goprm/goprm/internal/rng"
)

// step returns what is timed, and what frees its networks.
func (o Options) step(ctx context.Context, spec nnet.Spec, p *profiled, source nnet.Source) (func() (First, error), func(), error) {
	micro := nnet.MicroBatch{Batch: o.batch(spec.Config.VocabSize)}
	net, err := nnet.New(spec, p, source)
	if err != nil {
		return nil, nil, err
	}
	trunk, free := net, func() { _ = net.Close() } // it only frees memory
	if spec.Train == nnet.TrainHead {
		spec.Train, spec.Head = nnet.TrainNothing, nnet.HeadSpec{}
		if trunk, err = nnet.New(spec, p, source); err != nil {
			free()
			return nil, nil, err
		}
		free = func() { _, _ = net.Close(), trunk.Close() }
	}
	if err := initialize(net, spec.Config.HiddenSize); err != nil {
		free()
		return nil, nil, err
	}
	rule := nnet.AdamW{LR: 1e-5, HeadLR: 1e-5, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.01, Clip: 1}
	return func() (First, error) {
		if o.Mode == "score" {
			s, err := net.Score(ctx, micro)
			return First{Score: mean(s.Values)}, err
		}
		micro := micro
		if trunk != net {
			var err error
			if micro.Features, err = trunk.Features(ctx, micro.Batch); err != nil {
				return First{}, err
			}
		}
		s, err := net.TrainStep(ctx, []nnet.MicroBatch{micro}, rule)
		return First{Loss: s.Loss, GradNorm: s.GradNorm}, err
	}, free, nil
}

// initialize draws the head uniformly in ±1/√hidden, as PyTorch does, so that gradients reach the trunk; and the adapters.
func initialize(net *nnet.Network, hidden int) error {
	stream, head := rng.New(1, "score.weight"), make([]float64, hidden)
	for i := range head {
		head[i] = (2*stream.Float64(uint64(i)) - 1) / math.Sqrt(float64(hidden))
	}
	if err := net.Set("score.weight", head); err != nil {
		return err
	}
	return net.InitAdapters(1)
}

func mean(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return sum / float64(len(v))
}
