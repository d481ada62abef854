package cpu

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
	"gorgonia.org/tensor"
)

// A signature gives an op's inputs and result as kind:dimensions. Kinds: f compute dtype, w compute dtype or bf16,
// i i32, d f64. Dimensions: a letter stands for one number throughout, a digit for itself, * for any equal shape.
type signature struct {
	attr  reflect.Type // nil: none
	forms []string
}

var signatures = map[string]signature{
	"embedding":          {nil, []string{"w:VK i:T > f:TK"}},
	"embedding_dtable":   {nil, []string{"f:TK i:T > f:VK"}},
	"rmsnorm":            {reflect.TypeFor[ops.RMSNorm](), []string{"f:TK f:K > f:TK"}},
	"rmsnorm_dx":         {reflect.TypeFor[ops.RMSNorm](), []string{"f:TK f:K f:TK > f:TK"}},
	"rmsnorm_dw":         {reflect.TypeFor[ops.RMSNorm](), []string{"f:TK f:TK > f:K"}},
	"linear":             {nil, []string{"f:TK w:NK > f:TN", "f:TK w:NK f:N > f:TN"}},
	"linear_dx":          {nil, []string{"f:TN w:NK > f:TK"}},
	"linear_dw":          {nil, []string{"f:TN f:TK > f:NK"}},
	"linear_db":          {nil, []string{"f:TN > f:N"}},
	"rope":               {reflect.TypeFor[ops.RoPE](), []string{"f:TK i:T > f:TK"}},
	"attention":          {reflect.TypeFor[ops.Attention](), []string{"f:TQ f:TG f:TG i:S i:S i:N5 > f:P", "f:TQ f:TG f:TG i:S i:S i:N5 f:CG f:CG > f:P"}},
	"attention_backward": {reflect.TypeFor[ops.Attention](), []string{"f:TQ f:TG f:TG i:S i:S i:N5 f:P f:TQ > f:B", "f:TQ f:TG f:TG i:S i:S i:N5 f:CG f:CG f:P f:TQ > f:B"}},
	"swiglu":             {nil, []string{"f:TN f:TN > f:TN"}},
	"swiglu_backward":    {nil, []string{"f:TN f:TN f:TN > f:P"}},
	"add":                {reflect.TypeFor[engine.AddAttr](), []string{"f:* f:* > f:*"}},
	"scale":              {reflect.TypeFor[engine.AddAttr](), []string{"f:* > f:*"}},
	"gather":             {nil, []string{"f:TK i:R > f:RK"}},
	"gather_dx":          {nil, []string{"f:RK i:R > f:TK"}},
	"sigmoid":            {nil, []string{"f:RC > f:RC"}},
	"sigmoid_dx":         {nil, []string{"f:RC f:RC > f:RC"}},
	"relu":               {nil, []string{"f:RC > f:RC"}},
	"relu_dx":            {nil, []string{"f:RC f:RC > f:RC"}},
	"good":               {nil, []string{"f:R2 > f:R1"}},
	"good_dx":            {nil, []string{"f:R1 f:R1 > f:R2"}},
	"pick":               {nil, []string{"f:RC i:R > f:R1"}},
	"pick_dx":            {nil, []string{"f:R1 i:R f:RC > f:RC"}},
	"squared_error":      {nil, []string{"f:R1 f:R f:R > f:"}},
	"squared_error_dy":   {nil, []string{"f:R1 f:R f:R f: > f:R1"}},
	"bce":                {nil, []string{"f:R1 f:R f:R > f:"}},
	"bce_dz":             {nil, []string{"f:R1 f:R f:R f: > f:R1"}},
	"ce":                 {nil, []string{"f:R2 f:R f:R > f:"}},
	"ce_dz":              {nil, []string{"f:R2 f:R f:R f: > f:R2"}},
	"layernorm":          {reflect.TypeFor[ops.LayerNorm](), []string{"f:TK f:K f:K > f:TK"}},
	"gelu":               {reflect.TypeFor[ops.GELU](), []string{"f:TN > f:TN"}},
	"pool":               {reflect.TypeFor[ops.Pool](), []string{"f:TK i:C > f:SK"}},
	"tanh":               {nil, []string{"f:RC > f:RC"}},
	"adamw":              {nil, []string{"f:* f:* f:* f:* d:8 > f:*"}},
	"sum_squares":        {nil, []string{"f:* > d:1"}},
}

// checkSignature makes sure of everything a kernel takes for granted about attributes, dtypes and shapes.
func checkSignature(c engine.Call) error {
	sig, ok := signatures[c.Op]
	if !ok {
		return fmt.Errorf("op %q: unknown", c.Op)
	}
	if got := reflect.TypeOf(c.Attr); got != sig.attr {
		return fmt.Errorf("%s: attribute %v, want %v", c.Op, got, sig.attr)
	}
	for _, t := range append([]*engine.Tensor{c.Out}, c.In...) {
		if t == nil {
			return fmt.Errorf("%s: a tensor is missing", c.Op)
		}
	}
	if c.Rows != engine.Fixed && (c.Rows < 0 || c.Rows >= engine.NumDims || c.Live == nil) {
		return fmt.Errorf("%s: rows bounded by %d, without such a live count", c.Op, c.Rows)
	}
	var fits bool
	for _, form := range sig.forms {
		fits = fits || matches(c, form)
	}
	if !fits || !attrFits(c) {
		return fmt.Errorf("%s %+v: given %v > %v; want %s", c.Op, c.Attr, c.In, c.Out, strings.Join(sig.forms, " or "))
	}
	return nil
}

func matches(c engine.Call, form string) bool {
	in, out, _ := strings.Cut(form, " > ")
	args := append(strings.Fields(in), out)
	tensors := append(append([]*engine.Tensor{}, c.In...), c.Out)
	if len(args) != len(tensors) {
		return false
	}
	var compute tensor.Dtype // the first f decides
	dims := map[byte]int{}
	var star []int
	for i, t := range tensors {
		kind, shape := args[i][0], args[i][2:]
		switch kind {
		case 'f':
			if compute.Type == nil {
				compute = t.Dtype()
			}
			if t.Dtype() != compute {
				return false
			}
		case 'w':
			if t.Dtype() != engine.F32 && t.Dtype() != engine.F64 && t.Dtype() != engine.BFloat16 {
				return false
			}
		case 'i':
			if t.Dtype() != engine.I32 {
				return false
			}
		case 'd':
			if t.Dtype() != engine.F64 {
				return false
			}
		}
		if shape == "*" {
			if star == nil {
				star = append([]int{}, t.Shape()...)
			}
			if !slices.Equal(star, t.Shape()) {
				return false
			}
			continue
		}
		if len(shape) != len(t.Shape()) {
			return false
		}
		for j, n := range t.Shape() {
			letter := shape[j]
			if letter >= '0' && letter <= '9' {
				dims[letter] = int(letter - '0')
			}
			if want, bound := dims[letter]; bound && want != n {
				return false
			}
			dims[letter] = n
		}
	}
	// A weight that is not bf16 has the compute dtype.
	for i, t := range tensors {
		if args[i][0] == 'w' && t.Dtype() != engine.BFloat16 && t.Dtype() != compute {
			return false
		}
	}
	return compute == engine.F32 || compute == engine.F64
}

// attrFits checks what attributes say about shapes, and the sizes of packed buffers.
func attrFits(c engine.Call) bool {
	switch c.Op {
	case "rope":
		a := c.Attr.(ops.RoPE)
		return a.HeadDim > 0 && a.HeadDim%2 == 0 && a.Theta > 0 && c.In[0].Shape()[1]%a.HeadDim == 0
	case "pool":
		return c.In[1].Size() == c.Out.Shape()[0]+1
	case "swiglu_backward":
		return c.Out.Size() == 2*c.In[0].Size()
	case "attention", "attention_backward":
		a := c.Attr.(ops.Attention)
		if a.Heads <= 0 || a.KVHeads <= 0 || a.HeadDim <= 0 || a.Heads%a.KVHeads != 0 || c.In[3].Size() < 1 ||
			c.In[0].Shape()[1] != a.Heads*a.HeadDim || c.In[1].Shape()[1] != a.KVHeads*a.HeadDim {
			return false
		}
		packed := c.In[0].Size() + c.In[0].Shape()[0]*a.Heads
		if c.Op == "attention" {
			return c.Out.Size() == packed
		}
		return c.In[len(c.In)-2].Size() == packed && c.Out.Size() == c.In[0].Size()+2*c.In[1].Size()
	}
	return true
}
