package main

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"time"

	"github.com/goprm/goprm/data"
	"github.com/goprm/goprm/prm"
)

// speedTokens is about how long the text is that the speed is measured on.
const speedTokens = 384

// saySpeed scores a text, twice, the second time by the clock, and says what fits the time-out. It runs beside the first requests and holds
// none up: it is one text among theirs.
func saySpeed(ctx context.Context, logger *slog.Logger, model *prm.Model, timeout time.Duration, most int) {
	limit := min(speedTokens, model.Info().MaxTokens*3/4)
	perSecond := 0.0
	for round := range 2 {
		// Words that differ from round to round, so that nothing of the text is remembered.
		t := &data.Trajectory{Problem: fmt.Sprint("Round ", round), Response: strings.Repeat(fmt.Sprint(" ", round), limit/2)}
		began := time.Now()
		tokens, err := model.Tokens(t)
		if err == nil {
			_, err = model.Score(ctx, t)
		}
		if err != nil {
			return // a model that cannot score such a text says so when it is asked
		}
		perSecond = float64(tokens) / time.Since(began).Seconds()
	}
	logger.Info(fmt.Sprintf("about %.0f tokens a second, one text at a time: the longest that fits the time-out of %s has about %.0f tokens",
		perSecond, timeout, math.Min(perSecond*timeout.Seconds(), float64(most))))
}
