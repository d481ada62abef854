package ops

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/goprm/goprm/internal/engine"
	"gorgonia.org/tensor"
)

// A signature gives an op's inputs and result as kind:dimensions. Kinds: f compute dtype, h the same where bf16 is not
// computed in, n the same where a backend fuses ops (f32 or bf16), s the same where nothing but f32 is, p the dtype of
// parameters and their gradients (f32 when the compute dtype is bf16), w a weight: p or bf16; i i32, q int8, d f64, b bf16
// where the compute dtype is f32. Dimensions: a letter stands for one number throughout, a digit for itself, * for any equal shape.
//
// It is the one list of ops: tests compare with it doc.go, the backends' tables, and the compliance suite's cases, tolerances and
// gradients.
type signature struct {
	attr  reflect.Type // nil: none
	forms []string
}

var signatures = map[string]signature{
	"embedding":        {nil, []string{"w:VK i:T > f:TK"}},
	"embedding_dtable": {nil, []string{"f:TK i:T > p:VK"}},
	"rmsnorm":          {reflect.TypeFor[RMSNorm](), []string{"f:TK p:D > f:TK"}},
	"rmsnorm_dx":       {reflect.TypeFor[RMSNorm](), []string{"f:TK p:D f:TK > f:TK"}},
	"rmsnorm_dw":       {reflect.TypeFor[RMSNorm](), []string{"f:TK f:TK > p:D"}},
	"linear":           {nil, []string{"f:TK w:NK > f:TN", "f:TK w:NK p:N > f:TN"}},
	"linear_int8":      {nil, []string{"s:TK q:NK p:NB > s:TN", "s:TK q:NK p:NB p:N > s:TN"}},
	"linear_dx":        {nil, []string{"f:TN w:NK > f:TK"}},
	"linear_dw":        {nil, []string{"f:TN f:TK > p:NK"}},
	"linear_db":        {nil, []string{"f:TN > p:N"}},
	"linear_add":       {reflect.TypeFor[engine.AddAttr](), []string{"n:TN n:TK w:NK > n:TN", "n:TN n:TK w:NK p:N > n:TN"}},
	"linear_dx_add":    {reflect.TypeFor[engine.AddAttr](), []string{"n:TK n:TN w:NK > n:TK"}},
	"linear_swiglu":    {nil, []string{"n:TK w:NK w:NK > n:TN"}},
	"rope":             {reflect.TypeFor[RoPE](), []string{"f:TK i:T > f:TK"}},
	"attention": {reflect.TypeFor[Attention](),
		[]string{"f:TQ f:TG f:TG i:S i:S i:N5 > f:P", "f:TQ f:TG f:TG i:S i:S i:N5 f:CG f:CG > f:P"}},
	"attention_backward": {reflect.TypeFor[Attention](),
		[]string{"f:TQ f:TG f:TG i:S i:S i:N5 f:P f:TQ > f:B", "f:TQ f:TG f:TG i:S i:S i:N5 f:CG f:CG f:P f:TQ > f:B"}},
	"cache_write":      {nil, []string{"f:TK i:M2 > f:CK"}},
	"swiglu":           {nil, []string{"f:TN f:TN > f:TN"}},
	"swiglu_backward":  {nil, []string{"f:TN f:TN f:TN > f:P"}},
	"dropout":          {reflect.TypeFor[Dropout](), []string{"f:TK i:T2 > f:TK"}},
	"add":              {reflect.TypeFor[engine.AddAttr](), []string{"f:* f:* > f:*"}},
	"scale":            {reflect.TypeFor[engine.AddAttr](), []string{"f:* > f:*"}},
	"gather":           {nil, []string{"f:TK i:R > p:RK"}},
	"gather_dx":        {nil, []string{"p:RK i:R > f:TK"}},
	"sigmoid":          {nil, []string{"h:RC > h:RC"}},
	"sigmoid_dx":       {nil, []string{"h:RC h:RC > h:RC"}},
	"relu":             {nil, []string{"h:RC > h:RC"}},
	"relu_dx":          {nil, []string{"h:RC h:RC > h:RC"}},
	"positive_prob":    {nil, []string{"h:R2 > h:R1"}},
	"positive_prob_dx": {nil, []string{"h:R1 h:R1 > h:R2"}},
	"pick":             {nil, []string{"h:RC i:R > h:R1"}},
	"pick_dx":          {nil, []string{"h:R1 i:R h:RC > h:RC"}},
	"squared_error":    {nil, []string{"h:R1 h:R h:R > h:"}},
	"squared_error_dy": {nil, []string{"h:R1 h:R h:R h: > h:R1"}},
	"bce":              {nil, []string{"h:R1 h:R h:R > h:"}},
	"bce_dz":           {nil, []string{"h:R1 h:R h:R h: > h:R1"}},
	"ce":               {nil, []string{"h:R2 h:R h:R > h:"}},
	"ce_dz":            {nil, []string{"h:R2 h:R h:R h: > h:R2"}},
	"log_prob_block":   {reflect.TypeFor[LogProbBlock](), []string{"h:RN i:R > h:R3", "h:RN i:R h:R3 > h:R3"}},
	"log_prob":         {nil, []string{"h:R3 > h:R1"}},
	"layernorm":        {reflect.TypeFor[LayerNorm](), []string{"h:TK h:K h:K > h:TK"}},
	"gelu":             {reflect.TypeFor[GELU](), []string{"h:TN > h:TN"}},
	"pool":             {reflect.TypeFor[Pool](), []string{"h:TK i:C > h:SK"}},
	"tanh":             {nil, []string{"h:RC > h:RC"}},
	"adamw":            {nil, []string{"h:* h:* h:* h:* d:8 d:2 > h:*", "h:* h:* b:* b:* d:8 d:2 > h:*"}},
	"sgd":              {nil, []string{"h:* h:* h:* d:3 d:2 > h:*"}},
	"clip":             {nil, []string{"d:N d:1 > d:2"}},
	"sum_squares":      {nil, []string{"h:* > d:1"}},
}

// Check makes sure of everything a kernel takes for granted about attributes, dtypes and shapes, and returns the dtype
// that the call computes in. Backends begin with it.
func Check(c engine.Call) (compute tensor.Dtype, err error) {
	sig, ok := signatures[c.Op]
	if !ok {
		return compute, fmt.Errorf("op %q: unknown", c.Op)
	}
	if got := reflect.TypeOf(c.Attr); got != sig.attr {
		return compute, fmt.Errorf("%s: attribute %v, want %v", c.Op, got, sig.attr)
	}
	for _, t := range append([]*engine.Tensor{c.Out}, c.In...) {
		if t == nil {
			return compute, fmt.Errorf("%s: a tensor is missing", c.Op)
		}
	}
	if c.Rows != engine.Fixed && (c.Rows < 0 || c.Rows >= engine.NumDims || c.Live == nil) {
		return compute, fmt.Errorf("%s: rows bounded by %d, without such a live count", c.Op, c.Rows)
	}
	for _, form := range sig.forms {
		if compute, ok = matches(c, form); ok && attrFits(c, compute) {
			return compute, nil
		}
	}
	return compute, fmt.Errorf("%s %+v: given %v > %v; want %s", c.Op, c.Attr, c.In, c.Out, strings.Join(sig.forms, " or "))
}

// ParamDType is the dtype of trained parameters, their gradients and everything after the read-outs.
func ParamDType(compute tensor.Dtype) tensor.Dtype {
	if compute == engine.BFloat16 {
		return engine.F32
	}
	return compute
}

// LSELen is how many elements of the compute dtype hold n log-sum-exps, which are never narrower than f32.
func LSELen(compute tensor.Dtype, n int) int {
	return n * int(ParamDType(compute).Size()/compute.Size())
}

// Ops lists every op that has a signature.
func Ops() []string { return slices.Sorted(maps.Keys(signatures)) }

// OpsWithBF16 lists the ops that compute in bf16 as well as in f32 and f64.
func OpsWithBF16() []string { return opsOfKind('f') }

// FusedOps lists the ops that do what two or three of the others do, on backends and in dtypes with such a Fusion alone.
func FusedOps() []string { return opsOfKind('n') }

// Int8Ops lists the ops that multiply int8, which not every backend has.
func Int8Ops() []string { return opsOfKind('s') }

func opsOfKind(kind byte) []string {
	return slices.DeleteFunc(Ops(), func(op string) bool { return computeKind(strings.Fields(signatures[op].forms[0])) != kind })
}

// computeKind is the kind of the first argument that has the compute dtype.
func computeKind(args []string) byte {
	for _, a := range args {
		if strings.Contains("fhns", a[:1]) {
			return a[0]
		}
	}
	return 0
}

func matches(c engine.Call, form string) (compute tensor.Dtype, ok bool) {
	in, out, _ := strings.Cut(form, " > ")
	args := append(strings.Fields(in), out)
	tensors := append(append([]*engine.Tensor{}, c.In...), c.Out)
	if len(args) != len(tensors) {
		return compute, false
	}
	for i, t := range tensors { // the first f, h, n or s decides
		if kind := args[i][0]; kind == 'f' || kind == 'h' || kind == 'n' || kind == 's' {
			compute = t.Dtype()
			if compute == engine.BFloat16 && kind == 'h' || compute != engine.F32 && kind == 's' ||
				compute != engine.BFloat16 && compute != engine.F32 && (compute != engine.F64 || kind == 'n') {
				return compute, false
			}
			break
		}
	}
	dims := map[byte]int{}
	var star []int
	for i, t := range tensors {
		kind, shape := args[i][0], args[i][2:]
		if !slices.Contains(dtypesOf(kind, compute), t.Dtype()) {
			return compute, false
		}
		if shape == "*" {
			if star == nil {
				star = append([]int{}, t.Shape()...)
			}
			if !slices.Equal(star, t.Shape()) {
				return compute, false
			}
			continue
		}
		if len(shape) != len(t.Shape()) {
			return compute, false
		}
		for j, n := range t.Shape() {
			letter := shape[j]
			if letter >= '0' && letter <= '9' {
				dims[letter] = int(letter - '0')
			}
			if want, bound := dims[letter]; bound && want != n {
				return compute, false
			}
			dims[letter] = n
		}
	}
	return compute, true
}

func dtypesOf(kind byte, compute tensor.Dtype) []tensor.Dtype {
	switch kind {
	case 'p':
		return []tensor.Dtype{ParamDType(compute)}
	case 'w':
		return []tensor.Dtype{ParamDType(compute), engine.BFloat16}
	case 'i':
		return []tensor.Dtype{engine.I32}
	case 'q':
		return []tensor.Dtype{engine.I8}
	case 'd':
		return []tensor.Dtype{engine.F64}
	case 'b':
		if compute == engine.F32 {
			return []tensor.Dtype{engine.BFloat16}
		}
		return nil
	}
	return []tensor.Dtype{compute}
}

// attrFits checks what attributes say about shapes, and the sizes of packed buffers.
func attrFits(c engine.Call, compute tensor.Dtype) bool {
	switch c.Op {
	case "rope":
		a := c.Attr.(RoPE)
		return a.HeadDim > 0 && a.HeadDim%2 == 0 && a.Theta > 0 && c.In[0].Shape()[1]%a.HeadDim == 0
	case "rmsnorm", "rmsnorm_dx":
		return splits(c.In[0], c.In[1])
	case "rmsnorm_dw":
		return splits(c.In[0], c.Out)
	case "linear_int8":
		return c.In[2].Shape()[1] == Int8Blocks(c.In[1].Shape()[1])
	case "pool":
		return c.In[1].Size() == c.Out.Shape()[0]+1
	case "swiglu_backward":
		return c.Out.Size() == 2*c.In[0].Size()
	case "attention", "attention_backward":
		a := c.Attr.(Attention)
		if a.Heads <= 0 || a.KVHeads <= 0 || a.HeadDim <= 0 || a.Heads%a.KVHeads != 0 || c.In[3].Size() < 1 ||
			c.In[0].Shape()[1] != a.Heads*a.HeadDim || c.In[1].Shape()[1] != a.KVHeads*a.HeadDim {
			return false
		}
		packed := c.In[0].Size() + LSELen(compute, c.In[0].Shape()[0]*a.Heads)
		if c.Op == "attention" {
			return c.Out.Size() == packed
		}
		return c.In[len(c.In)-2].Size() == packed && c.Out.Size() == c.In[0].Size()+2*c.In[1].Size()
	}
	return true
}

// splits reports whether w's length divides that of x's rows.
func splits(x, w *engine.Tensor) bool { return w.Size() > 0 && x.Shape()[1]%w.Size() == 0 }
