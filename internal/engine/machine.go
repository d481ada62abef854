package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"unsafe"

	"gorgonia.org/gorgonia"
)

// Plan says what a machine computes and what it keeps.
type Plan struct {
	Outputs gorgonia.Nodes // what to compute: values, the loss, gradients
	// Brief are outputs that launches of Interleave read as soon as they are ready: their memory is other results' then.
	Brief gorgonia.Nodes
	Loss  *gorgonia.Node // ends the forward pass; nil: everything is forward
	// Keep lists the forward nodes that the backward pass finds in memory; it recomputes the others when it needs
	// them. nil keeps every node.
	Keep gorgonia.Nodes
	// Split makes the launches that follow the loss a sequence of their own, see RunForward and RunBackward.
	Split bool
	// Bound is the memory of inputs that have some before the machine is compiled, as Bind gives it later.
	Bound map[*gorgonia.Node]*Tensor
	// Streamed brings some inputs while the machine runs; nil: all have memory of their own.
	Streamed *Streamed
	// Arena is shared with other machines; nil: the machine has its own.
	Arena *Arena
}

// Machine executes a compiled graph. It implements gorgonia.VM; it is not safe for concurrent use.
type Machine struct {
	backend     Backend
	steps       []*step
	inputs      map[*gorgonia.Node]*step
	outputs     map[*gorgonia.Node]*step
	launch      Sequence
	rest        Sequence    // what follows the loss, where the plan is split
	interleaved []*Sequence // of launch, with others among them
	live        *Tensor
	owned       []unsafe.Pointer
	arena       *Arena // what Close gives back; nil: nothing was taken
	stats       Stats
}

var _ gorgonia.VM = (*Machine)(nil)

// Stats describes a compiled machine.
type Stats struct {
	Steps      int // launches of one run
	Recomputed int // of them, second executions
	Arena      int // bytes shared by everything that is neither input nor output
	Unshared   int // bytes the arena would need without reuse
}

const arenaAlign = 256

// Measure plans without allocating: what a machine for this plan would need on a backend with these rules.
func Measure(plan Plan, rules Rules) (Stats, error) {
	m := &Machine{}
	err := m.schedule(plan, rules)
	return m.stats, err
}

// Compile schedules the plan, allocates its arena and outputs, and compiles each step's kernel. Inputs get memory with
// Alloc or Bind before the first run.
func Compile(plan Plan, backend Backend) (*Machine, error) {
	m := &Machine{backend: backend, launch: Sequence{Backend: backend}, rest: Sequence{Backend: backend}}
	if err := m.schedule(plan, rulesOf(backend)); err != nil {
		return nil, err
	}
	if err := m.allocate(plan.Arena, plan.Bound); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	sequence, firsts, bring := &m.launch, firstInputs{}, m.newBringer(plan.Streamed)
	m.launch.Unrecorded, m.rest.Unrecorded = plan.Streamed != nil, plan.Streamed != nil
	for at := 0; at < len(m.steps); {
		group := m.steps[at:][:1]
		if m.steps[at].group != nil {
			group = m.steps[at].group
		}
		at += len(group)
		st := group[0]
		if plan.Split && (st.pass > 0 || st.node.ID() > plan.Loss.ID()) {
			if sequence != &m.rest {
				sequence, firsts, bring.current = &m.rest, firstInputs{}, -1 // who knows what runs in between
			}
		}
		st.ready = len(sequence.Launches)
		if st.op.view || st.op.marker {
			continue
		}
		for _, st := range group {
			first, err := bring.before(m, st)
			if err != nil {
				return nil, errors.Join(err, m.Close())
			}
			if first != nil {
				sequence.Launches = append(sequence.Launches, first)
			}
		}
		launch, err := m.compile(group, firsts)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s on %s: %w", st.op.Kernel, backend.Name(), err), m.Close())
		}
		sequence.Launches = append(sequence.Launches, launch)
		for _, st := range group {
			st.ready = len(sequence.Launches)
		}
	}
	m.stats.Steps = len(m.launch.Launches) + len(m.rest.Launches)
	return m, nil
}

func (m *Machine) schedule(plan Plan, rules Rules) error {
	s := newScheduler(plan, rules)
	if err := s.run(plan.Outputs, plan.Brief); err != nil {
		return err
	}
	m.steps = s.steps
	m.inputs, m.outputs = map[*gorgonia.Node]*step{}, map[*gorgonia.Node]*step{}
	for _, st := range s.inputs {
		m.inputs[st.node] = st
	}
	for _, n := range plan.Outputs {
		m.outputs[n] = s.memo[visit{n, 0}]
	}
	m.stats = Stats{Steps: len(s.steps)}
	for _, st := range s.steps {
		if st.pass > 0 && !st.op.view {
			m.stats.Recomputed++
		}
	}
	m.placeInArena()
	return nil
}

// placeInArena gives each buffer an offset: largest first, at the lowest place that no buffer alive at the same time uses.
func (m *Machine) placeInArena() {
	var buffers []*step
	for _, st := range m.steps {
		if st.root == st && !st.pinned {
			buffers = append(buffers, st)
			m.stats.Unshared += align(st.bytes)
		}
	}
	slices.SortStableFunc(buffers, func(a, b *step) int { return b.bytes - a.bytes })
	var placed []*step // by offset
	for _, b := range buffers {
		at := 0
		for _, p := range placed {
			if p.last < b.at || b.last < p.at {
				continue
			}
			if at+align(b.bytes) <= p.arenaAt {
				break
			}
			at = max(at, p.arenaAt+align(p.bytes))
		}
		b.arenaAt = at
		m.stats.Arena = max(m.stats.Arena, at+align(b.bytes))
		i, _ := slices.BinarySearchFunc(placed, at, func(p *step, at int) int {
			if p.arenaAt <= at {
				return -1
			}
			return 1
		})
		placed = slices.Insert(placed, i, b)
	}
}

func align(n int) int { return (n + arenaAlign - 1) &^ (arenaAlign - 1) }

func (m *Machine) allocate(shared *Arena, bound map[*gorgonia.Node]*Tensor) error {
	if shared == nil {
		shared = &Arena{}
	}
	arena, err := shared.take(m.backend, m.stats.Arena)
	if err != nil {
		return err
	}
	m.arena = shared
	livePtr, err := m.alloc(int(NumDims)*4, "live counts")
	if err != nil {
		return err
	}
	m.live = NewTensor(livePtr, I32, []int{int(NumDims)}, nil)
	if err := m.SetLive(-1, -1, -1); err != nil {
		return err
	}
	for n, st := range m.inputs {
		st.tensor = NewTensor(nil, n.Dtype(), n.Shape(), nil)
		if t := bound[n]; t != nil {
			if err := st.tensor.Point(t); err != nil {
				return fmt.Errorf("input %s: %w", n.Name(), err)
			}
		}
		if n.Op() != nil {
			if err := m.uploadConstant(n); err != nil {
				return err
			}
		}
	}
	for _, st := range m.steps {
		var ptr unsafe.Pointer
		switch {
		case st.op.Into: // wherever that is bound to
			st.tensor = st.root.tensor
			continue
		case st.root != st && st.root.at < 0:
			return fmt.Errorf("%s: a view of an input", st.op.Kernel)
		case st.root != st:
			ptr = unsafe.Add(st.root.tensor.Ptr, st.rootByte)
		case st.pinned:
			if ptr, err = m.alloc(st.bytes, st.op.Kernel); err != nil {
				return err
			}
		default:
			ptr = unsafe.Add(arena, st.arenaAt)
		}
		st.tensor = NewTensor(ptr, st.node.Dtype(), st.node.Shape(), nil)
	}
	return nil
}

func (m *Machine) alloc(bytes int, what string) (unsafe.Pointer, error) {
	ptr, err := m.backend.Alloc(max(1, bytes))
	if err != nil {
		return nil, fmt.Errorf("%d bytes for %s: %w", bytes, what, err)
	}
	m.owned = append(m.owned, ptr)
	return ptr, nil
}

// uploadConstant gives gorgonia's scalar constants (the gradient of the loss by itself, 1) memory.
func (m *Machine) uploadConstant(n *gorgonia.Node) error {
	switch v := n.Value().(type) {
	case *gorgonia.F32:
		return m.Upload(n, unsafe.Slice((*byte)(unsafe.Pointer(v)), 4))
	case *gorgonia.F64:
		return m.Upload(n, unsafe.Slice((*byte)(unsafe.Pointer(v)), 8))
	}
	return fmt.Errorf("constant %s: a %T", n.Name(), n.Value())
}

// Stats describes the compiled machine.
func (m *Machine) Stats() Stats { return m.stats }

// Bind makes input n read t's memory from the next run on: a weight slot. Inputs that no output needs are ignored.
func (m *Machine) Bind(n *gorgonia.Node, t *Tensor) error {
	if st := m.inputs[n]; st != nil {
		if err := st.tensor.Point(t); err != nil {
			return fmt.Errorf("input %s: %w", n.Name(), err)
		}
		return m.forget()
	}
	return nil
}

// Upload copies data into input n's own memory (allocated the first time); data may be shorter than the capacity.
func (m *Machine) Upload(n *gorgonia.Node, data []byte) error {
	st := m.inputs[n]
	if st == nil {
		return nil
	}
	if len(data) > st.bytes {
		return fmt.Errorf("input %s: %d bytes for a capacity of %d", n.Name(), len(data), st.bytes)
	}
	if st.tensor.Ptr == nil {
		ptr, err := m.alloc(st.bytes, n.Name())
		if err != nil {
			return err
		}
		st.tensor.Ptr = ptr
		if err := m.forget(); err != nil {
			return err
		}
	}
	return m.backend.Upload(st.tensor, data)
}

// SetLive sets the live counts of the next runs.
func (m *Machine) SetLive(tokens, segments, reads int) error {
	counts := [NumDims]int32{int32(tokens), int32(segments), int32(reads)}
	return m.backend.Upload(m.live, unsafe.Slice((*byte)(unsafe.Pointer(&counts)), unsafe.Sizeof(counts)))
}

// Output is where output n's value lies after a run; the memory stays the machine's.
func (m *Machine) Output(n *gorgonia.Node) *Tensor { return m.outputs[n].tensor }

// RunAll runs every step once, at the live counts last set. Every input must have memory.
func (m *Machine) RunAll() error { return m.RunAllContext(context.Background()) }

// RunAllContext is RunAll, which stops between two launches when the context ends: outputs then hold anything, and the error is
// the context's.
func (m *Machine) RunAllContext(ctx context.Context) error {
	if err := m.RunForward(ctx); err != nil {
		return err
	}
	return m.RunBackward(ctx)
}

// RunForward runs the steps up to the loss of a plan that is split, else all of them.
func (m *Machine) RunForward(ctx context.Context) error {
	if err := m.hasInputs(); err != nil {
		return err
	}
	if err := m.launch.RunContext(ctx); err != nil {
		return err
	}
	return m.backend.Sync()
}

func (m *Machine) hasInputs() error {
	for _, in := range m.inputs {
		if in.tensor.Ptr == nil && !in.streamed {
			return fmt.Errorf("input %s has no memory: bind or upload it first", in.node.Name())
		}
	}
	return nil
}

// RunBackward runs the steps that RunForward left, whose inputs may have been uploaded since.
func (m *Machine) RunBackward(ctx context.Context) error {
	if len(m.rest.Launches) == 0 {
		return nil
	}
	if err := m.rest.RunContext(ctx); err != nil {
		return err
	}
	return m.backend.Sync()
}

// Reset is part of gorgonia.VM; the next RunAll starts anew anyway.
func (m *Machine) Reset() {}

// Close frees the machine's memory; the backend stays open.
func (m *Machine) Close() error {
	err := m.forget()
	for _, ptr := range m.owned {
		m.backend.Free(ptr)
	}
	if m.arena != nil {
		m.arena.release(m.backend)
	}
	*m = Machine{}
	return err
}
