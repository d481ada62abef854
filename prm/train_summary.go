package prm

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// String is the evaluation in one line. A figure that the data leave undefined is a dash with the reason.
func (e *Evaluation) String() string {
	unlabelled := func(why string) string {
		if e.NStep == 0 {
			return "no step labels"
		}
		return why
	}
	parts := []string{"loss " + figure(e.Loss, 4, "nothing labelled")}
	for _, f := range []struct {
		name  string
		value float64
		why   string
	}{
		{"step AUROC", e.StepAUROC, "one class only"},
		{"within trajectories", e.WithinAUROC, "no trajectory has good and bad steps"},
		{"within problems", e.WithinProblemAUROC, "no problem has good and bad steps"},
		{"first-error F1", e.FirstErrorF1, "needs trajectories with and without an error"},
	} {
		parts = append(parts, f.name+" "+figure(f.value, 3, unlabelled(f.why)))
	}
	return strings.Join(parts, ", ")
}

func figure(value float64, digits int, why string) string {
	if math.IsNaN(value) {
		return fmt.Sprintf("– (%s)", why)
	}
	return strconv.FormatFloat(value, 'f', digits, 64)
}
