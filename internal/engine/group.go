package engine

import (
	"errors"
	"slices"

	"gorgonia.org/tensor"
)

// Group names an op of which a backend makes several applications in one launch: those of the same Op.Group whose first input has the
// dtype, and whose results are outputs that nothing in the graph reads. They wait for the last of them.
type Group struct {
	Op    string
	DType tensor.Dtype
}

// Grouper is a backend with such launches.
type Grouper interface {
	Groups() []Group
	// CompileGroup is Compile of calls with the same op, rows, capacity of those and live counts, of which none reads what another writes.
	CompileGroup([]Call) (Launch, error)
}

// rulesOf are what a backend can do beyond single ops.
func rulesOf(b Backend) Rules {
	r := Rules{Fusions: FusionsOf(b)}
	if g, ok := b.(Grouper); ok {
		r.Groups = g.Groups()
	}
	return r
}

// Rules are what a backend can do beyond single ops, which changes what is in memory when.
type Rules struct {
	Fusions []Fusion
	Groups  []Group
}

// gather moves the steps of a group behind each other, to the place of the last. So what they read lives until then.
func (s *scheduler) gather(rules []Group) {
	read := map[*step]bool{}
	for _, st := range s.steps {
		for _, in := range st.inputs {
			read[in] = true
		}
	}
	type kind struct {
		rule  Group
		group int
		rows  Dim
		most  int // of those rows
	}
	of, members := map[*step]kind{}, map[kind][]*step{}
	for _, st := range s.steps {
		if st.op.Group == 0 || read[st] || !st.pinned && !st.brief || st.root != st {
			continue
		}
		k := kind{Group{st.op.Kernel, st.inputs[0].node.Dtype()}, st.op.Group, st.op.Rows, st.inputs[0].node.Shape()[0]}
		if slices.Contains(rules, k.rule) {
			of[st], members[k] = k, append(members[k], st)
		}
	}
	var ordered []*step
	for _, st := range s.steps {
		group := members[of[st]]
		switch {
		case len(group) < 2:
			ordered = append(ordered, st)
		case st == group[len(group)-1]:
			group[0].group = group
			ordered = append(ordered, group...)
		}
	}
	s.steps = ordered
	for i, st := range s.steps {
		st.at = i
	}
}

// compile compiles a step, or a group of them.
func (m *Machine) compile(group []*step, firsts firstInputs) (Launch, error) {
	var calls []Call
	for _, st := range group {
		c := Call{Op: st.op.Kernel, Attr: st.op.Attr, Rows: st.op.Rows, Out: st.tensor, Live: m.live}
		for _, in := range st.inputs {
			c.In = append(c.In, in.tensor)
		}
		c.SameFirst = firsts.take(st)
		calls = append(calls, c)
	}
	if len(calls) == 1 {
		return m.backend.Compile(calls[0])
	}
	g, ok := m.backend.(Grouper)
	if !ok {
		return nil, errors.New("a group of ops for a backend that makes one at a time")
	}
	return g.CompileGroup(calls)
}
