package metrics

// Metric is one number that scores are judged by.
type Metric struct {
	Name  string // in metrics.jsonl and as eval.best; "": not computed while training
	Eval  string // in the results of prm eval; "": not there
	Title string // on the page of a score file; "": not there
	Note  string // what the page says about it

	Thresholded bool // depends on Options.Threshold
	Calibrated  bool // makes sense for scores that estimate the targets, not for scores that only rank
}

// Options say how scores are judged.
type Options struct {
	Threshold float64 // a step that scores below it counts as wrong
	Cut       float64 // a target of this or more is good
	// MostRanked is the number of labelled steps above which the metrics that need all of them at once are undefined; 0: no limit.
	MostRanked int
}

// family is a set of metrics that are computed together.
type family struct {
	metrics []Metric
	start   func(Options) gatherer
}

// gatherer takes trajectories one by one and returns a family's metrics, in the family's order.
type gatherer interface {
	add(t *Trajectory)
	values(times []float64) []Float // times: how often each unit counts
}

// families are all metrics. Training, prm eval and reports compute theirs from this table.
var families = []family{rankFamily, withinFamily, withinProblemFamily, firstErrorFamily, processBenchFamily, macroF1Family,
	calibrationFamily, trajectoryErrorFamily, correlationFamily}

// Metrics lists all metrics.
func Metrics() []Metric { return NewAssembly(Options{}, func(Metric) bool { return true }).metrics }

// Assembly computes metrics from trajectories that are added one by one.
type Assembly struct {
	metrics   []Metric
	gatherers []gatherer
	units     int
}

// NewAssembly starts the families of which any metric is wanted.
func NewAssembly(opt Options, wanted func(Metric) bool) *Assembly {
	a := &Assembly{}
	for _, f := range families {
		for _, m := range f.metrics {
			if wanted(m) {
				a.metrics = append(a.metrics, f.metrics...)
				a.gatherers = append(a.gatherers, f.start(opt))
				break
			}
		}
	}
	return a
}

// Add takes a trajectory, which has a target for each score.
func (a *Assembly) Add(t *Trajectory) {
	a.units = max(a.units, t.Unit+1)
	for _, g := range a.gatherers {
		g.add(t)
	}
}

// Metrics are the metrics of Values, in its order: all those of the families that were started.
func (a *Assembly) Metrics() []Metric { return a.metrics }

// Values are the metrics where the trajectories of unit u count times[u] times, a whole number; nil: once each.
func (a *Assembly) Values(times []float64) []Float {
	if times == nil {
		times = make([]float64, a.units)
		for i := range times {
			times[i] = 1
		}
	}
	values := make([]Float, 0, len(a.metrics))
	for _, g := range a.gatherers {
		values = append(values, g.values(times)...)
	}
	return values
}

// ByName are the metrics that have a Name, each unit counting once.
func (a *Assembly) ByName() map[string]Float {
	named := map[string]Float{}
	for i, v := range a.Values(nil) {
		if name := a.metrics[i].Name; name != "" {
			named[name] = v
		}
	}
	return named
}

// sums is a gatherer of metrics that follow from sums over the trajectories.
type sums struct {
	width  int
	count  func(t *Trajectory, n []float64) // adds what a trajectory counts for
	finish func(n []float64) []Float
	units  [][]float64 // of each unit; nil: nothing was counted
}

func (s *sums) add(t *Trajectory) {
	for len(s.units) <= t.Unit {
		s.units = append(s.units, nil)
	}
	if s.units[t.Unit] == nil {
		s.units[t.Unit] = make([]float64, s.width)
	}
	s.count(t, s.units[t.Unit])
}

func (s *sums) values(times []float64) []Float {
	total := make([]float64, s.width)
	for u, n := range s.units {
		if times[u] == 0 {
			continue
		}
		for k, v := range n {
			total[k] += times[u] * v
		}
	}
	return s.finish(total)
}
