package inputs

import (
	"cmp"
	queue "container/heap"
	"fmt"
	"math"
	"slices"
	"unicode/utf8"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/metrics"
	"github.com/goprm/goprm/internal/report"
)

// What is shown around a step that disagrees with its label.
const (
	stepsBefore = 2
	stepsAfter  = 1
	longestText = 1500 // characters of one text
)

// worstSteps keeps the steps with the largest distance between score and label; of equal ones the earlier.
type worstSteps struct {
	most int
	seen int
	list worstHeap
}

type worstStep struct {
	gap   float64
	order int
	block report.Steps
}

// worstHeap has the one to give up first on top.
type worstHeap []worstStep

func (h worstHeap) Len() int { return len(h) }
func (h worstHeap) Less(i, j int) bool {
	return h[i].gap < h[j].gap || h[i].gap == h[j].gap && h[i].order > h[j].order
}
func (h worstHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// Push is part of heap.Interface.
func (h *worstHeap) Push(x any) { *h = append(*h, x.(worstStep)) }

// Pop is part of heap.Interface.
func (h *worstHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

// look takes what is worse than the least of those kept.
func (w *worstSteps) look(one metrics.Trajectory, t *data.Trajectory, texts []string, thinking int) {
	for i, label := range one.Targets {
		if math.IsNaN(label) {
			continue
		}
		w.seen++
		gap := math.Abs(one.Scores[i] - label)
		if w.most <= 0 || len(w.list) == w.most && gap <= w.list[0].gap {
			continue
		}
		if len(w.list) == w.most {
			queue.Pop(&w.list)
		}
		queue.Push(&w.list, worstStep{gap, w.seen, excerpt(one, t, texts, thinking, i)})
	}
}

// excerpt is the step with those around it.
func excerpt(one metrics.Trajectory, t *data.Trajectory, texts []string, thinking, i int) report.Steps {
	from, to := max(0, i-stepsBefore), min(len(texts), i+1+stepsAfter)
	source := ""
	if t.Source != "" {
		source = " (" + t.Source + ")"
	}
	block := report.Steps{Problem: clipped(t.Problem), First: from + 1,
		Title: fmt.Sprintf("%s%s: step %d of %d scores %.3f, its label is %.3g", t.ID, source, i+1, len(texts), one.Scores[i], one.Targets[i])}
	for k := from; k < to; k++ {
		part := data.PartThinking.String()
		if k >= thinking {
			part = data.PartResponse.String()
		}
		block.Steps = append(block.Steps, report.Step{Part: part, Text: clipped(texts[k]), Score: one.Scores[k], Label: one.Targets[k]})
	}
	return block
}

// clipped is the beginning of a long text, a copy that does not keep the rest in memory.
func clipped(text string) string {
	end := 0
	for n := 0; n < longestText && end < len(text); n++ {
		_, size := utf8.DecodeRuneInString(text[end:])
		end += size
	}
	if end == len(text) {
		return text
	}
	return fmt.Sprintf("%s … (%d characters more)", text[:end], utf8.RuneCountInString(text[end:]))
}

// blocks are the steps, the worst first.
func (w *worstSteps) blocks() []report.Block {
	list := slices.Clone(w.list)
	slices.SortFunc(list, func(a, b worstStep) int {
		if a.gap != b.gap {
			return cmp.Compare(b.gap, a.gap)
		}
		return a.order - b.order
	})
	var blocks []report.Block
	for _, one := range list {
		blocks = append(blocks, one.block)
	}
	return blocks
}
