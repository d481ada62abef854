package main

import (
	"fmt"
	"math"
	"strings"

	"github.com/goprm/goprm/prm"
)

// planRates say what a plan's tokens take.
type planRates struct {
	Currency        string  `help:"With --plan: the currency of the prices, which is printed."`
	TokensPerSecond float64 `help:"With --plan: tokens, read and written, that each server manages in a second, as measured; for the time."`
	PerHour         float64 `help:"With --plan: what an hour of each server costs where tokens have no price."`
}

// ratedPlan is a plan with its time at the rates given.
type ratedPlan struct {
	prm.LabelPlan
	Currency   string  `json:"currency,omitempty"`
	Hours      float64 `json:"hours,omitempty"`       // of the busiest server; servers work side by side
	ServerCost float64 `json:"server_cost,omitempty"` // of all servers' hours
}

func (r planRates) validate(plan bool) error {
	for _, rate := range []float64{r.TokensPerSecond, r.PerHour} {
		if rate < 0 || math.IsNaN(rate) || math.IsInf(rate, 0) {
			return usageError(fmt.Sprintf("--tokens-per-second and --per-hour are numbers from 0, not %g", rate))
		}
	}
	switch {
	case !plan && r != planRates{}:
		return usageError("--currency, --tokens-per-second and --per-hour are for --plan")
	case r.PerHour > 0 && r.TokensPerSecond == 0:
		return usageError("--per-hour needs --tokens-per-second")
	}
	return nil
}

// rate tells time and cost. What a server with a prefix cache has seen before takes it no time.
func (r planRates) rate(plan prm.LabelPlan) ratedPlan {
	rated := ratedPlan{LabelPlan: plan, Currency: r.Currency}
	if r.TokensPerSecond == 0 {
		return rated
	}
	tokens := map[string]int64{}
	for _, s := range plan.Stages {
		tokens[s.Server] += s.Prompt - s.Cached + s.Completion
	}
	for _, n := range tokens {
		hours := float64(n) / r.TokensPerSecond / 3600
		rated.Hours = math.Max(rated.Hours, hours)
		rated.ServerCost += hours * r.PerHour
	}
	return rated
}

func (c labelRunCommand) plan(p *program, config prm.LabelConfig) error {
	made, err := prm.PlanLabels(p.ctx, config)
	if err != nil {
		return err
	}
	plan := c.rate(made)
	if c.JSON {
		return p.printJSON(plan)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d trajectories (%d without a response), %d thinking steps, %d response steps\n", plan.Rows, plan.NoResponse, plan.Steps,
		plan.ResponseSteps)
	if plan.Bad > 0 {
		fmt.Fprintf(&b, "%d rows cannot be read\n", plan.Bad)
	}
	money := strings.TrimSpace(c.Currency)
	if money != "" {
		money = " " + money
	}
	for _, s := range plan.Stages {
		fmt.Fprintf(&b, "%s at %s: %d calls, %d prompt tokens (%d of them seen before, in a server with a prefix cache), "+
			"%d completion tokens, cost %.2f%s\n",
			s.Stage, s.Server, s.Calls, s.Prompt, s.Cached, s.Completion, s.Cost, money)
	}
	switch {
	case len(plan.Stages) == 0:
		fmt.Fprintf(&b, "no calls: every stage works here\n")
	case plan.Minutes == 0:
		fmt.Fprintf(&b, "cost %.2f%s; no limits are given to tell the time\n", plan.Cost, money)
	default:
		fmt.Fprintf(&b, "cost %.2f%s; %.0f minutes at the limits given\n", plan.Cost, money, plan.Minutes)
	}
	if plan.Hours > 0 {
		fmt.Fprintf(&b, "at %g tokens a second a server: %.1f hours", c.TokensPerSecond, plan.Hours)
		if c.PerHour > 0 {
			fmt.Fprintf(&b, ", %.2f%s at %g an hour", plan.ServerCost, money, c.PerHour)
		}
		b.WriteString("\n")
	}
	_, err = p.stdout.Write([]byte(b.String()))
	return err
}
