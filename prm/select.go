package prm

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/internal/overlap"
)

// SelectOptions say which trajectories of a pool are kept; the zero value of all but Top keeps the best.
type SelectOptions struct {
	Top   int
	Alpha *float64 // weight of the trajectory's score in the reward; nil: 1
	// PerDomain keeps at most so many of one domain; 0: no limit. Domain names a trajectory's domain; nil: its field "domain",
	// else its source.
	PerDomain int
	Domain    func(*data.Trajectory) string
	// Unique drops a trajectory whose problem repeats that of a better one: exact, all words equal; near, at least
	// Similarity of its runs of three words are the same, as MinHash estimates it. "": problems may repeat.
	Unique     string
	Similarity float64 // 0: 0.8
	// Contamination holds texts whose problems must not be kept; nil: none.
	Contamination *Contamination
	// OnBad is called for a row that cannot be read; nil from it passes it over. A nil OnBad ends the selection.
	OnBad func(error) error
	// OnRow is called now and then, for progress: pass counts from 1, rows from 0 in each.
	OnRow func(pass, rows int)
}

// Contamination holds texts, such as a benchmark's problems: another one repeats one of them if all its words are equal, or
// eight in a row. See ReadContamination.
type Contamination = overlap.Grams

// ReadContamination reads the problems of benchmark files as they are published.
func ReadContamination(paths []string) (*Contamination, error) {
	var held Contamination
	for problem, err := range data.ReadProblems(paths, data.ReadOptions{}) {
		if err != nil {
			return nil, err
		}
		held.Add(problem.Problem, problem.Where)
	}
	return &held, nil
}

const (
	mostTop           = 1 << 30
	defaultSimilarity = 0.8
)

// Validate reports the first option that cannot be used.
func (o SelectOptions) Validate() error {
	switch {
	case o.Top < 1 || o.Top > mostTop:
		return fmt.Errorf("top: %d is not between 1 and %d", o.Top, mostTop)
	case o.PerDomain < 0:
		return fmt.Errorf("per_domain: %d is negative", o.PerDomain)
	case o.Alpha != nil && (math.IsNaN(*o.Alpha) || math.IsInf(*o.Alpha, 0)):
		return fmt.Errorf("alpha: %v is not a finite number", *o.Alpha)
	case !(o.Similarity >= 0 && o.Similarity <= 1):
		return fmt.Errorf("similarity: %v is not in [0, 1]", o.Similarity)
	}
	return oneOf(choice{"unique", o.Unique, []string{"", "exact", "near"}})
}

// Selected is a trajectory that was kept.
type Selected struct {
	Trajectory *data.Trajectory
	Rank       int // from 1
	Reward     float64
	Domain     string
}

// Export is the trajectory as a line of JSON in one of data.ExportForms; goprm's own says in meta how it was selected.
func (s Selected) Export(form string) ([]byte, error) {
	t := *s.Trajectory
	if form == "goprm" {
		t.Meta = maps.Clone(t.Meta)
		if t.Meta == nil {
			t.Meta = map[string]json.RawMessage{}
		}
		raw, err := json.Marshal(struct {
			Rank   int     `json:"rank"`
			Reward float64 `json:"reward"`
		}{s.Rank, s.Reward})
		if err != nil {
			return nil, err
		}
		t.Meta["selected"] = raw
	}
	line, err := t.Export(form)
	if err != nil {
		return nil, fmt.Errorf("trajectory %q: %w", t.ID, err)
	}
	return line, nil
}

// Selection is what was kept, best first, and what became of the rest.
type Selection struct {
	Rows []Selected
	SelectionReport
}

// SelectionReport counts. What ranks below the last one kept was not looked at any further.
type SelectionReport struct {
	Pool         int            `json:"pool"`     // rows read
	Bad          int            `json:"bad"`      // rows that could not be read
	Unscored     int            `json:"unscored"` // rows without a score, or whose reward is undefined
	Kept         int            `json:"kept"`
	Contaminated int            `json:"contaminated"` // better than the last one kept, but a problem of the given files
	Duplicates   int            `json:"duplicates"`   // … but a repetition of a better one's problem
	OverQuota    int            `json:"over_quota"`   // … but of a domain that was full
	Below        int            `json:"below"`        // not among the best
	Alpha        *float64       `json:"alpha"`        // null: there are no trajectory scores
	Highest      float64        `json:"highest_reward"`
	Lowest       float64        `json:"lowest_reward"` // of those kept
	Domains      map[string]int `json:"domains"`
	Dropped      []Drop         `json:"dropped"`
}

// Drop is one trajectory that was contaminated or a duplicate.
type Drop struct {
	ID     string  `json:"id"`
	Reward float64 `json:"reward"`
	Why    string  `json:"why"`    // contaminated or duplicate
	Of     string  `json:"of"`     // the place or the id that it repeats
	Shared string  `json:"shared"` // words in common, of a contaminated one
}

// Select keeps the best of a pool by r̂, ties by id, then by their order. Pool and scores are read side by side, several
// times, in the same order; a row may lack a score, a score must be of a row. However large the pool, only some thousand
// rows are held in memory.
func Select(ctx context.Context, pool func() iter.Seq2[*data.Trajectory, error], scores func() iter.Seq2[*StoredScore, error], opt SelectOptions) (*Selection, error) {
	if err := opt.Validate(); err != nil {
		return nil, err
	}
	s := &selecting{ctx: ctx, pool: pool, scores: scores, opt: opt, domains: map[string]int{}, keys: map[string]string{}, alpha: 1}
	if opt.Alpha != nil {
		s.alpha = *opt.Alpha
	}
	if opt.Similarity == 0 {
		s.opt.Similarity = defaultSimilarity
	}
	if opt.Domain == nil {
		s.opt.Domain = domainOf
	}
	for more := true; more && len(s.kept) < opt.Top; {
		list, err := s.nextBest()
		if err != nil {
			return nil, err
		}
		more = len(list) == s.room()
		for i := 0; i < len(list) && len(s.kept) < opt.Top; i++ {
			s.judge(list[i])
			s.last = &list[i].rank
		}
	}
	return s.collect()
}

// domainOf is the field "domain" that the row had, else its source.
func domainOf(t *data.Trajectory) string {
	var domain string
	if raw, ok := t.Meta["domain"]; ok && json.Unmarshal(raw, &domain) == nil && domain != "" {
		return domain
	}
	return t.Source
}

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

type selecting struct {
	ctx    context.Context
	pool   func() iter.Seq2[*data.Trajectory, error]
	scores func() iter.Seq2[*StoredScore, error]
	opt    SelectOptions
	alpha  float64

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
	next := newAlong(s.scores())
	defer next.stop()
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

// worstFirst is a binary heap of contenders with the worst on top.
type worstFirst []contender

// add takes up c, and when there are more than most puts out the worst.
func (h *worstFirst) add(c contender, most int) {
	if len(*h) == most {
		(*h)[0] = c
		h.sink()
		return
	}
	*h = append(*h, c)
	for i := len(*h) - 1; i > 0; {
		parent := (i - 1) / 2
		if (*h)[i].compare((*h)[parent].rank) <= 0 {
			return
		}
		(*h)[i], (*h)[parent] = (*h)[parent], (*h)[i]
		i = parent
	}
}

func (h *worstFirst) sink() {
	list := *h
	for i := 0; ; {
		worst := i
		for _, child := range []int{2*i + 1, 2*i + 2} {
			if child < len(list) && list[child].compare(list[worst].rank) > 0 {
				worst = child
			}
		}
		if worst == i {
			return
		}
		list[i], list[worst] = list[worst], list[i]
		i = worst
	}
}
