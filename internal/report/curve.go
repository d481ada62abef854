package report

import (
	"fmt"
	"math"
)

// A trajectory's curve is drawn in a box of one unit a step by curveHeight, stretched to the width of the page. Bars begin at the
// threshold, so that up and down can be told apart without their colours.
const (
	curveHeight = 100.0
	leastBar    = 2.0 // units, so that a score at the threshold is seen
)

type bar struct {
	X, Y, Height float64
	Class        string
}

type curveView struct {
	Width           int
	Threshold       float64
	Low, High, Name string
	Bars            []bar
	Labels          []bar // levels of labels beside scores; Height is not used
}

func (s Steps) curve(scale Scale, labels bool, facts string) curveView {
	what := "Scores"
	if labels {
		what = "Labels"
	}
	for _, step := range s.Steps {
		if v := step.value(labels); !math.IsNaN(v) {
			scale.Low, scale.High = math.Min(scale.Low, v), math.Max(scale.High, v)
		}
	}
	at := func(v float64) float64 {
		return round(curveHeight * (scale.High - math.Max(scale.Low, math.Min(scale.High, v))) / (scale.High - scale.Low))
	}
	v := curveView{Width: max(1, len(s.Steps)), Threshold: at(scale.Threshold), Low: number(scale.Low), High: number(scale.High),
		Name: fmt.Sprintf("%s of the steps. %s.", what, facts)}
	for i, step := range s.Steps {
		value := step.value(labels)
		if !math.IsNaN(value) {
			b := bar{X: float64(i) + 0.1, Y: at(value), Height: math.Max(leastBar, v.Threshold-at(value)), Class: "hi"}
			if value < scale.Threshold {
				b.Class, b.Y, b.Height = "lo", v.Threshold, math.Max(leastBar, at(value)-v.Threshold)
			} else if v.Threshold-at(value) < leastBar {
				b.Y = v.Threshold - leastBar
			}
			b.X, b.Height = round(b.X), round(b.Height)
			v.Bars = append(v.Bars, b)
		}
		if !labels && !math.IsNaN(step.Label) {
			v.Labels = append(v.Labels, bar{X: float64(i), Y: at(step.Label)})
		}
	}
	return v
}
