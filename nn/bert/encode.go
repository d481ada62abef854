package bert

import (
	"context"
	"errors"
	"fmt"
	"math"
	"unsafe"

	"github.com/goprm/goprm/internal/engine"
	"github.com/goprm/goprm/internal/ops"
	"gorgonia.org/gorgonia"
)

// batchTokens and batchTexts are a machine's capacity, where no text is longer. They set the memory and change no embedding.
const (
	batchTokens = 1024
	batchTexts  = 128
)

// Encode returns the texts' embeddings. The empty text has one too, that of the special tokens alone, as in
// sentence-transformers. Errors name the text by its index.
func (e *Encoder) Encode(ctx context.Context, texts []string) ([][]float32, error) {
	wide, err := e.encode(ctx, texts)
	if err != nil {
		return nil, err
	}
	flat, out := make([]float32, len(texts)*e.Dim()), make([][]float32, len(texts))
	for i, w := range wide {
		row := flat[i*e.Dim():][:e.Dim():e.Dim()]
		for j, v := range w {
			row[j] = float32(v)
		}
		out[i] = row
	}
	return out, nil
}

func (e *Encoder) encode(ctx context.Context, texts []string) ([][]float64, error) {
	out := make([][]float64, 0, len(texts))
	var b batch
	flush := func() error {
		if err := ctx.Err(); err != nil {
			return err
		}
		rows, err := e.run(&b)
		for i, row := range rows {
			if err == nil {
				err = e.finish(row)
			}
			if err != nil {
				return fmt.Errorf("text %d: %w", len(out)+i, err)
			}
		}
		out, b = append(out, rows...), batch{}
		return err
	}
	for i, text := range texts {
		ids, dropped, err := e.tokenizer.Encode(e.prompt+text, e.limit)
		if err != nil {
			return nil, fmt.Errorf("text %d: %w", i, err)
		}
		if dropped > 0 {
			e.truncated.Add(1)
		}
		if b.texts() > 0 && (len(b.ids)+len(ids) > batchTokens || b.texts() == batchTexts) {
			if err := flush(); err != nil {
				return nil, err
			}
		}
		b.add(ids)
	}
	if b.texts() > 0 {
		if err := flush(); err != nil {
			return nil, err
		}
	}
	return out, ctx.Err()
}

// batch is texts laid end to end.
type batch struct{ ids, positions, starts []int32 }

func (b *batch) texts() int { return len(b.starts) }

func (b *batch) add(ids []int32) {
	b.starts = append(b.starts, int32(len(b.ids)))
	for i := range ids {
		b.positions = append(b.positions, int32(i))
	}
	b.ids = append(b.ids, ids...)
}

// run computes a batch's embeddings, before their normalisation.
func (e *Encoder) run(b *batch) ([][]float64, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.machine == nil {
		return nil, errors.New("the encoder is closed")
	}
	var rows [][]float64
	err := e.files.Do(func() (err error) {
		rows, err = e.compute(b)
		return err
	})
	if err != nil {
		return nil, err
	}
	return rows, nil
}

func (e *Encoder) compute(b *batch) ([][]float64, error) {
	cu := append(append([]int32{}, b.starts...), int32(len(b.ids)))
	offsets, ranges := make([]int32, len(cu)), make([]int32, 0, len(cu)*ops.RangeLen)
	for s := range b.texts() {
		offsets[s+1] = int32(s + 1)
		ranges = append(ranges, ops.BufferBatch, cu[s], cu[s+1], ops.MaskFull, 0)
	}
	m := e.model
	uploads := []upload{{m.ids, b.ids}, {m.positions, b.positions}, {m.keys.CuSeqlens, cu}, {m.keys.RangeOffsets, offsets},
		{m.keys.Ranges, ranges}}
	if m.starts != nil {
		uploads = append(uploads, upload{m.starts, b.starts})
	}
	for _, u := range uploads {
		if err := e.machine.Upload(u.node, bytesOf(u.data)); err != nil {
			return nil, err
		}
	}
	if err := e.machine.SetLive(len(b.ids), b.texts(), b.texts()); err != nil {
		return nil, err
	}
	if err := e.machine.RunAll(); err != nil {
		return nil, err
	}
	return e.download(b.texts())
}

type upload struct {
	node *gorgonia.Node
	data []int32
}

func (e *Encoder) download(rows int) ([][]float64, error) {
	t, dim := e.machine.Output(e.model.embeddings), e.Dim()
	wide := make([]float64, rows*dim)
	if t.Dtype() == engine.F64 {
		if err := e.backend.Download(bytesOf(wide), t); err != nil {
			return nil, err
		}
	} else {
		narrow := make([]float32, rows*dim)
		if err := e.backend.Download(bytesOf(narrow), t); err != nil {
			return nil, err
		}
		for i, v := range narrow {
			wide[i] = float64(v)
		}
	}
	out := make([][]float64, rows)
	for i := range out {
		out[i] = wide[i*dim:][:dim:dim]
	}
	return out, nil
}

// finish normalises an embedding where the folder says so, and refuses one that is no vector of numbers.
func (e *Encoder) finish(row []float64) error {
	var squares float64
	for _, v := range row {
		squares += v * v
	}
	if math.IsNaN(squares) || math.IsInf(squares, 0) {
		return errors.New("its embedding is not finite: the weights are damaged, or too large for f32")
	}
	if !e.sentence.Normalize {
		return nil
	}
	const least = 1e-12 // the norm that PyTorch divides by at least
	norm := max(math.Sqrt(squares), least)
	for i := range row {
		row[i] /= norm
	}
	return nil
}

func bytesOf[T engine.Number](v []T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), len(v)*int(unsafe.Sizeof(*new(T))))
}
