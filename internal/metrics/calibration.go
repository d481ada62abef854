package metrics

import "math"

// CalibrationBins is the number of equally wide bins over [0,1] of the expected calibration error.
const CalibrationBins = 15

// calibrationFamily is how far step scores lie from their targets, which may be soft:
//   - the mean squared error, for hard targets the Brier score;
//   - the expected calibration error: scores fall into 15 equally wide bins over [0,1] (a score outside goes to the nearest bin), and
//     the differences between mean score and mean target of each bin are averaged by its share of the items.
//
// Items with a NaN on either side are left out.
var calibrationFamily = family{
	metrics: []Metric{
		{Name: "step_mse", Eval: "brier", Title: "squared error (Brier)", Calibrated: true},
		{Name: "step_ece", Eval: "ece", Title: "calibration error (ECE)", Note: "15 bins of equal width", Calibrated: true},
	},
	start: func(Options) gatherer {
		return &sums{
			width: calibrationWidth,
			count: func(t *Trajectory, n []float64) {
				for i, target := range t.Targets {
					addCalibration(n, t.Scores[i], target)
				}
			},
			finish: func(n []float64) []Float { return []Float{ratio(n[gapSquares], n[gapCount]), calibrationError(n)} },
		}
	},
}

// The sums behind the bins' gaps between score and target.
const (
	gapSquares = CalibrationBins + iota
	gapCount
	calibrationWidth
)

func calibrationBin(score float64) int {
	return int(math.Max(0, math.Min(CalibrationBins-1, math.Floor(score*CalibrationBins))))
}

func addCalibration(n []float64, score, target float64) {
	if d := score - target; !math.IsNaN(d) {
		n[calibrationBin(score)] += d
		n[gapSquares] += d * d
		n[gapCount]++
	}
}

func calibrationError(n []float64) Float {
	sum := 0.0
	for _, gap := range n[:CalibrationBins] {
		sum += math.Abs(gap)
	}
	return ratio(sum, n[gapCount])
}

// Calibration is the bins themselves, for a chart.
type Calibration struct {
	gaps           [calibrationWidth]float64
	scores, counts [CalibrationBins]float64
}

// CalibrationBin is one bin of a calibration: the number of its items, and their mean score and target, undefined without items.
type CalibrationBin struct {
	Count         float64
	Score, Target Float
}

// Add counts one item.
func (c *Calibration) Add(score, target float64) {
	if math.IsNaN(score - target) {
		return
	}
	addCalibration(c.gaps[:], score, target)
	bin := calibrationBin(score)
	c.scores[bin] += score
	c.counts[bin]++
}

// Bins are the bins, from the lowest scores to the highest.
func (c *Calibration) Bins() []CalibrationBin {
	bins := make([]CalibrationBin, CalibrationBins)
	for i := range bins {
		bins[i] = CalibrationBin{c.counts[i], ratio(c.scores[i], c.counts[i]), ratio(c.scores[i]-c.gaps[i], c.counts[i])}
	}
	return bins
}

// ECE is the expected calibration error.
func (c *Calibration) ECE() Float { return calibrationError(c.gaps[:]) }
