package inputs

import (
	"cmp"
	queue "container/heap"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/metrics"
	"github.com/goprm/goprm/internal/report"
)

// worstSteps keeps the steps with the largest distance between score and label, one a problem; of equal ones the earlier.
type worstSteps struct {
	most int
	seen int
	list worstHeap
}

type worstStep struct {
	gap     float64
	order   int
	problem string
	block   report.Steps
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

// look takes a trajectory's worst step if it is worse than the one kept of its problem, and than the least of those kept.
func (w *worstSteps) look(one metrics.Trajectory, t *data.Trajectory, texts []string, thinking int) {
	w.seen++
	at, gap := -1, math.Inf(-1)
	for i, label := range one.Targets {
		if d := math.Abs(one.Scores[i] - label); d > gap { // false for NaN
			at, gap = i, d
		}
	}
	if at < 0 || w.most <= 0 {
		return
	}
	problem := t.Problem
	if problem == "" {
		problem = t.ID
	}
	same := slices.IndexFunc(w.list, func(k worstStep) bool { return k.problem == problem })
	switch {
	case same >= 0 && gap <= w.list[same].gap, same < 0 && len(w.list) == w.most && gap <= w.list[0].gap:
		return
	case same >= 0:
		queue.Remove(&w.list, same)
	case len(w.list) == w.most:
		queue.Pop(&w.list)
	}
	queue.Push(&w.list, worstStep{gap, w.seen, strings.Clone(problem), disagreement(one, t, texts, thinking, at)})
}

// disagreement is the trajectory with its worst step named.
func disagreement(one metrics.Trajectory, t *data.Trajectory, texts []string, thinking, i int) report.Steps {
	block := shownTrajectory(one, t, texts, thinking, i)
	block.Title = fmt.Sprintf("%s: step %d of %d scores %.3f, its label is %.3g", block.Title, i+1, len(texts), one.Scores[i], one.Targets[i])
	block.Focus = i + 1
	return block
}

// What is shown of a trajectory: all of it, or the steps around one where it is longer than that.
const (
	mostSteps   = 4000
	mostText    = 400_000 // bytes
	stepsAround = 20
	longestText = 20_000 // characters of one text
)

// shownTrajectory lays a trajectory out, whole if it is not too long.
func shownTrajectory(one metrics.Trajectory, t *data.Trajectory, texts []string, thinking, at int) report.Steps {
	block := report.Steps{Title: t.ID, Problem: clipped(t.Problem)}
	if t.Source != "" {
		block.Title += " (" + t.Source + ")"
	}
	from, to, size := 0, len(texts), 0
	for _, text := range texts {
		size += len(text)
	}
	if size > mostText || len(texts) > mostSteps {
		from, to = max(0, at-stepsAround), min(len(texts), at+1+stepsAround)
		block.Note = fmt.Sprintf("Steps %d to %d of %d: the whole is too long for the page.", from+1, to, len(texts))
	}
	block.First = from + 1
	for k := from; k < to; k++ {
		step := report.Step{Part: data.PartThinking.String(), Text: clipped(texts[k]), Score: math.NaN(), Label: math.NaN()}
		if k >= thinking {
			step.Part = data.PartResponse.String()
		}
		if k < len(one.Scores) {
			step.Score, step.Label = one.Scores[k], one.Targets[k]
		}
		block.Steps = append(block.Steps, step)
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
		return strings.Clone(text)
	}
	return fmt.Sprintf("%s … (%d characters more)", text[:end], utf8.RuneCountInString(text[end:]))
}

// traces are the trajectories of the steps, the worst first.
func (w *worstSteps) traces() []report.Steps {
	list := slices.Clone(w.list)
	slices.SortFunc(list, func(a, b worstStep) int {
		if a.gap != b.gap {
			return cmp.Compare(b.gap, a.gap)
		}
		return a.order - b.order
	})
	var blocks []report.Steps
	for _, one := range list {
		blocks = append(blocks, one.block)
	}
	return blocks
}

// shelf keeps the first trajectories of a file, up to a number of them and of bytes.
type shelf struct {
	list []report.Steps
	size int
	left int // that had no room
}

const (
	mostShown     = 24
	mostShownText = 3 << 20
)

func (s *shelf) put(one metrics.Trajectory, t *data.Trajectory, texts []string, thinking int) {
	size := 0
	for _, text := range texts {
		size += len(text)
	}
	if len(s.list) == mostShown || s.size+min(size, mostText) > mostShownText {
		s.left++
		return
	}
	s.size += min(size, mostText)
	s.list = append(s.list, shownTrajectory(one, t, texts, thinking, 0))
}

// section browses them; none if there are none.
func (s *shelf) section(name string, scale report.Scale) []report.Section {
	if len(s.list) == 0 {
		return nil
	}
	text := ""
	if s.left > 0 {
		text = fmt.Sprintf("The first %d trajectories of the file; %d more are not shown.", len(s.list), s.left)
	}
	return []report.Section{{Title: "Trajectories, " + name, Text: text, Blocks: []report.Block{report.Traces{List: scaled(s.list, scale)}}}}
}

func scaled(list []report.Steps, scale report.Scale) []report.Steps {
	for i := range list {
		list[i].Scale = scale
	}
	return list
}
