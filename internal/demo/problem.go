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

// Every value on the way is in a range, and so are the changes: few enough facts to learn in minutes.
const lowest, highest, largestChange = 10, 19, 2

func inRange(v int) bool { return v >= lowest && v <= highest }

// problem is left·right, then the changes one after the other.
type problem struct {
	left, right int
	changes     []int // each in ±1..±largestChange
	text        string
	form        []slot
}

// slot is what one step of the thinking does.
type slot struct {
	kind   slotKind
	change int // index into changes
}

type slotKind int

const (
	product slotKind = iota
	sum              // goes on
	again            // looks at the sum before it a second time
	branch           // tries the opposite change, which leads nowhere
	back             // returns to the value before the branch
)

// answer is the right one.
func (p *problem) answer() int {
	v := p.left * p.right
	for _, c := range p.changes {
		v += c
	}
	return v
}

// newProblem draws a problem and the form of its trajectories.
func newProblem(d *dice) *problem {
	p := &problem{}
	for !inRange(p.left * p.right) {
		p.left, p.right = 2+d.below(8), 2+d.below(8)
	}
	v := p.left * p.right
	for range 2 + d.below(3) {
		c := 0
		for c == 0 || !inRange(v+c) {
			c = 1 + d.below(largestChange)
			if d.chance(0.5) {
				c = -c
			}
		}
		p.changes, v = append(p.changes, c), v+c
	}
	p.form, v = []slot{{product, 0}}, p.left*p.right
	for i, c := range p.changes {
		if inRange(v-c) && d.chance(0.25) {
			p.form = append(p.form, slot{branch, i}, slot{back, i})
		}
		p.form, v = append(p.form, slot{sum, i}), v+c
		if d.chance(0.25) {
			p.form = append(p.form, slot{again, i})
		}
	}
	p.text = p.tell(d)
	return p
}

var things = []string{"pens", "books", "eggs", "cups"}

// tell words the problem, plainly or as a story.
func (p *problem) tell(d *dice) string {
	var b strings.Builder
	if d.chance(0.5) {
		fmt.Fprintf(&b, "Compute %s times %s", words[p.left], words[p.right])
		for _, c := range p.changes {
			b.WriteString(signed(c))
		}
		return b.String() + "."
	}
	thing := things[d.below(len(things))]
	fmt.Fprintf(&b, "A shop has %s boxes of %s %s.", words[p.left], words[p.right], thing)
	for _, c := range p.changes {
		if c > 0 {
			fmt.Fprintf(&b, " It gets %s more.", words[c])
		} else {
			fmt.Fprintf(&b, " It sells %s.", words[-c])
		}
	}
	return fmt.Sprintf("%s How many %s are left?", b.String(), thing)
}

// signed is a change in words, with a space before it.
func signed(change int) string {
	if change < 0 {
		return " minus " + words[-change]
	}
	return " plus " + words[change]
}
