package compliance

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
	"github.com/stretchr/testify/require"
	"gorgonia.org/tensor"
)

// value is a tensor's contents on the host: floats (exact in the dtype) or ints.
type value struct {
	dtype  tensor.Dtype
	shape  []int
	floats []float64
	ints   []int32
	perRow bool // the leading dimension is that of the call's rows
	tail   int  // log-sum-exps at its end, in the dtype of parameters; floats has one number for each
}

// numbers is how many floats the value holds.
func (v value) numbers() int {
	n := size(v.shape)
	return n - ops.LSELen(v.dtype, v.tail) + v.tail
}

// call is an engine.Call with values, and what its result should be.
type call struct {
	op        string
	attr      any
	rows      engine.Dim
	live      [engine.NumDims]int32
	in        []value
	out       value            // floats are not used
	want      func() []float64 // NaN where nothing is specified
	inPlace   bool
	partial   bool // what is not specified of the result stays as it was
	separable int  // rows of the result that may be computed alone, each from the perRow inputs' rows
	// single gives the last of the single ops that have the call's bits; run gives the results of those before.
	single func(run func(*call) value) *call
}

// capacityRows tells whether some live count bounds the call.
func (c *call) capacityRows() bool { return c.rows != engine.Fixed }

// row is the call with row r alone, and where its result lies in the whole.
func (c *call) row(r int) (alone *call, from, to int) {
	one := *c
	one.in = nil
	for _, v := range c.in {
		if v.perRow {
			width := size(v.shape[1:])
			v.shape = append([]int{1}, v.shape[1:]...)
			if v.floats != nil {
				v.floats = v.floats[r*width : (r+1)*width]
			} else {
				v.ints = v.ints[r*width : (r+1)*width]
			}
		}
		one.in = append(one.in, v)
	}
	width := size(c.out.shape[1:])
	one.out.shape = append([]int{1}, c.out.shape[1:]...)
	one.live = [engine.NumDims]int32{-1, -1, -1}
	return &one, r * width, (r + 1) * width
}

func size(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// maker draws a case's values. Dead rows, spare of them, are filled after the live ones, with garbage.
type maker struct {
	*rand.Rand
	spare int
	dtype tensor.Dtype
}

func newMaker(seed uint64, spare int, dtype tensor.Dtype) *maker {
	return &maker{rand.New(rand.NewPCG(seed, 7)), spare, dtype}
}

// round gives the nearest value of a dtype.
func round(v float64, dtype tensor.Dtype) float64 {
	switch dtype {
	case engine.F32:
		return float64(float32(v))
	case engine.BFloat16:
		return float64(engine.ToBF16(float32(v)).Float32())
	}
	return v
}

// fixed draws a tensor without dead rows from a normal distribution.
func (m *maker) fixed(dtype tensor.Dtype, deviation float64, shape ...int) value {
	v := value{dtype: dtype, shape: shape, floats: make([]float64, size(shape))}
	for i := range v.floats {
		v.floats[i] = round(m.NormFloat64()*deviation, dtype)
	}
	return v
}

// perRow draws live rows of the compute dtype; dead rows are NaN.
func (m *maker) perRow(deviation float64, shape ...int) value {
	return m.perRowOf(m.dtype, deviation, shape...)
}

// param is the dtype of parameters, of their gradients, and of everything after the read-outs.
func (m *maker) param() tensor.Dtype { return ops.ParamDType(m.dtype) }

func (m *maker) perRowOf(dtype tensor.Dtype, deviation float64, shape ...int) value {
	v := m.fixed(dtype, deviation, shape...)
	v.perRow = true
	v.shape = append([]int{shape[0] + m.spare}, shape[1:]...)
	for range size(v.shape) - len(v.floats) {
		v.floats = append(v.floats, math.NaN())
	}
	return v
}

// ids draws live numbers below n; dead ones lead nowhere.
func (m *maker) ids(rows, n int) value {
	v := value{dtype: engine.I32, perRow: true}
	for range rows {
		v.ints = append(v.ints, int32(m.IntN(n)))
	}
	return m.deadInts(v)
}

func (m *maker) deadInts(v value) value {
	for i := range m.spare {
		v.ints = append(v.ints, int32(1<<30)-int32(i%2)*(1<<31-1))
	}
	v.shape = []int{len(v.ints)}
	return v
}

// result is the compute dtype's result of a shape.
func (m *maker) result(shape ...int) value { return value{dtype: m.dtype, shape: shape} }

// computed is a weight as products take it: one trained in f32 is rounded where they compute in bf16.
func (m *maker) computed(w float64) float64 {
	if m.dtype == engine.BFloat16 {
		return round(w, m.dtype)
	}
	return w
}

// paramResult is a result in the dtype of parameters.
func (m *maker) paramResult(shape ...int) value { return value{dtype: m.param(), shape: shape} }

// counts are the live counts: capacities where there is nothing to spare.
func (m *maker) counts(tokens, segments, reads int) [engine.NumDims]int32 {
	if m.spare == 0 {
		return [engine.NumDims]int32{-1, -1, -1}
	}
	return [engine.NumDims]int32{int32(tokens), int32(segments), int32(reads)}
}

// unspecified is n NaN.
func unspecified(n int) []float64 {
	x := make([]float64, n)
	for i := range x {
		x[i] = math.NaN()
	}
	return x
}

type device struct{ engine.Backend }

// placement says how a call's tensors lie in memory.
type placement struct {
	offset      int  // elements before each float input
	moved       bool // the inputs get other memory after the call is compiled, as weight slots do
	inPlace     bool
	countAllocs bool
}

// before is how many elements lie before an input. What holds numbers of two sizes lies as an arena has it.
func (p placement) before(v value) int {
	if v.floats == nil || v.tail > 0 && v.dtype == engine.BFloat16 {
		return 0
	}
	return p.offset
}

// tensor uploads v, offset elements into its memory.
func (d device) tensor(t *testing.T, v value, offset int) *engine.Tensor {
	t.Helper()
	raw := encode(v)
	skip := offset * int(v.dtype.Size())
	ptr, err := d.Alloc(len(raw) + skip + 1)
	require.NoError(t, err)
	x := engine.NewTensor(unsafe.Add(ptr, skip), v.dtype, v.shape, nil)
	require.NoError(t, d.Upload(x, raw))
	return x
}

func (d device) prepare(t *testing.T, c *call, p placement) (engine.Launch, engine.Call) {
	t.Helper()
	live := d.tensor(t, value{dtype: engine.I32, shape: []int{int(engine.NumDims)}, ints: c.live[:]}, 0)
	ec := engine.Call{Op: c.op, Attr: c.attr, Rows: c.rows, Live: live}
	for _, v := range c.in {
		ec.In = append(ec.In, d.tensor(t, v, p.before(v)))
	}
	if p.inPlace {
		ec.Out = ec.In[0]
	} else {
		garbage := c.out
		garbage.floats = unspecified(c.out.numbers())
		ec.Out = d.tensor(t, garbage, 0)
	}
	launch, err := d.Compile(ec)
	require.NoError(t, err)
	if p.moved {
		for i, v := range c.in {
			moved := d.tensor(t, v, p.before(v))
			require.NoError(t, d.Upload(ec.In[i], bytes.Repeat([]byte{0xff}, int(moved.MemSize())))) // NaN and −1
			require.NoError(t, ec.In[i].Point(moved))
		}
	}
	return launch, ec
}

// run returns the result, dead rows included.
func (d device) run(t *testing.T, c *call, p placement) []float64 {
	t.Helper()
	launch, ec := d.prepare(t, c, p)
	require.NoError(t, launch())
	require.NoError(t, d.Sync())
	got := d.read(t, ec.Out, c.out.tail)
	if p.countAllocs && !raceDetector { // which allocates itself
		require.Zero(t, testing.AllocsPerRun(2, func() { _ = launch() }), "a launch allocates")
		require.NoError(t, d.Sync())
		requireSameBits(t, "launched again", got, d.read(t, ec.Out, c.out.tail))
	}
	return got
}

// value is what a call gives, to be another's input.
func (d device) value(t *testing.T, c *call) value {
	v := c.out
	v.floats, v.perRow = d.run(t, c, placement{}), true
	return v
}

func (d device) read(t *testing.T, x *engine.Tensor, tail int) []float64 {
	raw := make([]byte, x.MemSize())
	require.NoError(t, d.Download(raw, x))
	split := len(raw) - tail*int(ops.ParamDType(x.Dtype()).Size())
	return append(decode(raw[:split], x.Dtype()), decode(raw[split:], ops.ParamDType(x.Dtype()))...)
}

func encode(v value) []byte {
	if v.tail > 0 {
		body, tail := v, v
		n := len(v.floats) - v.tail
		body.floats, body.tail, tail.floats, tail.tail, tail.dtype = v.floats[:n], 0, v.floats[n:], 0, ops.ParamDType(v.dtype)
		return append(encode(body), encode(tail)...)
	}
	switch v.dtype {
	case engine.F32:
		return bytesOf(convert[float32](v.floats))
	case engine.F64:
		return bytesOf(v.floats)
	case engine.BFloat16:
		x := make([]engine.BF16, len(v.floats))
		for i, f := range v.floats {
			x[i] = engine.ToBF16(float32(f))
		}
		return bytesOf(x)
	}
	if v.dtype == engine.I8 {
		x := make([]int8, len(v.ints))
		for i, n := range v.ints {
			x[i] = int8(n)
		}
		return bytesOf(x)
	}
	return bytesOf(v.ints)
}

func convert[T float32 | float64](x []float64) []T {
	y := make([]T, len(x))
	for i, v := range x {
		y[i] = T(v)
	}
	return y
}

func bytesOf[T any](x []T) []byte {
	var z T
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(x))), len(x)*int(unsafe.Sizeof(z)))
}

func decode(raw []byte, dtype tensor.Dtype) []float64 {
	x := make([]float64, len(raw)/int(dtype.Size()))
	for i := range x {
		switch dtype {
		case engine.F32:
			x[i] = float64(*(*float32)(unsafe.Pointer(&raw[4*i])))
		case engine.BFloat16:
			x[i] = float64((*(*engine.BF16)(unsafe.Pointer(&raw[2*i]))).Float32())
		default:
			x[i] = *(*float64)(unsafe.Pointer(&raw[8*i]))
		}
	}
	return x
}

// elements counts the numbers of the inputs and the result.
func (c *call) elements() int {
	n := 1
	for _, d := range c.out.shape {
		n *= d
	}
	for _, in := range c.in {
		n += len(in.floats) + len(in.ints)
	}
	return n
}
