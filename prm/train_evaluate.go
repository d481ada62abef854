package prm

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/metrics"
	"github.com/goprm/goprm/internal/nnet"
	"github.com/goprm/goprm/loss"
)

// readScores are the head's outputs at every read-out of a list of examples.
type readScores struct {
	values [][]float64   // [example][read-out]
	logits [][][]float64 // of each read-out, one or two; none of a model with a prefix cache
}

func newReadScores(list []*data.Example) *readScores {
	s := &readScores{values: make([][]float64, len(list)), logits: make([][][]float64, len(list))}
	for i, e := range list {
		s.values[i], s.logits[i] = make([]float64, len(e.Reads)), make([][]float64, len(e.Reads))
	}
	return s
}

// put stores a batch's scores; first is the index of the example that the batch calls 0.
func (s *readScores) put(b *data.Batch, scores nnet.Scores, first int) {
	columns := len(scores.Logits) / max(1, len(scores.Values))
	for i, v := range scores.Values {
		e, r := first+int(b.Trajectory[i]), b.Read[i]
		s.values[e][r] = v
		s.logits[e][r] = scores.Logits[i*columns : (i+1)*columns]
	}
}

// encode writes the scores as numbers: of each read-out its value and its logits, of which all have as many.
func (s *readScores) encode() []byte {
	var b []byte
	add := func(v float64) { b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v)) }
	for e, values := range s.values {
		for r, v := range values {
			add(v)
			for _, logit := range s.logits[e][r] {
				add(logit)
			}
		}
	}
	return b
}

// decode takes encoded scores of the examples at these indices.
func (s *readScores) decode(b []byte, indices []int) error {
	reads := 0
	for _, e := range indices {
		reads += len(s.values[e])
	}
	if reads == 0 && len(b) == 0 {
		return nil
	}
	if reads == 0 || len(b)%(8*reads) != 0 || len(b) < 8*reads {
		return fmt.Errorf("%d bytes for %d read-outs", len(b), reads)
	}
	numbers := make([]float64, len(b)/8)
	for i := range numbers {
		numbers[i] = math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:]))
	}
	width := len(numbers) / reads
	for _, e := range indices {
		for r := range s.values[e] {
			s.values[e][r], s.logits[e][r] = numbers[0], numbers[1:width:width]
			numbers = numbers[width:]
		}
	}
	return nil
}

// evaluate compares scores with the labels of the examples that weigh something. An automatic threshold is the best one for these examples.
func evaluate(c *TrainConfig, d *dataset, list []*data.Example, s *readScores) (*Evaluation, error) {
	trajectories := make([]metrics.Trajectory, len(list))
	var reads []loss.Read
	for i, e := range list {
		about := d.about[e]
		t := metrics.Trajectory{Problem: string(e.Problem[:]), Subset: about.subset, Final: math.NaN(), FinalTarget: math.NaN()}
		weights := e.LossWeights(d.weights(c, len(list))) // as if all examples were one optimizer step
		for j, r := range e.Reads {
			target := math.NaN()
			if r.Weighs() {
				target = r.Target
				reads = append(reads, lossRead(r, weights[j], s.values[i][j], s.logits[i][j]))
			}
			if r.Kind == data.KindTrajectory {
				t.Final, t.FinalTarget = s.values[i][j], target
				continue
			}
			t.Scores = append(t.Scores, s.values[i][j])
			t.Targets = append(t.Targets, target)
			t.Lengths = append(t.Lengths, int(about.lengths[r.Index]))
		}
		trajectories[i] = t
	}
	threshold := c.Threshold.Value
	if c.Threshold.Auto {
		threshold, _ = metrics.BestThreshold(trajectories)
	}
	report, err := metrics.Evaluate(trajectories, threshold)
	if err != nil {
		return nil, fmt.Errorf("evaluation: %w", err)
	}
	parts := loss.Joint(c.Loss.Kind, reads)
	return newEvaluation(parts, threshold, report), nil
}

func lossRead(r data.ReadOut, weight, value float64, logits []float64) loss.Read {
	read := loss.Read{Part: loss.Step, Value: value, Target: r.Target, Weight: weight}
	if r.Kind == data.KindTrajectory {
		read.Part = loss.Final
	}
	copy(read.Logits[2-len(logits):], logits)
	return read
}
