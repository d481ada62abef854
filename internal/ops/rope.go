package ops

import "math"

// RoPE rotates each head's halves by positions·frequency and scales them, see Frequencies; Inverse rotates back (the gradient).
type RoPE struct {
	HeadDim int
	Theta   float64
	Scaling RoPEScaling
	Inverse bool
}

// RoPEScaling stretches the rotation beyond the positions that a model was first trained for, as modeling_rope_utils.py of
// transformers does. The zero value changes nothing; which fields count depends on the kind.
type RoPEScaling struct {
	Kind                string  // "", linear, llama3, yarn; dynamic, which changes nothing within the trained length
	Factor              float64 // by which positions are stretched
	Original            float64 // llama3, yarn: positions of the first training
	LowFreq, HighFreq   float64 // llama3: turns within Original below which a frequency is stretched, above which it is kept
	BetaSlow, BetaFast  float64 // yarn: the same two
	Attention           float64 // yarn: factor of the rotated vectors
	FractionalDimension bool    // yarn: the two dimensions between which the frequencies pass over are not rounded
}

// Frequencies are the angles per position of each pair (i, i+HeadDim/2), Theta^(−2i/HeadDim) before scaling, and the factor of the
// rotated vectors.
func (r RoPE) Frequencies() (frequencies []float64, amplitude float64) {
	frequencies, amplitude = make([]float64, r.HeadDim/2), 1
	for i := range frequencies {
		frequencies[i] = math.Pow(r.Theta, -2*float64(i)/float64(r.HeadDim))
	}
	switch s := r.Scaling; s.Kind {
	case "linear":
		for i := range frequencies {
			frequencies[i] /= s.Factor
		}
	case "llama3":
		for i, f := range frequencies {
			turns := s.Original * f / (2 * math.Pi)
			kept := min(1, max(0, (turns-s.LowFreq)/(s.HighFreq-s.LowFreq)))
			frequencies[i] = (1-kept)*f/s.Factor + kept*f
		}
	case "yarn":
		amplitude = s.Attention
		low, high := r.yarnRange()
		for i, f := range frequencies {
			stretched := min(1, max(0, (float64(i)-low)/(high-low)))
			frequencies[i] = f/s.Factor*stretched + f*(1-stretched)
		}
	}
	return frequencies, amplitude
}

// yarnRange are the pairs between which yarn passes from keeping a frequency to stretching it.
func (r RoPE) yarnRange() (low, high float64) {
	s := r.Scaling
	dimension := func(turns float64) float64 {
		return float64(r.HeadDim) * math.Log(s.Original/(turns*2*math.Pi)) / (2 * math.Log(r.Theta))
	}
	low, high = dimension(s.BetaFast), dimension(s.BetaSlow)
	if !s.FractionalDimension {
		low, high = math.Floor(low), math.Ceil(high)
	}
	low, high = max(low, 0), min(high, float64(r.HeadDim-1))
	if low == high {
		high += 0.001
	}
	return low, high
}
