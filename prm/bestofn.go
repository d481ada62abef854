package prm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/data/label"
)

// BestOfNOptions say how picking one of N samples is judged; the zero value chooses everything.
type BestOfNOptions struct {
	N            []int         // sizes of the subsets picked from; nil: 1, 2, 4, ... as far as every problem has samples
	Aggregations []Aggregation // nil: all
	Methods      []string      // those of BestOfNMethod.Method that are wanted; nil: all that the samples allow
	Alphas       []float64     // weights of the trajectory's score in the reward; nil: 1
	Seed         uint64        // of the intervals, and of subsets where not all are counted
	Split        string        // cuts a sample's text into steps to count them; "": "\n\n"
	// Verifier grades samples that do not say whether they are right, by their answer, else their text; nil: such a sample is
	// an error.
	Verifier label.Verifier
	// Extract finds the answer of a sample that has none (Pred); nil: such a sample does not vote.
	Extract func(text string) (answer string, ok bool)
	// Same tells whether two answers are the same vote; nil: only equal texts are.
	Same func(a, b string) bool
}

// Validate reports the first option that cannot be used.
func (o BestOfNOptions) Validate() error {
	for _, n := range o.N {
		if n < 1 {
			return fmt.Errorf("n: %d is not at least 1", n)
		}
	}
	for _, m := range o.Methods {
		if !slices.Contains(bestOfNMethods, m) {
			return fmt.Errorf("methods: %q is none of %s", m, strings.Join(bestOfNMethods, ", "))
		}
	}
	for _, a := range o.Aggregations {
		if err := a.Validate(); err != nil {
			return err
		}
	}
	for _, alpha := range o.Alphas {
		if math.IsNaN(alpha) || math.IsInf(alpha, 0) {
			return fmt.Errorf("alpha: %v is not a finite number", alpha)
		}
	}
	return nil
}

// BestOfNResult compares ways of picking one of n samples.
type BestOfNResult struct {
	Problems   int             `json:"problems"`
	Samples    int             `json:"samples"`
	Unscored   int             `json:"unscored"`   // samples without scores: never picked by score
	Unanswered int             `json:"unanswered"` // samples without an answer: they do not vote
	Graded     int             `json:"graded"`     // samples that the verifier decided on
	Ungraded   int             `json:"ungraded"`   // samples on which it could not decide: they count as wrong
	NoOutcome  int             `json:"no_outcome"` // problems whose gold answer cannot be read: they are left out
	Results    []BestOfNMethod `json:"results"`
	Warnings   []string        `json:"warnings,omitempty"`
}

var bestOfNMethods = []string{"best", "weighted", "majority", "oracle", "random", "shortest", "fewest_steps"}

// BestOfNMethod is how often one way of picking one of n samples finds a right one: the mean over the problems, for each
// of them over all subsets of n of its samples. Ties go to the earliest sample.
type BestOfNMethod struct {
	// best: the highest score; weighted: the answer with the largest sum of scores; majority: the most frequent answer;
	// oracle: right if any is; random: a uniform pick; shortest: the fewest characters; fewest_steps.
	Method      string      `json:"method"`
	Aggregation Aggregation `json:"aggregation,omitempty"` // how steps became the score; "" where no score is used
	Alpha       *float64    `json:"alpha,omitempty"`       // of the reward, where there are trajectory scores
	N           int         `json:"n"`
	Accuracy    float64     `json:"accuracy"`
	Low         float64     `json:"low"` // 95 % bootstrap interval over the problems
	High        float64     `json:"high"`
	// Exact: every subset was counted. Else, for votes among more than metrics.MostSubsets subsets, DrawnSubsets were drawn.
	Exact bool `json:"exact"`
	// Missing says why there is no figure, which is NaN then, and null in JSON: votes cannot be weighed by scores below 0.
	Missing string `json:"missing,omitempty"`
}

// MarshalJSON writes null for a missing figure.
func (m BestOfNMethod) MarshalJSON() ([]byte, error) {
	type plain BestOfNMethod
	if m.Missing == "" {
		return json.Marshal(plain(m))
	}
	return json.Marshal(struct {
		plain
		Accuracy *float64 `json:"accuracy"`
		Low      *float64 `json:"low"`
		High     *float64 `json:"high"`
	}{plain: plain(m)})
}

// UnmarshalJSON reads null as NaN.
func (m *BestOfNMethod) UnmarshalJSON(text []byte) error {
	type plain BestOfNMethod
	if err := json.Unmarshal(text, (*plain)(m)); err != nil {
		return err
	}
	if m.Missing != "" {
		m.Accuracy, m.Low, m.High = math.NaN(), math.NaN(), math.NaN()
	}
	return nil
}

// BestOfN judges the ways of picking one of a problem's samples. Problems that have no samples, or fewer than the largest
// n, are an error: accuracies for different n must be of the same problems.
func BestOfN(ctx context.Context, problems iter.Seq2[*data.SampledProblem, error], opt BestOfNOptions) (*BestOfNResult, error) {
	if err := opt.Validate(); err != nil {
		return nil, err
	}
	if opt.Aggregations == nil {
		opt.Aggregations = aggregations
	}
	if opt.Split == "" {
		opt.Split = "\n\n"
	}
	pool := samplePool{opt: opt}
	for p, err := range problems {
		if err == nil && p == nil {
			err = errors.New("a problem is nil")
		}
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = pool.add(p)
		}
		if err != nil {
			return nil, err
		}
	}
	if len(pool.problems) == 0 {
		if pool.result.NoOutcome > 0 {
			return nil, fmt.Errorf("nothing can be compared with the gold answers of all %d problems", pool.result.NoOutcome)
		}
		return nil, errors.New("no problems")
	}
	if err := pool.choose(); err != nil {
		return nil, err
	}
	return pool.judge(ctx)
}
