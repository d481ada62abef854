package label

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/goprm/goprm/internal/rng"
)

// reference is what testdata/reference.py computed.
type reference struct {
	Pairs []struct {
		Thinking, Response          [][]float32
		Cosines                     [][]float64
		IndexMerge                  []int `json:"index-merge"`
		Proportional, Monotone, Max []int
	}
	Coherences []struct {
		Before, Step []float32
		Negatives    [][]float32
		Tau, Want    float64
		Form         string
		Positive     bool
	}
	Fusions []struct {
		Align, Quality, Coherence    float64
		LogCoherence                 float64 `json:"log_coherence"`
		Paper, Normalised, Mean, Min float64
		QualityGated                 float64   `json:"quality_gated"`
		PaperWeights                 []float64 `json:"paper_weights"`
		NormalisedWeights            []float64 `json:"normalised_weights"`
	}
}

func readReference(t *testing.T) (r reference) {
	t.Helper()
	b, err := os.ReadFile("testdata/reference.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Pairs) == 0 || len(r.Coherences) == 0 || len(r.Fusions) == 0 {
		t.Fatal("testdata/reference.json lacks cases")
	}
	return r
}

// near allows for float64 rounding: the reference sums in another order.
func near(a, b float64) bool { return math.Abs(a-b) <= 1e-12*math.Max(1, math.Abs(b)) }

func TestPairAgainstEveryPairing(t *testing.T) {
	for i, c := range readReference(t).Pairs {
		cos := func(s, m int) float64 { return Cosine(c.Thinking[s], c.Response[m]) }
		for s, row := range c.Cosines {
			for m, want := range row {
				if got := cos(s, m); !near(got, want) {
					t.Errorf("case %d: cosine(%d, %d) = %v, NumPy says %v", i, s, m, got, want)
				}
			}
		}
		for pairing, want := range map[Pairing][]int{IndexMerge: c.IndexMerge, Proportional: c.Proportional, Monotone: c.Monotone, Max: c.Max} {
			got, err := pairing.Pair(len(c.Thinking), len(c.Response), cos)
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("case %d: %s pairs %v (%v), trying all says %v", i, pairing, got, err, want)
			}
		}
	}
}

// By hand: equal cosines everywhere, so every tie goes to the smaller response step.
func TestPairTies(t *testing.T) {
	flat := func(int, int) float64 { return 0.5 }
	for pairing, want := range map[Pairing][]int{
		IndexMerge: {0, 0, 0, 1, 2}, Proportional: {0, 0, 1, 2, 2}, Monotone: {0, 0, 0, 0, 0}, Max: {0, 0, 0, 0, 0},
	} {
		if got, err := pairing.Pair(5, 3, flat); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v (%v), want %v", pairing, got, err, want)
		}
	}
}

func TestPairRefuses(t *testing.T) {
	never := func(int, int) float64 { t.Error("a cosine was asked for"); return 0 }
	for _, c := range []struct{ thinking, response int }{{0, 1}, {1, 0}, {1 << 20, 1 << 20}, {math.MaxInt, 2}} {
		for _, p := range pairings {
			if _, err := p.Pair(c.thinking, c.response, never); err == nil {
				t.Errorf("%s: %d × %d was paired", p, c.thinking, c.response)
			}
		}
	}
	if _, err := Pairing("best").Pair(2, 2, never); err == nil {
		t.Error("an unknown pairing paired")
	}
}

func TestCosineByHand(t *testing.T) {
	for _, c := range []struct {
		a, b []float32
		want float64
	}{
		{[]float32{3, 4}, []float32{4, 3}, 24.0 / 25}, {[]float32{1, 0}, []float32{-2, 0}, -1},
		{[]float32{1, 1}, []float32{1, -1}, 0}, {[]float32{0, 0}, []float32{1, 0}, 0},
	} {
		if got := Cosine(c.a, c.b); !near(got, c.want) {
			t.Errorf("Cosine(%v, %v) = %v, want %v", c.a, c.b, got, c.want)
		}
	}
}

func TestCoherenceAgainstNumPy(t *testing.T) {
	for i, c := range readReference(t).Coherences {
		got := Coherence{Tau: c.Tau, Form: c.Form, Positive: c.Positive}.Score(c.Before, c.Step, c.Negatives)
		if !near(got, c.Want) {
			t.Errorf("case %d: %v, NumPy says %v", i, got, c.Want)
		}
	}
}

// By hand, at τ = 1 with cosines 1 (step) and 0 (one negative): e/(e+1) and log e − log 1 = 1.
func TestCoherenceByHand(t *testing.T) {
	before, negatives := []float32{1, 0}, [][]float32{{0, 1}}
	if got := (Coherence{Tau: 1, Form: "probability", Positive: true}).Score(before, before, negatives); !near(got, math.E/(math.E+1)) {
		t.Errorf("probability %v", got)
	}
	if got := (Coherence{Tau: 1, Form: "log"}).Score(before, before, negatives); !near(got, 1) {
		t.Errorf("log without the positive %v, want 1", got)
	}
	// A small τ would overflow exp without the maximum taken out.
	if got := (Coherence{Tau: 1e-3, Form: "log", Positive: true}).Score([]float32{1, 0}, []float32{0, 1}, [][]float32{{1, 0}}); !near(got,
		-1000) {
		t.Errorf("τ = 0.001: %v, want -1000", got)
	}
}

func TestFuseAgainstNumPy(t *testing.T) {
	for i, c := range readReference(t).Fusions {
		raw := map[Part]float64{Align: c.Align, Quality: c.Quality, Coherent: c.Coherence}
		logs := map[Part]float64{Align: c.Align, Quality: c.Quality, Coherent: c.LogCoherence}
		for _, f := range []struct {
			fusion  Fusion
			raw     map[Part]float64
			want    float64
			weights []float64
		}{
			{Paper, logs, c.Paper, c.PaperWeights}, {Normalised, raw, c.Normalised, c.NormalisedWeights},
			{Mean, raw, c.Mean, nil}, {Min, raw, c.Min, nil}, {QualityGated, raw, c.QualityGated, nil},
		} {
			got, weights, ok := f.fusion.Fuse(f.raw, allParts)
			if !ok || !near(got, f.want) {
				t.Errorf("case %d: %s = %v (%v), NumPy says %v", i, f.fusion, got, ok, f.want)
			}
			for k, want := range f.weights {
				if !near(weights[k], want) {
					t.Errorf("case %d: %s weighs %v, NumPy says %v", i, f.fusion, weights, f.weights)
				}
			}
		}
	}
}

// By hand: align 0.5 → 0.75, quality 1, coherence 0.25.
func TestFuseByHand(t *testing.T) {
	raw := map[Part]float64{Align: 0.5, Quality: 1, Coherent: 0.25}
	a, q, c := math.Exp(0.75), math.E, math.Exp(0.25)
	for fusion, want := range map[Fusion]float64{
		Paper:      (0.5*math.Exp(0.5) + q + 0.25*c) / (math.Exp(0.5) + q + c),
		Normalised: (0.75*a + q + 0.25*c) / (a + q + c),
		Mean:       2.0 / 3, Min: 0.25, QualityGated: 0.5,
	} {
		if got, _, ok := fusion.Fuse(raw, allParts); !ok || !near(got, want) {
			t.Errorf("%s = %v, by hand %v", fusion, got, want)
		}
	}
	if got, weights, ok := Normalised.Fuse(raw, []Part{Quality}); !ok || got != 1 || !slices.Equal(weights, []float64{1}) {
		t.Errorf("quality alone: %v %v %v", got, weights, ok)
	}
	if got, _, ok := QualityGated.Fuse(raw, []Part{Quality}); !ok || got != 1 {
		t.Errorf("quality gated by nothing: %v %v", got, ok)
	}
}

// What each fusion guarantees, over random parts.
func TestFuseProperties(t *testing.T) {
	random := rng.New(1, "fusions")
	for i := range uint64(20000) {
		raw := map[Part]float64{Align: 2*random.Float64(3*i) - 1, Quality: random.Float64(3*i + 1), Coherent: random.Float64(3*i + 2)}
		unit := []float64{(1 + raw[Align]) / 2, raw[Quality], raw[Coherent]}
		low, high := slices.Min(unit), slices.Max(unit)
		for _, f := range fusions {
			got, w, ok := f.Fuse(raw, allParts)
			if !ok || len(w) != 3 {
				t.Fatalf("%s(%v): no reward", f, raw)
			}
			sum := w[0] + w[1] + w[2]
			switch {
			case f.Bounded() && !(got >= 0 && got <= 1):
				t.Fatalf("%s(%v) = %v leaves [0,1]", f, raw, got)
			case f != Paper && f != QualityGated && !(got >= low && got <= high):
				t.Fatalf("%s(%v) = %v leaves the range of its parts [%v, %v]", f, raw, got, low, high)
			case f == QualityGated && got > raw[Quality]:
				t.Fatalf("%s(%v) = %v exceeds the quality", f, raw, got)
			case f != QualityGated && !near(sum, 1):
				t.Fatalf("%s(%v): weights %v sum to %v", f, raw, w, sum)
			case f == Normalised && slices.Max(w) > slices.Min(w)*math.E*(1+1e-12):
				t.Fatalf("%s(%v): weights %v differ by more than e", f, raw, w)
			case f == Normalised && got < (unit[0]+unit[1]+unit[2])/3-1e-12:
				t.Fatalf("%s(%v) = %v is below the mean, though larger parts weigh more", f, raw, got)
			}
		}
	}
	for _, f := range fusions {
		for _, raw := range []map[Part]float64{
			{Align: 0, Quality: 1}, {Align: 0, Coherent: 1}, {Quality: 1, Coherent: 1}, {Align: math.NaN(), Quality: 1, Coherent: 1},
			{Align: 0, Quality: 1, Coherent: math.Inf(-1)},
		} {
			if got, _, ok := f.Fuse(raw, allParts); ok {
				t.Errorf("%s(%v) = %v, though a part is missing", f, raw, got)
			}
		}
	}
}
