// Package served is what a model and the server of its scores ask of each other, without the server, so that programs that train and score
// hold none. Package internal/serve is the server; it registers itself here.
package served

import (
	"context"
	"encoding/json"
	"errors"
	"math"

	"github.com/goprm/goprm/data"
)

// Model is what a server asks of a model. Its methods may be called by several goroutines. An error that is ErrLost says that it is of
// no more use.
type Model interface {
	Info() Info
	// Render lays a trajectory out. One beyond the limits is a RequestError of status 413, found before its text is made or scored.
	Render(ctx context.Context, t *data.Trajectory, limits Limits) (Text, error)
	// RenderTokens takes tokens as they are, and reads them at every step mark. There must be one.
	RenderTokens(ids []int32) (Text, error)
	Encode(text string) ([]int32, error)
	Decode(ids []int32) (string, error)
	// Surround are the tokens that the tokenizer's own post-processing puts around a text.
	Surround() (before, after []int32, err error)
	// NextToken returns, for each text, the log-probability of each label as its next token; if not among all tokens, then up to a
	// constant of the text. A model without a language-model head returns ErrNoVocabulary.
	NextToken(ctx context.Context, texts [][]int32, labels []int32, all bool) ([][]float64, error)
	// Token is a token's content as the tokenizer's file writes it.
	Token(id int32) (string, bool)
	// Chat writes a conversation as the model's chat template does, and ChatPrompt with the beginning of an answer after it.
	Chat(turns []data.Turn) (string, error)
	ChatPrompt(turns []data.Turn) (string, error)
	// Score scores texts, each of them or none; what ails one of them alone is its score's Err. Calls share the model fairly, and end soon
	// after their context: texts of more than LongText tokens are scored in turns with others.
	Score(ctx context.Context, texts []Text) ([]Score, error)
}

// Limits bound a trajectory.
type Limits struct{ Steps, Tokens int }

// LongText is the number of tokens from which on a text shares no batch: it would hold up the others.
const LongText = 512

// ErrLost says that a model's files are lost or were changed under it.
var ErrLost = errors.New("the model is lost")

// Info describes the model.
type Info struct {
	Name      string
	MaxTokens int
	Alpha     float64 // weight of the trajectory's score in the reward
	// Steps and Trajectory tell what the reward is made of.
	Steps, Trajectory bool
	Range             Range
	Mark              string // the token behind each step at which the model is read; "" if it is read elsewhere
	// Identity and Settings are hashes of the model and of all settings that an answer depends on; every answer has them as headers.
	Identity, Settings string
}

// Most is the most that r̂ can be.
func (i Info) Most() float64 {
	most := 0.0
	if i.Range == Unbounded {
		return math.Inf(1)
	}
	if i.Steps {
		most = 1
	}
	if i.Trajectory {
		most += i.Alpha
	}
	return most
}

// Range is where the scores of a model lie.
type Range int

const (
	Probability Range = iota // [0, 1]
	Symmetric                // [-1, 1]
	Unbounded
)

// ErrNoVocabulary is what NextToken returns of a model that gives tokens no probabilities.
var ErrNoVocabulary = errors.New("the model has no language-model head")

// Text is a trajectory, ready to be scored.
type Text interface {
	Tokens() int
	Windows() int // in how many windows it is read; 1: as a whole
}

// Uncached is a text whose scores are computed, not remembered, and not kept for others.
type Uncached struct{ Text }

// Score is what the model says of one text.
type Score struct {
	Steps      []float64
	Logits     [][]float64 // of each step, or of a model's only score; nil: there are none, or they were not kept
	Shares     []StepShare // of each step; nil: tokens were scored, which have no trajectory
	Trajectory *float64
	Reward     float64        // r̂; NaN if no step is of the parts that it averages
	Line       json.Marshaler // as prm score writes it
	Cached     int            // tokens of the text that earlier texts had brought
	Err        error          // why the text has no score
}

// StepShare says where a step ends and what its score weighs in r̂.
type StepShare struct {
	Thinking bool    // else of the response
	End      int     // byte past the step in the text of its part; -1 where the trajectory was given in steps
	Weight   float64 // 1/n for each of the n steps that r̂ averages, 0 for others
}

// Losable is a model whose files can be lost while it is open.
type Losable interface {
	// Lost is why the model answers nothing any more; nil: it does.
	Lost() error
}

// Spread is a model on several devices, each with a queue of its own.
type Spread interface {
	Devices() []Device
}

// Device is a model on one device. Lost says why it computes nothing there any more.
type Device interface {
	Losable
	Device() string // its name, e.g. cuda:0
	Score(ctx context.Context, texts []Text) ([]Score, error)
}

// RequestError is an error with the HTTP status that it is answered with.
type RequestError struct {
	Status int
	Err    error
}

func (e *RequestError) Error() string { return e.Err.Error() }

// Unwrap returns the error without its status.
func (e *RequestError) Unwrap() error { return e.Err }
