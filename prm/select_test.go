package prm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/goprm/goprm/data"
)

// poolOf yields trajectories and their scores, anew each time.
func poolOf(list []*data.Trajectory,
	scores []*StoredScore) (func() iter.Seq2[*data.Trajectory, error], func() iter.Seq2[*StoredScore, error]) {
	return func() iter.Seq2[*data.Trajectory, error] { return seqOf(list) }, func() iter.Seq2[*StoredScore, error] { return seqOf(scores) }
}

// seqOf yields the list without errors.
func seqOf[T any](list []T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, v := range list {
			if !yield(v, nil) {
				return
			}
		}
	}
}

func stored(id string, mean float64) *StoredScore {
	return &StoredScore{ID: id, Steps: []float64{mean}, Mean: mean}
}

// slowSelect holds everything, sorts it, and goes down the list.
func slowSelect(list []*data.Trajectory, reward map[string]float64, opt SelectOptions) (kept []string) {
	type row struct {
		i int
		t *data.Trajectory
	}
	var rows []row
	for i, t := range list {
		if r, ok := reward[t.ID]; ok && !math.IsNaN(r) {
			rows = append(rows, row{i, t})
		}
	}
	slices.SortStableFunc(rows, func(a, b row) int {
		if x, y := reward[a.t.ID], reward[b.t.ID]; x != y {
			return map[bool]int{true: -1, false: 1}[x > y]
		}
		return strings.Compare(a.t.ID, b.t.ID)
	})
	domains, problems := map[string]int{}, map[string]bool{}
	for _, r := range rows {
		key := strings.ToLower(r.t.Problem)
		bad := opt.Contamination != nil && strings.Contains(key, "bad")
		if len(kept) == opt.Top || opt.PerDomain > 0 && domains[r.t.Source] == opt.PerDomain || bad || opt.Unique != "" && problems[key] {
			continue
		}
		domains[r.t.Source]++
		problems[key] = true
		kept = append(kept, r.t.ID)
	}
	return kept
}

func TestSelectAgainstSortingEverything(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 11))
	var held Contamination
	for i := range 40 {
		held.Add(fmt.Sprintf("bad %d", i), "bench")
	}
	for round := range 30 {
		n := 1 + r.IntN(6000) // a pass holds 2·top + 1000
		var list []*data.Trajectory
		var scores []*StoredScore
		reward := map[string]float64{}
		for _, i := range r.Perm(n) {
			tr := &data.Trajectory{ID: fmt.Sprint("t", i), Problem: fmt.Sprintf("%s %d", []string{"Good", "BAD", "fine"}[r.IntN(3)], r.IntN(40)),
				Source: "common", Response: "x"}
			if r.IntN(50) == 0 {
				tr.Source = fmt.Sprint("rare", r.IntN(3))
			}
			list = append(list, tr)
			if r.IntN(10) > 0 {
				reward[tr.ID] = float64(r.IntN(500)) / 100
				if r.IntN(20) == 0 {
					reward[tr.ID] = math.NaN()
				}
				scores = append(scores, stored(tr.ID, reward[tr.ID]))
			}
		}
		opt := SelectOptions{Top: 1 + r.IntN(60)}
		if round%2 == 0 {
			opt.PerDomain = 1 + r.IntN(8)
		}
		if round%3 == 0 {
			opt.Unique = "exact"
		}
		if round%5 < 2 {
			opt.Contamination = &held
		}
		want := slowSelect(list, reward, opt)
		pool, stored := poolOf(list, scores)
		got, err := Select(context.Background(), pool, stored, opt)
		if len(want) == 0 {
			require.ErrorContains(t, err, "nothing is left")
			continue
		}
		require.NoError(t, err)
		var ids []string
		for i, k := range got.Rows {
			ids = append(ids, k.Trajectory.ID)
			require.Equal(t, i+1, k.Rank)
			require.Equal(t, reward[k.Trajectory.ID], k.Reward)
		}
		require.Equal(t, want, ids)
		rep := got.SelectionReport
		require.Equal(t, n, rep.Pool)
		require.Equal(t, n, rep.Kept+rep.Below+rep.Unscored+rep.Contaminated+rep.Duplicates+rep.OverQuota, "every row has one fate")
		require.Equal(t, rep.Contaminated+rep.Duplicates, len(rep.Dropped))
		require.GreaterOrEqual(t, rep.OverQuota, 0)
		if opt.PerDomain == 0 {
			require.Zero(t, rep.OverQuota)
		}
		sum := 0
		for _, k := range rep.Domains {
			sum += k
		}
		require.Equal(t, rep.Kept, sum)
	}
}

// A pool of one huge domain with a quota must not need a pass for every thousand rows.
func TestSelectNeedsFewPasses(t *testing.T) {
	var list []*data.Trajectory
	var scores []*StoredScore
	for i := range 30000 {
		tr := &data.Trajectory{ID: fmt.Sprintf("%05d", i), Problem: "p", Response: "x", Source: "huge"}
		if i%1000 == 999 {
			tr.Source = "small"
		}
		list, scores = append(list, tr), append(scores, stored(tr.ID, float64(-i)))
	}
	pool, stored := poolOf(list, scores)
	passes := 0
	got, err := Select(context.Background(), pool, stored, SelectOptions{Top: 20, PerDomain: 10, OnRow: func(pass, _ int) { passes = pass }})
	require.NoError(t, err)
	require.Equal(t, map[string]int{"huge": 10, "small": 10}, got.Domains)
	require.Equal(t, "09999", got.Rows[19].Trajectory.ID)
	require.LessOrEqual(t, passes, 3)
	require.Equal(t, 9999+1-20, got.OverQuota)
}

func TestSelectNearDuplicates(t *testing.T) {
	long := "Find the number of ways in which twelve different books can be put on three shelves so that no shelf is left empty"
	list := []*data.Trajectory{
		{ID: "a", Problem: long + ".", Response: "x"}, {ID: "b", Problem: strings.ToUpper(long) + "!", Response: "x"},
		{ID: "c", Problem: long + " at all.", Response: "x"}, {ID: "d", Problem: "Something else, with quite different words in it?",
			Response: "x"},
	}
	pool, scores := poolOf(list, []*StoredScore{stored("a", 0.1), stored("b", 0.4), stored("c", 0.3), stored("d", 0.2)})
	got, err := Select(context.Background(), pool, scores, SelectOptions{Top: 4, Unique: "near"})
	require.NoError(t, err)
	require.Len(t, got.Rows, 2)
	require.Equal(t, []Drop{{"c", 0.3, "duplicate", "b", ""}, {"a", 0.1, "duplicate", "b", ""}}, got.Dropped)
	got, err = Select(context.Background(), pool, scores, SelectOptions{Top: 4, Unique: "exact"})
	require.NoError(t, err)
	require.Len(t, got.Rows, 3)
}

func TestSelectAlphaAndReadOuts(t *testing.T) {
	list := []*data.Trajectory{{ID: "a", Problem: "p", Response: "x"}, {ID: "b", Problem: "q", Response: "x"}}
	scores := []*StoredScore{stored("a", 0.6), stored("b", 0.5)}
	scores[0].Trajectory, scores[1].Trajectory = data.Float(0.1), data.Float(0.9)
	pool, storedScores := poolOf(list, scores)
	for alpha, best := range map[float64]string{0: "a", 0.1: "a", 1: "b"} {
		got, err := Select(context.Background(), pool, storedScores, SelectOptions{Top: 1, Alpha: &alpha})
		require.NoError(t, err)
		require.Equal(t, best, got.Rows[0].Trajectory.ID)
		require.Equal(t, &alpha, got.Alpha)
	}
	got, err := Select(context.Background(), pool, storedScores, SelectOptions{Top: 1})
	require.NoError(t, err)
	require.InDelta(t, 1.4, got.Rows[0].Reward, 1e-15, "alpha is 1 by default")

	scores[1].Trajectory = nil
	_, err = Select(context.Background(), pool, storedScores, SelectOptions{Top: 1})
	require.ErrorContains(t, err, "never ranked together")
	for _, c := range []struct {
		scores []*StoredScore
		rows   []*data.Trajectory
		want   string
	}{
		{[]*StoredScore{stored("b", 0.5), stored("a", 0.6)}, list, ""},
		{[]*StoredScore{stored("b", 0.5), stored("x", 0.6)}, list, `no row has the id "x"`},
		{[]*StoredScore{stored("b", 0.5), stored("a", 0.6), stored("b", 1)}, list, `a second line of scores for "b"`},
		{[]*StoredScore{stored("b", 0.5), stored("a", 0.6)}, []*data.Trajectory{list[0], list[0], list[1]}, `two rows have the id "a"`},
	} {
		pool, storedScores = poolOf(c.rows, c.scores)
		got, err = Select(context.Background(), pool, storedScores, SelectOptions{Top: 1})
		if c.want != "" {
			require.ErrorContains(t, err, c.want)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, "a", got.Rows[0].Trajectory.ID, "in any order")
		require.Equal(t, 0.6, got.Rows[0].Reward)
	}
	pool, storedScores = poolOf(list, nil)
	_, err = Select(context.Background(), pool, storedScores, SelectOptions{Top: 1})
	require.ErrorContains(t, err, "nothing is left to keep")
	for _, bad := range []SelectOptions{{}, {Top: 1, PerDomain: -1}, {Top: 1, Unique: "fuzzy"}, {Top: 1, Similarity: 2},
		{Top: 1, Alpha: data.Float(math.NaN())}, {Top: math.MaxInt}} {
		require.Error(t, bad.Validate())
	}
}

func TestSelectBadRows(t *testing.T) {
	pool := func() iter.Seq2[*data.Trajectory, error] {
		return func(yield func(*data.Trajectory, error) bool) {
			_ = yield(&data.Trajectory{ID: "a", Problem: "p", Response: "x"}, nil) &&
				yield(nil, &data.RowError{File: "f", Line: 2, Err: errors.New("odd")}) &&
				yield(&data.Trajectory{ID: "b", Problem: "p", Response: "x"}, nil)
		}
	}
	scores := func() iter.Seq2[*StoredScore, error] { return seqOf([]*StoredScore{stored("a", 1), stored("b", 2)}) }
	_, err := Select(context.Background(), pool, scores, SelectOptions{Top: 2})
	require.ErrorContains(t, err, "f:2: odd")
	got, err := Select(context.Background(), pool, scores, SelectOptions{Top: 2, OnBad: func(error) error { return nil }})
	require.NoError(t, err)
	require.Equal(t, []int{3, 1, 2}, []int{got.Pool, got.Bad, got.Kept})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = Select(ctx, pool, scores, SelectOptions{Top: 2})
	require.ErrorIs(t, err, context.Canceled)
}

func TestDataCard(t *testing.T) {
	var b bytes.Buffer
	alpha := 0.5
	c := DataCard{Title: "T", Form: "chat", Pool: []string{"a|b.jsonl"}, Scorer: "m", Against: []string{"math500.jsonl"},
		Options: SelectOptions{Top: 3, Unique: "near", PerDomain: 2},
		Report: SelectionReport{Pool: 10, Kept: 3, Below: 7, Alpha: &alpha, Highest: 1.25, Lowest: 0.5,
			Domains: map[string]int{"math": 2, "code": 1}}}
	require.NoError(t, c.Write(&b))
	for _, want := range []string{"license: other", "n<1K", "3 of 10", "plus 0.5 times", `a\|b.jsonl`, "0.8 or more", "8 words in a row",
		"| lower reward | 7 |", "| code | 1 |", "state it before sharing"} {
		require.Contains(t, b.String(), want)
	}
	require.True(t, strings.HasPrefix(b.String(), "---\n"))
}

func TestSelectedExport(t *testing.T) {
	s := Selected{Trajectory: &data.Trajectory{ID: "a", Problem: "p", Response: "x",
		Meta: map[string]json.RawMessage{"k": json.RawMessage("1")}}, Rank: 2, Reward: 0.5}
	line, err := s.Export("goprm")
	require.NoError(t, err)
	require.JSONEq(t, `{"id":"a","problem":"p","response":"x","meta":{"k":1,"selected":{"rank":2,"reward":0.5}}}`, string(line))
	require.Len(t, s.Trajectory.Meta, 1, "the trajectory itself stays as it is")
	_, err = s.Export("xml")
	require.ErrorContains(t, err, `"xml" is none of goprm, openthoughts, s1k, sharegpt or chat`)
}
