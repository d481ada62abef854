package nn

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/modelfolder"
	"github.com/goprm/goprm/internal/nnet"

	_ "github.com/goprm/goprm/internal/cpu" // the device cpu
)

// Network is a backbone with a value head, or with an expression of the caller's own. Its methods may be called from several
// goroutines; they take turns. What they return are copies.
type Network struct {
	options Options
	folder  *modelfolder.Folder
	backend engine.Backend
	text    data.TextOptions

	mu      sync.Mutex
	closed  bool
	trunk   *nnet.Network // computes features; trainer where that has a trunk
	trainer *nnet.Network // what scores and learns; starts at the features for Train Head
	updates int
}

// ErrClosed is what methods return after Close.
var ErrClosed = errors.New("nn: the network is closed")

// Open opens a Hugging Face folder: a backbone (qwen2, qwen3, llama, mistral) or a model that goprm has saved. A head that the
// folder lacks starts at weight 0, a fresh adapter as PEFT draws it.
func Open(dir string, o Options) (*Network, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	n := &Network{options: o}
	var err error
	if n.folder, err = modelfolder.Open(dir, o.Base); err != nil {
		return nil, err
	}
	if err := n.open(); err != nil {
		return nil, errors.Join(err, n.release())
	}
	return n, nil
}

func (n *Network) open() error {
	if err := n.checkCustom(); err != nil {
		return err
	}
	if err := n.openBackend(); err != nil {
		return err
	}
	n.text = data.DefaultText()
	if n.folder.Card != nil {
		n.text = n.folder.Card.Text
	}
	if n.options.Text != nil {
		n.text = *n.options.Text
	}
	spec, err := n.spec()
	if err != nil {
		return err
	}
	source := nnet.Weights{n.folder.Trunk}
	heads := n.folder.Heads != nil && n.hasHead(spec.Head)
	if heads {
		source = nnet.Weights{n.folder.Heads, n.folder.Trunk}
	}
	if n.trainer, err = nnet.New(spec, n.backend, source); err != nil {
		return err
	}
	if err := n.initialise(spec, heads); err != nil {
		return err
	}
	if n.trunk = n.trainer; n.options.Train != Head {
		return nil
	}
	spec.Train, spec.Head, spec.Expr = nnet.TrainNothing, nnet.HeadSpec{Final: "shared"}, nil
	n.trunk, err = nnet.New(spec, n.backend, nnet.Weights{n.folder.Trunk})
	return err
}

// checkCustom makes sure that an expression is there exactly where the folder's head is one.
func (n *Network) checkCustom() error {
	card := n.folder.Card
	switch {
	case card != nil && card.CustomHead && n.options.Expr == nil:
		return fmt.Errorf("%s: its head is an expression of the program that trained it; give the same one in Options.Expr", n.folder.Dir)
	case card != nil && !card.CustomHead && n.options.Expr != nil && n.options.Train == None:
		return fmt.Errorf("%s: its head is %s; an Options.Expr for scoring would have no trained parameters", n.folder.Dir, card.Head.Kind)
	}
	return nil
}

func (n *Network) openBackend() error {
	o := n.options
	kernels := o.Backend
	if kernels == "auto" {
		kernels = ""
	}
	var err error
	n.backend, err = engine.Open(o.Device, engine.Options{Kernels: kernels, Workers: o.Threads, DType: o.DType})
	return err
}

// spec describes the network and checks it against the folder.
func (n *Network) spec() (nnet.Spec, error) {
	o := n.options
	name, err := engine.ResolveDType(o.DType, n.backend)
	if err != nil {
		return nnet.Spec{}, err
	}
	spec := nnet.Spec{
		Config: n.folder.Config, Train: string(o.Train), Loss: o.Loss, Recompute: o.Recompute,
	}
	if spec.DType, err = engine.ParseDType(name); err != nil {
		return spec, fmt.Errorf("dtype: %w", err)
	}
	if o.Expr != nil {
		spec.Expr = o.Expr
	}
	own, hasHead := n.folder.HeadSpec()
	switch {
	case o.Head.Kind != "":
		spec.Head = o.Head.filled()
	case o.Expr != nil:
		spec.Head = nnet.HeadSpec{Final: "shared"}
	case hasHead:
		spec.Head = own
	default:
		spec.Head = HeadSpec{Kind: Scalar}.filled()
	}
	return spec, n.specLoRA(&spec)
}

// specLoRA takes the folder's adapter over, or the options' one.
func (n *Network) specLoRA(spec *nnet.Spec) error {
	own, adapted := n.folder.LoRA()
	if n.options.Train == LoRA {
		spec.LoRA = n.options.LoRA.filled()
	}
	switch {
	case !adapted:
	case n.options.Train == None:
		spec.Adapters, spec.LoRA = true, own
	case n.options.Train != LoRA:
		return fmt.Errorf("%s: it has adapters, which train: %s would leave out; merge them first (prm export --merge)", n.folder.Dir,
			n.options.Train)
	default:
		own.Dropout = spec.LoRA.Dropout // concerns training alone
		if reflect.DeepEqual(n.options.LoRA, LoRASpec{Dropout: spec.LoRA.Dropout}) {
			spec.LoRA = own
		}
		if !reflect.DeepEqual(spec.LoRA, own) {
			return fmt.Errorf("%s: lora: its adapters are %+v, the options say %+v", n.folder.Dir, own, spec.LoRA)
		}
	}
	return nil
}

// hasHead reports whether the folder has what the head, or the expression, reads.
func (n *Network) hasHead(head nnet.HeadSpec) bool {
	if card := n.folder.Card; card != nil && card.CustomHead {
		return true
	}
	own, ok := n.folder.HeadSpec()
	return ok && own == head
}

// initialise gives the parameters that the folder lacks their start.
func (n *Network) initialise(spec nnet.Spec, heads bool) error {
	if spec.Head.Kind != "" && !heads {
		if err := n.trainer.InitHead(0.5, n.options.Seed); err != nil {
			return err
		}
	}
	if _, adapted := n.folder.LoRA(); n.options.Train == LoRA && !adapted {
		return n.trainer.InitAdapters(n.options.Seed)
	}
	return nil
}

// Config is the backbone's configuration.
func (n *Network) Config() Config { return configOf(n.folder.Config) }

// Text says how trajectories become the network's tokens.
func (n *Network) Text() data.TextOptions { return n.text }

// Close waits for a call at work and releases weights and device. Afterwards methods return ErrClosed.
func (n *Network) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil
	}
	n.closed = true
	return n.release()
}

func (n *Network) release() error {
	var failed []error
	if n.trunk != nil && n.trunk != n.trainer {
		failed = append(failed, n.trunk.Close())
	}
	if n.trainer != nil {
		failed = append(failed, n.trainer.Close())
	}
	if n.backend != nil {
		failed = append(failed, n.backend.Close())
	}
	return errors.Join(append(failed, n.folder.Close())...)
}

// begin takes the network for a call.
func (n *Network) begin(ctx context.Context) (done func(), err error) {
	n.mu.Lock()
	if n.closed {
		n.mu.Unlock()
		return nil, ErrClosed
	}
	if err := ctx.Err(); err != nil {
		n.mu.Unlock()
		return nil, err
	}
	return n.mu.Unlock, nil
}
