package engine

import (
	"errors"
	"fmt"
	"hash"
	"hash/fnv"
	"unsafe"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Op is one application of a kernel: argument types, result type and result shape are fixed when it is made, which
// side-steps gorgonia's type inference.
type Op struct {
	Kernel  string // the name backends look up
	Attr    any    // everything the kernel depends on besides shapes and dtypes
	Rows    Dim    // the live count that bounds the rows
	InPlace bool   // the result may use the first input's memory
	Into    bool   // the last input, one of the graph's, is where the result is written: the kernel is not given it besides
	Group   int    // not 0: it may be computed later than its inputs allow, together with others of the group, see Grouper
	// Differentiable says for each input whether a gradient flows to it; nil: to none.
	Differentiable []bool
	// Gradient builds the gradients of the inputs; nil entries where Differentiable is false.
	Gradient func(in gorgonia.Nodes, out, dOut *gorgonia.Node) (gorgonia.Nodes, error)
	// Oracle runs the op when gorgonia's own machines do; only tests set it.
	Oracle Backend

	view     bool // the result is input 0's memory from viewFrom (elements) on
	viewFrom int
	marker   bool // carries a gradient to a packed producer, see View
	id       uint64
	in       []hm.Type
	outDType tensor.Dtype
	outShape tensor.Shape
}

var (
	_ gorgonia.Op   = (*Op)(nil)
	_ gorgonia.SDOp = (*Op)(nil)
)

// Apply adds the op to the graph of its inputs. id must be unique within the graph: gorgonia merges nodes whose 32-bit
// hashes agree, without comparing their inputs.
func (o *Op) Apply(id uint64, dtype tensor.Dtype, shape tensor.Shape, in ...*gorgonia.Node) (*gorgonia.Node, error) {
	o.id, o.outDType, o.outShape = id, dtype, shape
	o.in = make([]hm.Type, len(in))
	for i, n := range in {
		o.in[i] = n.Type()
	}
	return gorgonia.ApplyOp(o, in...)
}

// View is the op of a node that shares memory with its one input, a packed buffer, from element `from` on.
// A differentiable view hands its gradient through to the op that produced the buffer, which unpacks it with Unpacked;
// a packed buffer may have one differentiable view.
func View(from int, differentiable bool, markerID func() uint64) *Op {
	o := &Op{Kernel: "view", Attr: from, Rows: Fixed, view: true, viewFrom: from, Differentiable: []bool{differentiable}}
	o.Gradient = func(in gorgonia.Nodes, _, dOut *gorgonia.Node) (gorgonia.Nodes, error) {
		marker := &Op{Kernel: "packed_gradient", Attr: from, Rows: Fixed, marker: true}
		n, err := marker.Apply(markerID(), dOut.Dtype(), in[0].Shape().Clone(), dOut)
		return gorgonia.Nodes{n}, err
	}
	return o
}

// Unpacked returns the gradient of the one differentiable view of a packed buffer, given the buffer's gradient.
func Unpacked(dPacked *gorgonia.Node) (*gorgonia.Node, error) {
	if o, ok := dPacked.Op().(*Op); ok && o.marker {
		return children(dPacked)[0], nil
	}
	return nil, errors.New("a packed result has more than one differentiable view")
}

// children returns the ordered inputs of n; gorgonia keeps them unexported, ExprGraph.From has them in order.
func children(n *gorgonia.Node) gorgonia.Nodes {
	it := n.Graph().From(n.ID())
	nodes := make(gorgonia.Nodes, 0, it.Len())
	for it.Next() {
		nodes = append(nodes, it.Node().(*gorgonia.Node))
	}
	return nodes
}

func (o *Op) Arity() int { return len(o.in) }

// Type is a fresh function type each time: gorgonia returns it to a pool.
func (o *Op) Type() hm.Type {
	types := append(make([]hm.Type, 0, len(o.in)+1), o.in...)
	return hm.NewFnType(append(types, typeOf(o.outDType, len(o.outShape)))...)
}

func (o *Op) InferShape(...gorgonia.DimSizer) (tensor.Shape, error) { return o.outShape.Clone(), nil }
func (o *Op) ReturnsPtr() bool                                      { return true }
func (o *Op) CallsExtern() bool                                     { return false }
func (o *Op) OverwritesInput() int                                  { return -1 } // sharing memory is the machine's decision
func (o *Op) String() string                                        { return o.Kernel }

func (o *Op) WriteHash(h hash.Hash) {
	_, _ = fmt.Fprintf(h, "goprm.%s|%v|%v|%v|%d", o.Kernel, o.Attr, o.outDType, []int(o.outShape), o.id)
}

func (o *Op) Hashcode() uint32 {
	h := fnv.New32a()
	o.WriteHash(h)
	return h.Sum32()
}

// DiffWRT is never nil: gorgonia indexes it.
func (o *Op) DiffWRT(n int) []bool {
	if o.Differentiable == nil {
		return make([]bool, n)
	}
	return o.Differentiable
}

func (o *Op) SymDiff(in gorgonia.Nodes, out, dOut *gorgonia.Node) (gorgonia.Nodes, error) {
	if o.Gradient == nil {
		return make(gorgonia.Nodes, len(in)), nil
	}
	return o.Gradient(in, out, dOut)
}

// Do runs the op under gorgonia's own machines, on the oracle backend, with every count at its capacity. Results are
// gorgonia's kinds of values, since its own sum of gradients takes no other.
func (o *Op) Do(in ...gorgonia.Value) (gorgonia.Value, error) {
	tensors := make([]*Tensor, len(in))
	for i, v := range in {
		t, ok := v.(*Tensor)
		if !ok {
			shape := v.Shape()
			if _, scalar := v.(gorgonia.Scalar); scalar {
				shape = nil
			}
			t = NewTensor(pointer(v), v.Dtype(), shape, v)
		}
		tensors[i] = t
	}
	switch {
	case o.marker:
		return in[0], nil
	case o.view:
		return o.viewOf(in[0]), nil
	case o.Oracle == nil:
		return nil, fmt.Errorf("%s: gorgonia's machines cannot run this graph; use engine.Compile", o.Kernel)
	}
	result := o.newValue()
	out := NewTensor(pointer(result), o.outDType, o.outShape, result)
	asCompiled := FromSlice([]int32{-1, -1, -1}, int(NumDims))
	launch, err := o.Oracle.Compile(Call{Op: o.Kernel, Attr: o.Attr, Rows: Fixed, In: tensors, Out: out, Live: asCompiled})
	if err != nil {
		return nil, err
	}
	return result, launch()
}

// viewOf shares a packed value's memory.
func (o *Op) viewOf(packed gorgonia.Value) gorgonia.Value {
	from, to, d := o.viewFrom, o.viewFrom+elements(o.outShape), packed.(*tensor.Dense)
	if o.outDType == F64 {
		return tensor.New(tensor.WithShape(o.outShape...), tensor.WithBacking(d.Float64s()[from:to]))
	}
	return tensor.New(tensor.WithShape(o.outShape...), tensor.WithBacking(d.Float32s()[from:to]))
}

// pointer is where a value of gorgonia's lies.
func pointer(v gorgonia.Value) unsafe.Pointer {
	d, ok := v.(*tensor.Dense)
	switch {
	case !ok:
		return v.(interface{ Pointer() unsafe.Pointer }).Pointer() // its scalars
	case d.Dtype() == F64:
		return unsafe.Pointer(unsafe.SliceData(d.Float64s()))
	}
	return unsafe.Pointer(unsafe.SliceData(d.Float32s()))
}

func (o *Op) newValue() gorgonia.Value {
	switch {
	case len(o.outShape) > 0:
		return tensor.New(tensor.Of(o.outDType), tensor.WithShape(o.outShape...))
	case o.outDType == F64:
		return gorgonia.NewF64(0)
	}
	return gorgonia.NewF32(0)
}
