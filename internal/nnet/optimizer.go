package nnet

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"unsafe"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
)

// optimizer keeps the state and the gradient sums of the trained parameters, in graph order.
type optimizer struct {
	net      *Network
	trained  []*Parameter
	names    []string
	rule     Rule
	states   [][]*engine.Tensor // by trained parameter, then in the rule's order
	scalars  *engine.Tensor     // f64: hyper of each trained parameter, then clip's bound
	hyper    []*engine.Tensor   // views of them
	bound    *engine.Tensor
	results  *engine.Tensor   // f64: the sum of squares of each, then clip's result
	squares  *engine.Tensor   // views of them
	sums     []*engine.Tensor // views of squares
	clipped  *engine.Tensor
	steps    int // updates applied so far
	launches map[launchKey]engine.Launch
	updates  map[*engine.Tensor]*update // by the first gradient
	total    gradientSum
	ranks    *ranks // nil: this process trains alone
}

// update is everything that follows the gradients of a step: no launch of it waits for the host, so it is recorded whole.
type update struct {
	grads   []*engine.Tensor
	squares engine.Sequence // the sums of squares, where other ranks complete them before the rest
	engine.Sequence
}

// launchKey tells compiled launches apart by what they read and write.
type launchKey struct {
	op           string
	out, in, in2 *engine.Tensor
}

func newOptimizer(n *Network) *optimizer {
	o := &optimizer{net: n, rule: n.spec.rule()}
	o.total.optim = o
	for _, p := range n.graph.Params {
		if p.Trained {
			o.trained, o.names = append(o.trained, p), append(o.names, p.Name)
		}
	}
	return o
}

// forget drops what was compiled for gradients that are no more.
func (o *optimizer) forget() error {
	var errs []error
	for _, u := range o.updates {
		errs = append(errs, u.squares.Forget(), u.Forget())
	}
	o.updates, o.launches, o.total.passes = nil, nil, nil // machines drop their sequences themselves
	if o.ranks != nil {
		o.ranks.overlaps = nil
		for _, s := range o.ranks.plain {
			errs = append(errs, s.Forget())
		}
		o.ranks.plain = nil
	}
	return errors.Join(errs...)
}

// allocate gives the state memory before the first update, or before they are restored.
func (o *optimizer) allocate() error {
	if o.scalars != nil {
		return nil
	}
	if o.ranks != nil {
		o.ranks.prepare(o)
	}
	b, n := o.net.backend, len(o.names)
	alloc := b.Alloc
	if o.net.spec.Offload {
		alloc = b.(engine.HostMemory).AllocHost // New made sure
	}
	for i := len(o.states); i < n; i++ { // as far as an earlier try did not come
		var states []*engine.Tensor
		if o.owns(i) {
			var err error
			if states, err = o.allocateState(o.names[i], alloc); err != nil {
				return err
			}
		}
		o.states = append(o.states, states)
	}
	var err error
	if o.results, err = engine.CopyTo(b, engine.FromDType(engine.F64, n+ops.ClipLen)); err != nil {
		return err
	}
	scalars, err := engine.CopyTo(b, engine.FromDType(engine.F64, n*o.rule.Hyper+1))
	if err != nil {
		return err
	}
	o.scalars = scalars
	view := func(of *engine.Tensor, from, size int) *engine.Tensor {
		return engine.NewTensor(unsafe.Add(of.Ptr, 8*from), engine.F64, []int{size}, of)
	}
	for i := range o.names {
		o.hyper, o.sums = append(o.hyper, view(o.scalars, i*o.rule.Hyper, o.rule.Hyper)), append(o.sums, view(o.results, i, 1))
	}
	o.bound, o.squares, o.clipped = view(o.scalars, n*o.rule.Hyper, 1), view(o.results, 0, n), view(o.results, n, ops.ClipLen)
	return nil
}

// allocateState makes the zeroed state tensors of one parameter.
func (o *optimizer) allocateState(name string, alloc func(int) (unsafe.Pointer, error)) ([]*engine.Tensor, error) {
	t := o.net.tensors[name]
	var states []*engine.Tensor
	for range o.rule.State {
		z := engine.NewTensor(nil, o.net.spec.moments(t.Dtype()), t.Shape(), nil)
		var err error
		if z.Ptr, err = alloc(int(z.MemSize())); err != nil {
			return nil, fmt.Errorf("optimizer state of %s: %w", name, err)
		}
		states = append(states, z)
	}
	return states, nil
}

// use makes the rule of an update the optimizer's. State of one rule is of no use to another.
func (o *optimizer) use(rule Rule) error {
	if rule.Op == o.rule.Op {
		return nil
	}
	if o.steps > 0 {
		return fmt.Errorf("the optimizer is %s; it cannot become %s after its first update", o.rule.Op, rule.Op)
	}
	if err := o.release(); err != nil {
		return err
	}
	if o.net.spec.BF16Moments && !rule.BF16State {
		return fmt.Errorf("optim.moments: %s keeps no state in bf16", rule.Op)
	}
	o.rule = rule
	return nil
}

// release frees what allocate made, before the first update.
func (o *optimizer) release() error {
	err := o.forget()
	for _, states := range o.states {
		for _, s := range states {
			o.net.backend.Free(s.Ptr)
		}
	}
	for _, t := range []*engine.Tensor{o.results, o.scalars} {
		if t != nil {
			o.net.backend.Free(t.Ptr)
		}
	}
	o.states, o.results, o.scalars, o.hyper, o.sums = nil, nil, nil, nil, nil
	return err
}

// compile makes a launch of an op on whole tensors.
func (o *optimizer) compile(op string, attr any, out *engine.Tensor, in ...*engine.Tensor) (engine.Launch, error) {
	run, err := o.net.backend.Compile(engine.Call{Op: op, Attr: attr, Rows: engine.Fixed, In: in, Out: out, Live: wholeTensors})
	if err != nil {
		return nil, fmt.Errorf("%s on %s: %w", op, o.net.backend.Name(), err)
	}
	return run, nil
}

// launch compiles an op once and runs it.
func (o *optimizer) launch(op string, attr any, out *engine.Tensor, in ...*engine.Tensor) error {
	key := launchKey{op: op, out: out, in: in[0]}
	if len(in) > 1 {
		key.in2 = in[1]
	}
	run := o.launches[key]
	if run == nil {
		var err error
		if run, err = o.compile(op, attr, out, in...); err != nil {
			return err
		}
		if o.launches == nil {
			o.launches = map[launchKey]engine.Launch{}
		}
		o.launches[key] = run
	}
	return run()
}

var wholeTensors = engine.FromSlice([]int32{-1, -1, -1}, int(engine.NumDims))

// norm is the global L2 norm of the gradients; a NaN or Inf names the first bad tensor. With ranks the owners of gradients give their
// squares.
func (o *optimizer) norm(grads []*engine.Tensor, with *ranks) (float64, error) {
	for i, g := range grads {
		if with != nil && !o.owns(i) {
			continue
		}
		if err := o.launch("sum_squares", nil, o.sums[i], g); err != nil {
			return 0, err
		}
	}
	if with != nil {
		if err := with.shareSquares(o); err != nil {
			return 0, err
		}
	}
	if err := o.launch("clip", nil, o.clipped, o.squares, o.bound); err != nil {
		return 0, err
	}
	return o.finish()
}

// finish waits for sum_squares and clip, and for what followed them.
func (o *optimizer) finish() (norm float64, err error) {
	if err := o.net.backend.Sync(); err != nil {
		return 0, err
	}
	results, err := download(o.net.backend, o.results, o.results.Size())
	if err != nil {
		return 0, err
	}
	for i, s := range results[:len(o.names)] {
		if math.IsNaN(s) || math.IsInf(s, 0) {
			return 0, &NonFiniteError{Tensor: "the gradient of " + o.names[i]}
		}
	}
	return results[len(o.names)+ops.ClipNorm], nil
}

// update applies the gradients unless one of them is NaN or Inf, and returns their norm.
func (o *optimizer) update(grads []*engine.Tensor, by Update) (float64, error) {
	scalars := make([]float64, o.scalars.Size())
	scalars[len(scalars)-1] = by.ClipNorm()
	for i, p := range o.trained {
		by.Hyper(scalars[i*o.rule.Hyper:][:o.rule.Hyper], p, o.steps)
	}
	if err := o.net.backend.Upload(o.scalars, bytesOf(scalars)); err != nil {
		return 0, err
	}
	u, err := o.updateOf(grads)
	if err != nil {
		return 0, err
	}
	if o.ranks != nil {
		if err := u.squares.Run(); err != nil {
			return 0, err
		}
		if err := o.ranks.shareSquares(o); err != nil {
			return 0, err
		}
	}
	if err := u.Run(); err != nil {
		return 0, fmt.Errorf("update of the parameters: %w", err)
	}
	norm, err := o.finish()
	if err != nil {
		return 0, err
	}
	o.steps++
	switch {
	case o.ranks == nil:
	case o.ranks.peers != nil: // the update has spread them
		o.ranks.group.Sent += o.ranks.spreadBytes(o.parameters())
	default:
		err = o.ranks.spread(o.net.backend, o.parameters())
	}
	return norm, err
}

// parameters are the trained tensors.
func (o *optimizer) parameters() []*engine.Tensor {
	list := make([]*engine.Tensor, len(o.names))
	for i, name := range o.names {
		list[i] = o.net.tensors[name]
	}
	return list
}

// updateOf compiles the update for gradients that lie there: their norm, the factor that bounds it, and each tensor's step.
func (o *optimizer) updateOf(grads []*engine.Tensor) (*update, error) {
	if u := o.updates[grads[0]]; u != nil && slices.Equal(u.grads, grads) {
		return u, nil
	}
	u := &update{grads: grads, squares: engine.Sequence{Backend: o.net.backend}, Sequence: engine.Sequence{Backend: o.net.backend}}
	to := &u.Sequence
	add := func(op string, out *engine.Tensor, in ...*engine.Tensor) error {
		launch, err := o.compile(op, nil, out, in...)
		to.Launches = append(to.Launches, launch)
		return err
	}
	if o.ranks != nil {
		to = &u.squares
	}
	for i, g := range grads {
		if !o.owns(i) {
			continue
		}
		if err := add("sum_squares", o.sums[i], g); err != nil {
			return nil, err
		}
	}
	to = &u.Sequence
	if err := add("clip", o.clipped, o.squares, o.bound); err != nil {
		return nil, err
	}
	for i, name := range o.names {
		if !o.owns(i) {
			continue
		}
		w := o.net.tensors[name]
		in := append([]*engine.Tensor{w, grads[i]}, o.states[i]...)
		if err := add(o.rule.Op, w, append(in, o.hyper[i], o.clipped)...); err != nil {
			return nil, fmt.Errorf("updating %s: %w", name, err)
		}
	}
	if o.ranks != nil && o.ranks.peers != nil {
		launches, err := o.ranks.launchSpread(o.net.backend, o.parameters())
		if err != nil {
			return nil, err
		}
		u.Launches = append(u.Launches, launches...)
	}
	if o.updates == nil {
		o.updates = map[*engine.Tensor]*update{}
	}
	o.updates[grads[0]] = u
	return u, nil
}
