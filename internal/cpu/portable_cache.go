package cpu

import (
	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
)

// cacheWrite copies rows as they are, of any dtype.
func cacheWrite(b *backend, c engine.Call) (engine.Launch, error) {
	x, kept, width := c.In[0], c.In[1], c.In[0].Shape()[1]*int(c.Out.Dtype().Size())
	return func() error {
		tokens, err := live(c, engine.Tokens, x.Shape()[0])
		if err != nil {
			return err
		}
		pairs := engine.Slice[int32](kept)
		if err := ops.CheckKept(pairs, tokens, c.Out.Shape()[0]); err != nil {
			return err
		}
		from, to := x.Bytes(), c.Out.Bytes()
		for ; len(pairs) > 0; pairs = pairs[2:] {
			if token, row := int(pairs[0]), int(pairs[1]); token >= 0 {
				copy(to[row*width:][:width], from[token*width:])
			}
		}
		return nil
	}, nil
}
