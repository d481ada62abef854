package label

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// geometry is what the encoder's vectors say of a trajectory. A nil part is missing for good, for the reason given.
type geometry struct {
	To          []int     `json:"to,omitempty"`
	Align       []float64 `json:"align,omitempty"`
	NoAlign     string    `json:"no_align,omitempty"`
	Coherence   []float64 `json:"coherence,omitempty"`
	NoCoherence string    `json:"no_coherence,omitempty"`
}

const stageGeometry = "geometry"

// geometry returns what the store has or the encoder says; open is why it stays open.
func (r *run) geometry(ctx context.Context, c *Case) (g *geometry, open string, err error) {
	settings, err := json.Marshal(r.Coherence)
	if err != nil {
		return nil, "", err
	}
	key := caseKey(stageGeometry+"/1", c, r.Encoder.ID(), string(r.Pairing), string(settings), r.pool.hash, fmt.Sprint(r.Seed))
	value, found, err := r.get(stageGeometry, key)
	if err != nil {
		return nil, "", err
	}
	if found {
		r.count(r.stored, stageGeometry, 1)
		g = &geometry{}
		return g, "", json.Unmarshal(value, g)
	}
	err = r.call(ctx, r.encodes, func() (err error) {
		r.count(r.asked, stageGeometry, 1)
		g, err = r.measure(ctx, c)
		return err
	}, func(why string) error {
		if open = why; open != "" {
			return r.putOpen(stageGeometry, key, open)
		}
		value, err := json.Marshal(g)
		if err != nil {
			return err
		}
		if value, err = r.remember(stageGeometry, key, value); err != nil {
			return err
		}
		g = &geometry{}
		return json.Unmarshal(value, g)
	})
	return g, open, err
}

// measure encodes the problem and all steps in one call.
func (r *run) measure(ctx context.Context, c *Case) (*geometry, error) {
	if err := r.pool.ready(ctx, r.Encoder, r.Coherence.Centre); err != nil {
		return nil, err
	}
	texts := append(append([]string{c.Problem}, c.Thinking...), c.Response...)
	vectors, err := r.Encoder.Encode(ctx, texts)
	if err != nil {
		return nil, err
	}
	if err := checkVectors(vectors, len(texts)); err != nil {
		return nil, err
	}
	if len(r.pool.items) > 0 && len(r.pool.items[0].vector) != len(vectors[0]) {
		return nil, errors.New("the encoder's vectors differ in length")
	}
	if r.pool.mean != nil {
		for i, v := range vectors {
			vectors[i] = centre(v, r.pool.mean)
		}
	}
	thinking, response := vectors[1:1+len(c.Thinking)], vectors[1+len(c.Thinking):]
	g := &geometry{}
	if len(response) == 0 {
		g.NoAlign = noResponse
	} else {
		cos := func(t, m int) float64 { return Cosine(thinking[t], response[m]) }
		g.To, err = r.Pairing.Pair(len(thinking), len(response), cos)
		if err != nil {
			g.NoAlign = err.Error()
		}
		for t, m := range g.To {
			g.Align = append(g.Align, cos(t, m))
		}
	}
	if !r.pool.draw(r.Seed, c, r.Coherence.Negatives, func(t int, negatives [][]float32) {
		g.Coherence = append(g.Coherence, r.Coherence.Score(vectors[t], thinking[t], negatives)) // vectors[t] is the step before, or the problem
	}) {
		g.NoCoherence = fmt.Sprintf("the pool has fewer than %d steps of other problems", r.Coherence.Negatives)
	}
	return g, nil
}

const noResponse = "no response"
