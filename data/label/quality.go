package label

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/goprm/goprm/data/label/store"
)

const stageQuality = "quality"

// opinions are the verdicts of a trajectory's steps; nil where a step is open, and why.
type opinions struct {
	verdicts []*Verdict
	open     []string
}

// qualityKeys names each step's verdict by what the judge is shown for it.
func qualityKeys(j Judge, id string, c *Case) []store.Key {
	sees := j.Sees()
	after := store.Key{}
	switch sees {
	case SeesPrefix:
	case SeesFuture:
		after = store.NewKey(append(append([]string{fmt.Sprint(len(c.Thinking))}, c.Thinking...), c.Response...)...)
	default:
		after = store.NewKey(c.Response...)
	}
	keys := make([]store.Key, len(c.Thinking))
	prefix := store.NewKey(c.Problem, c.Answer)
	for t, step := range c.Thinking {
		prefix = store.NewKey(string(prefix[:]), step)
		keys[t] = store.NewKey(stageQuality+"/1", id, string(sees), string(prefix[:]), string(after[:]))
	}
	return keys
}

// formKeys are the keys of a trajectory's verdicts by the form that they were asked for in; "" is the judge's first one, under
// which what is open is noted.
type formKeys map[string][]store.Key

func formKeysOf(j Judge, c *Case) (keys formKeys, forms []string) {
	keys, forms = formKeys{"": qualityKeys(j, j.ID(), c)}, []string{""}
	if f, ok := j.(Formed); ok {
		for _, form := range f.Forms() {
			keys[form], forms = qualityKeys(j, f.IDAs(form), c), append(forms, form)
		}
	}
	return keys, forms
}

// storedVerdict is what the store has of a step, in whichever form it was asked for; nil: nothing.
func (r *run) storedVerdict(keys formKeys, forms []string, t int) (*Verdict, error) {
	for _, form := range forms {
		value, found, err := r.get(stageQuality, keys[form][t])
		if err != nil {
			return nil, err
		}
		if !found {
			continue
		}
		v := &Verdict{}
		return v, json.Unmarshal(value, v)
	}
	return nil, nil
}

// quality returns what the store has and asks the judge for the rest.
func (r *run) quality(ctx context.Context, j Judge, c *Case) (*opinions, error) {
	if both, ok := j.(Consensus); ok {
		return r.consensus(ctx, both, c)
	}
	o := &opinions{make([]*Verdict, len(c.Thinking)), make([]string, len(c.Thinking))}
	keys, forms := formKeysOf(j, c)
	var missing []int
	for t := range c.Thinking {
		v, err := r.storedVerdict(keys, forms, t)
		if err != nil {
			return nil, fmt.Errorf("stored verdict of step %d of %q: %w", t, c.ID, err)
		}
		if o.verdicts[t] = v; v == nil {
			missing = append(missing, t)
		}
	}
	r.count(r.stored, stageQuality, len(c.Thinking)-len(missing))
	per := j.StepsPerCall()
	if per < 1 {
		per = max(1, len(missing))
	}
	return o, together(len(missing), per, func(from, to int) error { return r.judge(ctx, j, c, keys, missing[from:to], o) })
}

// consensus asks each judge as if it were alone.
func (r *run) consensus(ctx context.Context, j Consensus, c *Case) (*opinions, error) {
	a, err := r.quality(ctx, j.A, c)
	if err != nil {
		return nil, err
	}
	b, err := r.quality(ctx, j.B, c)
	if err != nil {
		return nil, err
	}
	for t := range a.verdicts {
		x, y := a.verdicts[t], b.verdicts[t]
		if x == nil || y == nil {
			a.verdicts[t], a.open[t] = nil, firstOf(a.open[t], b.open[t])
			continue
		}
		v, err := j.agree(*x, *y)
		if err != nil {
			return nil, err
		}
		a.verdicts[t] = &v
	}
	return a, nil
}

// judge makes one call and stores what came of it.
func (r *run) judge(ctx context.Context, j Judge, c *Case, keys formKeys, steps []int, o *opinions) error {
	var verdicts []Verdict
	return r.call(ctx, r.calls, func() (err error) {
		r.count(r.asked, stageQuality, len(steps))
		verdicts, err = j.Judge(ctx, c, steps)
		if err == nil && len(verdicts) != len(steps) {
			err = fmt.Errorf("the judge gave %d verdicts for %d steps", len(verdicts), len(steps))
		}
		return err
	}, func(why string) error {
		return together(len(steps), 1, func(i, _ int) error { // together, so that they share a commit
			t, open := steps[i], why
			if open == "" && verdicts[i].Unchecked == "" && !(verdicts[i].Score >= 0 && verdicts[i].Score <= 1) {
				open = "the judge's score is not in [0,1]"
			}
			if open != "" {
				o.open[t] = open
				return r.putOpen(stageQuality, keys[""][t], open)
			}
			if verdicts[i].Unchecked != "" {
				verdicts[i].Score = 0 // it means nothing
			}
			value, err := json.Marshal(verdicts[i])
			if err != nil {
				return err
			}
			of, known := keys[verdicts[i].Asked]
			if !known {
				of = keys[""]
			}
			if value, err = r.remember(stageQuality, of[t], value, keys[""][t]); err != nil {
				return err
			}
			o.verdicts[t] = &Verdict{}
			return json.Unmarshal(value, o.verdicts[t])
		})
	})
}

// atOnce bounds the goroutines that one trajectory starts: some have thousands of steps.
const atOnce = 64

// together runs fn on the pieces of [0,n) of at most per, many at once, and returns their errors joined.
func together(n, per int, fn func(from, to int) error) error {
	if n <= per {
		if n == 0 {
			return nil
		}
		return fn(0, n)
	}
	errs := make([]error, (n+per-1)/per)
	var next atomic.Int64
	var all sync.WaitGroup
	for range min(atOnce, len(errs)) {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(errs); i = int(next.Add(1)) - 1 {
				if errs[i] = fn(i*per, min(n, (i+1)*per)); errs[i] != nil {
					return
				}
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// shortReason is an error as it is counted: without what differs from call to call.
func shortReason(err error) string {
	var short interface{ Short() string }
	if errors.As(err, &short) {
		return short.Short()
	}
	return err.Error()
}
