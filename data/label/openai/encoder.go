package openai

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/goprm/goprm/data/label"
	"github.com/goprm/goprm/internal/llm"
)

// EncoderOptions of an encoder over /v1/embeddings.
type EncoderOptions struct {
	Model string
	// Revision tells apart what a server may serve under one name; it goes into the ID.
	Revision string
	// Prefix stands before each text, e.g. "query: " for E5.
	Prefix string
	// Dimensions asks for shorter vectors, of models that offer them; 0: the model's own.
	Dimensions int
	// Batch is the number of texts of one request; 0 means 64.
	Batch int
}

func (o EncoderOptions) Validate() error {
	if o.Model == "" {
		return errors.New("openai: the model needs a name")
	}
	if o.Dimensions < 0 || o.Batch < 0 {
		return fmt.Errorf("openai: dimensions (%d) and batch (%d) must not be negative", o.Dimensions, o.Batch)
	}
	return nil
}

// Encoder makes vectors of texts.
type Encoder struct {
	client *llm.Client
	o      EncoderOptions

	mu        sync.Mutex
	dimension int // of the first answer; all others must have it
}

var _ label.Encoder = (*Encoder)(nil)

// NewEncoder returns an encoder. It calls nobody.
func NewEncoder(client *Client, o EncoderOptions) (*Encoder, error) {
	asked, err := client.inner()
	if err != nil {
		return nil, err
	}
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Batch == 0 {
		o.Batch = 64
	}
	return &Encoder{client: asked, o: o, dimension: o.Dimensions}, nil
}

func (e *Encoder) ID() string {
	return fmt.Sprintf("openai-embeddings/1 model=%q revision=%q prefix=%q dimensions=%d", e.o.Model, e.o.Revision, e.o.Prefix, e.o.Dimensions)
}

// Encode asks for the texts' vectors, batch by batch.
func (e *Encoder) Encode(ctx context.Context, texts []string) ([][]float32, error) {
	vectors := make([][]float32, 0, len(texts))
	for from := 0; from < len(texts); from += e.o.Batch {
		batch := make([]string, 0, e.o.Batch)
		for _, text := range texts[from:min(from+e.o.Batch, len(texts))] {
			batch = append(batch, e.o.Prefix+text)
		}
		part, _, err := e.client.Embed(ctx, e.o.Model, batch, e.o.Dimensions)
		if err != nil {
			return nil, fmt.Errorf("texts %d to %d of %d: %w", from, from+len(batch)-1, len(texts), err)
		}
		if err := e.check(len(part[0])); err != nil {
			return nil, err
		}
		vectors = append(vectors, part...)
	}
	return vectors, nil
}

func (e *Encoder) check(dimension int) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.dimension == 0 {
		e.dimension = dimension
	}
	if e.dimension != dimension {
		return llm.Bad(fmt.Sprintf("the vectors have %d numbers, earlier ones had %d", dimension, e.dimension), "")
	}
	return nil
}

// Plan estimates what encoding the texts asks for.
func (e *Encoder) Plan(texts []string) (total Estimate) {
	total.Calls = int64((len(texts) + e.o.Batch - 1) / e.o.Batch)
	for _, text := range texts {
		total.Prompt += tokens(len(e.o.Prefix) + len(text))
	}
	return total
}
