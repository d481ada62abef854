package nn

import (
	"context"
	"fmt"

	"github.com/goprm/goprm/internal/nnet"
	"gorgonia.org/tensor"
)

// Parameter describes a tensor of the network by its Hugging Face name.
type Parameter struct {
	Name    string
	Shape   []int
	Trained bool
	Head    bool // of the head or an expression: the optimizer's HeadLR applies
}

// Parameters lists the network's tensors: the trunk in the order of the forward pass, the head, an expression's own once a batch
// has named them.
func (n *Network) Parameters() []Parameter {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil
	}
	var list []Parameter
	for _, net := range n.networks() {
		for _, p := range net.Parameters() {
			list = append(list, Parameter{p.Name, append([]int{}, p.Shape...), p.Trained, p.Head})
		}
	}
	return list
}

func (n *Network) networks() []*nnet.Network {
	if n.trunk == n.trainer {
		return []*nnet.Network{n.trainer}
	}
	return []*nnet.Network{n.trunk, n.trainer}
}

// Value is a copy of a tensor, in float32 or, for a network in float64, float64; bf16 is widened.
func (n *Network) Value(name string) (*tensor.Dense, error) {
	done, err := n.begin(context.Background())
	if err != nil {
		return nil, err
	}
	defer done()
	net, p, err := n.find(name)
	if err != nil {
		return nil, err
	}
	v, err := net.Get(name)
	if err != nil {
		return nil, err
	}
	return n.dense(v, p.Shape...)
}

// SetValue gives a tensor another value of the same shape. Files are never written: a weight that was mapped from one becomes a
// copy. A frozen matrix that is stored as bf16 takes the nearest bf16 values.
func (n *Network) SetValue(name string, v *tensor.Dense) error {
	done, err := n.begin(context.Background())
	if err != nil {
		return err
	}
	defer done()
	net, p, err := n.find(name)
	if err != nil {
		return err
	}
	if v == nil || !v.Shape().Eq(tensor.Shape(p.Shape)) {
		return fmt.Errorf("tensor %s: a value of another shape than %v", name, p.Shape)
	}
	dense, err := toDense(v, tensor.Float64)
	if err != nil {
		return fmt.Errorf("tensor %s: %w", name, err)
	}
	return net.Set(name, dense.Float64s())
}

func (n *Network) find(name string) (*nnet.Network, *nnet.Parameter, error) {
	for _, net := range n.networks() {
		for _, p := range net.Parameters() {
			if p.Name == name {
				return net, p, nil
			}
		}
	}
	return nil, nil, fmt.Errorf("tensor %s: the network has none of that name", name)
}
