package engine

import (
	"fmt"
	"math"
	"slices"

	"gorgonia.org/gorgonia"
)

// step is one materialisation of a node: pass 0 is its first execution, pass 1 its recomputation for the backward pass.
type step struct {
	node   *gorgonia.Node
	op     *Op // nil for inputs
	inputs []*step
	pass   int
	at     int // position in the schedule; -1 for inputs
	last   int // last position that reads its memory, through views and in-place results too

	root     *step // the step whose memory this one lives in
	rootByte int   // where in it
	bytes    int
	streamed bool // an input that is brought when it is needed
	pinned   bool // inputs and outputs: memory of their own, outside the arena
	brief    bool // an output in the arena
	arenaAt  int
	group    []*step // of the first of those in one launch: all of them
	ready    int     // launches of the machine after which it is done
	tensor   *Tensor
}

// scheduler orders the steps that the outputs need: depth first, outputs in order of creation, which for gradients is
// the order in which gorgonia walked the graph.
type scheduler struct {
	lossID    int64
	recompute bool
	keep      map[*gorgonia.Node]bool
	memo      map[visit]*step
	steps     []*step
	inputs    []*step
	rules     Rules
}

type visit struct {
	node *gorgonia.Node
	pass int
}

func newScheduler(plan Plan, rules Rules) *scheduler {
	s := &scheduler{rules: rules, lossID: math.MaxInt64, recompute: plan.Keep != nil, keep: map[*gorgonia.Node]bool{},
		memo: map[visit]*step{}}
	if plan.Loss != nil {
		s.lossID = plan.Loss.ID()
	}
	for _, n := range plan.Keep {
		s.keep[n] = true
	}
	return s
}

func (s *scheduler) run(outputs, brief gorgonia.Nodes) error {
	ordered := slices.Clone(outputs)
	slices.SortFunc(ordered, func(a, b *gorgonia.Node) int { return int(a.ID() - b.ID()) }) // ids are a topological order
	for _, n := range ordered {
		if _, err := s.visit(n, 0, n.ID() > s.lossID); err != nil {
			return err
		}
	}
	for _, n := range outputs {
		if root := s.memo[visit{n, 0}].root; slices.Contains(brief, n) {
			root.brief = true
		} else {
			root.pinned = true
		}
	}
	s.fuse(s.rules.Fusions)
	s.gather(s.rules.Groups)
	end := -1 // of the launch, which may be of several steps
	for _, st := range s.steps {
		if end = max(end, st.at); st.group != nil {
			end = st.group[len(st.group)-1].at
		}
		for _, in := range st.inputs {
			in.root.last = max(in.root.last, end)
		}
		st.root.last = max(st.root.last, end)
	}
	s.shareInPlace()
	return nil
}

func (s *scheduler) visit(n *gorgonia.Node, pass int, backward bool) (*step, error) {
	if st, ok := s.memo[visit{n, pass}]; ok {
		return st, nil
	}
	st := &step{node: n, pass: pass, at: -1, last: -1, bytes: elements(n.Shape()) * int(n.Dtype().Size())}
	st.root = st
	if isLeaf(n) {
		st.pinned = true
		s.inputs = append(s.inputs, st)
		s.memo[visit{n, 0}], s.memo[visit{n, 1}] = st, st
		return st, nil
	}
	op, err := lower(n)
	if err != nil {
		return nil, err
	}
	st.op = op
	for _, child := range children(n) {
		childPass := 0
		if backward && s.recompute && child.ID() < s.lossID && !isLeaf(child) && !s.keep[child] {
			childPass = 1
		}
		in, err := s.visit(child, childPass, backward)
		if err != nil {
			return nil, err
		}
		st.inputs = append(st.inputs, in)
	}
	if op.Into {
		last := len(st.inputs) - 1
		if st.root = st.inputs[last]; st.root.at >= 0 {
			return nil, fmt.Errorf("%s: it writes into %s, which is no input of the graph", op.Kernel, st.root.node.Name())
		}
		st.inputs = st.inputs[:last]
	}
	if op.view || op.marker {
		st.root, st.rootByte = st.inputs[0].root, st.inputs[0].rootByte+op.viewFrom*int(n.Dtype().Size())
	}
	st.at = len(s.steps)
	s.steps = append(s.steps, st)
	s.memo[visit{n, pass}] = st
	return st, nil
}

// shareInPlace lets a result take over its first input's memory when nothing reads that input later.
func (s *scheduler) shareInPlace() {
	for _, st := range s.steps {
		if !st.op.InPlace || st.root != st || st.pinned {
			continue
		}
		in := st.inputs[0]
		if in.root != in || in.pinned || in.last != st.at || in.bytes != st.bytes {
			continue
		}
		if slices.ContainsFunc(st.inputs[1:], func(other *step) bool { return other.root == in }) {
			continue // its other rows may be read after they are written
		}
		for _, later := range s.steps[st.at:] {
			if later.root == st {
				later.root = in
			}
		}
		in.last = max(in.last, st.last)
	}
}

// isLeaf: inputs have no op; gorgonia's constants have an op without inputs.
func isLeaf(n *gorgonia.Node) bool { return n.Op() == nil || n.Graph().From(n.ID()).Len() == 0 }

// lower returns the op of a node. gorgonia.Grad adds one op that is not ours: the sum of two gradients.
func lower(n *gorgonia.Node) (*Op, error) {
	if op, ok := n.Op().(*Op); ok {
		return op, nil
	}
	if in := children(n); len(in) == 2 && n.Op() == gorgonia.NewAddOp(in[0], in[1], gorgonia.ExecutionContext{}).Op {
		return &Op{Kernel: AddKernel, Attr: AddAttr{Scale: 1}, Rows: Fixed, InPlace: true}, nil
	}
	return nil, fmt.Errorf("graph node %s: op %v is not one of goprm's", n.Name(), n.Op())
}

// AddKernel is the one op that the machine itself must name: gorgonia sums gradients with an op of its own.
const AddKernel = "add"

// AddAttr: out = in0 + Scale·in1.
type AddAttr struct{ Scale float64 }
