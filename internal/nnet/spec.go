package nnet

import (
	"fmt"
	"slices"
	"strings"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/hfmodel"
	"github.com/goprm/goprm/internal/ops"
	"github.com/goprm/goprm/loss"
	"gorgonia.org/tensor"
)

// What is trained.
const (
	TrainNothing = ""     // scoring only
	TrainHead    = "head" // the head alone, on cached hidden states
	TrainLoRA    = "lora" // adapters and the head
	TrainFull    = "full" // everything
)

// Head kinds.
const (
	Scalar         = "scalar"           // one linear to 1 (or 2 rows with Final "own")
	LinearTwoClass = "linear_two_class" // one linear to 2 logits
	TwoClassMLP    = "two_class_mlp"    // linear, ReLU, linear to 2 logits, as Qwen2.5-Math-PRM
	TokenLogProb   = "token_log_prob"   // the language model's own head: log-probability of a given token; for scoring
)

// HeadSpec describes a value head.
type HeadSpec struct {
	Kind       string // Scalar, LinearTwoClass, TwoClassMLP or TokenLogProb
	Activation string // scalar heads: "sigmoid" or "identity"
	Final      string // scalar heads: "shared", or "own" for a second row that reads the trajectory
}

// LoRASpec describes adapters: y = W·x + (Alpha/Rank)·B·A·dropout(x).
type LoRASpec struct {
	Rank    int
	Alpha   float64
	Dropout float64  // probability with which an element of an adapter's input is dropped while training; in [0, 1)
	Targets []string // module names, e.g. "q_proj"
	Layers  []int    // nil: all
}

// loraTargets are the modules that can carry an adapter.
var loraTargets = []string{"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}

// Spec is everything that determines a graph besides its capacity.
type Spec struct {
	Config      *hfmodel.Config
	DType       tensor.Dtype // compute: engine.F32, engine.F64, or engine.BFloat16 on backends that have it
	Int8        bool         // projections of the trunk multiply int8, for scoring; the rest is DType, which is F32
	Train       string
	Head        HeadSpec
	LoRA        LoRASpec // used when Train is TrainLoRA or Adapters is set
	Adapters    bool     // run with adapters although nothing is trained
	Loss        loss.Kind
	Recompute   bool // keep only the residual stream between layers for the backward pass
	Cache       int  // tokens whose keys and values are kept, see [Network.SetCache]
	Rule        Rule // of the optimizer; zero: AdamW's
	BF16Moments bool // its state is bf16, rounded at random
	Streamed    bool // the layers' weights are brought to the device while it computes, if they are frozen; see engine.StreamsWeights
	Offload     bool // they lie in host memory, on backends that have it apart
	// Expr is a custom head and loss, as package nn has them; then Head may be of no kind.
	Expr        any
	outerHidden bool // the custom head reads the hidden states of all tokens
	allTokens   bool // the last layer is computed for all tokens
	pairs       bool // the backend has engine.AttendsInBF16
}

func (s Spec) rule() Rule {
	if s.Rule.Op == "" {
		return AdamW{}.Rule()
	}
	return s.Rule
}

// rounds tells whether products read a bf16 copy of a parameter: a trained matrix before the read-outs. Rows of the embedding are
// looked up in f32.
func (s Spec) rounds(p *Parameter) bool {
	return s.DType == engine.BFloat16 && p.Trained && p.Decays() && !p.Head && p.Name != "model.embed_tokens.weight"
}

// moments is the dtype of the optimizer's state of a parameter of a dtype.
func (s Spec) moments(param tensor.Dtype) tensor.Dtype {
	if s.BF16Moments {
		return engine.BFloat16
	}
	return param
}

// Validate reports the first thing that the spec gets wrong.
func (s Spec) Validate() error {
	if !slices.Contains([]string{TrainNothing, TrainHead, TrainLoRA, TrainFull}, s.Train) {
		return fmt.Errorf("train: %q is none of head, lora, full", s.Train)
	}
	if err := s.validateInt8(); err != nil {
		return err
	}
	if s.BF16Moments && s.Params() != engine.F32 {
		return fmt.Errorf("optim.moments: bf16 is for parameters in f32, not with dtype: %s", engine.DTypeName(s.DType))
	}
	if s.Head.Kind == "" && (s.Expr != nil || s.Train == TrainNothing) { // an expression's own, or features alone
		return s.validateAdapters()
	}
	switch s.Head.Kind {
	case Scalar:
		if s.Head.Activation != "sigmoid" && s.Head.Activation != "identity" {
			return fmt.Errorf("head.activation: %q is neither sigmoid nor identity", s.Head.Activation)
		}
	case LinearTwoClass, TwoClassMLP:
		if s.Head.Final == "own" {
			return fmt.Errorf("head.final: own needs head.kind scalar, not %s", s.Head.Kind)
		}
	case TokenLogProb:
		if s.Train != TrainNothing {
			return fmt.Errorf("head.kind: %s is for scoring, not for training", s.Head.Kind)
		}
	default:
		return fmt.Errorf("head.kind: %q is none of scalar, two_class_mlp, linear_two_class", s.Head.Kind)
	}
	if s.Head.Final != "shared" && s.Head.Final != "own" {
		return fmt.Errorf("head.final: %q is neither shared nor own", s.Head.Final)
	}
	switch s.Loss {
	case loss.MSE:
	case loss.BCE:
		if s.Head.Kind != Scalar || s.Head.Activation != "sigmoid" {
			return fmt.Errorf("loss.kind: bce needs a scalar head with a sigmoid; two-class heads take ce or mse")
		}
	case loss.CE:
		if s.Head.Kind == Scalar {
			return fmt.Errorf("loss.kind: ce needs a two-class head; a scalar head takes bce or mse")
		}
	default:
		return fmt.Errorf("loss.kind: %v is none of mse, bce, ce", s.Loss)
	}
	return s.validateAdapters()
}

func (s Spec) validateAdapters() error {
	if !s.hasAdapters() {
		return nil
	}
	if s.LoRA.Rank < 1 || s.LoRA.Rank > s.Config.HiddenSize {
		return fmt.Errorf("lora.rank: %d is outside 1..%d", s.LoRA.Rank, s.Config.HiddenSize)
	}
	if !(s.LoRA.Dropout >= 0 && s.LoRA.Dropout < 1) {
		return fmt.Errorf("lora.dropout: %v is not in [0, 1)", s.LoRA.Dropout)
	}
	for _, t := range s.LoRA.Targets {
		if !slices.Contains(loraTargets, t) {
			return fmt.Errorf("lora.targets: %q is none of %s", t, strings.Join(loraTargets, ", "))
		}
	}
	if len(s.LoRA.Targets) == 0 {
		return fmt.Errorf("lora.targets: empty; name some of %s", strings.Join(loraTargets, ", "))
	}
	for _, l := range s.LoRA.Layers {
		if l < 0 || l >= s.Config.NumHiddenLayers {
			return fmt.Errorf("lora.layers: %d is outside 0..%d", l, s.Config.NumHiddenLayers-1)
		}
	}
	return nil
}

// Params is the dtype of trained parameters, norms, biases, the head and the features it reads.
func (s Spec) Params() tensor.Dtype { return ops.ParamDType(s.DType) }

func (s Spec) hasAdapters() bool { return s.Train == TrainLoRA || s.Adapters }

// ComputesAllTokens says that the last layer is computed for all tokens, though only the read-outs are read: where DType is bf16 and the
// backend is not an [engine.ReadsInFloat32], since what is gathered is float32.
func (s Spec) ComputesAllTokens() bool { return s.allTokens }

// ReadsHidden says whether a custom head reads the hidden states of all tokens.
func (s Spec) ReadsHidden() bool { return s.outerHidden }

// DropsOut reports whether the graph has dropout: it does nothing to a micro-batch without keys.
func (s Spec) DropsOut() bool { return s.Train == TrainLoRA && s.LoRA.Dropout > 0 }

// Adapted reports whether a module of a layer carries an adapter.
func (s Spec) Adapted(layer int, module string) bool {
	return s.hasAdapters() && slices.Contains(s.LoRA.Targets, module) && (s.LoRA.Layers == nil || slices.Contains(s.LoRA.Layers, layer))
}

// Capacity is what a graph is compiled for; live counts may be anything up to it.
type Capacity struct {
	Tokens, Segments, Ranges, Reads int
	Kept                            int // tokens of which the cache takes keys and values
}

// Covers reports whether a graph of capacity c can run something of size o.
func (c Capacity) Covers(o Capacity) bool {
	return c.Tokens >= o.Tokens && c.Segments >= o.Segments && c.Ranges >= o.Ranges && c.Reads >= o.Reads && c.Kept >= o.Kept
}

// Union is the smallest capacity that covers both.
func (c Capacity) Union(o Capacity) Capacity {
	return Capacity{max(c.Tokens, o.Tokens), max(c.Segments, o.Segments), max(c.Ranges, o.Ranges), max(c.Reads, o.Reads), max(c.Kept, o.Kept)}
}
