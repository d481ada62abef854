package prm

import (
	"context"
	"fmt"
	"math"
	"net/http"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/formats"
	"github.com/goprm/goprm/internal/nnet"
	"github.com/goprm/goprm/internal/safetensors"
	"github.com/goprm/goprm/internal/served"
)

// NextToken gives the labels' log-probabilities after each text. The logits are summed in float64, whatever the network computes in.
func (s *servedModel) NextToken(ctx context.Context, texts [][]int32, labels []int32, all bool) ([][]float64, error) {
	m := s.model
	config := m.folder.Config
	if m.public == nil || !m.public.HasVocabulary() {
		return nil, served.ErrNoVocabulary
	}
	if err := checkIDs("label_token_ids", labels, config.VocabSize); err != nil {
		return nil, err
	}
	list := make([]*data.Example, len(texts))
	for i, ids := range texts {
		if err := checkIDs(fmt.Sprintf("text %d", i), ids, config.VocabSize); err != nil {
			return nil, err
		}
		list[i] = &data.Example{Tokens: ids, Reads: []data.ReadOut{{Pos: int32(len(ids) - 1), Kind: data.KindStep}}}
	}
	states, err := m.lastStates(ctx, list, s.opt.Tokens)
	if err != nil {
		return nil, s.lost(err)
	}
	logits, err := m.labelLogits(ctx, states, labels, all)
	return logits, s.lost(err)
}

func checkIDs(what string, ids []int32, vocabulary int) error {
	for i, id := range ids {
		if id < 0 || int(id) >= vocabulary {
			err := fmt.Errorf("%s: id %d at %d is not in the vocabulary of %d", what, id, i, vocabulary)
			return &served.RequestError{Status: http.StatusBadRequest, Err: err}
		}
	}
	return nil
}

// lastStates are the final hidden states at the examples' read-outs.
func (m *Model) lastStates(ctx context.Context, list []*data.Example, tokens int) ([][]float64, error) {
	batches, err := data.PackAll(list, tokens)
	if err != nil {
		return nil, err
	}
	states := make([][]float64, len(list))
	width := m.folder.Config.HiddenSize
	for _, batch := range batches {
		var values []float64
		device := m.leastLoaded()
		err := device.queue.exclusive(func() (err error) { // others have their turn between two
			if err = ctx.Err(); err == nil {
				values, err = device.network.FeatureValues(ctx, batch)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		for i, at := range batch.Trajectory {
			states[at] = values[i*width : (i+1)*width]
		}
	}
	return states, nil
}

// labelLogits are the labels' logits under the language-model head, less, if among all, the logarithm of all tokens' sum.
func (m *Model) labelLogits(ctx context.Context, states [][]float64, labels []int32, all bool) ([][]float64, error) {
	find, err := formats.VocabularyTensors(m.folder.Config, m.folder.Root)
	if err != nil {
		return nil, err
	}
	wanted := map[int]bool{}
	for _, id := range labels {
		wanted[int(id)] = true
	}
	logits, sums := make([]map[int]float64, len(states)), make([]logSum, len(states))
	for i := range logits {
		logits[i], sums[i] = map[int]float64{}, logSum{most: math.Inf(-1)}
	}
	for _, block := range nnet.VocabularyBlocks(m.folder.Config.VocabSize) {
		stored, ok := find(block.Name)
		if !ok {
			return nil, fmt.Errorf("language-model head: block %s is missing", block.Name)
		}
		row := stored
		row.Info.Shape = []int{1, m.folder.Config.HiddenSize}
		size := int64(len(stored.Data)) / int64(block.To-block.From)
		row.Info.Begin, row.Info.End = 0, size
		var weights []float64
		for id := block.From; id < block.To; id++ {
			if !all && !wanted[id] {
				continue
			}
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if weights, err = safetensors.AppendFloat64(weights[:0], row.Info, stored.Data[int64(id-block.From)*size:][:size]); err != nil {
				return nil, err
			}
			for i, state := range states {
				z := dot(weights, state)
				sums[i].add(z)
				if wanted[id] {
					logits[i][id] = z
				}
			}
		}
	}
	out := make([][]float64, len(states))
	for i := range states {
		for _, id := range labels {
			z := logits[i][int(id)]
			if all {
				z -= sums[i].log()
			}
			out[i] = append(out[i], z)
		}
	}
	return out, nil
}

// logSum is the logarithm of a sum of exponentials, as it comes in.
type logSum struct{ most, sum float64 }

func (s *logSum) add(z float64) {
	if z > s.most {
		s.sum = s.sum*math.Exp(s.most-z) + 1
		s.most = z
		return
	}
	s.sum += math.Exp(z - s.most)
}

func (s *logSum) log() float64 { return s.most + math.Log(s.sum) }

func dot(a, b []float64) float64 {
	sum := 0.0
	for i, v := range a {
		sum += v * b[i]
	}
	return sum
}
