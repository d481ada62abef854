package llm

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
)

// Embed returns a vector for each text, in their order, all of one length, finite and not zero.
func (c *Client) Embed(ctx context.Context, model string, texts []string, dimensions int) (vectors [][]float32, usage Usage, err error) {
	request := map[string]any{"model": model, "input": texts, "encoding_format": "float"}
	if dimensions > 0 {
		request["dimensions"] = dimensions
	}
	bound := Usage{Prompt: int64(c.o.Overhead)}
	for i, text := range texts {
		if text == "" {
			return nil, Usage{}, fmt.Errorf("llm: text %d of %d is empty; there is nothing to embed", i, len(texts))
		}
		bound.Prompt += int64(len(text)) + 8
	}
	if len(texts) == 0 {
		return nil, Usage{}, nil
	}
	err = c.call(ctx, "/embeddings", request, bound, func(body []byte) (Usage, error) {
		var rerr error
		vectors, usage, rerr = readEmbeddings(body, len(texts), dimensions)
		return usage, rerr
	})
	if err != nil {
		return nil, usage, err
	}
	return vectors, usage, nil
}

func readEmbeddings(body []byte, n, dimensions int) ([][]float32, Usage, error) {
	var r struct {
		Data []struct {
			Index     *int       `json:"index"`
			Embedding []*float64 `json:"embedding"`
		} `json:"data"`
		Usage *usageJSON `json:"usage"`
	}
	if err := json.Unmarshal(body, &r); err != nil {
		return nil, r.Usage.usage(), unreadable("the response is not a list of embeddings in JSON", body, err)
	}
	usage := r.Usage.usage()
	bad := func(reason string) ([][]float32, Usage, error) { return nil, usage, Bad(reason, string(body)) }
	if len(r.Data) != n {
		return bad("the response holds another number of embeddings than of texts")
	}
	vectors := make([][]float32, n)
	for _, d := range r.Data {
		switch {
		case d.Index == nil || *d.Index < 0 || *d.Index >= n || vectors[*d.Index] != nil:
			return bad("the indices of the embeddings are not those of the texts")
		case len(d.Embedding) == 0 || dimensions > 0 && len(d.Embedding) != dimensions || len(d.Embedding) != len(r.Data[0].Embedding):
			return bad("an embedding has another length than was asked for or than the others")
		}
		v, zero := make([]float32, len(d.Embedding)), true
		for i, x := range d.Embedding {
			if x == nil || math.IsInf(float64(float32(*x)), 0) {
				return bad("an embedding holds a value that is not a number in float32")
			}
			v[i] = float32(*x)
			zero = zero && v[i] == 0
		}
		if zero {
			return bad("an embedding is zero, which has no direction")
		}
		vectors[*d.Index] = v
	}
	return vectors, usage, nil
}
