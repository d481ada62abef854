package loss

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/goprm/goprm/internal/shareddata"
)

var none = math.NaN()

func TestOneStepByHand(t *testing.T) {
	w, err := Weights(WeightOptions{Trajectories: 1, LambdaStep: 1, LambdaFinal: 1}, []Labels{{Steps: []float64{1}, Final: none}})
	require.NoError(t, err)
	require.Equal(t, []ReadWeights{{Steps: []float64{1}}}, w)
	reads := []Read{{Value: 0.25, Target: 1, Weight: w[0].Steps[0]}}
	require.Equal(t, Parts{Loss: 0.5625, Step: 0.5625, NStep: 1}, Joint(MSE, reads))
	require.Equal(t, []float64{-1.5}, Grad(MSE, reads, nil))
}

// Two trajectories in a batch of four: λ_step 2, λ_final 3, so a step weighs 2/(4·T_b), a final 3/4.
func TestWeightsByHand(t *testing.T) {
	half := 0.5
	opt := WeightOptions{Trajectories: 4, LambdaStep: 2, LambdaFinal: 3}
	w, err := Weights(opt, []Labels{
		{Steps: []float64{0.7, none, 0.1}, StepWeights: []float64{1, 9, 0.5}, Final: 0.5, FinalWeight: &half},
		{Steps: []float64{none, none}, Final: 1},
		{Steps: []float64{1, 0, 1, 0}, StepWeights: []float64{0, 0, 0, 1}, Final: none},
		{Final: none},
	})
	require.NoError(t, err)
	require.Equal(t, []ReadWeights{
		{Steps: []float64{0.25, 0, 0.125}, Final: 0.375}, // T_b = 2: the unlabelled step does not count, its weight of 9 neither
		{Steps: []float64{0, 0}, Final: 0.75},
		{Steps: []float64{0, 0, 0, 0.125}}, // T_b = 4 whatever the label weights
		{Steps: []float64{}},
	}, w)
}

func TestMissingLabelsAddNothing(t *testing.T) {
	reads := []Read{
		{Part: Step, Value: 0.9, Target: 0.7, Weight: 0.5},
		{Part: Step, Value: 0.9, Target: none, Weight: 0.5},
		{Part: Final, Value: 0.2, Target: none, Weight: 1},
	}
	p := Joint(MSE, reads)
	require.InDelta(t, 0.02, p.Loss, 1e-15)
	require.Equal(t, 1, p.NStep)
	require.Zero(t, p.NFinal)
	require.Zero(t, p.Final)
	require.InDeltaSlice(t, []float64{0.2, 0, 0}, Grad(MSE, reads, nil), 1e-15)
	require.Equal(t, []float64{0, 0}, Grad(CE, reads[1:2], nil))
}

func TestSoftLabelsByHand(t *testing.T) {
	// σ(ln 3) = 0.75, so the cross-entropy at t = 0.4 is −0.4 ln 0.75 − 0.6 ln 0.25.
	want := -0.4*math.Log(0.75) - 0.6*math.Log(0.25)
	bce := []Read{{Part: Final, Logits: [2]float64{99, math.Log(3)}, Target: 0.4, Weight: 2}}
	p := Joint(BCE, bce)
	require.InDelta(t, 2*want, p.Final, 1e-14)
	require.Equal(t, Parts{Loss: p.Final, Final: p.Final, NFinal: 1}, p)
	require.InDeltaSlice(t, []float64{0.7}, Grad(BCE, bce, nil), 1e-14)
	ce := []Read{{Part: Step, Logits: [2]float64{1, 1 + math.Log(3)}, Target: 0.4, Weight: 2}}
	require.InDelta(t, 2*want, Joint(CE, ce).Step, 1e-14)
	require.InDeltaSlice(t, []float64{-0.7, 0.7}, Grad(CE, ce, nil), 1e-14)
}

func TestExtremeLogitsStayFinite(t *testing.T) {
	for _, d := range []float64{1000, -1000, 40, -40} {
		for _, target := range []float64{0, 0.3, 1} {
			r := []Read{{Logits: [2]float64{0, d}, Target: target, Weight: 1}}
			for _, k := range []Kind{BCE, CE} {
				l := Joint(k, r).Loss
				require.False(t, math.IsNaN(l) || math.IsInf(l, 0), "%v d=%v t=%v", k, d, target)
				require.GreaterOrEqual(t, l, 0.0)
			}
		}
	}
	// −log σ(40) = log1p(e^−40) ≈ e^−40; computed as softplus(40) − 40 it would be 0.
	r := []Read{{Logits: [2]float64{0, 40}, Target: 1, Weight: 1}}
	require.InEpsilon(t, math.Exp(-40), Joint(BCE, r).Loss, 1e-12)
}

func TestGradientsByCentralDifferences(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, kind := range []Kind{MSE, BCE, CE} {
		reads := make([]Read, 40)
		for i := range reads {
			reads[i] = Read{Part: Part(i % 2), Value: rng.Float64(), Logits: [2]float64{3 * rng.NormFloat64(), 3 * rng.NormFloat64()},
				Target: rng.Float64(), Weight: rng.Float64()}
		}
		got := Grad(kind, reads, make([]float64, 7))
		const h = 1e-6
		at := 0
		for i := range reads {
			for _, x := range inputs(kind, &reads[i]) {
				old := *x
				*x = old + h
				up := Joint(kind, reads).Loss
				*x = old - h
				down := Joint(kind, reads).Loss
				*x = old
				require.InDelta(t, (up-down)/(2*h), got[at], 1e-8, "%v read %d", kind, i)
				at++
			}
		}
		require.Len(t, got, at)
	}
}

func inputs(kind Kind, r *Read) []*float64 {
	switch kind {
	case MSE:
		return []*float64{&r.Value}
	case BCE:
		return []*float64{&r.Logits[1]}
	}
	return []*float64{&r.Logits[0], &r.Logits[1]}
}

func TestPartsSumWhateverTheSplit(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	reads := make([]Read, 50)
	for i := range reads {
		reads[i] = Read{Part: Part(rng.IntN(2)), Value: rng.Float64(), Target: rng.Float64(), Weight: 0.1}
	}
	whole, a, b := Joint(MSE, reads), Joint(MSE, reads[:17]), Joint(MSE, reads[17:])
	require.InDelta(t, whole.Loss, a.Loss+b.Loss, 1e-14)
	require.InDelta(t, whole.Step, a.Step+b.Step, 1e-14)
	require.Equal(t, whole.Loss, whole.Step+whole.Final)
	require.Equal(t, 50, whole.NStep+whole.NFinal)
}

func TestBalanced(t *testing.T) {
	l, err := BalancedLambda(114000, 1000)
	require.NoError(t, err)
	require.Equal(t, 114.0, l)
	l, err = BalancedLambda(10, 0)
	require.ErrorIs(t, err, ErrNoTrajectoryLabel)
	require.Zero(t, l)
	for _, bad := range [][2]int{{1, 2}, {-1, 0}, {1, -1}} {
		_, err = BalancedLambda(bad[0], bad[1])
		require.Error(t, err)
		require.NotErrorIs(t, err, ErrNoTrajectoryLabel)
	}
}

func TestBadWeightsAreNamed(t *testing.T) {
	good := WeightOptions{Trajectories: 2, LambdaStep: 1, LambdaFinal: 1}
	minus := -1.0
	for want, batch := range map[string][]Labels{
		"trajectory 1 of the batch: step 2: the weight is NaN": {{Final: none},
			{Steps: []float64{1, 1, 1}, StepWeights: []float64{1, 1, none}, Final: none}},
		"2 step weights for 1 steps":             {{Steps: []float64{1}, StepWeights: []float64{1, 1}, Final: none}},
		"step 0: the target is +Inf":             {{Steps: []float64{math.Inf(1)}, Final: none}},
		"the trajectory's target is -Inf":        {{Final: math.Inf(-1)}},
		"the trajectory's weight is -1":          {{Final: 1, FinalWeight: &minus}},
		"3 trajectories in a batch of at most 2": {{}, {}, {}},
	} {
		_, err := Weights(good, batch)
		require.ErrorContains(t, err, want)
	}
	for _, bad := range []WeightOptions{{LambdaStep: 1}, {Trajectories: 1, LambdaStep: -1}, {Trajectories: 1, LambdaFinal: none},
		{Trajectories: 1, LambdaFinal: math.Inf(1)}} {
		require.Error(t, bad.Validate())
	}
}

func TestKindNames(t *testing.T) {
	for _, k := range []Kind{MSE, BCE, CE} {
		text, err := k.MarshalText()
		require.NoError(t, err)
		var back Kind
		require.NoError(t, back.UnmarshalText(text))
		require.Equal(t, k, back)
	}
	_, err := Kind(7).MarshalText()
	require.Error(t, err)
	var k Kind
	require.ErrorContains(t, k.UnmarshalText([]byte("mae")), `"mae"`)
	require.True(t, math.IsNaN(Joint(Kind(7), []Read{{Weight: 1}}).Loss))
	require.True(t, math.IsNaN(Grad(Kind(7), []Read{{Weight: 1}}, nil)[0]))
}

// PyTorch's numbers: weights, loss and both parts of the reference batches.
func TestAgainstPyTorch(t *testing.T) {
	root := filepath.Join(shareddata.Dir(t), "data", "goldens")
	for _, name := range []string{"D", "E"} {
		var batch struct {
			LambdaStep  float64 `json:"lambda_step"`
			LambdaFinal float64 `json:"lambda_final"`
			Target      []float64
			Weight      []float64
			Kind        []string
			Trajectory  []int
		}
		readJSON(t, filepath.Join(root, name, "batch.json"), &batch)
		var forward map[string]struct {
			Loss      float64
			LossStep  float64 `json:"loss_step"`
			LossFinal float64 `json:"loss_final"`
			Values    []float64
		}
		readJSON(t, filepath.Join(root, name, "forward.json"), &forward)

		labels := make([]Labels, batch.Trajectory[len(batch.Trajectory)-1]+1)
		for i, b := range batch.Trajectory {
			if batch.Kind[i] == "final" {
				labels[b].Final = batch.Target[i]
			} else {
				labels[b].Steps = append(labels[b].Steps, batch.Target[i])
			}
		}
		weights, err := Weights(WeightOptions{Trajectories: len(labels), LambdaStep: batch.LambdaStep, LambdaFinal: batch.LambdaFinal}, labels)
		require.NoError(t, err)
		reads := make([]Read, len(batch.Target))
		seen := make([]int, len(labels))
		for i, b := range batch.Trajectory {
			reads[i] = Read{Value: forward["f64"].Values[i], Target: batch.Target[i]}
			if batch.Kind[i] == "final" {
				reads[i].Part, reads[i].Weight = Final, weights[b].Final
			} else {
				reads[i].Weight = weights[b].Steps[seen[b]]
				seen[b]++
			}
			require.InEpsilon(t, batch.Weight[i], reads[i].Weight, 1e-15, "%s read %d", name, i)
		}
		got := Joint(MSE, reads)
		require.InEpsilon(t, forward["f64"].Loss, got.Loss, 1e-13)
		require.InEpsilon(t, forward["f64"].LossStep, got.Step, 1e-13)
		require.InEpsilon(t, forward["f64"].LossFinal, got.Final, 1e-13)
	}
}

func readJSON(t *testing.T, path string, into any) {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, into), path)
}
