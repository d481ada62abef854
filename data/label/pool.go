package label

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/data/label/store"
	"github.com/goprm/goprm/internal/rng"
)

// pool holds the steps that negatives are drawn from: those of the data set with the smallest hashes of (seed, trajectory,
// step). So it depends neither on the order of the rows nor on the shard.
type pool struct {
	items []pooled
	hash  string

	encode sync.Once
	err    error
	mean   []float64 // nil: nothing is centred
}

type pooled struct {
	rank    store.Key
	problem data.ProblemKey
	text    string
	vector  []float32
}

func gatherPool(ctx context.Context, p Pipeline, in iter.Seq2[*data.Trajectory, error]) (*pool, error) {
	var items []pooled
	size := p.Coherence.Pool
	byRank := func(a, b pooled) int { return bytes.Compare(a.rank[:], b.rank[:]) }
	shrink := func() {
		slices.SortFunc(items, byRank)
		items = slices.CompactFunc(items, func(a, b pooled) bool { return a.rank == b.rank })
		items = items[:min(size, len(items))]
	}
	var worst store.Key // of a full pool
	full := false
	for t, err := range in {
		var bad *data.RowError
		if errors.As(err, &bad) && p.SkipBad {
			continue
		}
		if err != nil {
			return nil, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		c := CaseOf(t, p.Split)
		problem := data.KeyOf(c.Problem)
		for i, step := range c.Thinking {
			rank := store.NewKey("pool", fmt.Sprint(p.Seed), c.ID, fmt.Sprint(i), string(problem[:]), step)
			if full && bytes.Compare(rank[:], worst[:]) >= 0 {
				continue
			}
			// a clone, or the whole trajectory would stay in memory
			items = append(items, pooled{rank: rank, problem: problem, text: strings.Clone(step)})
			if len(items) >= 2*size {
				shrink()
				if full = len(items) == size; full {
					worst = items[size-1].rank
				}
			}
		}
	}
	shrink()
	h := sha256.New()
	for _, it := range items {
		h.Write(it.rank[:])
	}
	return &pool{items: slices.Clip(items), hash: hex.EncodeToString(h.Sum(nil))}, nil
}

// ready encodes the pool, once; a run that finds everything in its store never needs it.
func (p *pool) ready(ctx context.Context, e Encoder, centred bool) error {
	p.encode.Do(func() {
		const batch = 64
		for from := 0; from < len(p.items) && p.err == nil; from += batch {
			part := p.items[from:min(from+batch, len(p.items))]
			texts := make([]string, len(part))
			for i := range part {
				texts[i] = part[i].text
			}
			vectors, err := e.Encode(ctx, texts)
			if err == nil {
				err = checkVectors(vectors, len(texts))
			}
			if err == nil && len(vectors[0]) != len(p.items[0].vector) && from > 0 {
				err = errors.New("the encoder's vectors differ in length")
			}
			if err != nil {
				p.err = fmt.Errorf("encoding the pool of negatives: %w", err)
				return
			}
			for i := range part {
				part[i].vector = vectors[i]
			}
		}
		if !centred || len(p.items) == 0 {
			return
		}
		p.mean = make([]float64, len(p.items[0].vector))
		for _, it := range p.items {
			for i, x := range it.vector {
				p.mean[i] += float64(x) / float64(len(p.items))
			}
		}
		for i := range p.items {
			p.items[i].vector = centre(p.items[i].vector, p.mean)
		}
	})
	return p.err
}

// draw calls fn with n negatives for each of the steps of a trajectory, drawn by (seed, id, step) from the steps of other
// problems. It returns false where the pool has too few.
func (p *pool) draw(seed uint64, c *Case, n int, fn func(step int, negatives [][]float32)) bool {
	problem := data.KeyOf(c.Problem)
	var others []int
	for i := range p.items {
		if p.items[i].problem != problem {
			others = append(others, i)
		}
	}
	if len(others) < n {
		return false
	}
	random := rng.New(seed, "negatives "+c.ID)
	negatives, swapped := make([][]float32, n), make([]int, n)
	for t := range c.Thinking {
		for k := range n { // the beginning of a shuffle, undone afterwards so that steps do not depend on one another
			j := k + int(random.Uint64(uint64(t)<<16|uint64(k))%uint64(len(others)-k))
			others[k], others[j] = others[j], others[k]
			negatives[k], swapped[k] = p.items[others[k]].vector, j
		}
		for k := n - 1; k >= 0; k-- {
			others[k], others[swapped[k]] = others[swapped[k]], others[k]
		}
		fn(t, negatives)
	}
	return true
}
