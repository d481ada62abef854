// Package schedule is the learning rate of each update.
package schedule

import (
	"fmt"
	"math"
)

// Kind is what the rate does after the warm-up.
type Kind int

const (
	Cosine   Kind = iota // down to 0 along half a cosine
	Linear               // down to 0 along a line
	Constant             // stays
)

var kindNames = [...]string{Cosine: "cosine", Linear: "linear", Constant: "constant"}

func (k Kind) valid() bool { return k >= 0 && int(k) < len(kindNames) }

func (k Kind) String() string {
	if !k.valid() {
		return fmt.Sprintf("schedule.Kind(%d)", int(k))
	}
	return kindNames[k]
}

// MarshalText writes the kind as configuration files spell it.
func (k Kind) MarshalText() ([]byte, error) {
	if !k.valid() {
		return nil, fmt.Errorf("no schedule has the number %d", int(k))
	}
	return []byte(kindNames[k]), nil
}

// UnmarshalText reads cosine, linear or constant.
func (k *Kind) UnmarshalText(text []byte) error {
	for i, name := range kindNames {
		if name == string(text) {
			*k = Kind(i)
			return nil
		}
	}
	return fmt.Errorf("schedule %q is not known: use cosine, linear or constant", text)
}

// Options describe a run of S updates.
type Options struct {
	Kind   Kind
	Steps  int     // S ≥ 1
	Warmup float64 // below 1: a share of S, rounded up as transformers does; else a whole number of updates
}

// Validate reports the first option that cannot be used.
func (o Options) Validate() error {
	switch {
	case !o.Kind.valid():
		return fmt.Errorf("%v is no schedule", o.Kind)
	case o.Steps < 1:
		return fmt.Errorf("a run of %d updates: it must be at least 1", o.Steps)
	case !(o.Warmup >= 0) || o.Warmup > math.MaxInt32:
		return fmt.Errorf("warmup is %v: it must be a share below 1 or a number of updates", o.Warmup)
	case o.Warmup >= 1 && o.Warmup != math.Trunc(o.Warmup):
		return fmt.Errorf("warmup is %v: from 1 on it is a number of updates and must be whole", o.Warmup)
	}
	return nil
}

// WarmupSteps is W, the number of updates that the warm-up takes.
func (o Options) WarmupSteps() int {
	if o.Warmup < 1 {
		return int(math.Ceil(float64(o.Steps) * o.Warmup))
	}
	return int(o.Warmup)
}

// Rate is the learning rate of update s, counted from 0, with base as its peak: base·s/W while s < W (so the first
// update of a run with a warm-up has rate 0), then base·(1+cos(π(s−W)/(S−W)))/2, base·(S−s)/(S−W) or base.
// From s = S on the falling schedules give 0.
func (o Options) Rate(base float64, s int) float64 {
	w := o.WarmupSteps()
	if s < w {
		return base * float64(s) / float64(w)
	}
	if o.Kind == Constant {
		return base
	}
	if s >= o.Steps {
		return 0
	}
	if o.Kind == Linear {
		return base * float64(o.Steps-s) / float64(o.Steps-w)
	}
	return base * (1 + math.Cos(math.Pi*float64(s-w)/float64(o.Steps-w))) / 2
}
