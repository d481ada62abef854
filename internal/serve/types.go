package serve

import "github.com/goprm/goprm/internal/served"

// What a model and its server ask of each other.
type (
	Model        = served.Model
	Info         = served.Info
	Limits       = served.Limits
	Range        = served.Range
	Text         = served.Text
	Uncached     = served.Uncached
	Score        = served.Score
	StepShare    = served.StepShare
	Options      = served.Options
	Token        = served.Token
	RequestError = served.RequestError
)

const (
	Probability = served.Probability
	Symmetric   = served.Symmetric
	Unbounded   = served.Unbounded
	LongText    = served.LongText

	UngradedError = served.UngradedError
	UngradedPRM   = served.UngradedPRM
	TooLongWindow = served.TooLongWindow
	TooLongError  = served.TooLongError
	UnscoredError = served.UnscoredError
	UnscoredNull  = served.UnscoredNull
)

func init() {
	served.Register(func(m Model, o Options) (served.Server, error) { return New(m, o) })
}
