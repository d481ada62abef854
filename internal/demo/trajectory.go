package demo

import (
	"encoding/json"
	"fmt"

	"github.com/goprm/goprm/data"
)

// walk makes a trajectory of the problem's form. right says of each step, those of the response last, whether it is to
// be right. It gives up, with nil, where a value would leave the range.
func (p *problem) walk(d *dice, right func(step int) bool) *data.Trajectory {
	t := &data.Trajectory{Problem: p.text, Source: "demo", Answer: fmt.Sprint(p.answer())}
	label := func(good bool, reward float64) {
		if !good {
			reward = 0
		}
		t.Labels.Steps = append(t.Labels.Steps, &reward)
	}
	value, before := 0, 0 // the value reached, and the one before the last change
	for i, s := range p.form {
		good, reward, change := right(i), 1.0, p.changes[s.change]
		var text string
		switch s.kind {
		case product:
			value = p.left * p.right
			if !good {
				value = wrong(d, value)
			}
			text = fmt.Sprintf("First %s times %s is %s.", words[p.left], words[p.right], words[value])
		case sum, again:
			if s.kind == sum {
				before = value
			}
			to := changed(d, before, change, good)
			if !inRange(to) {
				return nil
			}
			text = fmt.Sprintf("%s %s%s is %s.", map[slotKind]string{sum: "Then", again: "Wait,"}[s.kind], words[before], signed(change), words[to])
			value = to
		case branch:
			to := changed(d, value, -change, good)
			if !inRange(to) {
				return nil
			}
			text = fmt.Sprintf("Maybe %s%s is %s?", words[value], signed(-change), words[to])
			reward = 0.5 // right, and of no use
		case back:
			shown := value
			if !good {
				shown = wrong(d, value)
			}
			text = fmt.Sprintf("No, back to %s.", words[shown])
			value = shown
		}
		t.Steps = append(t.Steps, text)
		label(good, reward)
	}
	for i, format := range []string{"We get %s.", "The answer is %s."} {
		good := right(len(p.form) + i)
		if !good {
			value = wrong(d, value)
		}
		t.ResponseSteps = append(t.ResponseSteps, fmt.Sprintf(format, words[value]))
		label(good, 1)
	}
	final := 0.0
	if value == p.answer() {
		final = 1
	}
	t.Labels.Trajectory = &final
	t.Meta = map[string]json.RawMessage{"pred": json.RawMessage(fmt.Sprintf(`"%d"`, value))}
	return t
}

// wrong is another value, near and in the range.
func wrong(d *dice, value int) int {
	for {
		v := value + []int{-3, -2, -1, 1, 2, 3}[d.below(6)]
		if inRange(v) {
			return v
		}
	}
}

// changed is value + change, or a wrong sum. What leaves the range ends the walk.
func changed(d *dice, value, change int, good bool) int {
	if good || !inRange(value+change) {
		return value + change
	}
	return wrong(d, value+change)
}

// tries is how often a walk is begun anew before its problem is given up.
const tries = 200

// pair makes two trajectories of a problem; where one is right, the other is wrong. The first makes a mistake in a step
// with probability rate. ok is false where mistakes lead out of the range too often.
func (p *problem) pair(d *dice, rate float64) (first, second *data.Trajectory, ok bool) {
	for range tries {
		bits := make([]bool, len(p.form)+2)
		for i := range bits {
			bits[i] = !d.chance(rate)
		}
		first = p.walk(d, func(i int) bool { return bits[i] })
		second = p.walk(d, func(i int) bool { return !bits[i] })
		if first != nil && second != nil {
			return first, second, true
		}
	}
	return nil, nil, false
}

// set makes pairs of trajectories of n problems, none of which is in seen, and adds them to it.
func set(d *dice, n int, name string, seen map[string]bool) []*data.Trajectory {
	var list []*data.Trajectory
	for len(list) < 2*n {
		p := newProblem(d)
		if seen[p.text] {
			continue
		}
		seen[p.text] = true
		rate := 0.5
		if d.chance(0.2) { // nearly right, and nearly wrong
			rate = 0.1
		}
		a, b, ok := p.pair(d, rate)
		if !ok {
			continue
		}
		if d.chance(0.5) {
			a, b = b, a
		}
		for _, t := range []*data.Trajectory{a, b} {
			t.ID = fmt.Sprintf("%s%d", name, len(list))
			list = append(list, t)
		}
	}
	return list
}

// samples makes n answers to each of some unseen problems, with mistakes at random.
func samples(d *dice, problems, n int, seen map[string]bool) [][]*data.Trajectory {
	var all [][]*data.Trajectory
	for len(all) < problems {
		p := newProblem(d)
		if seen[p.text] {
			continue
		}
		seen[p.text] = true
		var list []*data.Trajectory
		for try := 0; len(list) < n && try < tries; try++ {
			if t := p.walk(d, func(int) bool { return !d.chance(0.2) }); t != nil {
				t.ID = fmt.Sprintf("n%d.%d", len(all), len(list))
				list = append(list, t)
			}
		}
		if len(list) == n {
			all = append(all, list)
		}
	}
	return all
}
