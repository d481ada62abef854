package demo

import (
	"fmt"
	"strings"

	"github.com/goprm/goprm/internal/rng"
)

// dice draws from one stream of a seed.
type dice struct {
	stream rng.Stream
	drawn  uint64
}

func newDice(seed uint64, name string) *dice { return &dice{stream: rng.New(seed, name)} }

// below draws a number in [0, n).
func (d *dice) below(n int) int {
	d.drawn++
	return int(d.stream.Float64(d.drawn) * float64(n))
}

func (d *dice) chance(p float64) bool {
	d.drawn++
	return d.stream.Float64(d.drawn) < p
}

// Every number has one digit, so that right and wrong steps of one form are equally long; and operands are small, so that
// there are few enough facts (about fifty) to learn in minutes.
const (
	lowest, highest = 1, 9
	largestOperand  = 3
	largestFactor   = 4 // of the first product
)

func inRange(v int) bool { return v >= lowest && v <= highest }

// change is one operation: +, - or * by a number of 1 (for *, 2) to largestOperand.
type change struct {
	op byte
	by int
}

func (c change) apply(v int) int {
	switch c.op {
	case '+':
		return v + c.by
	case '-':
		return v - c.by
	}
	return v * c.by
}

// other is what somebody might try in its place.
func (c change) other() change {
	if c.op == '-' {
		return change{'+', c.by}
	}
	return change{'-', c.by}
}

func (c change) String() string { return fmt.Sprintf("%c%d", c.op, c.by) }

// problem begins with a product and changes it step by step.
type problem struct {
	first   int
	product change
	changes []change
	text    string
	form    []slot
}

// slot is what one step of the thinking does.
type slot struct {
	kind   slotKind
	change change
}

type slotKind int

const (
	product slotKind = iota
	then             // goes on
	again            // does the change before it a second time
	branch           // tries another change, which leads nowhere
	back             // returns to the value before the branch
)

// answer is the right one.
func (p *problem) answer() int {
	v := p.product.apply(p.first)
	for _, c := range p.changes {
		v = c.apply(v)
	}
	return v
}

// newProblem draws a problem and the form of its trajectories.
func newProblem(d *dice) *problem {
	p := &problem{}
	for !inRange(p.product.apply(p.first)) || p.first == 0 {
		p.first, p.product = 2+d.below(largestFactor-1), change{'*', 2 + d.below(largestFactor-1)}
	}
	v := p.product.apply(p.first)
	for range 2 + d.below(3) {
		c := newChange(d, v)
		p.changes, v = append(p.changes, c), c.apply(v)
	}
	p.text = p.tell(d)
	p.newForm(d)
	return p
}

// newForm draws where trajectories look a second time, and where they try another way.
func (p *problem) newForm(d *dice) {
	p.form = []slot{{product, p.product}}
	v := p.product.apply(p.first)
	for _, c := range p.changes {
		if inRange(c.other().apply(v)) && d.chance(0.25) {
			p.form = append(p.form, slot{branch, c.other()}, slot{back, c})
		}
		p.form, v = append(p.form, slot{then, c}), c.apply(v)
		if d.chance(0.25) {
			p.form = append(p.form, slot{again, c})
		}
	}
}

// newChange draws a change of v that stays in the range.
func newChange(d *dice, v int) change {
	for {
		c := change{"+-*"[d.below(3)], 1 + d.below(largestOperand)}
		if inRange(c.apply(v)) && (c.op != '*' || c.by > 1) {
			return c
		}
	}
}

var things = []string{"pens", "books", "eggs", "cups"}

// tell words the problem, plainly or as a story.
func (p *problem) tell(d *dice) string {
	var b strings.Builder
	if d.chance(0.5) {
		fmt.Fprintf(&b, "Compute %d%v", p.first, p.product)
		for _, c := range p.changes {
			fmt.Fprintf(&b, ", then %v", c)
		}
		return b.String() + "."
	}
	thing := things[d.below(len(things))]
	fmt.Fprintf(&b, "A shop has %d boxes of %d %s.", p.first, p.product.by, thing)
	for _, c := range p.changes {
		fmt.Fprintf(&b, map[byte]string{'+': " It gets %d more.", '-': " It sells %d.", '*': " Then it has %d times as many."}[c.op], c.by)
	}
	return fmt.Sprintf("%s How many %s are left?", b.String(), thing)
}
