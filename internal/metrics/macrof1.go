package metrics

import "math"

// macroF1Family is how well steps are classified at the threshold: the mean of the F1 of the good steps and the F1 of the bad ones, so
// that it cannot be won by calling every step what most are. PRMBench's PRMScore is made in the same way (Song et al. 2025, section 4).
// It is undefined where a class is neither there nor predicted. Steps without a label are left out.
var macroF1Family = family{
	metrics: []Metric{{Name: "step_macro_f1", Eval: "step_macro_f1", Title: "macro F1 of steps", Thresholded: true,
		Note: "mean of the F1 of good and of bad steps at the threshold"}},
	start: func(o Options) gatherer {
		return &sums{
			width: 4,
			count: func(t *Trajectory, n []float64) {
				for i, target := range t.Targets {
					if !math.IsNaN(target) {
						n[confusion(target >= o.Cut, t.Scores[i] >= o.Threshold)]++
					}
				}
			},
			finish: func(n []float64) []Float {
				hits, rejections, wrong := n[confusion(true, true)], n[confusion(false, false)], n[confusion(true, false)]+n[confusion(false, true)]
				return []Float{(ratio(2*hits, 2*hits+wrong) + ratio(2*rejections, 2*rejections+wrong)) / 2}
			},
		}
	},
}

// confusion is the place of a count in the confusion matrix.
func confusion(good, saidGood bool) int {
	at := 0
	if good {
		at += 2
	}
	if saidGood {
		at++
	}
	return at
}
