package prm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math"

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
// eight in a row. The zero value holds none. See ReadContamination.
type Contamination struct{ grams overlap.Grams }

// Add takes a text, and where it comes from.
func (c *Contamination) Add(text, where string) { c.grams.Add(text, where) }

// Texts is how many texts there are.
func (c *Contamination) Texts() int { return c.grams.Texts() }

// Find tells which text another one repeats, by where that comes from, and the words that they share.
func (c *Contamination) Find(text string) (where, shared string, found bool) {
	return c.grams.Find(text)
}

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
	Missing      int            `json:"missing"`  // of Unscored, those without a line among the scores
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
// times; a row may lack a score, a score must be of a row. However large the pool, only some thousand rows are held in memory,
// and, if the scores are not in the pool's order, those.
func Select(ctx context.Context, pool func() iter.Seq2[*data.Trajectory, error], scores func() iter.Seq2[*StoredScore, error],
	opt SelectOptions) (*Selection, error) {
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
		var order orderError
		if errors.As(err, &order) && s.byID == nil {
			if s.byID, err = newAnyOrder(scores()); err == nil {
				list, err = s.nextBest()
			}
		}
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
