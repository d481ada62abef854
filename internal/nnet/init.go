package nnet

import (
	"fmt"
	"math"
	"strings"

	"github.com/goprm/goprm/internal/rng"
)

// InitAdapters draws the adapters as PEFT does by default: A uniform in ±1/√d_in, B zero, so that the model starts
// unchanged. The values depend on the seed and each tensor's name alone.
func (n *Network) InitAdapters(seed uint64) error {
	for _, p := range n.graph.Params {
		if !strings.HasSuffix(p.Name, ".lora_A.weight") {
			continue
		}
		if err := n.Set(p.Name, uniform(seed, p.Name, p.Shape, 1/math.Sqrt(float64(p.Shape[1])))); err != nil {
			return err
		}
	}
	return nil
}

func uniform(seed uint64, name string, shape []int, bound float64) []float64 {
	stream, v := rng.New(seed, name), make([]float64, shape[0]*shape[1])
	for i := range v {
		v[i] = bound * (2*stream.Float64(uint64(i)) - 1)
	}
	return v
}

// InitHead gives the head weight 0 and the bias at which it predicts mean everywhere: its logit, clamped to
// [0.01, 0.99], under a sigmoid or softmax; the mean itself for identity. The first layer of a two-class MLP is drawn
// uniformly in ±1/√hidden instead, since two zero layers would never learn.
func (n *Network) InitHead(mean float64, seed uint64) error {
	bias := math.Min(0.99, math.Max(0.01, mean))
	bias = math.Log(bias / (1 - bias))
	if n.spec.Head.Kind == Scalar && n.spec.Head.Activation == "identity" {
		bias = mean
	}
	for _, p := range n.graph.Params {
		if !p.Head {
			continue
		}
		v := make([]float64, size(p.Shape))
		switch {
		case p.Name == "score.0.weight":
			v = uniform(seed, p.Name, p.Shape, 1/math.Sqrt(float64(p.Shape[1])))
		case p.Name == "score.bias" && n.spec.Head.Kind == Scalar:
			for i := range v {
				v[i] = bias
			}
		case p.Name == "score.bias" || p.Name == "score.2.bias": // (bad, good)
			v[1] = bias
		}
		if err := n.Set(p.Name, v); err != nil {
			return fmt.Errorf("head: %w", err)
		}
	}
	return nil
}

func size(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}
