package prm

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/goprm/goprm/internal/tinymodel"
	"github.com/stretchr/testify/require"
)

// The published shapes of Qwen2.5. What is counted must be their published numbers of parameters, less the vocabulary
// head of the untied one, plus a value head.
var planned = map[string]struct {
	config  string
	numbers int64
	hidden  int64
}{
	"1.5B": {`{"architectures":["Qwen2ForCausalLM"],"model_type":"qwen2","hidden_act":"silu","hidden_size":1536,"intermediate_size":8960,` +
		`"max_position_embeddings":131072,"num_attention_heads":12,"num_hidden_layers":28,"num_key_value_heads":2,"rms_norm_eps":1e-06,` +
		`"rope_theta":1000000.0,"tie_word_embeddings":true,"torch_dtype":"bfloat16","vocab_size":151936}`,
		1_543_714_304, 1536},
	"7B": {`{"architectures":["Qwen2ForCausalLM"],"model_type":"qwen2","hidden_act":"silu","hidden_size":3584,"intermediate_size":18944,` +
		`"max_position_embeddings":131072,"num_attention_heads":28,"num_hidden_layers":28,"num_key_value_heads":4,"rms_norm_eps":1e-06,` +
		`"rope_theta":1000000.0,"tie_word_embeddings":false,"torch_dtype":"bfloat16","vocab_size":152064}`,
		7_615_616_512 - 152064*3584, 3584},
}

func plan(t *testing.T, model, train string, tokens int, gib int64) PlanReport {
	dir := filepath.Join(t.TempDir(), "model")
	require.NoError(t, os.MkdirAll(dir, 0o777))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), []byte(planned[model].config), 0o666))
	r, err := Plan(PlanOptions{Model: dir, Train: train, Tokens: tokens, Memory: gib << 30})
	require.NoError(t, err)
	return r
}

func TestPlan(t *testing.T) {
	full := plan(t, "1.5B", "full", 4096, 80)
	want := planned["1.5B"]
	numbers := want.numbers + want.hidden + 1
	require.Equal(t, numbers, full.Trained)
	require.Equal(t, 4*numbers, full.Weights, "f32 masters")
	require.Equal(t, 8*numbers, full.Moments)
	require.Equal(t, 4*numbers, full.Gradients, "the sum's; a micro-batch's lie in the arena, one after the other")
	vectors := 28*(2*want.hidden+want.hidden+2*256) + want.hidden // norms, and biases of queries, keys and values
	require.Equal(t, 2*(want.numbers-151936*want.hidden-vectors), full.Rounded, "of each matrix but the embedding")
	require.True(t, full.Fits, "1.5B, everything trained, within 80 GiB: %+v", full)

	lora := plan(t, "7B", "lora", 4096, 80)
	// rank 16 on seven projections: 16·(in + out) each
	adapters := int64(28 * 16 * ((3584 + 3584) + 2*(3584+512) + (3584 + 3584) + 2*(3584+18944) + (18944 + 3584)))
	require.Equal(t, adapters+3585, lora.Trained)
	require.True(t, lora.Fits, "7B with adapters within 80 GiB: %+v", lora)
	require.True(t, plan(t, "7B", "head", 4096, 24).Fits, "7B, head alone, within 24 GiB")

	big := plan(t, "7B", "full", 4096, 80)
	require.False(t, big.Fits)
	require.Equal(t, "optim.offload: true fits, with 67.2 GiB and 52.7 GiB on the host", big.Advice)
	require.Contains(t, plan(t, "7B", "full", 4096, 48).Advice, "lora or head")

	dir := filepath.Join(t.TempDir(), "model")
	require.NoError(t, os.MkdirAll(dir, 0o777))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), []byte(planned["7B"].config), 0o666))
	at := func(moments string, offload bool, microBatches int) PlanReport {
		r, err := Plan(PlanOptions{Model: dir, Train: "full", Recompute: "layer", Tokens: 4096, MicroBatches: microBatches,
			Moments: moments, Offload: offload, Memory: 80 << 30})
		require.NoError(t, err)
		return r
	}
	numbers = planned["7B"].numbers + planned["7B"].hidden + 1
	require.Equal(t, 4*numbers, at("bf16", false, 1).Moments)
	require.False(t, at("bf16", false, 1).Fits)
	for moments, bytes := range map[string]int64{"f32": 8, "bf16": 4} {
		r := at(moments, true, 1)
		require.Zero(t, r.Moments)
		require.Equal(t, bytes*numbers, r.Host)
		require.True(t, r.Fits, "7B, everything trained, within 80 GiB: %+v", r)
		require.Equal(t, at("f32", false, 1).Total-8*numbers, r.Total)
	}

	large, err := Plan(PlanOptions{Model: dir, Train: "full", Tokens: 8192, MicroBatches: 16, Moments: "bf16", Offload: true,
		Memory: 139 << 30})
	require.NoError(t, err)
	require.True(t, large.Fits, "7B, everything trained on 16 micro-batches, within one device of 139 GiB: %+v", large)
	unsaid, err := Plan(PlanOptions{Model: dir, Train: "full", Tokens: 8192, Moments: "bf16", Offload: true, Memory: 139 << 30})
	require.NoError(t, err)
	require.Equal(t, large, unsaid, "as many as batch.trajectories, unless said otherwise")

	long := plan(t, "7B", "lora", 1<<18, 80)
	require.False(t, long.Fits)
	require.Contains(t, long.Advice, fmt.Sprintf("batch.tokens up to %d fit", long.MostTokens))
	require.True(t, plan(t, "7B", "lora", long.MostTokens, 80).Fits, "what is advised fits")
	more := plan(t, "7B", "lora", long.MostTokens*21/20, 80)
	require.Positive(t, more.Streamed, "and not much more does, but with streamed layers")
	require.Regexp(t, `^batch.tokens up to 14\d{4} fit without that$`, more.Advice)
}

// Whole tensors are dealt to ranks: the moments of 7B are even among eight, and from some 14 ranks on those of the embedding are the most.
func TestPlanOfTheMomentsOfARank(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "model")
	require.NoError(t, os.MkdirAll(dir, 0o777))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), []byte(planned["7B"].config), 0o666))
	for world, most := range map[int]float64{4: 1.001, 8: 1.001, 12: 1.003, 14: 1.08, 16: 1.234} {
		r, err := Plan(PlanOptions{Model: dir, Train: "full", World: world})
		require.NoError(t, err)
		require.LessOrEqual(t, float64(r.Moments)*float64(world)/float64(8*r.Trained), most, "%d ranks: docs/scale.md has it", world)
		require.GreaterOrEqual(t, r.Moments, int64(8*152064*3584))
	}
}

// A step's time is that of four passes (forward, again for the backward one, to activations, to weights) over the numbers that tokens are
// multiplied with, at two operations each, and of what the fullest rank exchanges, less what goes on beside the backward pass.
func TestPlanOfTheTimeOfAStep(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "model")
	require.NoError(t, os.MkdirAll(dir, 0o777))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), []byte(planned["7B"].config), 0o666))
	const nonEmbedding = 6.53e9 // as the model's card says
	for _, world := range []int{1, 4} {
		r, err := Plan(PlanOptions{Model: dir, Train: "full", Recompute: "layer", DType: "bf16", Tokens: 8192, MicroBatches: 16, World: world,
			Bandwidth: 25, TFLOPS: 300})
		require.NoError(t, err)
		require.InEpsilon(t, 4*2*nonEmbedding*8192*16/float64(world)/300e12, r.Ranks.Computing, 0.001)
		sent := 2 * 4 * float64(r.Trained) * float64(world-1) / float64(world)
		require.InDelta(t, sent, float64(r.Ranks.Bytes), 1)
		require.GreaterOrEqual(t, r.Ranks.Communicating, sent/25e9)
		require.Less(t, r.Ranks.Communicating, 1.05*sent/25e9+1e-9, "four ranks have nearly the same shares")
		require.LessOrEqual(t, r.Ranks.Hidden, 0.55*sent/25e9, "only reductions are hidden, half of the bytes")
		require.InDelta(t, r.Ranks.Computing/(r.Ranks.Computing+r.Ranks.Communicating-r.Ranks.Hidden), r.Ranks.Efficiency, 1e-9)
		if world == 1 {
			continue
		}
		require.Greater(t, r.Ranks.Hidden, 0.3*sent/25e9)
		slow, err := Plan(PlanOptions{Model: dir, Train: "full", Recompute: "layer", DType: "bf16", Tokens: 8192, MicroBatches: 16, World: world,
			Bandwidth: 1, TFLOPS: 300})
		require.NoError(t, err)
		require.InEpsilon(t, 3*2*nonEmbedding*8192/300e12, slow.Ranks.Hidden, 1e-3, "no more than the backward pass that completes the sum")
	}
	// Where the embedding is more than a rank's share, gradients are summed by slices: what is exchanged does not grow with the ranks, but
	// that one rank may own all of a slice. Through the host its owner still gives the embedding to each other rank.
	for world := 16; world <= 1024; world *= 8 {
		o := PlanOptions{Model: dir, Train: "full", World: world, MicroBatches: 8 * world, Bandwidth: 25, TFLOPS: 300}
		r, err := Plan(o)
		require.NoError(t, err)
		all := 4 * float64(r.Trained) / 25e9
		require.InEpsilon(t, 3*all, r.Ranks.Communicating, 0.08, "%d ranks", world)
		require.Greater(t, r.Ranks.Hidden, 0.5*all)
		o.Device = "cpu"
		r, err = Plan(o)
		require.NoError(t, err)
		require.Greater(t, r.Ranks.Communicating, 4*152064*3584*float64(world-1)/25e9)
	}
}

func TestPlanBadOptions(t *testing.T) {
	for want, o := range map[string]PlanOptions{
		"no folder": {}, "no such folder": {Model: "/nowhere"}, `train: "all"`: {Model: "m", Train: "all"},
		"tokens: -1":   {Model: "m", Tokens: -1},
		`dtype: "f16"`: {Model: "m", DType: "f16"}, `recompute: "some"`: {Model: "m", Recompute: "some"},
		`moments: "f16"`: {Model: "m", Moments: "f16"}, "memory: -1": {Model: "m", Memory: -1}, "micro-batches": {Model: "m", MicroBatches: -2},
	} {
		_, err := Plan(o)
		require.ErrorContains(t, err, want)
	}
}

// Scoring with a model that does not fit has room for all but its layers, and for two of those.
func TestPlanStreamsLayers(t *testing.T) {
	base := tiny(t, tinymodel.Options{Layers: 8, Intermediate: 512})
	whole, err := Plan(PlanOptions{Model: base, Train: "score", DType: "f32", Tokens: 64, Memory: 1 << 30})
	require.NoError(t, err)
	require.True(t, whole.Fits)
	require.Zero(t, whole.Streamed)
	require.Zero(t, whole.Gradients+whole.Moments+whole.Trained)
	r, err := Plan(PlanOptions{Model: base, Train: "score", DType: "f32", Tokens: 64, Memory: whole.Total * 3 / 4})
	require.NoError(t, err)
	require.True(t, r.Fits)
	require.Equal(t, whole.Activations, r.Activations)
	require.InDelta(t, whole.Weights-r.Streamed*6/8, r.Weights, 2*12*256, "tensors lie at multiples of 256 bytes")
	r, err = Plan(PlanOptions{Model: base, Train: "score", DType: "f32", Tokens: 64, Memory: whole.Activations})
	require.NoError(t, err)
	require.False(t, r.Fits)
	require.Zero(t, r.Streamed, "what does not help is not planned")
	for train, streams := range map[string]bool{"head": true, "lora": true, "full": false} {
		o := PlanOptions{Model: base, Train: train, DType: "f32", Tokens: 64, MicroBatches: 1, Memory: 1 << 30}
		whole, err := Plan(o)
		require.NoError(t, err)
		o.Recompute = "layer"
		layer, err := Plan(o)
		require.NoError(t, err)
		o.Memory = layer.Total - layer.Weights/3
		if train == "full" {
			o.Memory = whole.Total / 2
		}
		r, err = Plan(o)
		require.NoError(t, err)
		require.Equal(t, streams, r.Fits, train)
		require.Equal(t, streams, r.Streamed > 0, train)
		require.Equal(t, whole.Trained, r.Trained, train)
		if streams {
			require.Equal(t, whole.Gradients+whole.Moments, r.Gradients+r.Moments, train)
		}
	}
}
