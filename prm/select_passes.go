package prm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/overlap"
)

// rank orders rows: the best is the first.
type rank struct {
	reward float64
	id     string
	row    int
}

func (a rank) compare(b rank) int {
	return cmp.Or(cmp.Compare(b.reward, a.reward), cmp.Compare(a.id, b.id), cmp.Compare(a.row, b.row))
}

// contender is a row that may be kept, with what decides it.
type contender struct {
	rank
	domain        string
	key           string             // of the problem, for exact
	signature     *overlap.Signature // for near
	place, shared string             // what it contaminates
	contaminated  bool
}

// scoreSource finds the scores of rows that come one after another.
type scoreSource interface {
	of(id string) (*StoredScore, error)
	end() error
	close()
}

type selecting struct {
	ctx    context.Context
	pool   func() iter.Seq2[*data.Trajectory, error]
	scores func() iter.Seq2[*StoredScore, error]
	opt    SelectOptions
	alpha  float64

	byID    *anyOrder // nil: the scores are in the pool's order
	passes  int
	last    *rank // of the last one judged
	kept    []contender
	domains map[string]int
	keys    map[string]string // of problems kept → id
	near    overlap.Index
	report  SelectionReport
}

// room is how many contenders one pass brings.
func (s *selecting) room() int { return 2*s.opt.Top + 1000 }

// each reads pool and scores side by side. The row's number counts the rows that could be read.
func (s *selecting) each(visit func(t *data.Trajectory, r rank, scored bool)) (rows, bad int, err error) {
	s.passes++
	s.report.Missing = 0
	var next scoreSource = s.byID
	if s.byID == nil {
		next = newAlong(s.scores())
	}
	defer next.close()
	var readOut ReadOut
	for t, err := range s.pool() {
		var row *data.RowError
		if err != nil && errors.As(err, &row) && s.opt.OnBad != nil {
			bad++
			err = s.opt.OnBad(err)
			if err == nil {
				continue
			}
		}
		if err == nil && t == nil {
			err = errors.New("a trajectory is nil")
		}
		if err == nil {
			err = s.ctx.Err()
		}
		var score *StoredScore
		if err == nil {
			score, err = next.of(t.ID)
		}
		if err == nil && score != nil {
			err = readOut.Check(score.Trajectory != nil, score.Where)
		}
		if err != nil {
			return rows, bad, err
		}
		r := rank{math.NaN(), t.ID, rows}
		if score != nil {
			r.reward = score.Reward(s.alpha)
		} else {
			s.report.Missing++
		}
		if s.opt.OnRow != nil {
			s.opt.OnRow(s.passes, rows+bad)
		}
		visit(t, r, !math.IsNaN(r.reward))
		rows++
	}
	s.report.Alpha = nil
	if readOut.has {
		s.report.Alpha = &s.alpha
	}
	return rows, bad, next.end()
}

// nextBest are the best rows below the last one judged, best first, of domains that are not full.
func (s *selecting) nextBest() ([]contender, error) {
	var best worstFirst
	_, _, err := s.each(func(t *data.Trajectory, r rank, scored bool) {
		if !scored || s.last != nil && r.compare(*s.last) <= 0 || len(best) == s.room() && r.compare(best[0].rank) > 0 {
			return
		}
		domain := s.opt.Domain(t)
		if s.full(domain) {
			return
		}
		best.add(s.contender(t, r, domain), s.room())
	})
	slices.SortFunc(best, func(a, b contender) int { return a.compare(b.rank) })
	return best, err
}

func (s *selecting) full(domain string) bool {
	return s.opt.PerDomain > 0 && s.domains[domain] >= s.opt.PerDomain
}

func (s *selecting) contender(t *data.Trajectory, r rank, domain string) contender {
	c := contender{rank: r, domain: domain}
	switch s.opt.Unique {
	case "exact":
		c.key = overlap.Key(t.Problem)
	case "near":
		signature := overlap.Sign(t.Problem)
		c.signature = &signature
	}
	if s.opt.Contamination != nil {
		c.place, c.shared, c.contaminated = s.opt.Contamination.Find(t.Problem)
	}
	return c
}

// judge keeps or drops the next best. A full domain is asked for first, so that it does not matter in which pass a row is met.
func (s *selecting) judge(c contender) {
	if s.full(c.domain) {
		return // counted at the end
	}
	drop := func(why, of, shared string) {
		s.report.Dropped = append(s.report.Dropped, Drop{c.id, c.reward, why, of, shared})
	}
	if c.contaminated {
		s.report.Contaminated++
		drop("contaminated", c.place, c.shared)
		return
	}
	first, repeated := "", false
	switch s.opt.Unique {
	case "exact":
		first, repeated = s.keys[c.key]
	case "near":
		first, repeated = s.near.Near(c.signature, s.opt.Similarity)
	}
	if repeated {
		s.report.Duplicates++
		drop("duplicate", first, "")
		return
	}
	switch s.opt.Unique {
	case "exact":
		s.keys[c.key] = c.id
	case "near":
		s.near.Add(c.id, *c.signature)
	}
	s.domains[c.domain]++
	s.kept = append(s.kept, c)
}

// collect reads the kept rows once more, now with their texts, and counts.
func (s *selecting) collect() (*Selection, error) {
	if len(s.kept) == 0 {
		return nil, errors.New("nothing is left to keep: no row has a score that ranks it, or all were dropped")
	}
	out := &Selection{Rows: make([]Selected, len(s.kept))}
	at := map[int]int{}
	for i, c := range s.kept {
		at[c.row] = i
	}
	last, above := s.kept[len(s.kept)-1].rank, 0
	if len(s.kept) < s.opt.Top {
		last = rank{reward: math.Inf(-1)} // everything was looked at
	}
	report := &s.report
	rows, bad, err := s.each(func(t *data.Trajectory, r rank, scored bool) {
		if !scored {
			report.Unscored++
			return
		}
		if r.compare(last) <= 0 {
			above++
		}
		if i, ok := at[r.row]; ok && s.kept[i].id == t.ID {
			out.Rows[i] = Selected{t, i + 1, r.reward, s.kept[i].domain}
		}
	})
	if err != nil {
		return nil, err
	}
	for i, k := range out.Rows {
		if k.Trajectory == nil {
			return nil, fmt.Errorf("row %d, %q, is gone: the pool changed while it was read", s.kept[i].row, s.kept[i].id)
		}
	}
	report.Pool, report.Bad, report.Kept = rows+bad, bad, len(s.kept)
	report.OverQuota = above - report.Kept - report.Contaminated - report.Duplicates
	report.Below = rows - report.Unscored - above
	report.Highest, report.Lowest = s.kept[0].reward, s.kept[len(s.kept)-1].reward
	report.Domains = s.domains
	out.SelectionReport = *report
	return out, nil
}
