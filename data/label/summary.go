package label

import (
	"math"
	"slices"
)

// Summary counts what labelled rows hold. It is made of the rows alone, in their order, so shards that are joined give the
// same one.
type Summary struct {
	// Rows is the number of rows of the whole input, Trajectories of those that are here (the shard's).
	Rows         int `json:"rows"`
	Trajectories int `json:"trajectories"`
	// NoResponse counts trajectories whose thinking was never closed, NoThinking those without a thinking step.
	NoResponse    int `json:"no_response"`
	NoThinking    int `json:"no_thinking"`
	Steps         int `json:"steps"`
	ResponseSteps int `json:"response_steps"`
	// StepLabels and TrajectoryLabels count the labels.
	StepLabels       int `json:"step_labels"`
	TrajectoryLabels int `json:"trajectory_labels"`
	// Rejected counts templates that held the answer.
	Rejected int `json:"rejected_templates"`
	// Open and None count what is missing, by part and reason: still to be asked, or not to be had.
	Open map[string]map[string]int `json:"open"`
	None map[string]map[string]int `json:"none"`
	// Mended counts the verdicts whose answers were read without something, or asked for again, by what.
	Mended map[string]int `json:"mended,omitempty"`
	// Unread counts the answers of policies and the responses that could not be read or compared, and count as wrong, by cause.
	Unread map[string]int `json:"unread,omitempty"`
	// Values are the distributions of each part and of the labels ("step", "trajectory").
	Values map[string]*Distribution `json:"values"`
	// Sources counts trajectories by their source.
	Sources map[string]int `json:"sources"`
}

// Distribution is what is kept of many values: their number, moments, range, and a histogram of twenty bins over [Low, High],
// with what lies beyond in the outermost ones.
type Distribution struct {
	N         int     `json:"n"`
	Sum       float64 `json:"sum"`
	SumSquare float64 `json:"sum_square"`
	Min       float64 `json:"min"`
	Max       float64 `json:"max"`
	Low       float64 `json:"low"`
	High      float64 `json:"high"`
	Bins      [20]int `json:"bins"`
}

func (d *Distribution) add(v float64) {
	if d.N == 0 {
		d.Min, d.Max = v, v
	}
	d.N++
	d.Sum += v
	d.SumSquare += v * v
	d.Min, d.Max = math.Min(d.Min, v), math.Max(d.Max, v)
	bin := math.Floor((v - d.Low) / (d.High - d.Low) * float64(len(d.Bins)))
	d.Bins[int(math.Max(0, math.Min(float64(len(d.Bins)-1), bin)))]++
}

// Mean is NaN where there are no values.
func (d *Distribution) Mean() float64 { return d.Sum / float64(d.N) }

// Deviation is the standard deviation.
func (d *Distribution) Deviation() float64 {
	return math.Sqrt(math.Max(0, d.SumSquare/float64(d.N)-d.Mean()*d.Mean()))
}

func newSummary() Summary {
	return Summary{
		Open: map[string]map[string]int{}, None: map[string]map[string]int{}, Values: map[string]*Distribution{}, Sources: map[string]int{},
	}
}

func (s *Summary) add(row *Row) {
	m := &row.Made
	s.Trajectories++
	s.Sources[sourceOf(row)]++
	s.Steps += len(row.Steps)
	s.ResponseSteps += len(row.ResponseSteps)
	if len(row.Steps) == 0 {
		s.NoThinking++
	}
	if len(row.ResponseSteps) == 0 {
		s.NoResponse++
	}
	for _, part := range allParts {
		for _, v := range m.Parts[part] {
			low, high := 0.0, 1.0
			if part == Align {
				low = -1
			}
			s.value(string(part), v, low, high)
		}
	}
	for _, v := range m.Verdicts {
		if v != nil {
			for _, why := range v.Unread {
				s.unread(why)
			}
			for _, what := range v.Mended {
				if s.Mended == nil {
					s.Mended = map[string]int{}
				}
				s.Mended[what]++
			}
		}
	}
	for _, v := range row.Labels.Steps {
		if v != nil {
			s.StepLabels++
		}
		s.value("step", v, 0, 1)
	}
	if row.Labels.Trajectory != nil {
		s.TrajectoryLabels++
	}
	s.value("trajectory", row.Labels.Trajectory, 0, 1)
	if m.Trajectory != nil {
		s.Rejected += m.Trajectory.Rejected
		s.unread(m.Trajectory.Unread)
		for _, a := range slices.Concat(m.Trajectory.Answers, m.Trajectory.Without) {
			s.unread(a.Unread)
		}
	}
	for _, g := range []struct {
		into map[string]map[string]int
		gaps []Gap
	}{{s.Open, m.Open}, {s.None, m.None}} {
		for _, gap := range g.gaps {
			if g.into[gap.Part] == nil {
				g.into[gap.Part] = map[string]int{}
			}
			g.into[gap.Part][gap.Reason] += max(1, len(gap.Steps))
		}
	}
}

func (s *Summary) unread(why string) {
	if why == "" {
		return
	}
	if s.Unread == nil {
		s.Unread = map[string]int{}
	}
	s.Unread[cause(why)]++
}

func (s *Summary) value(name string, v *float64, low, high float64) {
	if v == nil {
		return
	}
	if s.Values[name] == nil {
		s.Values[name] = &Distribution{Low: low, High: high}
	}
	s.Values[name].add(*v)
}

// OpenItems is how many items are still to be asked.
func (s *Summary) OpenItems() int {
	n := 0
	for _, reasons := range s.Open {
		for _, k := range reasons {
			n += k
		}
	}
	return n
}
