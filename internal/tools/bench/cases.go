package main

import (
	"fmt"
	"slices"

	"github.com/goprm/goprm/internal/speed"
)

// Case is one kind of work. Every program that can do it is timed in turn.
type Case struct {
	Shape  string `json:"shape"`
	Mode   string `json:"mode"` // score, head, lora or full
	Tokens int    `json:"tokens"`
	DType  string `json:"dtype"`
}

func (c Case) String() string { return fmt.Sprintf("%s/%s/%d/%s", c.Shape, c.Mode, c.Tokens, c.DType) }

// cases lists what is measured, the shorter texts first: what they took says how long the longer ones will.
func cases() []Case { return product([]string{"0.5b", "1.5b"}, []int{512, 1024, 2048, 8192}) }

// smoke are cases of no size, to see that every program starts.
func smoke() []Case { return product([]string{"tiny"}, []int{192}) }

var dtypes = []string{"f32", "bf16", "int8"}

func product(shapes []string, lengths []int) (list []Case) {
	for _, shape := range shapes {
		for _, tokens := range lengths {
			for _, mode := range trains {
				for _, dtype := range dtypes {
					if dtype != "int8" || mode == "score" {
						list = append(list, Case{shape, mode, tokens, dtype})
					}
				}
			}
		}
	}
	return list
}

// gflop is what a step computes by definition.
func (c Case) gflop() (float64, error) {
	o := speed.Defaults()
	o.Shape, o.Mode, o.Tokens, o.DType = c.Shape, c.Mode, c.Tokens, c.DType
	return o.Nominal()
}

// steps are how many are timed in a process, after one that is not: one where a step takes long.
func (c Case) steps(seconds float64) int {
	if seconds > 15 {
		return 1
	}
	return 3
}

// memory is about what a program needs, in bytes: weights as it holds them, beside what its file brings into memory, and in training the
// residual stream of each layer and one layer's activations. It only keeps hopeless runs from being tried; runs are watched.
func (c Case) memory(s *Side) (float64, error) {
	size, err := speed.SizeOf(c.Shape)
	if err != nil {
		return 0, err
	}
	perParameter := s.Bytes[c.DType]
	activations := 0.0
	switch c.Mode {
	case "full":
		perParameter = 16 // the parameter, its gradient and two moments in f32
		fallthrough
	case "lora":
		activations = 4 * float64(c.Tokens) * float64(size.Hidden*(size.Layers+12)+6*size.Intermediate)
	}
	return float64(size.Parameters)*perParameter + activations, nil
}

// unsupported is why a program cannot do a case, "" if it can.
func (c Case) unsupported(s *Side) string {
	switch {
	case !slices.Contains(s.Modes, c.Mode):
		return "does not train"
	case s.Bytes[c.DType] == 0:
		return "no " + c.DType + " that starts from the same weights"
	}
	return ""
}
