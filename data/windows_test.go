package data

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Lengths by hand: the problem has 10 tokens, step i has lengths[i].
func TestWindows(t *testing.T) {
	for name, c := range map[string]struct {
		lengths []int
		limit   int
		want    []Window
		fault   string
	}{
		"all fit":     {[]int{5, 5}, 20, []Window{{0, 0, 2}}, ""},
		"even":        {[]int{5, 5, 5, 5, 5, 5, 5}, 30, []Window{{0, 0, 4}, {2, 4, 6}, {4, 6, 7}}, ""},
		"no context":  {[]int{20, 20, 3}, 30, []Window{{0, 0, 1}, {1, 1, 2}, {2, 2, 3}}, ""},
		"less of it":  {[]int{4, 4, 4, 18}, 30, []Window{{0, 0, 3}, {3, 3, 4}}, ""},
		"a little":    {[]int{8, 8, 2, 18}, 30, []Window{{0, 0, 3}, {2, 3, 4}}, ""},
		"too long":    {[]int{5, 21}, 30, nil, "step 1 alone has 31 tokens with the problem, at most 30 fit"},
		"the problem": {[]int{5}, 9, nil, "step 0 alone has 15 tokens"},
	} {
		tokens := func(from, to int) (int, error) {
			n := 10
			for _, l := range c.lengths[from:to] {
				n += l
			}
			return n, nil
		}
		got, err := Windows(len(c.lengths), c.limit, tokens)
		if c.fault != "" {
			require.ErrorContains(t, err, c.fault, name)
			continue
		}
		require.NoError(t, err, name)
		require.Equal(t, c.want, got, name)
	}
}

// The work grows as the text does, and the windows are those that trying every length finds.
func TestWindowsAreLinear(t *testing.T) {
	work := map[int]int{}
	for _, n := range []int{1000, 8000} {
		length := func(i int) int { return 3 + i*7919%11 }
		got, err := Windows(n, 200, func(from, to int) (int, error) {
			size := 10
			for i := from; i < to; i++ {
				size += length(i)
			}
			work[n] += to - from
			return size, nil
		})
		require.NoError(t, err)
		read, from := 0, 0
		for _, w := range got {
			if read > 0 { // half of what the problem leaves is context
				size := 10
				for from = read; from > 0 && size+length(from-1) <= 10+(200-10)/2; from-- {
					size += length(from - 1)
				}
			}
			to, size := from, 10
			for ; to < n && size+length(to) <= 200; to++ {
				size += length(to)
			}
			require.Equal(t, Window{from, read, to}, w)
			read = to
		}
		require.Equal(t, n, read)
	}
	require.Less(t, work[8000], 9*work[1000], "eight times the text took %d, and %d", work[8000], work[1000])
}

// Rendering in windows takes memory, and so time, as the text is long: of a text twice as long twice as much.
func TestRenderWindowsIsLinear(t *testing.T) {
	opt := DefaultText()
	opt.Template, opt.StepMark, opt.Read = "none", "#", "mark"
	r, err := NewRenderer(opt, fakeTokenizer{}, ModelText{})
	require.NoError(t, err)
	taken := map[int]uint64{}
	for _, n := range []int{4000, 8000} {
		trajectory := &Trajectory{ID: "a", Problem: "PROBLEM"}
		for i := range n {
			trajectory.Steps = append(trajectory.Steps, fmt.Sprintf("t%d", i))
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		list, err := r.RenderWindows(trajectory, 60)
		require.NoError(t, err)
		require.Greater(t, len(list), n/5)
		runtime.ReadMemStats(&after)
		taken[n] = after.TotalAlloc - before.TotalAlloc
	}
	require.Less(t, float64(taken[8000]), 2.2*float64(taken[4000]), "%v", taken)
}

// Windows of a rendered trajectory: every step is read once, with the problem, in a text that is the whole one's where it fits.
func TestRenderWindows(t *testing.T) {
	for _, order := range []string{"thinking_first", "response_first"} {
		opt := DefaultText()
		opt.Template, opt.Order, opt.ThinkTags = "none", order, []string{"<", ">"}
		r, err := NewRenderer(opt, fakeTokenizer{}, ModelText{})
		require.NoError(t, err)
		trajectory := &Trajectory{ID: "a", Problem: "PROBLEM"}
		for i := range 9 {
			trajectory.Steps = append(trajectory.Steps, fmt.Sprintf("t%d%s", i, strings.Repeat("x", i)))
		}
		for i := range 5 {
			trajectory.ResponseSteps = append(trajectory.ResponseSteps, fmt.Sprintf("r%d", i))
		}
		whole, _, err := r.Render(trajectory)
		require.NoError(t, err)
		for _, limit := range []int{0, len(whole.Tokens)} {
			list, err := r.RenderWindows(trajectory, limit)
			require.NoError(t, err)
			require.Equal(t, []*Example{whole}, list)
		}
		for limit := 30; limit < len(whole.Tokens); limit++ {
			list, err := r.RenderWindows(trajectory, limit)
			if order == "response_first" && limit < 9+5*4+2+12 { // problem, response, tags, longest thinking step
				require.ErrorContains(t, err, "text.order: response_first: problem and response have 29 tokens")
				require.ErrorContains(t, err, fmt.Sprintf("a window holds %d;", limit))
				require.ErrorAs(t, err, new(*TooLongError))
				continue
			}
			require.NoError(t, err)
			require.Greater(t, len(list), 1)
			var read []int
			for i, e := range list {
				require.LessOrEqual(t, len(e.Tokens), limit)
				text, err := r.tok.Decode(e.Tokens)
				require.NoError(t, err)
				require.True(t, strings.HasPrefix(text, "PROBLEM\n\n"), text)
				if order == "response_first" {
					require.True(t, strings.HasPrefix(text, "PROBLEM\n\nr0\n\nr1\n\nr2\n\nr3\n\nr4\n\n<"), "every window has the response: %q", text)
				}
				require.Equal(t, strings.Contains(text, "t"), strings.Contains(text, "<"), "tags stand around thinking alone: %q", text)
				for _, at := range e.Reads {
					require.Equal(t, i, at.Window)
					if at.Kind == KindTrajectory {
						require.Equal(t, len(list)-1, i)
						continue
					}
					read = append(read, at.Index)
					name := append(append([]string{}, trajectory.Steps...), trajectory.ResponseSteps...)[at.Index]
					upTo, err := r.tok.Decode(e.Tokens[:at.Pos+1])
					require.NoError(t, err)
					require.True(t, strings.HasSuffix(upTo, name+"\n\n"), "%q", upTo)
				}
			}
			want := []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}
			if order == "response_first" {
				want = append(append([]int{}, want[9:]...), want[:9]...)
			}
			require.Equal(t, want, read)
			require.Equal(t, KindTrajectory, list[len(list)-1].Reads[len(list[len(list)-1].Reads)-1].Kind)
		}
	}
}

// In training a long trajectory is one example with windows: packed as texts of their own, weighed as one trajectory.
func TestWindowsInTraining(t *testing.T) {
	opt := DefaultText()
	opt.Template, opt.ThinkTags, opt.Long, opt.MaxTokens = "none", nil, "window", 24
	r, err := NewRenderer(opt, fakeTokenizer{}, ModelText{})
	require.NoError(t, err)
	trajectory := &Trajectory{ID: "a", Problem: "PROBLEM", Labels: Labels{Trajectory: Float(0.5)}}
	for i := range 6 {
		trajectory.ResponseSteps = append(trajectory.ResponseSteps, fmt.Sprintf("r%d", i))
		trajectory.Labels.Steps = append(trajectory.Labels.Steps, Float(float64(i)/8))
	}
	e, dropped, err := r.Render(trajectory)
	require.NoError(t, err)
	require.Equal(t, Dropped{}, dropped)
	// A problem of 9 tokens with its break and steps of 4: three fit into 24; the next windows begin with one that was read.
	require.Equal(t, []int32{21, 42, 59}, append(append([]int32{}, e.Windows...), int32(len(e.Tokens)))[:3])
	require.Equal(t, 21, e.Longest())
	marked, err := r.Marked(e)
	require.NoError(t, err)
	require.Equal(t, "PROBLEM\n\nr0\n\n⟦response 0 = 0⟧r1\n\n⟦response 1 = 0.125⟧r2\n\n⟦response 2 = 0.25⟧⟦window "+
		"1⟧PROBLEM\n\nr2\n\nr3\n\n⟦response 3 = 0.375⟧r4\n\n⟦response 4 = 0.5⟧"+
		"⟦window 2⟧PROBLEM\n\nr4\n\nr5\n\n⟦response 5 = 0.625⟧⟦final = 0.5⟧", marked)
	require.Len(t, r.Warnings([]*Example{e}), 1, "the last step and the whole are read at one token")

	for _, tokens := range []int{1, 50, 0} {
		batches, err := Pack([]*Example{e}, PackOptions{Tokens: tokens, N: 2, LambdaStep: 3, LambdaFinal: 1})
		require.NoError(t, err)
		require.Len(t, batches, map[int]int{1: 3, 50: 2, 0: 1}[tokens])
		read := map[int32]float64{}
		for _, b := range batches {
			for s := range len(b.CuSeqlens) - 1 {
				require.Zero(t, b.Positions[b.CuSeqlens[s]])
				require.Equal(t, int32('P'), b.Tokens[b.CuSeqlens[s]])
			}
			for i, at := range b.Reads {
				require.Equal(t, int32('\n'), b.Tokens[at])
				read[b.Read[i]] = b.Weight[i]
			}
		}
		require.Equal(t, map[int32]float64{0: 0.25, 1: 0.25, 2: 0.25, 3: 0.25, 4: 0.25, 5: 0.25, 6: 0.5}, read, "3/(2·6) each, and 1/2")
	}
	tree, err := PackTree([]*Example{e}, 0)
	require.NoError(t, err)
	require.Len(t, tree, 1)
	require.Less(t, len(tree[0].Tokens), len(e.Tokens), "the problem is there once")
	for i, at := range tree[0].Reads {
		want := e.Reads[tree[0].Read[i]]
		require.Equal(t, e.Tokens[want.Pos], tree[0].Tokens[at])
	}
	require.Len(t, tree[0].Reads, 7)

	broken := *e
	broken.Windows = []int32{21, 21}
	_, err = PackAll([]*Example{&broken}, 0)
	require.ErrorContains(t, err, "window 2 begins at token 21")
}

// countingTokenizer counts the bytes that it was given.
type countingTokenizer struct {
	fakeTokenizer
	bytes *int
}

func (c countingTokenizer) Encode(text string) (ids []int32, ends []int, err error) {
	*c.bytes += len(text)
	return c.fakeTokenizer.Encode(text)
}

// Rendering in windows takes time in proportion to the text, in both orders; and not more of it than the limits allow.
func TestRenderWithin(t *testing.T) {
	for _, order := range []string{"thinking_first", "response_first"} {
		bytes := 0
		opt := DefaultText()
		opt.Template, opt.Order, opt.ThinkTags = "none", order, nil
		r, err := NewRenderer(opt, countingTokenizer{fakeTokenizer{}, &bytes}, ModelText{})
		require.NoError(t, err)
		of := func(steps int) *Trajectory {
			t := &Trajectory{ID: "a", Problem: "PROBLEM", ResponseSteps: []string{"r"}}
			for range steps {
				t.Steps = append(t.Steps, "x")
			}
			return t
		}
		work := map[int]int{}
		for _, steps := range []int{2_000, 16_000} {
			bytes = 0
			list, err := r.RenderWithin(t.Context(), of(steps), RenderLimits{Window: 60})
			require.NoError(t, err)
			require.Greater(t, len(list), steps/30)
			work[steps] = bytes
		}
		require.Less(t, work[16_000], 9*work[2_000])
		require.Less(t, work[16_000], 20*16_000*4, "each step is looked at a few times")

		// The limit on all windows is met after as many, not after the trajectory's.
		bytes = 0
		_, err = r.RenderWithin(t.Context(), of(16_000), RenderLimits{Window: 60, Total: 100_000})
		var long *TooLongError
		require.ErrorAs(t, err, &long)
		require.Equal(t, 100_000, long.Limit)
		_, err = r.RenderWithin(t.Context(), of(16_000), RenderLimits{Window: 60, Total: 1000})
		require.ErrorContains(t, err, "at most 1000 are taken")

		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		bytes = 0
		_, err = r.RenderWithin(ctx, of(16_000), RenderLimits{Window: 60})
		require.ErrorIs(t, err, context.Canceled)
		require.Zero(t, bytes)
	}
}
