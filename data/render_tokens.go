package data

import (
	"fmt"
	"slices"
	"strings"
)

// laid is a text as tokens. Positions are token indices, -1 of what is not there.
type laid struct {
	tokens []int32
	last   []int32 // of each step: its last token, separator included
	mark   []int32 // of each step: its mark
	order  []int   // the steps in the order of the text
	suffix int     // the first token of what follows the assistant's text; len(tokens) if nothing does
}

func (r *Renderer) tokenize(pieces []piece, suffix bool, s steps) (*laid, error) {
	l := &laid{last: make([]int32, len(s.texts)), mark: make([]int32, len(s.texts))}
	for i := range l.mark {
		l.mark[i] = -1
	}
	for _, p := range pieces {
		if p.step >= 0 && !p.mark {
			l.order = append(l.order, p.step)
		}
	}
	if r.opt.Tokenize == "pieces" {
		return l, r.tokenizePieces(l, pieces, suffix, s)
	}
	return l, r.tokenizeJoined(l, pieces, suffix, s)
}

func (r *Renderer) tokenizePieces(l *laid, pieces []piece, suffix bool, s steps) error {
	l.suffix = -1
	for i, p := range pieces {
		if suffix && i == len(pieces)-1 {
			l.suffix = len(l.tokens)
		}
		if p.mark {
			l.mark[p.step] = int32(len(l.tokens))
			l.tokens = append(l.tokens, r.markID)
			continue
		}
		ids, _, err := r.tok.Encode(p.text)
		if err != nil {
			return fmt.Errorf("tokenising %q: %w", clip(p.text, 60), err)
		}
		l.tokens = append(l.tokens, ids...)
		if p.step < 0 {
			continue
		}
		if len(ids) == 0 {
			return fmt.Errorf("%s has no tokens; give it text or set text.separator", s.name(p.step))
		}
		l.last[p.step] = int32(len(l.tokens) - 1)
	}
	if l.suffix < 0 {
		l.suffix = len(l.tokens)
	}
	return nil
}

func (r *Renderer) tokenizeJoined(l *laid, pieces []piece, suffix bool, s steps) error {
	text := joinPieces(pieces)
	ids, ends, err := r.tok.Encode(text)
	if err != nil {
		return fmt.Errorf("tokenising the text: %w", err)
	}
	l.tokens, l.suffix = ids, len(ids)
	at := 0
	for i, p := range pieces {
		if suffix && i == len(pieces)-1 {
			l.suffix = tokensWithin(ends, at)
			break
		}
		start := at
		at += len(p.text)
		if p.step < 0 {
			continue
		}
		n := tokensWithin(ends, at)
		if n == 0 || ends[n-1] != at {
			return crossing(text, ends, n, at, s.name(p.step))
		}
		switch before := tokensWithin(ends, start); {
		case p.mark && (n == before || ids[before] != r.markID || ends[before] != at): // more may end there: "▁" before what follows
			return fmt.Errorf("the step mark after %s is not the one token %q there; set text.tokenize: pieces", s.name(p.step), r.mark)
		case n == before:
			return fmt.Errorf("%s has no tokens; give it text or set text.separator", s.name(p.step))
		case p.mark:
			l.mark[p.step] = int32(before)
		default:
			l.last[p.step] = int32(n - 1)
		}
	}
	return nil
}

// tokensWithin counts the tokens that end at byte at or before.
func tokensWithin(ends []int, at int) int {
	n, _ := slices.BinarySearch(ends, at+1)
	return n
}

func crossing(text string, ends []int, token, at int, name string) error {
	start, end := 0, len(text)
	if token > 0 {
		start = ends[token-1]
	}
	if token < len(ends) {
		end = ends[token]
	}
	return &StepEndError{Token: strings.ToValidUTF8(text[start:end], "?"), Step: name}
}

// example puts the read-outs on the tokens, after cutting what is longer than limit, if that is not 0.
func (r *Renderer) example(t *Trajectory, s steps, l *laid, limit int) (*Example, Dropped, error) {
	var dropped Dropped
	kept := l.order
	if limit > 0 && len(l.tokens) > limit {
		switch r.opt.Long {
		case "error":
			n := len(l.tokens)
			return nil, dropped, tooLong(n, limit, fmt.Sprintf("%d tokens, %d more than text.max_tokens (%d); set text.long to window, truncate "+
				"or drop", n, n-limit, limit))
		case "drop":
			kept = nil
		case "truncate":
			n := 0
			for n < len(kept) && int(l.end(kept[n])) < limit {
				n++
			}
			kept = kept[:n]
		}
		for _, i := range l.order[len(kept):] {
			dropped.Steps++
			if _, _, ok := t.Labels.step(s.of(i)); ok {
				dropped.StepLabels++
			}
		}
		if t.Labels.Trajectory != nil {
			dropped.TrajectoryLabels = 1
		}
		if len(kept) == 0 {
			dropped.Trajectories = 1
			return nil, dropped, nil
		}
		dropped.Truncated = 1
		l.tokens = l.tokens[:l.end(kept[len(kept)-1])+1]
	}
	e := &Example{ID: t.ID, Tokens: l.tokens, Problem: KeyOf(t.Problem)}
	for _, i := range kept {
		read := ReadOut{Pos: l.last[i], Kind: KindStep, Part: s.part(i), Index: s.of(i)}
		if r.opt.Read == "mark" {
			read.Pos = l.mark[i]
		}
		read.Target, read.Weight, read.HasTarget = t.Labels.step(s.of(i))
		e.Reads = append(e.Reads, read)
	}
	if dropped.Truncated == 1 {
		return e, dropped, nil
	}
	at, err := r.finalAt(l)
	if err != nil {
		return nil, dropped, err
	}
	read := ReadOut{Pos: at, Kind: KindTrajectory, Part: PartTrajectory, Index: -1}
	read.Target, read.Weight, read.HasTarget = t.Labels.final()
	e.Reads = append(e.Reads, read)
	return e, dropped, nil
}

// end is the position of the last token that belongs to step i: its mark, if it has one.
func (l *laid) end(i int) int32 { return max(l.last[i], l.mark[i]) }

func (r *Renderer) finalAt(l *laid) (int32, error) {
	switch {
	case r.opt.Final == "mark":
		return l.mark[l.order[len(l.order)-1]], nil
	case r.opt.Final == "last_token" || !r.turnEnds:
		return int32(len(l.tokens) - 1), nil
	}
	for i := l.suffix; i < len(l.tokens); i++ {
		if l.tokens[i] == r.turnEnd {
			return int32(i), nil
		}
	}
	name, _ := r.tok.Token(r.turnEnd)
	return 0, fmt.Errorf("the token %q that closes the assistant's turn is not one token after the text; set text.tokenize: pieces, or "+
		"text.final: last_token", name)
}

// Marked writes the example as text with its read-outs: after the token that a read-out reads stands ⟦thinking 0 = 0.5⟧, or ⟦final⟧
// where there is no target;
// before each further window of a long text ⟦window 1⟧.
func (r *Renderer) Marked(e *Example) (string, error) {
	var b strings.Builder
	for i, w := range e.windows() {
		if i > 0 {
			fmt.Fprintf(&b, "⟦window %d⟧", i)
		}
		if err := r.markedWindow(&b, e, w); err != nil {
			return "", err
		}
	}
	if r.renamed {
		return strings.ReplaceAll(b.String(), qwenOldMark, qwenMark), nil
	}
	return b.String(), nil
}

func (r *Renderer) markedWindow(b *strings.Builder, e *Example, w window) error {
	at := w.from
	for i := w.firstRead; i < w.lastRead; i++ {
		read := &e.Reads[i]
		if next := int(read.Pos) + 1; next > at {
			text, err := r.tok.Decode(e.Tokens[at:next])
			if err != nil {
				return err
			}
			b.WriteString(text)
			at = next
		}
		name := "final"
		if read.Kind == KindStep {
			name = fmt.Sprintf("%s %d", read.Part, read.Index)
		}
		if read.HasTarget {
			name += fmt.Sprintf(" = %v", read.Target)
			if read.Weight != 1 {
				name += fmt.Sprintf(" × %v", read.Weight)
			}
		}
		b.WriteString("⟦" + name + "⟧")
	}
	text, err := r.tok.Decode(e.Tokens[at:w.to])
	b.WriteString(text)
	return err
}
