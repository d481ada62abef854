package demo

import (
	"encoding/json"
	"fmt"

	"github.com/goprm/goprm/data"
)

// deadEnd is the reward of a step that is right but leads nowhere: nearer to right than to wrong.
const deadEnd = 0.7

// responseForms say the value that was reached, and then again.
var responseForms = []string{"We get %d.", "The answer is %d."}

// positions is the number of steps of a trajectory of this problem.
func (p *problem) positions() int { return len(p.form) + len(responseForms) }

// walk makes a trajectory of the problem's form. right says of each step, those of the response last, whether it is to
// be right. The whole is worth the share of its right steps. It gives up, with nil, where a value would leave the range.
func (p *problem) walk(d *dice, right func(step int) bool) *data.Trajectory {
	t := &data.Trajectory{Problem: p.text, Source: "demo", Answer: fmt.Sprint(p.answer())}
	label := func(good bool, reward float64) {
		if !good {
			reward = 0
		}
		t.Labels.Steps = append(t.Labels.Steps, &reward)
	}
	value, before := 0, p.first // the value reached, and what the last change was made to
	for i, s := range p.form {
		if s.kind == then || s.kind == branch {
			before = value
		}
		good, reward := right(i), 1.0
		from, to := 0, 0
		if s.kind == back {
			to = said(d, value, good)
		} else if from, to = worked(d, before, s.change, good); !inRange(to) {
			return nil
		}
		var text string
		switch s.kind {
		case product:
			text = fmt.Sprintf("First %d%v=%d.", from, s.change, to)
		case then:
			text = fmt.Sprintf("Then %d%v=%d.", from, s.change, to)
		case again:
			text = fmt.Sprintf("Wait, %d%v=%d.", from, s.change, to)
		case branch:
			text, reward = fmt.Sprintf("Maybe %d%v=%d.", from, s.change, to), deadEnd
		case back:
			text = fmt.Sprintf("No, back to %d.", to)
		}
		if s.kind != branch {
			value = to
		}
		t.Steps = append(t.Steps, text)
		label(good, reward)
	}
	for i, form := range responseForms {
		good := right(len(p.form) + i)
		value = said(d, value, good)
		t.ResponseSteps = append(t.ResponseSteps, fmt.Sprintf(form, value))
		label(good, 1)
	}
	share := float64(rightSteps(t)) / float64(len(t.Labels.Steps))
	t.Labels.Trajectory = &share
	t.Meta = map[string]json.RawMessage{"pred": json.RawMessage(fmt.Sprintf(`"%d"`, value))}
	return t
}

// rightSteps counts the steps that are not wrong.
func rightSteps(t *data.Trajectory) int {
	n := 0
	for _, label := range t.Labels.Steps {
		if *label >= 0.5 {
			n++
		}
	}
	return n
}

// solved tells whether the answer that t comes to is the right one.
func solved(t *data.Trajectory) bool { return string(t.Meta["pred"]) == fmt.Sprintf("%q", t.Answer) }

// wrong is another value, near and in the range.
func wrong(d *dice, value int) int {
	for {
		v := value + []int{-3, -2, -1, 1, 2, 3}[d.below(6)]
		if inRange(v) {
			return v
		}
	}
}

// said is a value that is said again: the same, or a wrong one.
func said(d *dice, value int, good bool) int {
	if good {
		return value
	}
	return wrong(d, value)
}

// worked is a change of a value: right, or wrong because it comes to another result or because it begins at another
// value. A right result out of the range ends the walk.
func worked(d *dice, value int, c change, good bool) (from, to int) {
	if to = c.apply(value); good || !inRange(to) {
		return value, to
	}
	if from = wrong(d, value); d.chance(0.3) && inRange(c.apply(from)) {
		return from, c.apply(from)
	}
	return value, wrong(d, to)
}

// tries is how often walks are begun anew before their problem is given up.
const tries = 500

// family makes size trajectories of the problem, in one form. At every position as many of them as mistakes says, drawn
// anew each time, are wrong and the others right: so each wrong step has twins, and neither depth nor form nor length
// tells it. ok is false where mistakes lead out of the range too often.
func (p *problem) family(d *dice, size, mistakes int) (list []*data.Trajectory, ok bool) {
	wrong := make([][]bool, size)
	for i := range wrong {
		wrong[i] = make([]bool, p.positions())
	}
	for at := range p.positions() {
		for chosen := 0; chosen < mistakes; {
			if i := d.below(size); !wrong[i][at] {
				wrong[i][at] = true
				chosen++
			}
		}
	}
	for _, member := range wrong {
		var t *data.Trajectory
		for try := 0; t == nil && try < tries; try++ {
			t = p.walk(d, func(at int) bool { return !member[at] })
		}
		if t == nil {
			return nil, false
		}
		list = append(list, t)
	}
	return list, true
}

// familySize is the number of trajectories of a problem.
const familySize = 8

// set makes a family of trajectories of each of n problems, none of which is in seen, and adds them to it. Half of the
// families are good reasoning (one step in eight is wrong), half are bad (every other one is).
func set(d *dice, n int, name string, seen map[string]bool) []*data.Trajectory {
	var list []*data.Trajectory
	for len(list) < familySize*n {
		p := newProblem(d)
		if seen[p.text] {
			continue
		}
		mistakes := 1
		if len(list)/familySize%2 == 1 {
			mistakes = familySize / 2
		}
		family, ok := p.family(d, familySize, mistakes)
		if !ok {
			continue
		}
		seen[p.text] = true
		for _, t := range family {
			t.ID = fmt.Sprintf("%s%d", name, len(list))
			list = append(list, t)
		}
	}
	return list
}

// samples makes n answers to each of some unseen problems, each in a form of its own and with mistakes at random.
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
			p.newForm(d)
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
