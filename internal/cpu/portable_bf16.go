package cpu

import "github.com/goprm/goprm/internal/engine"

// The products in bf16: the specification of every other kernel's bits. An element is summed in f32 in blocks of
// pairBlock pairs along the summed dimension: each a chain of addPair from 0, the first added to the bias (or 0) and the
// next ones to that. A pair that lacks its second element has 0 there.
const pairBlock = 256

// productBF16 is out[i,j] = bias[j] + Σ_k a(i,k)·b(j,k) of operands with any strides, in elements.
type productBF16 struct {
	a, b               []engine.BF16
	aRow, aStep        int
	bRow, bStep        int
	rows, columns, sum int
	bias               []float32 // or nil
}

func (p *productBF16) at(i, j int) float32 {
	var total float32
	if p.bias != nil {
		total = p.bias[j]
	}
	for k := 0; k < p.sum; k += 2 * pairBlock {
		var block float32
		for kk := k; kk < min(p.sum, k+2*pairBlock); kk += 2 {
			x, y := [2]engine.BF16{p.a[i*p.aRow+kk*p.aStep]}, [2]engine.BF16{p.b[j*p.bRow+kk*p.bStep]}
			if kk+1 < p.sum {
				x[1], y[1] = p.a[i*p.aRow+(kk+1)*p.aStep], p.b[j*p.bRow+(kk+1)*p.bStep]
			}
			block = addPair(block, x, y)
		}
		total += block
	}
	return total
}

// portableKernelsBF16 are linear, linear_dx, linear_dw and attention in bf16.
var portableKernelsBF16 = map[string]compile{
	"attention": portableAttentionBF16,
	"linear": portableProductBF16(func(c engine.Call, rows int, p *productBF16) {
		n, k := c.In[1].Shape()[0], c.In[1].Shape()[1]
		p.rows, p.columns, p.sum = rows, n, k
		p.aRow, p.aStep, p.bRow, p.bStep = k, 1, k, 1
		if len(c.In) > 2 {
			p.bias = engine.Slice[float32](c.In[2])
		}
	}),
	"linear_dx": portableProductBF16(func(c engine.Call, rows int, p *productBF16) {
		n, k := c.In[1].Shape()[0], c.In[1].Shape()[1]
		p.rows, p.columns, p.sum = rows, k, n
		p.aRow, p.aStep, p.bRow, p.bStep = n, 1, 1, k
	}),
	"linear_dw": portableProductBF16(func(c engine.Call, rows int, p *productBF16) {
		n, k := c.In[0].Shape()[1], c.In[1].Shape()[1]
		p.rows, p.columns, p.sum = n, k, rows
		p.aRow, p.aStep, p.bRow, p.bStep = 1, n, 1, k
	}),
}

func portableProductBF16(set func(c engine.Call, rows int, p *productBF16)) compile {
	return func(b *backend, c engine.Call) (engine.Launch, error) {
		capacity := c.In[0].Shape()[0]
		var rounded []engine.BF16
		if c.In[1].Dtype() == engine.F32 {
			rounded = make([]engine.BF16, c.In[1].Size())
		}
		p := &productBF16{}
		task := func(i int) {
			for j := range p.columns {
				if v := p.at(i, j); c.Out.Dtype() == engine.BFloat16 {
					engine.Slice[engine.BF16](c.Out)[i*p.columns+j] = engine.ToBF16(v)
				} else {
					engine.Slice[float32](c.Out)[i*p.columns+j] = v
				}
			}
		}
		return func() error {
			rows, err := live(c, c.Rows, capacity)
			if err != nil {
				return err
			}
			p.a = engine.Slice[engine.BF16](c.In[0])
			if p.b = rounded; rounded != nil {
				roundPortably(rounded, engine.Slice[float32](c.In[1]))
			} else {
				p.b = engine.Slice[engine.BF16](c.In[1])
			}
			set(c, rows, p)
			return b.pool.run(p.rows, task)
		}, nil
	}
}

func roundPortably(dst []engine.BF16, src []float32) {
	for i, v := range src {
		dst[i] = engine.ToBF16(v)
	}
}

func widenPortably(dst []float32, src []engine.BF16) {
	for i, v := range src {
		dst[i] = v.Float32()
	}
}
