package hfmodel

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
)

// RopeScaling stretches rotary positions beyond the length of the first training, as modeling_rope_utils.py of transformers does. The
// zero value is the plain rotation; which fields count depends on the kind.
type RopeScaling struct {
	// Kind is "", linear, llama3, yarn, or dynamic. Dynamic changes nothing up to max_position_embeddings; the angles of longer texts
	// would depend on what comes after a token, so none is computed.
	Kind                string
	Factor              float64
	Original            float64 // llama3, yarn: positions of the first training
	LowFreq, HighFreq   float64 // llama3
	BetaSlow, BetaFast  float64 // yarn
	Attention           float64 // yarn: factor of queries and keys
	FractionalDimension bool    // yarn: truncate is false
}

// ropeKeys are the keys that each kind knows, besides its name and rope_theta.
var ropeKeys = map[string][]string{
	"": nil, "linear": {"factor"}, "dynamic": {"factor", "original_max_position_embeddings"},
	"llama3": {"factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"},
	"yarn": {"factor", "attention_factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim",
		"original_max_position_embeddings", "truncate"},
}

// readRope reads rotary base and scaling from either dialect.
func (c *Config) readRope(f *fields) {
	const standard = 10000 // where no dialect gives one
	top := f.number("rope_theta", 0)
	c.RopeTheta = top
	found := false
	for _, key := range []string{"rope_parameters", "rope_scaling"} {
		values := read(f, key, "an object", map[string]json.RawMessage(nil))
		if values == nil {
			continue
		}
		rope := &fields{values: values}
		if theta := rope.number("rope_theta", 0); rope.has("rope_theta") {
			if f.has("rope_theta") && theta != top {
				rope.fail("rope_theta is %g, but %g beside it", theta, top)
			}
			c.RopeTheta = theta
		}
		scaling := c.readScaling(rope, f)
		if found && scaling != c.RopeScaling {
			rope.fail("it differs from rope_parameters")
		}
		c.RopeScaling, found = scaling, true
		if rope.err != nil {
			f.fail("RoPE scaling: %s: %w", key, rope.err)
		}
	}
	if f.isNull("rope_theta") && c.RopeTheta == 0 {
		f.fail("rope_theta is null; leave the key out for its default")
	}
	if c.RopeTheta == 0 && !f.has("rope_theta") {
		c.RopeTheta = standard
	}
	if factor := f.number("partial_rotary_factor", 1); factor != 1 {
		f.fail("partial_rotary_factor %g is not supported", factor)
	}
}

// readScaling reads one object of the configuration top.
func (c *Config) readScaling(rope, top *fields) RopeScaling {
	s := RopeScaling{Kind: oneOf(rope, "type", "rope_type")}
	if s.Kind == "default" {
		s.Kind = ""
	}
	known, ok := ropeKeys[s.Kind]
	if !ok {
		rope.fail("kind %q is not supported", s.Kind)
		return RopeScaling{}
	}
	for _, name := range slices.Sorted(maps.Keys(rope.values)) {
		if !slices.Contains([]string{"type", "rope_type", "rope_theta"}, name) && !slices.Contains(known, name) && rope.has(name) {
			rope.fail("%s %s is not supported", name, shorten(rope.values[name]))
		}
	}
	if s.Kind == "" {
		return s
	}
	number := func(name string, fallback float64) float64 {
		v := rope.number(name, fallback)
		if rope.err == nil && !(v > 0 && v < maxTheta) {
			rope.fail("%s is missing or not a positive number", name)
		}
		return v
	}
	original := float64(c.MaxPositionEmbeddings)
	switch s.Kind {
	case "linear", "dynamic":
		s.Factor = number("factor", 0)
	case "llama3":
		s.Factor, s.LowFreq, s.HighFreq = number("factor", 0), number("low_freq_factor", 0), number("high_freq_factor", 0)
		s.Original = number("original_max_position_embeddings", original)
		if rope.err == nil && s.HighFreq <= s.LowFreq {
			rope.fail("high_freq_factor %g is not above low_freq_factor %g", s.HighFreq, s.LowFreq)
		}
	case "yarn":
		s.Original = number("original_max_position_embeddings", original)
		if !rope.given("factor") { // null is the ratio, and absent an error
			rope.fail("factor is missing")
		}
		s.Factor = number("factor", original/max(1, s.Original))
		s.BetaFast, s.BetaSlow = number("beta_fast", 32), number("beta_slow", 1)
		s.Attention = number("attention_factor", yarnAttention(s.Factor, rope.number("mscale", 0), rope.number("mscale_all_dim", 0)))
		s.FractionalDimension = rope.isNull("truncate") || !read(rope, "truncate", "true or false", true) // null is false to transformers
	}
	if s.Original != 0 && top.has("original_max_position_embeddings") { // as Phi-3 keeps it; transformers gives it priority
		s.Original = top.number("original_max_position_embeddings", 0)
	}
	if rope.err == nil && s.Original < 0 || s.Original > maxTheta {
		rope.fail("original_max_position_embeddings %g is not positive", s.Original)
	}
	return s
}

// yarnAttention is the factor that yarn takes where none is given.
func yarnAttention(factor, scale, scaleAll float64) float64 {
	of := func(scale float64) float64 {
		if factor <= 1 {
			return 1
		}
		return 0.1*scale*math.Log(factor) + 1
	}
	if scale != 0 && scaleAll != 0 {
		return of(scale) / of(scaleAll)
	}
	return of(1)
}

// MaxLength is how many tokens a text may have: as far as the rotation is stretched, or max_position_embeddings where that says more.
// yarn reaches to original_max_position_embeddings times factor (Qwen's model cards leave max_position_embeddings at the trained length,
// and vLLM multiplies as well); linear scaling to max_position_embeddings times factor ("don't update max_position_embeddings to the
// expected new maximum", LlamaConfig). Configurations with llama3's scaling state the stretched length, and dynamic scaling stays
// within the plain rotation, see RopeScaling.
func (c *Config) MaxLength() int {
	stretched := 0.0
	switch s := c.RopeScaling; s.Kind {
	case "yarn":
		stretched = s.Original * s.Factor
	case "linear":
		stretched = float64(c.MaxPositionEmbeddings) * s.Factor
	}
	return max(c.MaxPositionEmbeddings, int(min(stretched, maxPositions)))
}
