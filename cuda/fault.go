//go:build linux && (amd64 || arm64) && !nocuda

package cuda

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
)

// diagnose looks at a faulty call's input again, on the host.
func (b *backend) diagnose(c engine.Call) error {
	live := []int32{-1, -1, -1}
	var err error
	if c.Rows != engine.Fixed {
		if live, err = b.integers(c.Live); err != nil {
			return err
		}
	}
	count := func(dim engine.Dim, capacity int) int {
		n := int(live[dim])
		if n > capacity && err == nil {
			err = fmt.Errorf("live count %d is %d, beyond the capacity of %d", dim, n, capacity)
		}
		if n < 0 || n > capacity {
			return capacity
		}
		return n
	}
	in := func(i int) []int32 {
		v, failed := b.integers(c.In[i])
		err = errors.Join(err, failed)
		return v
	}
	rows := func(capacity int) int {
		if c.Rows == engine.Fixed {
			return capacity
		}
		return count(c.Rows, capacity)
	}
	switch c.Op {
	case "embedding", "embedding_dtable", "pick", "pick_dx", "gather", "gather_dx":
		n, what := rows(c.In[1].Size()), "token id"
		var bound int
		switch c.Op {
		case "embedding":
			bound = c.In[0].Shape()[0]
		case "embedding_dtable":
			bound = c.Out.Shape()[0]
		case "pick":
			bound, what = c.In[0].Shape()[1], "column"
		case "pick_dx":
			bound, what = c.Out.Shape()[1], "column"
		case "gather":
			bound, what = count(engine.Tokens, c.In[0].Shape()[0]), "read-out position"
		case "gather_dx":
			bound, what = count(engine.Tokens, c.Out.Shape()[0]), "read-out position"
		}
		if ids := in(1); err == nil {
			err = ops.CheckIDs(what, ids[:n], bound)
		}
	case "cache_write":
		tokens := count(engine.Tokens, c.In[0].Shape()[0])
		if kept := in(1); err == nil {
			err = ops.CheckKept(kept, tokens, c.Out.Shape()[0])
		}
	case "attention", "attention_backward":
		tokens, segments := count(engine.Tokens, c.In[0].Shape()[0]), count(engine.Segments, c.In[3].Size()-1)
		cache := 0
		if hasCache(c) {
			cache = c.In[6].Shape()[0]
		}
		if cu, offsets, ranges := in(3), in(4), in(5); err == nil {
			err = ops.CheckKeys(cu[:segments+1], offsets[:segments+1], ranges, tokens, cache)
		}
	case "pool":
		segments, tokens := rows(first(c.Out)), count(engine.Tokens, first(c.In[0]))
		if cu := in(1); err == nil {
			err = ops.CheckSegments(cu[:segments+1], tokens)
		}
	default:
		rows(leading(c))
	}
	return err
}

func (b *backend) integers(t *engine.Tensor) ([]int32, error) {
	v := make([]int32, t.Size())
	return v, b.Download(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), 4*len(v)), t)
}
